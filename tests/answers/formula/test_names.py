"""Names: what stands in front of a value, and the unknowns of a formula."""

from __future__ import annotations

import pytest

from mmpr.answers.formula.names import base_name, is_name, may_be_same_name, name_and_value, named_value, variables
from mmpr.answers.formula.parser import parse_formula as p

SEVEN = ("num", 7, 1)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("7", None, SEVEN),
        ("x = 7", ("sym", "x"), SEVEN),
        ("7 = x", ("sym", "x"), SEVEN),
        ("x = 5+2 = 7", ("sym", "x"), SEVEN),
        ("5+2 = 7", None, SEVEN),
        ("f(x) = 7", p("f(x)"), SEVEN),
        ("x ∈ {1, 7}", ("sym", "x"), p("{1, 7}")),
        ("x = 1, 7", ("sym", "x"), ("seq", ("num", 1, 1), SEVEN)),
        ("2x + y = 7", None, p("2x + y = 7")),
        ("x > 7", None, p("x > 7")),
    ],
)
def test_name_and_value(text, name, value):
    assert name_and_value(p(text)) == (name, value)


def test_an_equation_has_no_value():
    assert named_value(p("x = 7")) == SEVEN
    assert named_value(p("2x + y = 7")) is None


def test_names_and_unknowns():
    assert variables(p("2x + \\pi y_1")) == {"x", repr(p("y_1"))}
    assert is_name(p("x_1"))
    assert not is_name(p("\\pi"))
    assert base_name(p("S_{ABC}")) == ("sym", "S")
    assert base_name(p("x_1")) == p("x_1")
    assert may_be_same_name(p("x"), p("x"))
    assert not may_be_same_name(p("x"), p("y"))
