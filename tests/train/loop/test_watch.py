"""Each trouble is planted, and must be named; healthy numbers must not be."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mmpr.train.loop.watch import REMEDIES, WINDOW, Answers, Watch, repeats


def healthy(step: int) -> dict[str, Any]:
    """A run that learns: rewards part slowly, accuracy stays below 1."""
    return {
        "step": step,
        "loss": 1.5 / (1 + step / 50),
        "grad_norm": 2.0,
        "rewards/chosen": 0.002 * step,
        "rewards/rejected": -0.004 * step,
        "rewards/margins": 0.006 * step,
        "rewards/accuracies": 0.5 + min(0.4, step / 100),
        "lengths/chosen": 40.0,
        "lengths/rejected": 44.0,
        "response_tokens": 900,
    }


def seen(lines: list[dict[str, Any]]) -> dict[str, int]:
    watch = Watch()
    for line in lines:
        watch.see_step(line)
    return {finding.name: finding.step for finding in watch.findings}


def planted(name: str, step: int, line: dict[str, Any]) -> dict[str, Any]:
    late = max(0, step - 20)
    plants: dict[str, dict[str, Any]] = {
        "non_finite": {"loss": math.nan} if step == 33 else {},
        "non_finite gradient": {"grad_norm": math.inf} if step == 33 else {},
        "all_padding": {"response_tokens": 0} if step == 33 else {},
        "loss_zero": {"loss": 1e-6},
        "loss_zero nothing moves": {"rewards/chosen": 0.0, "rewards/margins": 0.0},
        "rewards_saturated": {"rewards/accuracies": 1.0, "rewards/margins": 1.5**late},
        "chosen_falling": {"rewards/chosen": -0.05 * (step - 1)},
        "length_gap": {"lengths/chosen": 90.0},
        "sampled_otherwise": {"sampled/difference": 0.3, "sampled/worst": 2.0} if step == 1 else {},
        "reference_mismatch": {"rewards/chosen": 0.3} if step == 1 else {},
    }
    return {**line, **plants[name]}


CASES = {
    "non_finite": 33,
    "non_finite gradient": 33,
    "all_padding": 33,
    "loss_zero": WINDOW,
    "loss_zero nothing moves": WINDOW,
    "rewards_saturated": None,
    "chosen_falling": None,
    "length_gap": WINDOW,
    "sampled_otherwise": 1,
    "reference_mismatch": 1,
}


def test_a_healthy_run_has_no_findings() -> None:
    assert seen([healthy(step) for step in range(1, 201)]) == {}


@pytest.mark.parametrize("name", CASES)
def test_a_planted_trouble_is_named(name: str) -> None:
    found = seen([planted(name, step, healthy(step)) for step in range(1, 61)])
    assert list(found) == [name.split()[0]]
    if CASES[name] is not None:
        assert found[name.split()[0]] == CASES[name]


def test_a_first_step_without_reward_is_no_trouble() -> None:
    first = {**healthy(1), "rewards/chosen": 0.0, "rewards/rejected": 0.0, "rewards/margins": 0.0}
    first |= {"sampled/difference": 0.01, "sampled/worst": 0.2}
    assert seen([first, *(healthy(step) for step in range(2, 60))]) == {}


def test_accuracy_of_one_with_a_small_margin_is_no_trouble() -> None:
    assert seen([{**healthy(step), "rewards/accuracies": 1.0} for step in range(1, 60)]) == {}


def answers(step: int, *texts: str) -> Answers:
    return Answers(step, texts, tuple(len(text.split()) for text in texts), (None,) * len(texts))


STEADY = ("The digits are 3 and 4. 3 + 4 = 7. Final answer: 7", "Two of them are red. Final answer: 2")


@pytest.mark.parametrize(
    ("later", "name"),
    [
        (STEADY, None),
        (("Final answer: 7", "2"), "length_drift"),
        (tuple(text + " and so I count them once more to be sure of it all" for text in STEADY), "length_drift"),
        (("The digits are 3 3 3 3 3 3 3 3", "Two Two Two Two Two Two Two"), "repetition"),
    ],
)
def test_greedy_answers_are_compared_with_the_first(later: tuple[str, ...], name: str | None) -> None:
    watch = Watch()
    assert watch.see_answers(answers(0, *STEADY)) == []
    assert [finding.name for finding in watch.see_answers(answers(50, *later))] == ([name] if name else [])


def test_image_token_mismatches_are_named() -> None:
    assert Watch().see_drops({"too_long": 4}, 100) == []
    (finding,) = Watch().see_drops({"image_token_mismatch": 3, "too_long": 4}, 100)
    assert finding.name == "image_mismatch"
    assert "3 of 100" in str(finding)


def test_a_trouble_is_told_once_and_with_what_to_do() -> None:
    watch = Watch()
    told = [finding for step in range(1, 60) for finding in watch.see_step({**healthy(step), "loss": 0.0})]
    assert len(told) == 1
    assert told[0].remedy == REMEDIES["loss_zero"]
    assert told[0].remedy in str(told[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ("Final answer: 7", False),
        ("The digits are 3, 8, 5 and 1. 3 + 8 = 11. 11 + 5 = 16. 16 + 1 = 17.\nFinal answer: 17", False),
        ("a a a a a a a a", True),
        ("so the answer is so the answer is so the answer is so the answer is", True),
        ("哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈", True),
        ("We add 1 and 2 to get 3. We add 1 and 2 to get 3. We add 1 and 2 to get 3. We add 1 and 2 to", True),
        ("1 + 1 + 1 + 1 = 4", False),
    ],
)
def test_repeats(text: str, expected: bool) -> None:
    assert repeats(text) is expected
