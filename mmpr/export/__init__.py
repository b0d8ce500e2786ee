"""A build or an MMPR release in the formats that people train with; ``python -m mmpr.export``."""
