"""mmpr: builds multimodal reasoning preference data and trains on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset

# Nobody is told what is done here, unless the user says so. The libraries read these when they are imported.
for _name, _value in {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
}.items():
    os.environ.setdefault(_name, _value)

__version__ = "0.1.0"
__all__ = ["load_pairs"]


def load_pairs(out: str | os.PathLike[str]) -> Dataset:
    """A finished build as a Hugging Face dataset, one row a pair; see ``mmpr.storage.flat.load_pairs``."""
    from mmpr.storage.flat import load_pairs  # waits for its turn: `datasets` takes seconds to import

    return load_pairs(out)
