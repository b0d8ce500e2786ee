"""Quantities: text → value, unit or counted thing; None for what is anything else."""

from __future__ import annotations

from fractions import Fraction

import pytest

from mmpr.answers.values.quantities import parse_quantity
from mmpr.answers.values.units import parse_unit
from tests.helpers import known


@pytest.mark.parametrize(
    ("text", "number", "unit", "noun"),
    [
        ("5", 5, None, ()),
        ("5 cm", 5, "cm", ()),
        ("5cm", 5, "cm", ()),
        ("5-cm", 5, "cm", ()),
        ("5 cm long", 5, "cm", ()),
        ("2 kg of apples", 2, "kg", ()),
        ("$5.50", Fraction(11, 2), "$", ()),
        ("-$5", -5, "$", ()),
        ("$5 per pound", 5, "$/pound", ()),
        ("50%", 50, "%", ()),
        ("20% of the people", 20, "%", ()),
        ("5 million dollars", 5_000_000, "dollars", ()),
        ("300K", 300_000, None, ()),
        ("5 ft 3 in", Fraction(16002, 10000), "m", ()),
        ("2小时30分钟", 9000, "s", ()),
        ("3 birds", 3, None, ("birds",)),
        ("3 red birds in the tree", 3, None, ("red", "birds")),
        ("three birds", 3, None, ("birds",)),
        ("half a metre", Fraction(1, 2), "m", ()),
        ("3 (three)", 3, None, ()),
        ("3个苹果", 3, None, ("苹果",)),
        ("三个", 3, None, ("个",)),
        ("5厘米", 5, "cm", ()),
        ("零下5度", -5, "度", ()),
        ("≈ 12.5", Fraction(25, 2), None, ()),
    ],
)
def test_parse_quantity(text, number, unit, noun):
    quantity = parse_quantity(text)
    assert quantity is not None
    assert (quantity.number, quantity.noun) == (number, noun)
    assert quantity.unit == (unit and parse_unit(unit))


@pytest.mark.parametrize(
    "text",
    ["", "red", "3, 4", "3-4", "3 or 4", "3 goes then blue", "2 of 5", "5A", "1990s", "x = 5", "3 plus 4", "It is 5"],
)
def test_no_quantity(text):
    assert parse_quantity(text) is None


def test_what_is_known_of_the_number():
    assert known(parse_quantity("about 5")).loose
    assert not known(parse_quantity("approximately 5")).loose
    assert known(parse_quantity("1999")).year
    assert not known(parse_quantity("2999")).year
    assert known(parse_quantity("2.50")).tree == ("dec", 250, 100, 3)
