"""Option letters: text → letter, letter and text, or letters."""

from __future__ import annotations

import pytest

from mmpr.answers.text.option_letters import (
    distinctive,
    index_of,
    letter,
    letter_and_text,
    letters,
    mentions,
    unlabelled,
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("B", "B"),
        ("(b)", "B"),
        ("Option B.", "B"),
        ("The correct answer is B", "B"),
        ("选B", "B"),
        ("C is correct", "C"),
        ("B. Paris", None),
        ("A, C", None),
        ("Paris", None),
    ],
)
def test_letter(text, name):
    assert letter(text) == name


@pytest.mark.parametrize(
    ("text", "both"),
    [
        ("B. Paris", ("B", "Paris")),
        ("(B) 12 cm", ("B", "12 cm")),
        ("Paris (B)", ("B", "Paris")),
        ("option B: Paris", ("B", "Paris")),
        ("(A) -5", ("A", "-5")),
        ("(A) - Paris", ("A", "- Paris")),
        ("Paris", None),
    ],
)
def test_letter_and_text(text, both):
    assert letter_and_text(text) == both


@pytest.mark.parametrize(
    ("text", "found"),
    [("A, C", "AC"), ("AC", "AC"), ("A and C", "AC"), ("(A)(C)", "AC"), ("AA", None), ("A car", None)],
)
def test_letters(text, found):
    assert letters(text) == (frozenset(found) if found else None)


def test_options():
    assert unlabelled(["A. red", "B. blue"]) == ("red", "blue")
    assert unlabelled(["A. red", "blue"]) == ("A. red", "blue")
    assert mentions("A car, so (B) or C") == {"B", "C"}
    assert distinctive(("Atlantic Ocean", "Pacific Ocean")) == ("Atlantic", "Pacific")
    same = str.__eq__
    assert index_of("red", ["blue", "red"], same) == 1
    assert index_of("red", ["red", "red"], same) is None
    assert index_of("Atlantic", ["Atlantic Ocean", "Pacific Ocean"], same) == 0
