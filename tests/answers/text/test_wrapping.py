"""Wrapping: an answer with what stands around it → the answer."""

from __future__ import annotations

import pytest

from mmpr.answers.text.wrapping import peel, unwrap


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("**5**", "5"),
        ("$5$", "5"),
        ("\\(x\\)", "x"),
        ('"red".', "red"),
        ("\\boxed{5}", "5"),
        ("\\text{cm}", "cm"),
        ("The answer is 5.", "5"),
        ("So, the final answer is: **B**", "B"),
        ("答案是：5", "5"),
        ("x = 5", "x = 5"),
        ("= 5", "5"),
        ("1{,}000", "1,000"),
        ("50\\%", "50%"),
        ("30^\\circ", "30°"),
        ("3 cm approx.", "3 cm"),
        ("\\\\frac{1}{2}", "\\frac{1}{2}"),
        ("f(x) = {1, 2}", "f(x) = {1, 2}"),
    ],
)
def test_peel(text, answer):
    assert peel(text) == answer


@pytest.mark.parametrize(
    ("text", "inner"), [("*a*", "a"), ("* a *", "a"), ("*a", "*a"), ("*a*b*", "*a*b*"), ("**", "**"), ("* *", "")]
)
def test_unwrap(text, inner):
    assert unwrap(text, "*", "*") == inner
