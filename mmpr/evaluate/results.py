"""What an evaluation consists of: answered questions, scores of models, and differences between models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mmpr.schema import Question, Response, Verdict


@dataclass(frozen=True, slots=True)
class Answered:
    """A question (without its pictures) and a model's responses to it.

    ``responses`` are all samples, none when the engine refused the question, or when it ``failed``: then nobody knows
    what the model would have said. ``verdicts`` has the matcher's verdict on each response; it is empty for a question
    without a truth. ``style`` is how the question was asked.
    """

    question: Question
    responses: tuple[Response, ...]
    verdicts: tuple[Verdict, ...]
    style: str = "reason"
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Metric:
    """A number by a benchmark's own metric, such as ``macro accuracy`` in [0, 1], over ``count`` questions.

    ``score`` is by the matcher, None where there was nothing to measure; ``low`` and ``high`` are the ends of its 95 %
    interval, None where it has none. ``official`` is the same number by the benchmark's published rule for right
    answers, None where that rule is not known here. ``group`` is its category, empty for the whole benchmark.
    """

    name: str
    score: float | None
    count: int
    group: str = ""
    low: float | None = None
    high: float | None = None
    official: float | None = None


@dataclass(frozen=True, slots=True)
class Differing:
    """A response of which the matcher and the benchmark's published rule think differently.

    ``sample`` is its position among the question's responses, ``answer`` its final answer by the matcher. ``reason`` is
    such as ``right officially only: refusal, nearest option``.
    """

    id: str
    sample: int
    truth: str
    answer: str | None
    reason: str


GroupBy = Literal["all", "source", "kind"]
Style = Literal["reason", "direct"]

STYLES: tuple[Style, ...] = ("reason", "direct")


@dataclass(frozen=True, slots=True)
class Scores:
    """A model's scores on a group of questions that have a truth.

    Shares are in [0, 1], None where there was nothing to measure. ``accuracy`` is the mean over questions of the share
    of right samples, ``low`` and ``high`` its 95 % interval. Questions that the engine refused (``unanswered``) and
    samples that could not be judged in time (``undecided``) count as wrong. Questions over which the engine failed
    (``failed``: it died, hung or broke off) count among ``questions`` only. ``pass_at`` is (k, pass@k).
    ``unparseable``, ``truncated`` (by the token limit), ``repetition`` (repeats itself over and over) and
    ``mean_tokens`` are over samples.
    """

    by: GroupBy
    source: str
    kind: str
    questions: int
    samples: int
    accuracy: float | None
    low: float | None
    high: float | None
    pass_at: tuple[tuple[int, float], ...]
    unparseable: float | None
    truncated: float | None
    repetition: float | None
    mean_tokens: float | None
    undecided: int
    unanswered: int
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """A model's scores on a set of questions, asked in one style; the first group is all questions.

    ``way`` is ``greedy``, or the number of samples of a question (``8x``). ``folder`` holds the responses, under the
    evaluation's folder. ``metrics`` are those of a benchmark. ``differing`` counts the responses of which the matcher
    and the benchmark's published rule think differently, by reason; the folder's ``official.json`` names each.
    """

    data: str
    model: str
    model_path: str
    revision: str
    style: Style
    way: str
    template: str
    folder: str
    groups: tuple[Scores, ...]
    metrics: tuple[Metric, ...]
    differing: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """Two models on the same group of questions: accuracy of ``second`` minus ``first``, with its 95 % interval.

    ``only_first`` and ``only_second`` count the questions that only one model got right, ``p_value`` is that of
    McNemar's exact test. They are None when questions have several samples, which are not independent.
    """

    by: GroupBy
    source: str
    kind: str
    questions: int
    first: float
    second: float
    difference: float
    low: float | None
    high: float | None
    only_first: int | None
    only_second: int | None
    p_value: float | None


@dataclass(frozen=True, slots=True)
class Paired:
    """Two models compared on the same questions, asked in the same way; the first group is all questions.

    ``examples`` are ids of questions whose scores differ, the largest differences first, the first and the second model
    the better one in turn. ``folders`` are those of the two runs.
    """

    data: str
    style: Style
    way: str
    first: str
    second: str
    folders: tuple[str, str]
    groups: tuple[Difference, ...]
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """A set of questions: where it came from, its size, and how many rows were left out, by reason."""

    name: str
    origin: str
    fingerprint: str
    questions: int
    left_out: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The results of everything in an evaluation's folder, in a stable order."""

    data: tuple[QuestionSet, ...]
    results: tuple[Result, ...]
    paired: tuple[Paired, ...]
