"""Counts to scores, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpr.evaluate.intervals import interval, mcnemar
from mmpr.evaluate.score import EXAMPLES, RunCounts, _examples, differences, scores


def tally(
    correct: list[int], samples: int = 1, *, kinds: str = "", drawn: list[int] | None = None, failed: str = ""
) -> RunCounts:
    """Questions q0, q1, … with so many right samples; one sample of each is unparseable, two tokens a sample.

    ``failed`` has an ``x`` at each question that the engine failed to answer.
    """
    drawn = drawn if drawn is not None else [samples] * len(correct)
    lost = [mark == "x" for mark in failed.ljust(len(correct))]
    table = [(n, c, min(1, n - c), 0, 0, 0, 2 * n, x) for n, c, x in zip(drawn, correct, lost, strict=True)]
    names = kinds or "a" * len(correct)
    ids = tuple(f"q{at}" for at in range(len(correct)))
    return RunCounts(
        ids, tuple("s" for _ in ids), tuple(names), samples, np.array(table, dtype=np.int64).reshape(-1, 8)
    )


def test_scores_by_hand() -> None:
    whole, source, a, b = scores(tally([4, 0, 2, 0], 4, kinds="aabb", drawn=[4, 4, 4, 0]))
    assert (whole.by, source.by, a.kind, b.kind) == ("all", "source", "a", "b")
    # the engine refused the last question: it counts as wrong, and its samples are not there
    assert whole.accuracy == pytest.approx((1 + 0 + 0.5 + 0) / 4)
    assert (whole.questions, whole.samples, whole.unanswered) == (4, 12, 1)
    assert (whole.low, whole.high) == interval(np.array([1, 0, 0.5, 0]))
    assert whole.unparseable == pytest.approx(2 / 12)
    assert whole.mean_tokens == 2
    assert dict(whole.pass_at) == {1: pytest.approx(0.375), 2: pytest.approx((1 + 5 / 6) / 4), 4: pytest.approx(0.5)}
    assert (a.accuracy, b.accuracy) == (0.5, 0.25)
    assert b.unparseable == pytest.approx(1 / 4)


def test_a_question_that_the_engine_failed_is_counted_apart() -> None:
    whole = scores(tally([1, 0, 1, 0], drawn=[1, 1, 1, 0], failed="   x"))[0]
    assert (whole.questions, whole.samples, whole.unanswered, whole.failed) == (4, 3, 0, 1)
    assert whole.accuracy == pytest.approx(2 / 3)
    assert (whole.low, whole.high) == interval(np.array([1, 0, 1]))
    (nothing,) = {scores(tally([0], drawn=[0], failed="x"))[0]}
    assert (nothing.questions, nothing.failed, nothing.accuracy, nothing.low) == (1, 1, None, None)


def test_models_are_compared_where_the_engine_failed_neither() -> None:
    first = tally([1, 0, 0, 1], kinds="aaab", failed="x   ")
    second = tally([0, 1, 0, 0], kinds="aaab", failed="   x")
    whole, _, a = differences(first, second)  # kind b has nothing left to compare
    assert (whole.questions, whole.first, whole.second, whole.only_second) == (2, 0.0, 0.5, 1)
    assert (a.kind, a.questions) == ("a", 2)
    assert _examples(first, second) == ("q1",)


def test_one_sample_has_no_pass_at_k_and_nothing_has_no_scores() -> None:
    assert scores(tally([1, 0]))[0].pass_at == ()
    (nothing,) = scores(tally([]))
    assert (nothing.accuracy, nothing.low, nothing.unparseable, nothing.mean_tokens) == (None, None, None, None)


def test_differences_by_hand() -> None:
    whole, _, a, b = differences(
        tally([1, 1, 0, 0, 1], kinds="aaabb"),
        tally([1, 0, 1, 1, 1], kinds="aaabb"),
    )
    assert (whole.first, whole.second) == (0.6, 0.8)
    assert whole.difference == pytest.approx(0.2)
    assert (whole.only_first, whole.only_second) == (1, 2)
    assert whole.p_value == mcnemar(1, 2) == 1.0
    assert (whole.low, whole.high) == interval(np.array([0, -1, 1, 1, 0]))
    assert (a.difference, b.difference) == (0, 0.5)


def test_several_samples_have_an_interval_but_no_mcnemar() -> None:
    whole = differences(tally([4, 0], 4), tally([2, 2], 4))[0]
    assert whole.difference == 0
    assert (whole.only_first, whole.only_second, whole.p_value) == (None, None, None)
    assert (whole.low, whole.high) == (-0.5, 0.5)


def test_other_questions_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="other questions"):
        differences(tally([1, 0]), tally([1]))
    with pytest.raises(ValueError, match="other numbers of samples"):
        differences(tally([1, 0]), tally([1, 0], 2))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=20))
def test_a_difference_turns_its_sign_with_its_models(pairs: list[tuple[int, int]]) -> None:
    first, second = tally([a for a, _ in pairs], 3), tally([b for _, b in pairs], 3)
    for there, back in zip(differences(first, second), differences(second, first), strict=True):
        assert there.difference == pytest.approx(-back.difference, abs=1e-12)
        assert there.difference == pytest.approx(there.second - there.first, abs=1e-12)


def test_examples_are_the_largest_differences_by_turns() -> None:
    first, second = tally([0, 4, 0, 2, 1], 4), tally([4, 0, 1, 2, 0], 4)
    assert _examples(first, second) == ("q0", "q1", "q2", "q4")
    many = 10 * EXAMPLES
    assert len(_examples(tally([0] * many), tally([1] * many))) == EXAMPLES
