"""Readers of values: units, quantities, dates, times of day, ratios and ranges."""
