"""Parts of the real line: formula → the same intervals as another, or none."""

from __future__ import annotations

import pytest

from mmpr.answers.algebra.intervals import is_region, only_variable, region
from mmpr.answers.algebra.sampling import real
from mmpr.answers.formula.parser import parse_formula as p

INF = float("inf")


def ends(text):
    found = region(p(text))
    return found and [
        ("[" if one.low_closed else "(", real(one.low), real(one.high), "]" if one.high_closed else ")")
        for one in found
    ]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("(0, 1]", [("(", 0, 1, "]")]),
        ("x > 3", [("(", 3, INF, ")")]),
        ("3 < x", [("(", 3, INF, ")")]),
        ("-2x \\ge 4", [("(", -INF, -2, "]")]),
        ("-2 \\leq x < 7", [("[", -2, 7, ")")]),
        ("x \\ne 3", [("(", -INF, 3, ")"), ("(", 3, INF, ")")]),
        ("|x-1| < 2", [("(", -1, 3, ")")]),
        ("x < 1 or x > 2", [("(", -INF, 1, ")"), ("(", 2, INF, ")")]),
        ("x > 1, x < 2", [("(", 1, 2, ")")]),
        ("[0, 2] \\cap [1, 3]", [("[", 1, 2, "]")]),
        ("[0, 2] \\cup [1, 3]", [("[", 0, 3, "]")]),
        ("\\mathbb{R} \\setminus \\{0\\}", [("(", -INF, 0, ")"), ("(", 0, INF, ")")]),
        ("x^2 > 4", None),
        ("x + y > 4", None),
        ("[2, 1]", None),
    ],
)
def test_region(text, pieces):
    assert ends(text) == pieces


def test_what_is_a_region():
    assert is_region(p("x > 3"))
    assert not is_region(p("x = 3"))
    assert not is_region(p("(1, 2)"))
    assert only_variable(p("x > 3")) == "x"
    assert only_variable(p("x > y")) is None
