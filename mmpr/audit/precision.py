"""How often the judge is right, by what people say: precision with Wilson's interval, and how far two people agree."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mmpr.audit.judgements import Line
from mmpr.schema import Status

WIDTH = 0.05
"""The width of an interval that is aimed at: 5 points from end to end."""

_Z = 1.959963984540054  # of 95 %
_SIDES: dict[str, str] = {"correct": "chosen", "incorrect": "rejected", "unparseable": "rejected"}


@dataclass(frozen=True, slots=True)
class Precision:
    """Responses whose verdict people found right or wrong; ``disputed`` ones, on which they differ, are in neither.

    ``side`` is that of a pair on which such responses may stand. An empty ``source`` or ``comparator`` stands for all.
    """

    side: str
    source: str
    comparator: str
    right: int
    wrong: int
    disputed: int = 0

    @property
    def share(self) -> float | None:
        """The share of right verdicts; None when there is none to tell by."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of the share."""
        return wilson(self.right, self.right + self.wrong) if self.right + self.wrong else None

    def in_words(self) -> str:
        """The share with its interval, for people; what there is to tell it by has at least one judgement."""
        low, high = self.interval or (0.0, 1.0)
        return f"{self.share or 0:.1%} of {self.right + self.wrong:,} ({low:.1%} to {high:.1%})"

    def missing(self, width: float = WIDTH) -> int:
        """How many more judgements the interval needs to be no wider, if the share stays as it is."""
        return max(0, needed(self.right, self.right + self.wrong, width) - self.right - self.wrong)


@dataclass(frozen=True, slots=True)
class Audited:
    """What the judgements on a build say.

    ``stale`` judgements are about verdicts that have changed since; they are in no figure. ``both`` responses were
    judged right or wrong by both of two people, who agree on ``agree`` of them; ``kappa`` is Cohen's, None where it is
    not defined or there are not two people.
    """

    people: int
    judgements: int
    stale: int
    sides: tuple[Precision, ...]
    groups: tuple[Precision, ...]
    both: int = 0
    agree: int = 0
    kappa: float | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A judgement beside the verdict that it is about, as the build has it now."""

    line: Line
    source: str
    comparator: str
    status: Status


def audited(judged: Sequence[Judged]) -> Audited:
    """The figures of some judgements."""
    counted = [one for one in judged if one.line.verdict == one.status and one.line.says != "unsure"]
    said: dict[tuple[str, int], dict[str, bool]] = {}
    about: dict[tuple[str, int], Judged] = {}
    for one in counted:
        place = (one.line.id, one.line.sample)
        said.setdefault(place, {})[one.line.who] = one.line.says == "right"
        about[place] = one
    found: Counter[tuple[str, str, str, str]] = Counter()
    for place, votes in said.items():
        one = about[place]
        if side := _SIDES.get(one.status):
            kinds = set(votes.values())
            kind = "disputed" if len(kinds) > 1 else "right" if True in kinds else "wrong"
            found[side, one.source, one.comparator, kind] += 1
    people = sorted({one.line.who for one in judged})
    pairs = [votes for votes in said.values() if len(votes) == len(people) == 2]
    both = [(votes[people[0]], votes[people[1]]) for votes in pairs]
    groups = sorted({key[:3] for key in found})
    return Audited(
        people=len(people),
        judgements=len(judged),
        stale=sum(one.line.verdict != one.status for one in judged),
        sides=tuple(_sum(found, side) for side in ("chosen", "rejected") if any(key[0] == side for key in found)),
        groups=tuple(_sum(found, *group) for group in groups),
        both=len(both),
        agree=sum(first == second for first, second in both),
        kappa=cohens_kappa(both),
    )


def _sum(found: Counter[tuple[str, str, str, str]], side: str, source: str = "", comparator: str = "") -> Precision:
    def of(kind: str) -> int:
        return sum(
            by
            for (at, name, decided, what), by in found.items()
            if at == side and what == kind and source in ("", name) and (not source or decided == comparator)
        )

    return Precision(side, source, comparator, of("right"), of("wrong"), of("disputed"))


def wilson(hits: int, total: int) -> tuple[float, float]:
    """Wilson's score interval of a share, 95 % (Wilson 1927)."""
    share = hits / total
    scale = 1 + _Z * _Z / total
    middle = (share + _Z * _Z / (2 * total)) / scale
    half = _width(share, total) / 2
    return max(0.0, middle - half), min(1.0, middle + half)


def needed(hits: int, total: int, width: float) -> int:
    """The least number of judgements at which Wilson's interval of the same share is no wider than ``width``.

    Without any, a share of one half is taken, which needs the most.
    """
    share = hits / total if total else 0.5
    low, high = 1, 1
    while _width(share, high) > width:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _width(share, middle) <= width else (middle + 1, high)
    return low


def _width(share: float, total: int) -> float:
    """How wide Wilson's interval is, without the cut at 0 and 1; it shrinks as ``total`` grows."""
    scale = 1 + _Z * _Z / total
    return 2 * _Z / scale * math.sqrt(share * (1 - share) / total + _Z * _Z / (4 * total * total))


def cohens_kappa(both: Iterable[tuple[bool, bool]]) -> float | None:
    """Cohen's kappa of two people's answers; None without any, or when chance alone would make them agree always."""
    table = Counter(both)
    total = table.total()
    if not total:
        return None
    agree = (table[True, True] + table[False, False]) / total
    first = (table[True, True] + table[True, False]) / total
    second = (table[True, True] + table[False, True]) / total
    chance = first * second + (1 - first) * (1 - second)
    return None if chance == 1 else (agree - chance) / (1 - chance)
