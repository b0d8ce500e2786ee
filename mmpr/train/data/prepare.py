"""From data to optimizer steps: every row is measured, unusable pairs are listed, the others are planned."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
from mmpr.train.data.step_plan import Pairs, StepPlan, plan_steps
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
        parts = []
        for place, pairs in self.plan[step]:
            encoded = self.encoder.encode(self.rows[place])
            row = encoded.row if self.reference is None else self.reference.attach(place, encoded)
            parts.append(StepPart(row, pairs, (1.0,) * len(pairs)))
        return StepBatch(tuple(parts), len(self.plan.pairs_of(step)))


@dataclass(frozen=True)
class Prepared:
    """The data of a run; ``dropped`` counts rejected rows and pairs by reason, ``cache`` is where caches lie.

    ``sameness`` tells how much of it is as it was sampled.
    """

    steps: Steps
    pairs: Pairs
    dropped: Mapping[str, int]
    cache: Path
    sameness: Sameness

    @property
    def rows(self) -> int:
        """The number of questions in the data."""
        return len(self.steps.rows)

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
    plan = plan_steps(
        pairs,
        pairs_a_step=settings.pairs_a_step,
        max_pairs_a_question=settings.max_pairs_a_question,
        epochs=settings.epochs,
        seed=recipe.seed,
        source_weights={**rows.weights, **settings.source_weights},
        kind_weights=settings.kind_weights,
        rank=distributed.rank(),
        world=distributed.world(),
    )
    sameness = lengths.sameness()
    if is_writer():
        print(f"tokens    {sameness}", file=sys.stderr, flush=True)
    return Prepared(Steps(rows, encoder, plan), pairs, dropped, cache, sameness)


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
    wanted = steps.plan.rows_until(recipe.data.max_steps or len(steps))
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
