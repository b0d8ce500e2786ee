"""``mmpr check-gpu``: whether training computes on this machine what it should, how fast, and in how much memory."""
