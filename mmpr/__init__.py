"""mmpr: builds multimodal reasoning preference data and trains on it. ``docs/python.md`` shows the names below."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmpr.answers import extract, match
    from mmpr.api import (
        Dataset,
        build_dataset,
        check_build,
        evaluate_models,
        export_pairs,
        load_recipe,
        open_dataset,
        reward_function,
        train_model,
        write_report,
    )
    from mmpr.pipeline.judging import judge
    from mmpr.storage.flat import load_pairs

# Nobody is told what is done here, unless the user says so. The libraries read these when they are imported.
for _name, _value in {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
}.items():
    os.environ.setdefault(_name, _value)

__version__ = "0.2.0"

__all__ = [
    "Dataset",
    "build_dataset",
    "check_build",
    "evaluate_models",
    "export_pairs",
    "extract",
    "judge",
    "load_pairs",
    "load_recipe",
    "match",
    "open_dataset",
    "reward_function",
    "train_model",
    "write_report",
]


_PLACES = {
    "extract": "mmpr.answers",
    "judge": "mmpr.pipeline.judging",
    "load_pairs": "mmpr.storage.flat",
    "match": "mmpr.answers",
}
"""Modules of the names above that are not in ``mmpr.api``."""


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for, so that ``import mmpr`` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'mmpr' has no attribute {name!r}")
    return getattr(import_module(_PLACES.get(name, "mmpr.api")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
