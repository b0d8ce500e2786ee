"""Mixed Preference Optimization of a vision-language model; ``python -m mmpr.train``."""
