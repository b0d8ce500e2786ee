"""Ratios and ranges: text → parts or ends."""

from __future__ import annotations

from fractions import Fraction

import pytest

from mmpr.answers.formula.parser import parse_formula
from mmpr.answers.values.ratios import (
    parse_range,
    parse_ratio,
    parse_ratio_of_expressions,
    ratio_value,
    same_proportions,
)
from tests.helpers import known


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
    low, high = known(parse_range("10 to 20 cm"))
    assert low.unit == high.unit is not None


@pytest.mark.parametrize(
    ("parts", "value"), [(("5", "12"), Fraction(5, 12)), (("1", "0"), None), (("1", "2", "3"), None)]
)
def test_ratio_value(parts, value):
    assert ratio_value(parts) == value


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        (("5", "12"), ("10", "24"), True),
        (("5", "12"), ("12", "5"), False),
        (("1", "2", "3"), ("2", "4", "6"), True),
        (("1", "2"), ("1", "2", "3"), False),
        (("0", "2"), ("0", "7"), True),
        (("0", "0"), ("3", "4"), False),
    ],
)
def test_same_proportions(one, two, same):
    assert same_proportions(one, two) is same
