"""Expressions: formula with or without a unit → tree and unit."""

from __future__ import annotations

import pytest

from mmpr.answers.formula.parser import parse_formula
from mmpr.answers.values.expressions import expression_in_signs, parse_expression, valued
from mmpr.answers.values.units import parse_unit
from tests.helpers import known


@pytest.mark.parametrize(
    ("text", "formula", "unit"),
    [
        ("2\\sqrt{3}", "2\\sqrt{3}", None),
        ("2\\sqrt{3} cm", "2\\sqrt{3}", "cm"),
        ("2\\sqrt{3}cm", "2\\sqrt{3}", "cm"),
        ("x = 50°", "x = 50", "°"),
        ("$\\frac{1}{2}", "\\frac{1}{2}", "$"),
        ("\\sin 30°", "\\sin 30°", None),
        ("(1, 2)", "(1, 2)", None),
        ("2m", "2m", None),
    ],
)
def test_parse_expression(text, formula, unit):
    found = parse_expression(text)
    assert found is not None
    assert (found.tree, found.unit) == (parse_formula(formula), unit and parse_unit(unit))


def test_no_expression():
    assert parse_expression("a red car") is None
    assert expression_in_signs("red") is None
    assert expression_in_signs("x+1") == parse_expression("x+1")


def test_valued():
    assert valued(known(parse_expression("x = 7"))).tree == ("num", 7, 1)
    assert valued(known(parse_expression("x > 7"))).tree[0] == "rel"
