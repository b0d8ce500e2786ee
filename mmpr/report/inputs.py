"""What a report is made of, whatever it is about: units that stream by once, and a few rows that are shown.

    Input.units() ─▶ Unit: columns ─▶ Tally, asked ─▶ Overlaps            all rows, a unit at a time
    Input.rows(unit, places) ─▶ gallery, audit                            what was drawn
    Input.flow(tally), lost()                                             where everything went

``mmpr.report.shards`` reads a build, ``mmpr.report.release`` a release of MMPR.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mmpr.report.facts import Facts
from mmpr.report.nouns import Dropped, Flow
from mmpr.report.pictures import Fingerprint
from mmpr.report.read import UnitColumns
from mmpr.report.tally import Tally
from mmpr.storage.shards import Stage

ShownRow = dict[Stage, Mapping[str, Any]]
"""Everything that is stored of a question, by stage; a stage that left nothing of it is not there."""

DECODERS = 4
"""Pictures that are decoded at once."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as far as it is looked for elsewhere."""

    id: str
    source: str
    question: str
    prints: Sequence[Fingerprint]


@dataclass(frozen=True, slots=True)
class Unit:
    """Some questions: their text as columns, and in batches, in the same order, with what their pictures look like."""

    columns: UnitColumns
    asked: Iterable[list[Asked]]


class Input(Protocol):
    """A build or a release.

    Attributes:
        facts: what is known before any row is read.
    """

    facts: Facts

    def units(self) -> Iterator[Unit]:
        """All units in order; a unit's ``asked`` is used up before the next one is taken.

        Raises:
            OutputError: a file cannot be read.
        """
        ...

    def heldout(self) -> Iterable[list[Asked]] | None:
        """The questions of the held-out split, in batches; None where there can be none."""
        ...

    def ids(self, unit: int, places: Sequence[int]) -> list[str]:
        """The ids of the questions at these places of a unit."""
        ...

    def rows(self, unit: int, places: Sequence[int]) -> list[ShownRow]:
        """All that is stored of the questions at these places of a unit, their pictures too."""
        ...

    def flow(self, tally: Tally) -> Flow:
        """Where everything went; call it when all units were taken."""
        ...

    def lost(self) -> tuple[int, dict[str, int]]:
        """The number of rows that the sources have, and of those that could not be used, by reason."""
        ...

    def dropped(self) -> tuple[Dropped, ...]:
        """Some of the rows that could not be used, where no other file lists them."""
        ...
