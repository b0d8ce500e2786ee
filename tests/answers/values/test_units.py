"""Units: text → dimensions and factor; which units can be compared."""

from __future__ import annotations

from fractions import Fraction

import pytest

from mmpr.answers.values.units import compatible, is_rate, leading_unit, parse_unit
from tests.helpers import known

METRE = (("length", 1),)


@pytest.mark.parametrize(
    ("text", "dimensions", "factor"),
    [
        ("m", METRE, 1),
        ("centimetres", METRE, Fraction(1, 100)),
        ("厘米", METRE, Fraction(1, 100)),
        ("cm^2", (("length", 2),), Fraction(1, 10_000)),
        ("square meters", (("length", 2),), 1),
        ("meters squared", (("length", 2),), 1),
        ("平方厘米", (("length", 2),), Fraction(1, 10_000)),
        ("km/h", (("length", 1), ("time", -1)), Fraction(5, 18)),
        ("mph", (("length", 1), ("time", -1)), Fraction(1_609_344, 3_600_000)),
        ("m s^-1", (("length", 1), ("time", -1)), 1),
        ("miles per hour", (("length", 1), ("time", -1)), Fraction(1_609_344, 3_600_000)),
        ("L", (("length", 3),), Fraction(1, 1000)),
        ("fluid ounces", (("length", 3),), Fraction(473176473, 16_000_000_000_000)),
        ("$", (("dollar", 1),), 1),
        ("Fahrenheit", (("kelvin", 1),), Fraction(5, 9)),
    ],
)
def test_parse_unit(text, dimensions, factor):
    unit = parse_unit(text)
    assert unit is not None
    assert (unit.dimensions, unit.factor) == (dimensions, factor)


@pytest.mark.parametrize("text", ["", "birds", "5", "cm of rope", "°C/s", "x" * 61])
def test_no_unit(text):
    assert parse_unit(text) is None


@pytest.mark.parametrize(
    ("text", "unit"),
    [("cm^2. So", "cm^2"), ("\\text{cm} is", "cm"), ("% of it", "%"), ("^\\circ C", "° C"), ("apples", None)],
)
def test_leading_unit(text, unit):
    assert leading_unit(text) == unit


@pytest.mark.parametrize(
    ("one", "two", "comparable"),
    [("cm", "miles", True), ("cm", "kg", False), ("°", "°C", True), ("¥", "元", True), ("$", "€", False)],
)
def test_compatible(one, two, comparable):
    assert compatible(known(parse_unit(one)), known(parse_unit(two))) is comparable


def test_is_rate():
    assert is_rate(known(parse_unit("$/kg")), known(parse_unit("$")))
    assert not is_rate(known(parse_unit("m/s")), known(parse_unit("m")))
