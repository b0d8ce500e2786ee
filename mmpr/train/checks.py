"""What can be known of a run before anything dear is done: no weights are loaded and no data is read.

`check_run` is called first, on every rank. A mistake that it finds costs seconds, not the reading of all data.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations

from mmpr.errors import MmprError, OutputError, RecipeError
from mmpr.train.model import empty_model
from mmpr.train.recipe import TrainRecipe
from mmpr.train.shared_prefix.attention import check_kernel

_BYTES_TO_GO_ON = 12  # of a trained number in a checkpoint: float32, with two moments of AdamW


def check_run(recipe: TrainRecipe, model: str, out: Path) -> None:
    """Check processes, reports, the model's parts and adapters, the attention kernel and the room on the disk.

    Raises:
        RecipeError: the recipe asks for what is not there.
        MmprError: the run cannot be started as it is.
    """
    check_processes(recipe)
    check_reports(recipe)
    if torch.cuda.is_available() and recipe.compute.sharing != "off":
        check_kernel()
    empty = empty_model(model, recipe)
    if empty is not None:
        check_disk(out, bytes_of_run(empty, recipe))


def check_processes(recipe: TrainRecipe) -> None:
    """Raise MmprError where sharding is asked of a single process."""
    if recipe.compute.parallel == "fsdp2" and int(os.environ.get("WORLD_SIZE", "1")) < 2:
        raise MmprError(
            "compute.parallel=fsdp2 needs several processes: start with "
            "`torchrun --nproc-per-node GPUS -m mmpr.train ...`, or set compute.parallel=data"
        )


def check_reports(recipe: TrainRecipe) -> None:
    """Raise RecipeError where ``report_to`` names what transformers does not know, or what is not installed."""
    there = get_available_reporting_integrations() if recipe.report_to else []
    problems = [
        f"report_to: {name!r} is not installed"
        if name in INTEGRATION_TO_CALLBACK
        else f"report_to: transformers knows no {name!r}; it knows: {', '.join(sorted(INTEGRATION_TO_CALLBACK))}"
        for name in recipe.report_to
        if name not in there
    ]
    if problems:
        raise RecipeError("recipe", problems)


def bytes_of_run(model: Any, recipe: TrainRecipe) -> int:
    """What a run writes at most: its checkpoints, one of them being written, and the result."""
    parameters = list(model.parameters())
    numbers = sum(p.numel() for p in parameters)
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    frozen = 0 if recipe.lora is not None else 4 * (numbers - trained)  # checkpoints of adapters hold nothing else
    return (recipe.save.keep + 1) * (_BYTES_TO_GO_ON * trained + frozen) + 4 * numbers


def check_disk(out: Path, wanted: int) -> None:
    """Raise OutputError where the disk of ``out`` has no room for ``wanted`` bytes, beside what a run has written."""
    place = next(folder for folder in (out, *out.parents) if folder.exists())
    written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    free = shutil.disk_usage(place).free + written
    if free < wanted:
        raise OutputError(
            f"{out}: its disk has {free / 1e9:,.1f} GB free, and checkpoints and the model may take "
            f"{wanted / 1e9:,.1f} GB; make room, lower save.keep, or use another --out"
        )
