"""Ratios and ranges: text → parts or ends."""

from __future__ import annotations

import pytest

from mmpr.answers.formula.parser import parse_formula
from mmpr.answers.values.ratios import parse_range, parse_ratio, parse_ratio_of_expressions


@pytest.mark.parametrize(
    ("text", "parts"),
    [("3:4", ("3", "4")), ("3 to 4", ("3", "4")), ("03 : 4.0", ("3", "4")), ("1:2:3", ("1", "2", "3")), ("3/4", None)],
)
def test_parse_ratio(text, parts):
    assert parse_ratio(text) == parts


def test_parse_ratio_of_expressions():
    assert parse_ratio_of_expressions("1:\\sqrt{2}") == [("num", 1, 1), parse_formula("\\sqrt{2}")]
    assert parse_ratio_of_expressions("1:2") is None


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("10-20", (10, 20)),
        ("10 to 20 cm", (10, 20)),
        ("between 3 and 5", (3, 5)),
        ("3 and 5", None),
        ("red-blue", None),
    ],
)
def test_parse_range(text, ends):
    found = parse_range(text)
    assert (found and tuple(end.number for end in found)) == ends


def test_the_unit_of_a_range_is_that_of_both_ends():
    low, high = parse_range("10 to 20 cm")
    assert low.unit == high.unit is not None
