"""Responses as a page shows them."""

from __future__ import annotations

import pytest

from mmpr.pages.responses import find_answer, shorten


@pytest.mark.parametrize(
    ("text", "answer", "where"),
    [
        ("3 and 3.\nFinal answer: 3", "3", 23),
        ("13\nFinal answer: 13", "3", 18),  # within a word, when nowhere else
        ("a banana", "a", 0),
        ("nothing", "7", -1),
        ("nothing", None, -1),
        (r"so \boxed{x^2}", "x^2", 10),
    ],
)
def test_where_the_answer_stands(text: str, answer: str | None, where: int) -> None:
    start, end = find_answer(text, answer)
    assert start == where
    if answer and where >= 0:
        assert text[start:end] == answer


def test_long_texts_lose_their_middle() -> None:
    text = "a" * 5_000 + "b" * 5_000
    short, left_out = shorten(text)
    assert left_out == 4_000
    assert short.startswith("a" * 4_000)
    assert short.endswith("b" * 2_000)
    assert shorten("short") == ("short", 0)
