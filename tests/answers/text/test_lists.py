"""Lists: text → its items."""

from __future__ import annotations

import pytest

from mmpr.answers.text.lists import split_list


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("red, blue and green", ("red", "blue", "green")),
        ("both red and blue", ("red", "blue")),
        ("[1, 2]", ("1", "2")),
        ("1. France 2. Germany", ("France", "Germany")),
        ("红、蓝", ("红", "蓝")),
        ("1,000; 2", ("1,000", "2")),
        ("red", None),
        ("1,000", None),
        ("red, ", None),
        ("it was a very long day, and then we all went home again", None),
    ],
)
def test_split_list(text, items):
    assert split_list(text) == items
