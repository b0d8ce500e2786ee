"""What can be known of a run before anything dear is done: no weights are loaded and no data is read.

`check_run` is called first, on every rank. A mistake that it finds costs seconds, not the reading of all data.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations

from mmpr.errors import MmprError, OutputError, RecipeError
from mmpr.train.estimate import Shape, lasting, memory, refusal, shape_of
from mmpr.train.model import empty_model
from mmpr.train.recipe import TrainRecipe
from mmpr.train.run_folder import MODEL_ABOUT, is_writer
from mmpr.train.shared_prefix.attention import check_kernel

_BYTES_TO_GO_ON = 12  # of a trained number in a checkpoint: float32, with two moments of AdamW


_TRAINED_NAME = re.compile(r"(?i)(?<![a-z])(mpo|dpo|rpo|grpo|orpo|ppo|rlhf|rlaif)(?![a-z])")
# Models that their makers' reports say to be the result of preference training, though no word of the name does.
_TRAINED_MODELS = re.compile(r"(?i)InternVL3(?:_5)?-\d++B|Qwen2\.5-VL-\d++B-Instruct")
_BEFORE_IT = ("-instruct", "-pretrained")  # what names say of InternVL's models that are not the last ones
_GENTLE = 1e-6  # of the released runs on such models; only InternVL2-8B, which had no such training, took 5e-6


def check_run(recipe: TrainRecipe, model: str, out: Path) -> None:
    """Check processes, reports, the model's parts and adapters, the attention kernel and the room on the disk.

    Raises:
        RecipeError: the recipe asks for what is not there.
        MmprError: the run cannot be started as it is.
    """
    check_processes(recipe)
    check_reports(recipe)
    if is_writer() and (warning := warn_of_rate(recipe, model)):
        print(f"warning: {warning}", file=sys.stderr, flush=True)
    if torch.cuda.is_available() and recipe.compute.sharing != "off":
        check_kernel()
    empty = empty_model(model, recipe)
    if empty is not None:
        if torch.cuda.is_available():
            check_memory(shape_of(empty), recipe, torch.cuda.get_device_properties(0).total_memory)
        if is_writer():
            check_disk(out, bytes_of_run(empty, recipe))


def check_memory(shape: Shape, recipe: TrainRecipe, room: float) -> None:
    """Raise MmprError where a GPU of ``room`` bytes cannot even hold what lasts, whatever a pass has."""
    gpus = int(os.environ.get("WORLD_SIZE", "1"))
    if lasting(memory(shape, recipe, gpus)) > room:
        raise MmprError(refusal(shape, recipe, gpus, room))


def check_processes(recipe: TrainRecipe) -> None:
    """Raise MmprError where sharding is asked of a single process."""
    if recipe.compute.parallel == "fsdp2" and int(os.environ.get("WORLD_SIZE", "1")) < 2:
        raise MmprError(
            "compute.parallel=fsdp2 needs several processes: start with "
            "`torchrun --nproc-per-node GPUS -m mmpr.train ...`, or set compute.parallel=data"
        )


def warn_of_rate(recipe: TrainRecipe, model: str) -> str:
    """A warning where all weights of a model that had preference training get a high learning rate; else empty."""
    rate = recipe.optimizer.learning_rate
    if recipe.lora is not None or rate <= _GENTLE:
        return ""
    folder = Path(model)
    name = "/".join(folder.absolute().parts[-2:]) if folder.is_dir() else model
    if (folder / MODEL_ABOUT).is_file():
        why = "was trained by mmpr before"
    elif found := _TRAINED_NAME.search(name) or _trained_model(name):
        why = f"had preference training before, as {found[0]!r} in its name says"
    else:
        return ""
    return (
        f"{model} {why}: optimizer.learning_rate {rate:g} is for models that had none; released runs on such models "
        "take 2e-7, at most 1e-6 (docs/training.md)"
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
    numbers: int = sum(p.numel() for p in parameters)
    trained: int = sum(p.numel() for p in parameters if p.requires_grad)
    frozen = 0 if recipe.lora is not None else 4 * (numbers - trained)  # checkpoints of adapters hold nothing else
    models = 2 if recipe.save.best else 1
    return (recipe.save.keep + 1) * (_BYTES_TO_GO_ON * trained + frozen) + models * 4 * numbers


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


def _trained_model(name: str) -> re.Match[str] | None:
    found = _TRAINED_MODELS.search(name)
    return None if found and any(word in name[found.end() :].lower() for word in _BEFORE_IT) else found
