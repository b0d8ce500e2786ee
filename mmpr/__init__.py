"""mmpr: builds multimodal reasoning preference data and trains on it."""

__version__ = "0.1.0"
