"""Characters: text → its one spelling; None for what hides something."""

from __future__ import annotations

import pytest

from mmpr.answers.text.characters import clean


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("a  b\n c", "a b c"),
        ("５", "5"),
        ("x²", "x^2"),
        ("x¹²", "x^{12}"),
        ("x₁", "x_1"),
        ("½", "1/2"),
        ("3½", "3 1/2"),
        ("−5", "-5"),
        ("“no”", '"no"'),
        ("25℃", "25°C"),
        ("x ⩽ 3", "x ≤ 3"),
        ("ℝ", "\\mathbb{R}"),
        ("①③", "1、3"),
        ("\u200b5", "5"),
    ],
)
def test_one_spelling(text, spelling):
    assert clean(text) == spelling


@pytest.mark.parametrize("text", ["5\x00", "\u202e42", "4\u200b2", "5\u0336", "5\ud800"])
def test_what_hides_something_is_refused(text):
    assert clean(text) is None
