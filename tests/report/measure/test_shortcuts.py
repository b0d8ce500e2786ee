"""The classifier finds what gives the chosen away, and nothing where nothing does."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from mmpr.report.measure.shortcuts import SAMPLED, Guess, PairSample
from tests.report.planted import talk


def guess(spoil: Callable[[str, bool], str], pairs: int = 400, seed: int = 3) -> Guess | None:
    dice = random.Random(seed)
    texts = [spoil(talk(dice, dice.randrange(20, 40)), at % 2 == 0) for at in range(2 * pairs)]
    sample = PairSample(seed)
    for start in range(0, pairs, 100):  # as units come
        numbers = np.arange(start, min(start + 100, pairs))
        sample.add(numbers, numbers % 2, 2 * numbers, 2 * numbers + 1, texts)
    return sample.guess(["one", "two"], 50)


@pytest.mark.parametrize(
    ("spoil", "clue"),
    [
        (lambda text, right: text + (" and more" * 20 if right else ""), "longer text"),
        (lambda text, right: ("Well, " if right else "Hm, ") + text, "“well,”"),
        (lambda text, right: text if right else f"**{text}**", "less bold"),
        (lambda text, right: text + ("\nYes.\nSo it is." if right else ""), "more lines"),
    ],
)
def test_a_shortcut_is_found(spoil: Callable[[str, bool], str], clue: str) -> None:
    found = guess(spoil)
    assert found is not None
    assert found.accuracy > 0.95
    assert dict(found.by).keys() == {"one", "two"}
    assert any(clue in said for said in found.looks_at), found.looks_at


def test_equal_sides_are_guessed_by_chance() -> None:
    found = guess(lambda text, right: text)
    assert found is not None
    assert 0.4 < found.accuracy < 0.6


def test_the_same_text_on_both_sides_is_one_half() -> None:
    assert guess(lambda text, right: "The same.") == Guess(400, 0.5, (), ())


def test_few_pairs_tell_nothing() -> None:
    assert guess(lambda text, right: text, pairs=49) is None


def test_the_sample_is_bounded_and_does_not_depend_on_the_units() -> None:
    texts, numbers = ["a", "b"], np.arange(SAMPLED + 500)
    at, other = np.zeros(len(numbers), dtype=np.int64), np.ones(len(numbers), dtype=np.int64)
    whole, parts = PairSample(1), PairSample(1)
    whole.add(numbers, numbers % 3, at, other, texts)
    for some in np.array_split(numbers, 7):
        parts.add(some, some % 3, at[: len(some)], other[: len(some)], texts)
    assert len(whole._kept) == SAMPLED
    for one, other_one in zip(whole._kept, parts._kept, strict=True):
        assert one[2] == other_one[2]
        for mine, theirs in zip(one[:2], other_one[:2], strict=True):
            assert mine[1] == theirs[1]
            assert mine[0].tolist() == theirs[0].tolist()
