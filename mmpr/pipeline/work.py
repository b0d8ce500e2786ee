"""Which units of a build are still to be done.

A build of millions of questions has a hundred thousand units. Only the names in four folders are read, into one byte a
unit, so that resuming takes a second and some kilobytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmpr.storage.shards import Stage, Unit, Units, add_counts, done, index_shard, shard
from mmpr.storage.tables import read_counts

_GENERATE: tuple[Stage, ...] = ("ingest", "sample", "complete")

WORK = ("questions", "to_judge")
"""The amount of work in a unit: its questions, and the responses that are to be judged."""


@dataclass(frozen=True, slots=True)
class Left:
    """The units that are still to be sampled, those that are only to be judged, and held-out ones to be ingested.

    ``totals`` are the sums of ``WORK`` over ``to_sample``.
    """

    to_sample: Units
    to_judge: Units
    heldout: Units
    totals: dict[str, int]

    def __bool__(self) -> bool:
        return bool(self.to_sample or self.to_judge or self.heldout)


def what_is_left(
    out: Path, train: Units, heldout: Units, work: Mapping[str, Sequence[int]], last: Stage = "pair"
) -> Left:
    """Compare the files in a build's folders with its units, up to the stage ``last`` (verify or pair).

    ``work`` has the ``WORK`` of every training unit; it is empty for a build that an earlier version began.
    """
    generated = [all(there) for there in zip(*(done(out, stage, train) for stage in _GENERATE), strict=True)]
    light: tuple[Stage, ...] = ("verify",) if last == "verify" else ("verify", "pair")
    judged = [all(there) for there in zip(*(done(out, stage, train) for stage in light), strict=True)]
    to_sample = train.where([not there for there in generated])
    to_judge = train.where([there and not after for there, after in zip(generated, judged, strict=True)])
    ingested = done(out, "ingest", heldout)
    totals = dict.fromkeys(WORK, 0)
    if work:
        totals = {name: sum(work[name][number] for number in to_sample.numbers) for name in WORK}
    else:
        for unit in to_sample:
            add_counts(totals, read_counts(index_shard(out, unit)))
    return Left(to_sample, to_judge, heldout.where([not there for there in ingested]), totals)


def left_to_adjudicate(out: Path, train: Units) -> Left:
    """Of units whose verdicts are there: those that wait for the verifier, and those that are only to be paired.

    A unit without an unsure verdict has nothing to put to a verifier, and gets no file of its words. ``questions`` in
    ``totals`` counts the unsure verdicts.
    """
    adjudicated, paired = done(out, "adjudicate", train), done(out, "pair", train)
    unsure = [0 if adjudicated[number] else _unsure(out, train[number]) for number in train.numbers]
    to_pair = [not count and not there for count, there in zip(unsure, paired, strict=True)]
    totals = {"questions": sum(unsure), "to_judge": 0}
    return Left(train.where(unsure), train.where(to_pair), Units("heldout", 0), totals)


def _unsure(out: Path, unit: Unit) -> int:
    """How many verdicts of a unit are unsure, as the footer of its shard says."""
    counts = read_counts(shard(out, "verify", unit))
    return sum(by for name, by in counts.items() if name.endswith("/unsure") and "/rejected/" not in name)
