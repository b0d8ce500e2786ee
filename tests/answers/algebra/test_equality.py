"""Equality of formulas that the prover is not needed for."""

from __future__ import annotations

import pytest

from mmpr.answers.algebra.equality import same
from mmpr.answers.formula.parser import parse_formula as p


def never(left, right):
    raise AssertionError(f"asked for a proof: {left} = {right}")


@pytest.mark.parametrize(
    ("gold", "other", "equal"),
    [
        # scalars
        ("2x+2", "2(x+1)", True),
        ("x", "y", False),
        ("\\frac{1}{3}", "0.3333333333", True),
        ("\\frac{1}{3}", "0.33", False),
        ("\\infty", "-\\infty", False),
        # names in front
        ("x = 7", "7", True),
        ("x = 7", "y = 7", False),
        ("x_1 = 7", "x = 7", False),
        ("x = 1, y = 2", "y = 2, x = 1", True),
        ("x = 1, y = 2", "(1, 2)", True),
        ("x = 1, y = 2", "x = 2, y = 1", False),
        # order
        ("(1, 2)", "(2, 1)", False),
        ("\\{1, 2\\}", "\\{2, 1\\}", True),
        ("1, 2", "2, 1", True),
        ("x = 1 or x = 2", "x = 2 or x = 1", True),
        ("1, 2", "1 or 2", False),
        ("\\{1, 1, 2\\}", "\\{1, 2\\}", True),
        ("1 \\pm \\sqrt{2}", "1+\\sqrt{2}, 1-\\sqrt{2}", True),
        # intervals and inequalities
        ("x > 3", "(3, \\infty)", True),
        ("(0, 1]", "[0, 1]", False),
        ("x > 3", "y > 3", False),
        ("x + y > 1", "2x + 2y > 2", True),
        ("x + y > 1", "-x - y > -1", False),
        ("x + y > 1", "x + y < 1", False),
        # equations
        ("y = 2x + 1", "2x - y + 1 = 0", True),
        ("y = 2x + 1", "y = 2x - 1", False),
        ("xy = 1", "y = 1/x", True),
        ("y = 2x + 1", "7", False),
        # matrices
        ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "[[1, 2], [3, 4]]", True),
        ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\begin{pmatrix}1&2\\\\3&5\\end{pmatrix}", False),
        ("\\begin{pmatrix}2\\\\4\\end{pmatrix}", "2\\begin{pmatrix}1\\\\2\\end{pmatrix}", True),
    ],
)
def test_same(gold, other, equal):
    assert same(p(gold), p(other), never) is equal


@pytest.mark.parametrize("proved", [True, False])
def test_what_only_a_proof_can_tell_is_asked(proved):
    asked = []

    def prove(left, right):
        asked.append((left, right))
        return proved

    assert same(p("4\\cos\\frac{\\pi}{5}"), p("1+\\sqrt{5}"), prove) is proved
    assert len(asked) == 1
