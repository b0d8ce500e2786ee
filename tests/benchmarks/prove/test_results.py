"""Numbers of arms: intervals over seeds and questions, the base beside every seed, and the pages made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.prove.arms import ARMS
from benchmarks.prove.claims import Hallucination
from benchmarks.prove.page import claims_table, plot, tables
from benchmarks.prove.results import Mean, Measured, averages, bootstrap, bootstrap_of, differences, read, row
from mmpr.errors import OutputError
from mmpr.evaluate.intervals import interval
from mmpr.evaluate.results import Style
from mmpr.evaluate.score import RunCounts
from tests.benchmarks.prove.test_jobs import setup_in

KINDS = ("sum", "sum", "sum", "shape")
TITLES = {"base": "before training", "mpo": "MPO", "sft": "SFT"}


def answers(right: list[int], tokens: int) -> RunCounts:
    """Four questions; of a question that is not right the answer is unparseable."""
    counts = [[1, hit, 1 - hit, 0, 0, 0, tokens] for hit in right]
    return RunCounts(tuple("abcd"), ("digits",) * 3 + ("easy",), KINDS, 1, np.array(counts, np.int64))


def measured(arm: str, seed: int | None, reason: list[int], direct: list[int], margin: float = 0.0) -> Measured:
    both: dict[Style, RunCounts] = {"reason": answers(reason, 20), "direct": answers(direct, 2)}
    result = {"last": {"rewards/margins": margin}, "steps": 10, "pairs": 320, "seconds": 12.34}
    return Measured(arm, seed, both, None if seed is None else result)


ALL = [
    measured("base", None, [0, 0, 0, 1], [0, 0, 1, 1]),
    measured("mpo", 0, [1, 1, 0, 1], [0, 1, 1, 1], margin=1.0),
    measured("mpo", 1, [1, 1, 1, 0], [0, 0, 1, 1], margin=2.0),
    measured("sft", 0, [1, 0, 0, 1], [0, 0, 1, 1], margin=0.1),
    measured("sft", 1, [1, 0, 1, 1], [0, 0, 1, 1], margin=0.3),
]


def test_a_row_of_an_arm_and_seed() -> None:
    found = row(ALL[1])
    assert (found["arm"], found["seed"], found["accuracy"], found["accuracy_direct"]) == ("mpo", 0, 0.75, 0.75)
    assert (found["unparseable"], found["mean_tokens"], found["reward_margin"]) == (0.25, 20, 1.0)
    assert found["kinds"] == {"all": 0.75, "digits: sum": pytest.approx(2 / 3), "easy: shape": 1.0}
    assert (found["steps"], found["pairs"], found["training_s"]) == (10, 320, 12.3)
    base = row(ALL[0])
    assert (base["seed"], base["reward_margin"], base["steps"]) == (None, None, 0)


def test_averages_over_seeds() -> None:
    base, mpo, sft = averages(ALL, TITLES)
    assert (base.arm, base.seeds, base.margin, base.accuracy.value) == ("base", 0, None, 0.25)
    assert (mpo.title, mpo.seeds, mpo.accuracy.value, mpo.accuracy_direct.value) == ("MPO", 2, 0.75, 0.625)
    assert mpo.margin is not None
    assert (mpo.margin.value, mpo.margin.low, mpo.margin.high) == (1.5, 1.0, 2.0)
    assert sft.accuracy.value == pytest.approx(0.625)


def test_differences_are_of_the_same_questions_and_seeds() -> None:
    found = {(one.style, one.group): one for one in differences(ALL, "mpo", "base")}
    assert list(found) == [
        (style, group) for style in ("reason", "direct") for group in ("all", "digits: sum", "easy: shape")
    ]
    whole = found["reason", "all"]
    assert (whole.before, whole.after, whole.difference.value, whole.questions) == (0.25, 0.75, 0.5, 4)
    assert found["reason", "easy: shape"].difference.value == -0.5
    between = {(one.style, one.group): one for one in differences(ALL, "mpo", "sft")}
    assert between["reason", "all"].difference.value == pytest.approx(0.125)


def test_of_one_seed_the_interval_is_that_of_an_evaluation() -> None:
    values = np.random.default_rng(1).normal(size=(1, 400))
    low, high = interval(values[0]) or (0.0, 0.0)
    mean = bootstrap(values)
    assert mean.value == pytest.approx(values.mean())
    assert (mean.low, mean.high) == pytest.approx((low, high), abs=0.01)


def test_seeds_that_differ_widen_the_interval() -> None:
    questions = np.random.default_rng(2).normal(size=400)
    alike = bootstrap(np.stack([questions] * 3))
    apart = bootstrap(np.stack([questions - 0.3, questions, questions + 0.3]))
    assert apart.value == pytest.approx(alike.value)
    assert apart.high - apart.low > 1.5 * (alike.high - alike.low)


def test_a_share_of_sums() -> None:
    counts = np.array([[1, 2], [0, 2], [3, 4], [2, 2]] * 50)
    (share,) = bootstrap_of(counts, lambda sums: (sums[..., 0] / sums[..., 1])[..., None])
    assert share.value == pytest.approx(0.6)
    assert 0.5 < share.low < 0.6 < share.high < 0.7


def test_the_tables_say_what_was_measured() -> None:
    compared = [*differences(ALL, "mpo", "base"), *differences(ALL, "mpo", "sft")]
    text = tables(averages(ALL, TITLES), compared, [("mpo", "base")])
    assert "| MPO | 75.0 (" in text
    assert "| MPO − before training | +50.0 (" in text
    assert "| MPO − SFT | +12.5 (" in text
    assert "| easy: shape | 1 | 100.0 | 50.0 | −50.0 (" in text
    assert len({line.count("|") for line in text.split("\n\n")[0].splitlines()}) == 1


def test_the_table_of_claims_says_what_is_false() -> None:
    parts = (Mean(0.1, 0.05, 0.15), Mean(0.7, 0.6, 0.8), Mean(0.6, 0.5, 0.7))
    text = claims_table([Hallucination("open", 80, 1200, (4000, 3000), parts, parts)])
    assert "| open: 1,200 pairs, 4,000 and 3,000 claims | claims that are false | 10.0 (5.0 to 15.0) | 70.0 (" in text
    assert text.count("+60.0 (+50.0 to +70.0)") == 2


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    plot(ALL, averages(ALL, TITLES), tmp_path / "prove.png")
    with Image.open(tmp_path / "prove.png") as picture:
        picture.load()
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 10


def test_what_was_not_measured_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"base/evaluation: base is not finished"):
        read(ARMS, [0], setup_in(tmp_path))
