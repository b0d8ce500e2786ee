"""Which units of a build are still to be done.

A build of millions of questions has a hundred thousand units. Only the names in four folders are read, into one byte a
unit, so that resuming takes a second and some kilobytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmpr.storage.shards import STAGES, Units, add_counts, done, index_shard
from mmpr.storage.tables import read_counts

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


def what_is_left(out: Path, train: Units, heldout: Units, work: Mapping[str, Sequence[int]]) -> Left:
    """Compare the files in a build's folders with its units.

    ``work`` has the ``WORK`` of every training unit; it is empty for a build that an earlier version began.
    """
    asked, sampled, completed, judged, paired = (done(out, stage, train) for stage in STAGES)
    generated = [all(stages) for stages in zip(asked, sampled, completed, strict=True)]
    to_sample = train.where([not there for there in generated])
    to_judge = train.where([there and not (j and p) for there, j, p in zip(generated, judged, paired, strict=True)])
    ingested = done(out, "ingest", heldout)
    totals = dict.fromkeys(WORK, 0)
    if work:
        totals = {name: sum(work[name][number] for number in to_sample.numbers) for name in WORK}
    else:
        for unit in to_sample:
            add_counts(totals, read_counts(index_shard(out, unit)))
    return Left(to_sample, to_judge, heldout.where([not there for there in ingested]), totals)
