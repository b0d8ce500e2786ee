"""From runs and evaluations to numbers: a row an arm and seed, an average an arm, and differences between arms.

Intervals are percentile bootstrap, 95 %: seeds and questions are drawn again, both with replacement, and two arms are
compared on the same questions and seeds. The base has no seed; it is the same beside each of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.prove.arms import BASE, Arm
from benchmarks.prove.jobs import Setup
from mmpr.errors import OutputError
from mmpr.evaluate.intervals import CONFIDENCE, RESAMPLES, Floats, Ints
from mmpr.evaluate.results import STYLES, Style
from mmpr.evaluate.score import RunCounts, count_run
from mmpr.evaluate.store import Run, finished_runs

SEED = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """An arm with a seed (None: the base): its answers in each style, and what its training left, if it was trained."""

    arm: str
    seed: int | None
    answers: Mapping[Style, RunCounts]
    training: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Average:
    """An arm over its seeds. Shares are in [0, 1]. ``margin`` has the least and the greatest seed as its ends."""

    arm: str
    title: str
    seeds: int
    accuracy: Mean
    accuracy_direct: Mean
    unparseable: Mean
    mean_tokens: Mean
    margin: Mean | None


@dataclass(frozen=True, slots=True)
class Difference:
    """``arm`` minus ``against`` in accuracy, on a group of questions (``all``, or ``source: kind``)."""

    arm: str
    against: str
    style: Style
    group: str
    questions: int
    before: float
    after: float
    difference: Mean


def read(arms: Sequence[Arm], seeds: Sequence[int], setup: Setup) -> list[Measured]:
    """Everything that was measured, the base first, then arm by arm.

    Raises:
        OutputError: something is missing or damaged, or was asked other questions.
    """
    pairs: list[tuple[str, int | None]] = [(BASE, None), *((arm.name, seed) for arm in arms for seed in seeds)]
    evaluated = {seed: finished_runs(setup.of(seed) / "evaluation") for _, seed in pairs}
    measured = [_read_one(arm, seed, evaluated[seed], setup) for arm, seed in pairs]
    for one in measured:
        for style, answers in one.answers.items():
            if answers.ids != measured[0].answers[style].ids:
                raise OutputError(f"{setup.of(one.seed)}: was asked other questions than the base; delete it")
    return measured


def _read_one(arm: str, seed: int | None, runs: Sequence[Run], setup: Setup) -> Measured:
    answers: dict[Style, RunCounts] = {run.about["style"]: count_run(run) for run in runs if run.about["model"] == arm}
    if set(answers) != set(STYLES):
        raise OutputError(f"{setup.of(seed) / 'evaluation'}: {arm} is not finished")
    if seed is None:
        return Measured(arm, None, answers, None)
    result = setup.folder(arm, seed) / "training" / "result.json"
    return Measured(arm, seed, answers, json.loads(result.read_text(encoding="utf-8")))


def row(one: Measured) -> dict[str, Any]:
    """A row of ``prove.json``."""
    reason, direct = one.answers["reason"], one.answers["direct"]
    training = one.training or {}
    return {
        "arm": one.arm,
        "seed": one.seed,
        "accuracy": _mean_of(reason, "correct"),
        "accuracy_direct": _mean_of(direct, "correct"),
        "unparseable": _mean_of(reason, "unparseable"),
        "looping": _mean_of(reason, "looping"),
        "mean_tokens": _mean_of(reason, "tokens"),
        "reward_margin": training["last"]["rewards/margins"] if training else None,
        "questions": len(reason.ids),
        "steps": training.get("steps", 0),
        "pairs": training.get("pairs", 0),
        "training_s": round(training["seconds"], 1) if training else 0,
        "kinds": {name: float(reason.column("correct")[at].mean()) for name, at in _groups(reason)},
    }


def averages(measured: Sequence[Measured], titles: Mapping[str, str]) -> list[Average]:
    """Each arm over its seeds, in the order in which they come."""
    found = []
    for arm in dict.fromkeys(one.arm for one in measured):
        mine = [one for one in measured if one.arm == arm]
        margins = [one.training["last"]["rewards/margins"] for one in mine if one.training]

        def over(name: str, style: Style = "reason", mine: list[Measured] = mine) -> Mean:
            return bootstrap(np.stack([one.answers[style].column(name) for one in mine]))

        found.append(
            Average(
                arm=arm,
                title=titles[arm],
                seeds=len(margins),
                accuracy=over("correct"),
                accuracy_direct=over("correct", "direct"),
                unparseable=over("unparseable"),
                mean_tokens=over("tokens"),
                margin=Mean(float(np.mean(margins)), min(margins), max(margins)) if margins else None,
            )
        )
    return found


def differences(measured: Sequence[Measured], arm: str, against: str) -> list[Difference]:
    """``arm`` minus ``against``, seed by seed and question by question, in both styles: all, then each kind."""
    return [
        Difference(
            arm,
            against,
            style,
            group,
            len(at),
            before=float(before[:, at].mean()),
            after=float(after[:, at].mean()),
            difference=bootstrap((after - before)[:, at]),
        )
        for style in STYLES
        for before, after in [(_right(measured, against, style), _right(measured, arm, style))]
        for group, at in _groups(measured[0].answers[style])
    ]


def bootstrap(values: Floats) -> Mean:
    """The mean of ``values [seeds, questions]`` with its interval; seeds and questions are drawn again.

    What is drawn enters by how often it was drawn, so a draw costs a number a seed and question, not a copy.
    """
    seeds, questions = values.shape
    rng = np.random.default_rng(SEED)
    by_seed = rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    means = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, 1000):
        part = slice(start, start + 1000)
        by_question = rng.multinomial(questions, np.full(questions, 1 / questions), 1000) / questions
        means[part] = ((by_seed[part] @ values) * by_question).sum(axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return Mean(float(values.mean()), float(low), float(high))


def bootstrap_of(counts: Ints, statistic: Callable[[Any], Any]) -> tuple[Mean, ...]:
    """Figures of sums over questions with their intervals; questions are drawn again.

    ``counts [questions, ...]`` are summed over the questions; ``statistic`` makes figures ``[..., K]`` of such sums.
    """
    questions = len(counts)
    drawn = np.random.default_rng(SEED).multinomial(questions, np.full(questions, 1 / questions), RESAMPLES)
    values = statistic(np.tensordot(drawn, counts, 1))
    tail = (1 - CONFIDENCE) / 2
    ends = np.quantile(values, (tail, 1 - tail), axis=0)
    points = statistic(counts.sum(0)).tolist()
    return tuple(Mean(point, float(low), float(high)) for point, low, high in zip(points, *ends, strict=True))


def _right(measured: Sequence[Measured], arm: str, style: Style) -> Floats:
    """1 where an answer is right (seeds, questions); one line for the base, which goes beside every seed."""
    return np.stack([one.answers[style].column("correct") for one in measured if one.arm == arm]).astype(np.float64)


def _groups(answers: RunCounts) -> Iterator[tuple[str, Any]]:
    """Names and positions of questions: all, then each kind of a source."""
    for by, source, kind, at in answers.groups():
        if by == "all":
            yield "all", at
        elif by == "kind":
            yield f"{source}: {kind}", at


def _mean_of(answers: RunCounts, name: str) -> float:
    return float(answers.column(name).mean())
