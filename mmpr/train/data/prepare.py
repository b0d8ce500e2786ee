"""From data to optimizer steps: every row is measured, unusable pairs are listed, the others are planned."""

from __future__ import annotations

import functools
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from mmpr.cli.command import printable
from mmpr.errors import MmprError
from mmpr.schema import Reject
from mmpr.storage.shards import write_text
from mmpr.train import distributed
from mmpr.train.data.encoding import Encoder
from mmpr.train.data.preference_data import TrainRows, read_train_rows
from mmpr.train.data.reference_logprobs import (
    PlannedRows,
    Reference,
    ReferenceModel,
    Scores,
    compute_reference,
    read_reference,
)
from mmpr.train.data.step_plan import Ints, Pairs, StepPlan, hold_out, plan_steps
from mmpr.train.data.token_lengths import Sameness, measure_lengths, read_lengths
from mmpr.train.data.unit_cache import Workers, cache_base
from mmpr.train.recipe import TrainRecipe
from mmpr.train.rows import StepBatch, StepPart, TrainRow
from mmpr.train.run_folder import DROPS, is_writer


class Steps(Dataset[StepBatch]):  # type: ignore[misc]  # the library has no types
    """This rank's `StepBatch` of each optimizer step, encoded when it is asked for.

    ``reference``, where it is set, gives rows their cached reference log-probabilities.
    """

    def __init__(self, rows: TrainRows, encoder: Encoder, plan: StepPlan) -> None:
        self.rows, self.encoder, self.plan = rows, encoder, plan
        self.reference: Reference | None = None

    def __len__(self) -> int:
        """The number of steps."""
        return len(self.plan)

    def __getitem__(self, step: int) -> StepBatch:
        """Step ``step``, from 0. Each pair weighs 1: a source's weight is how often its pairs are planned."""
        parts = tuple(self.part(place, pairs) for place, pairs in self.plan[step])
        return StepBatch(parts, len(self.plan.pairs_of(step)))

    def part(self, place: int, pairs: tuple[tuple[int, int], ...]) -> StepPart:
        """Some pairs of a row, encoded."""
        encoded = self.encoder.encode(self.rows[place])
        row = encoded.row if self.reference is None else self.reference.attach(place, encoded)
        return StepPart(row, pairs, (1.0,) * len(pairs))


@dataclass(frozen=True)
class Prepared:
    """The data of a run, with all its ``pairs``; those of the rows ``held_out`` are in no step.

    ``dropped`` counts rejected rows and pairs by reason, ``cache`` is where caches lie, and ``sameness`` tells how much
    of the data is as it was sampled.
    """

    steps: Steps
    pairs: Pairs
    dropped: Mapping[str, int]
    cache: Path
    sameness: Sameness
    held_out: Ints

    @property
    def rows(self) -> int:
        """The number of questions in the data."""
        return len(self.steps.rows)

    def held_out_parts(self, rank: int, world: int) -> list[StepPart]:
        """The held-out pairs of process ``rank`` of ``world``, encoded; empty where nothing is held out."""
        rows = self.held_out.tolist()[rank::world]
        return [self.steps.part(place, self.pairs.of_row(place)) for place in rows]

    def some_rows(self, most: int) -> list[TrainRow]:
        """Up to ``most`` rows, evenly from those that are trained on."""
        wanted = self.steps.plan.rows
        count = min(most, len(wanted))
        return [self.steps.rows[int(wanted[i * len(wanted) // count])] for i in range(count)]


def prepare(recipe: TrainRecipe, data: Sequence[Path], out: Path, processor: Any, config: Any) -> Prepared:
    """Measure all rows that are not in the cache yet and plan the steps; rejects go to ``RUN/drops.jsonl``.

    Raises:
        MmprError: nothing is left to train on, or the recipe's steps cannot be filled.
    """
    weights = recipe.data.weights or (1.0,) * len(data)
    if len(weights) != len(data):
        raise MmprError(f"data.weights: there are {len(weights)} for {len(data)} --data; give one for each")
    root = recipe.data.images_root
    rows = read_train_rows(*data, images_root=None if root is None else Path(root))
    if is_writer():
        for note in rows.notes:
            print(printable(f"data      {note}"), file=sys.stderr)
    arguments = {**rows.processor, **recipe.data.processor}
    allow = recipe.data.allow_prompt_mismatch
    encoder = Encoder(processor, config, arguments, chat=rows.chat, allow_prompt_mismatch=allow)
    cache = cache_base(data[0], out / "cache") if len(data) == 1 else out / "cache"
    folder = measure_lengths(rows, encoder, cache / "survey", _workers(recipe))
    distributed.barrier()
    lengths = read_lengths(folder, rows)
    pairs, rejects = lengths.pairs(recipe.data.max_tokens)
    dropped = Counter(reject.reason for reject in rejects)
    if is_writer():
        write_text(out / DROPS, "".join(json.dumps(asdict(reject)) + "\n" for reject in rejects))
    if not len(pairs):
        raise MmprError(f"no pair is left to train on: {_reasons(rejects)}; see {out / DROPS}")
    settings = recipe.data
    plan_of = functools.partial(
        plan_steps,
        pairs_a_step=settings.pairs_a_step,
        max_pairs_a_question=settings.max_pairs_a_question,
        epochs=settings.epochs,
        seed=recipe.seed,
        source_weights={**rows.weights, **settings.source_weights},
        kind_weights=settings.kind_weights,
        row_weights=np.repeat(weights, rows.sizes),
        rank=distributed.rank(),
        world=distributed.world(),
    )
    plan = plan_of(pairs)
    held_out: Ints = np.empty(0, np.int64)
    if settings.held_out_pairs:
        held_out, trained_on = hold_out(pairs, plan.rows, settings.held_out_pairs, recipe.seed)
        if not len(trained_on):
            raise MmprError(
                f"data.held_out_pairs: {settings.held_out_pairs} of {len(pairs)} pairs leave none to train on"
            )
        plan = plan_of(trained_on)
        if is_writer():
            many = len(pairs) - len(trained_on)
            print(f"held out  {many:,} pairs of {len(held_out):,} questions", file=sys.stderr, flush=True)
    sameness = lengths.sameness()
    if is_writer():
        print(f"plan      {_told(data, weights, rows, pairs, plan)}", file=sys.stderr)
        print(f"tokens    {sameness}", file=sys.stderr, flush=True)
    return Prepared(Steps(rows, encoder, plan), pairs, dropped, cache, sameness, held_out)


def _told(data: Sequence[Path], weights: Sequence[float], rows: TrainRows, pairs: Pairs, plan: StepPlan) -> str:
    """The plan in a line, with each data set and its weight where there are several."""
    steps = f"{len(plan):,} steps of {plan.pairs_a_step:,} pairs, {len(plan.occurrences):,} pairs an epoch"
    if len(data) == 1:
        return steps
    ends = np.searchsorted(pairs.row, np.cumsum(rows.sizes))
    many = np.diff(ends, prepend=0).tolist()
    sets = [f"{path}: {n:,} pairs x {weight:g}" for path, n, weight in zip(data, many, weights, strict=True)]
    return f"{steps}: {'; '.join(sets)}"


def _reasons(rejects: Sequence[Reject]) -> str:
    """The three commonest reasons of rejects, each with its first example."""
    examples: dict[str, Reject] = {}
    for reject in rejects:
        examples.setdefault(reject.reason, reject)
    common = Counter(reject.reason for reject in rejects).most_common(3)
    told = [f"{by:,} x {reason} ({examples[reason].id}: {examples[reason].detail})" for reason, by in common]
    return "; ".join(told) or "the data is empty"


def add_reference(recipe: TrainRecipe, prepared: Prepared, scores: Scores, revision: str) -> None:
    """Give the rows of the steps their reference log-probabilities, computing those not cached beside the data.

    ``scores`` is `Compute.scores` of the model that ``revision`` names, which computes as `reference_mode` says.
    """
    steps = prepared.steps
    wanted = np.union1d(steps.plan.rows_until(recipe.data.max_steps or len(steps)), prepared.held_out)
    planned = PlannedRows(steps.rows, steps.encoder, prepared.pairs, wanted)
    model = ReferenceModel(scores, revision, reference_mode(recipe))
    folder = compute_reference(planned, model, prepared.cache / "reference", _workers(recipe))
    distributed.barrier()
    steps.reference = read_reference(folder, planned.wanted)


def reference_mode(recipe: TrainRecipe) -> str:
    """How the policy computes, and therefore the reference: what rounds otherwise is not comparable."""
    if recipe.compute.precision == "float32":
        return "float32"
    if recipe.compute.parallel == "fsdp2":
        return "bfloat16 weights"
    return "bfloat16" if recipe.lora is None else "bfloat16 base"


def _workers(recipe: TrainRecipe) -> Workers:
    return Workers(distributed.rank(), distributed.world(), recipe.compute.workers)
