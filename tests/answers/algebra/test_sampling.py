"""Sampled points tell expressions apart."""

from __future__ import annotations

import math

import pytest

from mmpr.answers.algebra.sampling import NoValueError, differ, infinity, real, value
from mmpr.answers.formula.parser import parse_formula as p


@pytest.mark.parametrize(
    ("one", "two", "found"),
    [("x^2-1", "(x-1)(x+1)", False), ("|x|", "x", True), ("x", "2x", True), ("(1, x)", "x", None)],
)
def test_differ(one, two, found):
    assert differ(p(one), p(two)) is found


def test_values():
    assert real(p("\\sqrt{2}")) == pytest.approx(math.sqrt(2))
    assert real(p("-\\infty")) == -math.inf
    assert real(p("\\sqrt{-1}")) is None
    assert infinity(p("\\infty")) == 1
    assert infinity(p("x")) == 0
    assert value(p("x"), 0) == value(p("x"), 0) != value(p("x"), 2)
    with pytest.raises(NoValueError):
        value(p("1/0"))
