"""Formulas in words: text → signs; and what looks like a formula."""

from __future__ import annotations

import pytest

from mmpr.answers.formula.worded import looks_like_formula, worded_formula


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("all real numbers", "\\mathbb{R}"),
        ("the empty set", "\\emptyset"),
        ("more than 3", "x > 3"),
        ("at least 3", "x >= 3"),
        ("x小于3", "x < 3"),
        ("2倍根号3", "2√3"),
        ("a red car", "a red car"),
    ],
)
def test_worded_formula(text, formula):
    assert worded_formula(text) == formula


@pytest.mark.parametrize(
    ("text", "formula"),
    [("x+1", True), ("x", True), ("\\pi", True), ("2cm", True), ("A12", False), ("3-4", False), ("red", False)],
)
def test_looks_like_formula(text, formula):
    assert looks_like_formula(text) is formula
