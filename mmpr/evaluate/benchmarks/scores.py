"""What the metrics of benchmarks share: scores of questions, their means, and means by group."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mmpr.evaluate.intervals import interval
from mmpr.evaluate.results import Answered, Metric
from mmpr.schema import Question, Verdict

Score = Callable[[Answered], float]
"""The score of a question in [0, 1]: the share of its responses that are right."""


class Published(NamedTuple):
    """What a benchmark's published rule says of a response: whether it is right, and how the response was read."""

    right: bool
    how: str


PublishedRule = Callable[[Question, str], Published]
"""A benchmark's published rule, called as (question, response). The question has a truth."""


def is_correct(question: Question, verdict: Verdict) -> bool:
    """Whether the matcher calls a response correct.

    Benchmarks know right and wrong only, so ``unsure``, ``unparseable``, ``timeout`` and ``error`` count as wrong.
    """
    return verdict.status == "correct"


def share_correct(one: Answered) -> float:
    """The share of a question's responses that the matcher calls correct; 0 when the engine refused the question."""
    return share(one, [is_correct(one.question, verdict) for verdict in one.verdicts])


def share(one: Answered, right: Sequence[bool]) -> float:
    """The share of a question's responses that are right; 0 when there are none."""
    return sum(right) / len(one.responses) if one.responses else 0.0


def mean(answered: Iterable[Answered], name: str = "accuracy", group: str = "", score: Score = share_correct) -> Metric:
    """The mean score over questions, with its bootstrap interval."""
    values = np.array([score(one) for one in answered], dtype=np.float64)
    if not len(values):
        return Metric(name, None, 0, group)
    low, high = interval(values) or (None, None)
    return Metric(name, float(values.mean()), len(values), group, low, high)


def mean_of(parts: Sequence[Metric], name: str) -> Metric:
    """The unweighted mean of other metrics."""
    values = [part.score for part in parts if part.score is not None]
    return Metric(name, sum(values) / len(values) if values else None, sum(part.count for part in parts))


def means_by(
    answered: Sequence[Answered],
    groups: Callable[[Answered], Iterable[str]],
    name: str = "accuracy",
    score: Score = share_correct,
) -> list[Metric]:
    """The mean score of each group, in the order of their names; a question may be in several groups, or in none."""
    members: dict[str, list[Answered]] = {}
    for one in answered:
        for group in groups(one):
            members.setdefault(group, []).append(one)
    return [mean(members[group], name, group, score) for group in sorted(members)]


def kinds(one: Answered) -> list[str]:
    """A question's category, as a list of groups."""
    return [one.question.kind] if one.question.kind else []


def row_meta(one: Answered) -> dict[str, Any]:
    """What a benchmark keeps of a row in ``Question.meta``."""
    found = json.loads(one.question.meta)
    return found if isinstance(found, dict) else {}


def accuracy_by_kind(answered: Sequence[Answered], score: Score = share_correct) -> list[Metric]:
    """Accuracy over all questions, and of each category."""
    return [mean(answered, score=score), *means_by(answered, kinds, score=score)]
