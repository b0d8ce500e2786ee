"""Normal forms: which expressions have the same one, which have none, which are too large."""

from __future__ import annotations

import pytest

from mmpr.answers.algebra.normal_form import equal_forms, is_complete, normal
from mmpr.answers.algebra.polynomials import TooLargeError, UndefinedError
from mmpr.answers.formula.parser import parse_formula as p


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("(x+1)^2", "x^2+2x+1"),
        ("\\frac{x^2-1}{x-1}", "x+1"),
        ("\\frac{1}{\\sqrt{2}}", "\\frac{\\sqrt{2}}{2}"),
        ("\\sqrt{12}", "2\\sqrt{3}"),
        ("\\sqrt{5+2\\sqrt{6}}", "\\sqrt{2}+\\sqrt{3}"),
        ("\\sqrt[3]{-8}", "-2"),
        ("\\sqrt{-4}", "2i"),
        ("i^2", "-1"),
        ("\\sin^2 x + \\cos^2 x", "1"),
        ("\\sin 2x", "2 \\sin x \\cos x"),
        ("\\sin 30°", "\\frac{1}{2}"),
        ("\\cos\\frac{\\pi}{4}", "\\frac{\\sqrt{2}}{2}"),
        ("\\tan x", "\\frac{\\sin x}{\\cos x}"),
        ("\\ln 8", "3 \\ln 2"),
        ("\\log_2 8", "3"),
        ("e^{x+1}", "e \\cdot e^x"),
        ("2^{x+1}", "2 \\cdot 2^x"),
        ("\\cosh x", "\\frac{e^x+e^{-x}}{2}"),
        ("5!", "120"),
        ("(n+1)!", "(n+1) n!"),
        ("\\binom{5}{2}", "10"),
        ("\\binom{n}{2}", "\\frac{n(n-1)}{2}"),
        ("|-3|", "3"),
        ("|x-y|", "|y-x|"),
        ("\\lfloor 2.5 \\rfloor", "2"),
        ("\\max(1, 3)", "3"),
        ("\\gcd(12, 18)", "6"),
    ],
)
def test_equal(one, two):
    assert equal_forms(normal(p(one)), normal(p(two)))


@pytest.mark.parametrize(
    ("one", "two"),
    [("x", "y"), ("x^2", "2x"), ("\\sqrt{2}", "1.414"), ("\\pi", "3.14"), ("|x|", "x"), ("\\sqrt{x^2}", "x")],
)
def test_not_equal(one, two):
    assert not equal_forms(normal(p(one)), normal(p(two)))


@pytest.mark.parametrize(
    ("text", "complete"), [("x+\\sqrt{2}", True), ("e^x", True), ("\\pi", True), ("\\sin x", False)]
)
def test_is_complete(text, complete):
    assert is_complete(normal(p(text))) is complete


@pytest.mark.parametrize("text", ["1/0", "\\infty+1", "\\ln 0", "(1, 2)", "\\frac{1}{x-x}"])
def test_undefined(text):
    with pytest.raises(UndefinedError):
        normal(p(text))


@pytest.mark.parametrize("text", ["9^{9^9}", "(a+b+c+d+e)^{20}", "(x+1)^{99}"])
def test_too_large(text):
    with pytest.raises(TooLargeError):
        normal(p(text))
