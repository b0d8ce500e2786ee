"""Words: text → its words in one spelling; which texts are the same."""

from __future__ import annotations

import pytest

from mmpr.answers.text.words import same_text, stem, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The Red Cars", ("red", "car")),
        ("two colours", ("2", "color")),
        ("twenty-five men", ("25", "man")),
        ("first place", ("1st", "place")),
        ("U.S.A.", ("usa",)),
        ("Café", ("cafe",)),
        ("5th Ave St", ("5", "th", "avenue", "street")),
        ("rock & roll", ("rock", "and", "roll")),
        ("红色的", ("红色",)),
        ("一只猫", ("猫",)),
        ("紅色", ("红色",)),
    ],
)
def test_words(text, found):
    assert words(text) == found


@pytest.mark.parametrize(
    ("word", "singular"),
    [("cats", "cat"), ("boxes", "box"), ("cities", "city"), ("children", "child"), ("bus", "bus"), ("glass", "glass")],
)
def test_stem(word, singular):
    assert stem(word) == singular


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("a cat", "Cats", True),
        ("ice cream", "icecream", True),
        ("Dr. William Darby", "William Darby", True),
        ("+1 (555) 123-4567", "15551234567", True),
        ("red", "blue", False),
        ("red", "dark red", False),
        ("red", "red?", False),
        ("1 2", "12", False),
    ],
)
def test_same_text(one, two, same):
    assert same_text(one, two) is same
