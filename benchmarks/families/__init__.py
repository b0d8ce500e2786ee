"""Families of vision-language models: whether sampling, training and evaluation see the same, on tiny checkpoints."""
