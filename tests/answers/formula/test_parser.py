"""The parser: formula → tree, or the error that says why there is none."""

from __future__ import annotations

import pytest

from mmpr.answers.formula.parser import parse_formula
from mmpr.answers.formula.tree import FormulaError

X, Y, ONE, TWO, THREE = ("sym", "x"), ("sym", "y"), ("num", 1, 1), ("num", 2, 1), ("num", 3, 1)
HALF = ("mul", ONE, ("pow", TWO, ("num", -1, 1)))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        # numbers
        ("12", ("num", 12, 1)),
        ("1,234", ("num", 1234, 1)),
        ("3.140", ("dec", 3140, 1000, 4)),
        ("0.\\overline{3}", ("mul", ONE, ("pow", THREE, ("num", -1, 1)))),
        ("2\\frac{1}{3}", ("num", 7, 3)),
        ("50%", ("mul", ("num", 50, 1), ("num", 1, 100))),
        ("30°", ("deg", ("num", 30, 1))),
        # sums, products, powers
        ("x+y", ("add", X, Y)),
        ("x-y", ("add", X, ("mul", ("num", -1, 1), Y))),
        ("-3", ("num", -3, 1)),
        ("2xy", ("mul", TWO, X, Y)),
        ("x/2", ("mul", X, ("pow", TWO, ("num", -1, 1)))),
        ("\\frac{1}{2}", HALF),
        ("\\frac12", HALF),
        ("\\dfrac{1}{2}", HALF),
        ("x^2", ("pow", X, TWO)),
        ("x^{2}^3", ("pow", X, ("pow", TWO, THREE))),
        ("x \\pm 1", ("pm", X, ONE)),
        ("3!", ("fn", "factorial", THREE)),
        # functions and roots
        ("\\sqrt{x}", ("pow", X, ("num", 1, 2))),
        ("\\sqrt[3]{x}", ("pow", X, ("num", 1, 3))),
        ("√x", ("pow", X, ("num", 1, 2))),
        ("xsqrt(3)", ("mul", X, ("pow", THREE, ("num", 1, 2)))),
        ("\\sin 2x", ("fn", "sin", ("mul", TWO, X))),
        ("\\sin^2 x", ("pow", ("fn", "sin", X), TWO)),
        ("\\sin^{-1} x", ("fn", "arcsin", X)),
        ("\\sin x \\cos y", ("mul", ("fn", "sin", X), ("fn", "cos", Y))),
        ("\\log_2 x", ("fn", "log_", TWO, X)),
        ("|x|", ("fn", "abs", X)),
        ("\\lfloor x \\rfloor", ("fn", "floor", X)),
        ("f(x)", ("call", "f", X)),
        ("f'(x)", ("call", "f'", X)),
        # names
        ("\\pi", ("sym", "pi")),
        ("∞", ("sym", "oo")),
        ("x_1", ("sub", X, ONE)),
        ("x1", ("sub", X, ONE)),
        ("AB", ("sym", "AB")),
        ("\\angle ABC", ("sym", "angle ABC")),
        ("\\overline{AB}", ("sym", "overline AB")),
        ("\\vec{AB}", ("sym", "overrightarrow AB")),
        ("\\text{speed}", ("sym", "speed")),
        ("\\mathbb{R}", ("sym", "\\mathbb{R}")),
        # brackets
        ("(x, y)", ("tuple", X, Y)),
        ("(1, 2]", ("interval", "(", ONE, TWO, "]")),
        ("[1, 2, 3]", ("list", ONE, TWO, THREE)),
        ("\\{1, 2\\}", ("set", ONE, TWO)),
        ("{1, 2}", ("set", ONE, TWO)),
        ("\\emptyset", ("set",)),
        ("\\{x | x > 3\\}", ("rel", (">",), (X, THREE))),
        ("\\begin{pmatrix} 1 & 2 \\\\ 3 & x \\end{pmatrix}", ("matrix", ("row", ONE, TWO), ("row", THREE, X))),
        # sets, relations, lists
        ("(1, 2) \\cup \\{3\\}", ("cup", ("tuple", ONE, TWO), ("set", THREE))),
        ("x = 2", ("rel", ("=",), (X, TWO))),
        ("1 \\leq x < 2", ("rel", ("<=", "<"), (ONE, X, TWO))),
        ("x ∈ \\mathbb{R}", ("rel", ("in",), (X, ("sym", "\\mathbb{R}")))),
        ("1, 2", ("seq", ONE, TWO)),
        ("1 or 2", ("alt", ONE, TWO)),
        ("1 \\text{ and } 2", ("seq", ONE, TWO)),
        ("\\begin{cases} x = 1 \\\\ y = 2 \\end{cases}", ("seq", ("rel", ("=",), (X, ONE)), ("rel", ("=",), (Y, TWO)))),
    ],
)
def test_parse_formula(text, tree):
    assert parse_formula(text) == tree


def test_a_vmatrix_is_its_determinant():
    tree = parse_formula("\\begin{vmatrix} 1 & 2 \\\\ 3 & x \\end{vmatrix}")
    assert tree == ("add", ("mul", ONE, ONE, X), ("mul", ("num", -1, 1), TWO, THREE))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("x" * 601, "too long"),
        ("(" * 50 + "x" + ")" * 50, "too deep"),
        ("9" * 61, "too many digits"),
        ("giraffe", "a word"),
        ("was", "a word"),
        ("1 2", "two numbers"),
        ("(x", "not closed"),
        ("(1]", "do not match"),
        ("()", "empty brackets"),
        ("1,", "ends with a comma"),
        ("x $ y", "unknown character"),
        ("\\input{x}", "unknown command"),
        ("{{7*7}}", "a template"),
        ("p \\land q", "a statement of logic"),
        ("x \\bmod 3", "modular"),
        ("\\begin{pmatrix} 1 & 2 \\\\ 3 \\end{pmatrix}", "uneven rows"),
        ("\\begin{document}", "unknown environment"),
        ("5!!!!!!!", "too many signs"),
        ("1 \\pm 2 \\pm 3", "two double signs"),
    ],
)
def test_no_formula(text, why):
    with pytest.raises(FormulaError, match=why):
        parse_formula(text)
