"""Results are remembered for short texts, and for a few long ones: a judge that reads responses does not grow."""

from __future__ import annotations

import tracemalloc

import pytest

from mmpr.answers import entails, find_answer, match
from mmpr.answers.text import remembered as remembering
from mmpr.answers.text.remembered import SHORT, remembered


def test_long_texts_are_forgotten() -> None:
    asked: list[str] = []

    @remembered(100)
    def length(text: str) -> int:
        asked.append(text)
        return len(text)

    short, long = [str(n) for n in range(50)], ["x" * SHORT + str(n) for n in range(50)]
    for text in [*short, *short, *long, long[-1], long[0]]:
        assert length(text) == len(text)
    assert asked == [*short, *long, long[0]]


def test_the_judge_does_not_grow_with_the_responses_that_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    def grows(first: int) -> int:
        tracemalloc.start()
        for n in range(first, first + 60):
            text = f"Look {n}. " + " ".join(f"word{n}x{i}" for i in range(120)) + ".\nThen it is done"
            find_answer(text)
            match(text, "a red cat")
            match(text, "12")
            entails(text, "12")
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return grown

    grows(0)
    as_it_is = grows(1_000)
    monkeypatch.setattr(remembering, "SHORT", 1 << 30)
    assert as_it_is < grows(2_000) / 2
