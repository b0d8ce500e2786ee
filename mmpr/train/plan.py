"""What a run would take, before any weights are loaded: ``mmpr train --plan``.

Memory is told first, from the model's configuration alone. Then the data is read for its lengths, which a run needs as
well and finds beside the data. Nothing is written but that.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmpr.errors import MmprError
from mmpr.train import estimate
from mmpr.train.checks import check_reports, warn_of_rate
from mmpr.train.data.prepare import Prepared, prepare
from mmpr.train.data.step_plan import StepPlan
from mmpr.train.model import empty_model, load_config, load_processor
from mmpr.train.recipe import TrainRecipe

_LOOKED_AT = 32  # steps whose tokens are counted; the others are alike
_OVERHEAD = 0.97  # of a card's memory can be used


@dataclass(frozen=True, slots=True)
class Machine:
    """``gpus`` of ``gpu_gb`` GiB and ``tflops`` (by the card's data sheet) each, with the share ``mfu`` of these."""

    gpus: int
    gpu_gb: float
    tflops: float
    mfu: float


@dataclass(frozen=True, slots=True)
class Work:
    """Tokens of the steps: a mean step's over all GPUs, the busiest GPU's, and those of sequences of their own."""

    steps: int
    tokens: float
    busiest: float
    unshared: float
    passes: float


def show_plan(recipe: TrainRecipe, data: Sequence[str], model: str, machine: Machine) -> None:
    """Print the plan of a run.

    Raises:
        MmprError: it does not fit into the GPUs; the text says what would.
    """
    check_reports(recipe)
    if recipe.compute.parallel == "fsdp2" and machine.gpus < 2:
        raise MmprError("compute.parallel=fsdp2 needs several GPUs: see --gpus")
    if warning := warn_of_rate(recipe, model):
        print(f"warning   {warning}")
    empty = empty_model(model, recipe)
    if empty is None:
        raise MmprError(f"--model {model}: runs by code of its own, of which nothing can be told before it is loaded")
    shape = estimate.shape_of(empty)
    print(f"model     {shape.parameters / 1e9:,.2f} B parameters, {shape.trained / 1e9:,.2f} B of them trained")
    _show_memory(shape, recipe, machine)
    trusted = recipe.model.trust_remote_code
    with tempfile.TemporaryDirectory() as folder:
        processor, config = load_processor(model, trusted), load_config(model, trusted)
        prepared = prepare(recipe, list(map(Path, data)), Path(folder), processor, config)
    _show_work(shape, recipe, prepared, machine)


def _show_memory(shape: estimate.Shape, recipe: TrainRecipe, machine: Machine) -> None:
    parts = estimate.memory(shape, recipe, machine.gpus)
    room = machine.gpu_gb * 2**30 * _OVERHEAD
    shown = ", ".join(f"{name} {size / 1e9:,.1f}" for name, size in parts.items() if size)
    total = sum(parts.values())
    many = f"{machine.gpus} GPU" + "s" * (machine.gpus > 1)
    print(
        f"memory    {total / 1e9:,.1f} of {room / 1e9:,.1f} GB on each of {many} ({recipe.compute.parallel}): {shown}"
    )
    if total > room:
        raise MmprError(estimate.refusal(shape, recipe, machine.gpus, room))


def _show_work(shape: estimate.Shape, recipe: TrainRecipe, prepared: Prepared, machine: Machine) -> None:
    plan = prepared.steps.plan
    steps = min(len(plan), recipe.data.max_steps or len(plan))
    budget = recipe.compute.max_pack_tokens or estimate.GPU_PACK_TOKENS
    work = work_of(plan, steps, machine.gpus, budget)
    print(
        f"steps     {steps:,} of {plan.pairs_a_step:,} pairs ({plan.steps_an_epoch:,} an epoch "
        f"of {len(plan.occurrences):,} pairs), {work.passes:.1f} passes a step on the busiest GPU"
    )
    print(
        f"tokens    {work.tokens:,.0f} a step ({work.tokens / work.unshared:.2f} of those of pairs by themselves); "
        f"the busiest GPU has {work.busiest * machine.gpus / work.tokens:.2f} x the mean; "
        f"{work.tokens * steps / 1e9:,.3f} B in all"
    )
    flops = machine.tflops * 1e12 * machine.mfu
    training = estimate.hours(shape, recipe, work.busiest * steps, flops)
    reference = training / (4 if recipe.model.gradient_checkpointing else 3)  # forward passes alone
    print(
        f"time      {training + reference:,.1f} hours at {machine.mfu:.0%} of {machine.tflops:,.0f} TFLOP/s: "
        f"{training:,.1f} of training, {reference:,.1f} of the reference ({recipe.reference}); without the encoding of "
        "pictures, answers and saving"
    )


def work_of(plan: StepPlan, steps: int, gpus: int, budget: int) -> Work:
    """The tokens of ``steps`` steps, from some of them, evenly."""
    many = min(steps, _LOOKED_AT)
    looked_at = [i * steps // many for i in range(many)]
    tokens = busiest = unshared = passes = 0.0
    for step in looked_at:
        shares = plan.shares(step, gpus)
        loads = [sum(plan.pairs.tokens(*part) for part in share) for share in shares]
        tokens += sum(loads)
        busiest += max(loads)
        passes += math.ceil(max(loads) / budget)
        unshared += sum(plan.pairs.tokens(part.row, [pair]) + int(plan.pairs.prompt_tokens[part.row])
                        for share in shares for part in share for pair in part.pairs)  # fmt: skip
    return Work(steps, tokens / many, busiest / many, unshared / many, passes / many)
