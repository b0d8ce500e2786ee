"""mmpr: builds multimodal reasoning preference data and trains on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset

__version__ = "0.1.0"
__all__ = ["load_pairs"]


def load_pairs(out: str | os.PathLike[str]) -> Dataset:
    """A finished build as a Hugging Face dataset, one row a pair; see ``mmpr.io.flat.load_pairs``."""
    from mmpr.io.flat import load_pairs  # waits for its turn: `datasets` takes seconds to import

    return load_pairs(out)
