"""The files of a run, and which process writes them.

RUN/run.json         recipe, data and model: what the run is; a command that says something else is refused
RUN/metrics.jsonl    a line a step
RUN/samples.jsonl    greedy answers to held-out questions
RUN/drops.jsonl      rows and pairs that are not trained on, and why
RUN/checkpoints/     each whole or absent
RUN/writing/         what is being written; never read, removed when a run goes on
RUN/model/           the result: a stock checkpoint with its processor, and mmpr.json
RUN/tensorboard/     where ``report_to`` names it: its files
RUN/report.html      curves, findings of the watch, answers before and after
RUN/result.json      written last
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RUN = "run.json"
METRICS = "metrics.jsonl"
SAMPLES = "samples.jsonl"
DROPS = "drops.jsonl"
CHECKPOINTS = "checkpoints"
WRITING = "writing"
MODEL = "model"
MODEL_ABOUT = "mmpr.json"
TENSORBOARD = "tensorboard"
REPORT = "report.html"
RESULT = "result.json"


def is_writer() -> bool:
    """Whether this process writes the run's files: the only one, or the first of those that torchrun started."""
    return int(os.environ.get("RANK", "0")) == 0


def data_paths(about: Mapping[str, Any]) -> list[Path]:
    """The paths of a run's data, from what ``describe`` says."""
    return [Path(data["path"]) for data in (about["data"], *about.get("more_data", {}).values())]
