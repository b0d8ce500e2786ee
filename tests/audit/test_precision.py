"""Intervals and agreement against SciPy and scikit-learn, and what counts for them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from mmpr.audit.judgements import Line
from mmpr.audit.precision import Judged, Precision, audited, cohens_kappa, needed, wilson
from mmpr.schema import Says, Status


@given(st.integers(1, 5_000), st.data())
def test_wilson_is_scipys(total: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, total))
    interval = binomtest(hits, total).proportion_ci(method="wilson")
    assert wilson(hits, total) == pytest.approx((interval.low, interval.high), abs=1e-12)


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [(1, 1, 0.2065, 1.0), (0, 10, 0.0, 0.2775), (9, 10, 0.5958, 0.9821), (196, 200, 0.9497, 0.9922)],
)
def test_wilson_by_hand(hits: int, total: int, low: float, high: float) -> None:
    """(p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n), worked out with a desk calculator to four places."""
    assert wilson(hits, total) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 300), st.data(), st.sampled_from([0.01, 0.02, 0.05, 0.1, 0.3, 0.9]))
def test_so_many_are_needed_and_no_fewer(total: int, data: st.DataObject, width: float) -> None:
    hits = data.draw(st.integers(0, total))
    many = needed(hits, total, width)

    def wide(n: int) -> float:
        z, p = 1.959963984540054, hits / total
        return 2 * z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)

    assert wide(many) <= width
    assert many == 1 or wide(many - 1) > width


def test_what_lacks() -> None:
    assert Precision("chosen", "", "", 73, 0).missing(0.05) == 0
    assert Precision("chosen", "", "", 72, 0).missing(0.05) == 1
    assert Precision("chosen", "", "", 0, 0).missing(0.05) == 1_533  # as for a half
    assert Precision("chosen", "", "", 0, 0).share is None
    assert Precision("chosen", "", "", 0, 0).interval is None


both = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(both)
def test_kappa_is_scikit_learns(answers: list[tuple[bool, bool]]) -> None:
    first, second = zip(*answers, strict=True)
    if len(set(first)) == len(set(second)) == 1 and first[0] == second[0]:
        assert cohens_kappa(answers) is None  # scikit-learn has nan
    else:
        assert cohens_kappa(answers) == pytest.approx(cohen_kappa_score(first, second, labels=[False, True]), abs=1e-12)


def test_kappa_by_hand() -> None:
    """20 and 15 agreed, 5 and 10 not: 0.7 of 50, by chance 0.5 (the textbook's table): 0.4."""
    answers = [(True, True)] * 20 + [(False, False)] * 15 + [(True, False)] * 5 + [(False, True)] * 10
    assert cohens_kappa(answers) == pytest.approx(0.4)
    assert cohens_kappa([]) is None


def judged(
    at: int, says: Says, verdict: Status = "correct", who: str = "a", now: Status | None = None, **place: str
) -> Judged:
    line = Line(1, f"{at:032x}", 0, verdict, says, "", "", who, "")
    return Judged(line, place.get("source", "s"), place.get("comparator", "number"), now or verdict)


def test_sides_sources_and_comparators_are_counted_apart() -> None:
    found = audited(
        [
            judged(1, "right"),
            judged(2, "wrong"),
            judged(3, "right", source="t"),
            judged(4, "right", comparator="text"),
            judged(5, "unsure"),
            judged(6, "wrong", "incorrect"),
            judged(7, "right", "unparseable", comparator="none"),
            judged(8, "right", "unsure"),
            judged(9, "wrong", "incorrect", now="correct"),
        ]
    )
    assert found.sides == (Precision("chosen", "", "", 3, 1), Precision("rejected", "", "", 1, 1))
    assert found.groups == (
        Precision("chosen", "s", "number", 1, 1),
        Precision("chosen", "s", "text", 1, 0),
        Precision("chosen", "t", "number", 1, 0),
        Precision("rejected", "s", "none", 1, 0),
        Precision("rejected", "s", "number", 0, 1),
    )
    assert (found.people, found.judgements, found.stale, found.both, found.kappa) == (1, 9, 1, 0, None)


def test_two_people() -> None:
    says: list[tuple[Says, Says]] = [("right", "right"), ("wrong", "wrong"), ("right", "wrong"), ("right", "unsure")]
    found = audited(
        [judged(at, one, who=who) for at, pair in enumerate(says) for who, one in zip("ab", pair, strict=True)]
    )
    assert (found.people, found.both, found.agree) == (2, 3, 2)
    assert found.kappa == pytest.approx(cohen_kappa_score([1, 0, 1], [1, 0, 0]))
    assert found.sides == (Precision("chosen", "", "", 2, 1, 1),)
    three = audited([*[judged(at, "right", who=who) for at in range(3) for who in "abc"], judged(3, "wrong")])
    assert (three.people, three.both, three.kappa) == (3, 0, None)
    assert three.sides == (Precision("chosen", "", "", 3, 1),)


def test_nobody() -> None:
    found = audited([])
    assert (found.people, found.sides, found.groups) == (0, (), ())
