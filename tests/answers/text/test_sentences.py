"""Sentences: what they say, and the words that take it back."""

from __future__ import annotations

import pytest

from mmpr.answers.text.sentences import (
    conclusion,
    hedge,
    is_refusal,
    math_spans,
    predicate,
    same_phrase,
    sentences,
    superlative,
    without_reason,
    without_scene,
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("It is a giraffe in the picture", "a giraffe"),
        ("The color is red", "red"),
        ("There are 3 birds", "3 birds"),
        ("Paris is the correct answer", "Paris"),
        ("We can see a dog", "a dog"),
        ("The sign says YIELD", "YIELD"),
        ("It is not a giraffe", None),
        ("It may be a giraffe", None),
        ("It is red but the other is blue", None),
        ("giraffe", None),
    ],
)
def test_predicate(text, said):
    assert predicate(text) == said


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("3 or 4", "hedge"),
        ("maybe 3", "hedge"),
        ("not 3", "negation"),
        ("it isn't 3", "negation"),
        ("at least 3", "bound"),
        ("about 3", "bound"),
        ("至少3", "bound"),
        ("3 birds", None),
    ],
)
def test_hedge(text, kind):
    assert (hedge(text) or "").split(" ")[0] == (kind or "")


def test_a_hedge_that_the_truth_has_is_none():
    assert hedge("at least 3", "at least 3") is None
    assert hedge("at least 3", bounds=False) is None


@pytest.mark.parametrize(
    ("text", "refusal"),
    [("It cannot be determined", True), ("not enough information", True), ("无法确定", True), ("5", False)],
)
def test_is_refusal(text, refusal):
    assert is_refusal(text) is refusal


def test_parts_of_a_text():
    assert sentences("It is 5. So it is.") == ["It is 5.", "So it is."]
    assert conclusion("First 3. Then 5. I hope this helps!") == "5"
    assert math_spans("We get $x = 5$ here") == ["x = 5"]
    assert superlative("Asia has the highest value") == "Asia"
    assert without_reason("B because it is larger") == "B"
    assert without_scene("a dog in the picture") == "a dog"


@pytest.mark.parametrize(
    ("gold", "other", "same"),
    [
        ("kitchen", "in the kitchen", True),
        ("in the kitchen", "on the kitchen", False),
        ("hat", "wearing a hat", True),
        ("red color", "red", True),
        ("left", "on the left side", True),
        ("left", "right", False),
    ],
)
def test_same_phrase(gold, other, same):
    assert same_phrase(gold, other) is same
