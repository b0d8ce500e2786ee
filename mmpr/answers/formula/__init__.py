"""Formulas: from text to a small tree of tuples, by a whitelist; nothing is evaluated."""
