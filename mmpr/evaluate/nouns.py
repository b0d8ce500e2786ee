"""The nouns of an evaluation, and what a benchmark's loader must give.

A benchmark is a source of questions (``mmpr.sources.Source``: ``rows()`` and ``load(ref)``) with a name, the matcher's
rule for its questions, and its own metrics. ``mmpr.evaluate.benchmarks.open_benchmark(name, path)`` opens one:

    --data mmstar:PATH   ─▶ open_benchmark("mmstar", Path(PATH)) ─▶ rows ─▶ Question ─▶ sample ─▶ verify ─▶ Answered
                                                                                        metrics(answered) ◀──┘
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from mmpr.config import ImagesSpec
from mmpr.schema import Question, Reject, Response, Rule, SourceRow, Verdict


@dataclass(frozen=True, slots=True)
class Answered:
    """A question (without its pictures) and what a model said to it.

    ``responses`` are all samples, none when the engine refused the question. ``verdicts`` has one entry a response by
    the build's matcher, with the extracted answer in ``Verdict.answer``; it is empty for a question without a truth.
    ``style`` is how it was asked: ``reason`` or ``direct``.
    """

    question: Question
    responses: tuple[Response, ...]
    verdicts: tuple[Verdict, ...]
    style: str = "reason"


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a benchmark's own, such as ``macro accuracy`` in [0, 1] over ``count`` questions.

    ``group`` is the category it stands for, empty for the whole benchmark. ``low`` and ``high`` are the ends of its
    95 % interval, where there is one; ``value`` is None where there is nothing to measure.
    """

    name: str
    value: float | None
    count: int
    group: str = ""
    low: float | None = None
    high: float | None = None


class Benchmark(Protocol):
    """A public benchmark that lies in a local folder or file.

    A row's ``question`` shows its options itself and ``choices`` holds their texts in order; ``kind`` is the category,
    ``key`` the benchmark's own id, and ``meta`` a JSON object of whatever the metrics need (cycle, precision, ...). A
    row without an answer is asked, not judged. An instruction to answer briefly may stand at a question's end when
    ``mmpr.prompts.strip_short_answer`` knows it: it goes when reasoning is asked for, and stays for direct answers.
    """

    @property
    def name(self) -> str:
        """The name of the source of all its questions."""
        ...

    @property
    def rule(self) -> Rule:
        """The rule by which the matcher compares its answers."""
        ...

    @property
    def images(self) -> ImagesSpec:
        """What its pictures may measure."""
        ...

    def rows(self) -> Iterator[SourceRow | Reject]:
        """Every row, in the same order every time, in bounded memory; a row that is wrong is a Reject."""
        ...

    def load(self, ref: str) -> bytes:
        """The encoded picture that a row refers to.

        Raises:
            RowError: it cannot be had (``image_missing``, ``image_outside_root``, ...).
        """
        ...

    def metrics(self, answered: Sequence[Answered]) -> list[Metric]:
        """The benchmark's own numbers over all its questions; the headline first, then its groups."""
        ...


GroupBy = Literal["all", "source", "kind"]
Style = Literal["reason", "direct"]

STYLES: tuple[Style, ...] = ("reason", "direct")


@dataclass(frozen=True, slots=True)
class Scores:
    """How a model did on a group of questions that have a truth.

    Shares are in [0, 1], None where there is nothing to measure. ``accuracy`` is the mean over questions of the share
    of right samples, ``low`` and ``high`` its 95 % interval. A question that the engine refused (``unanswered``) has no
    right sample; neither has a sample that could not be judged in time (``undecided``). ``pass_at`` is (k, pass@k).
    ``unparseable``, ``truncated`` (ended by the limit of tokens), ``repetition`` (goes round in circles) and
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


@dataclass(frozen=True, slots=True)
class Result:
    """A model's scores on one set of questions, asked in one way; the first group is all questions.

    ``way`` is ``greedy``, or how many samples were drawn of a question (``8x``). ``folder`` is where the responses lie,
    under the evaluation's. ``metrics`` are a benchmark's own.
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


@dataclass(frozen=True, slots=True)
class Difference:
    """Two models on the same group of questions: ``second`` minus ``first`` in accuracy, with its 95 % interval.

    ``only_first`` and ``only_second`` count the questions that one of them alone got right, and ``p_value`` is
    McNemar's exact one; None when questions have several samples, which are not independent.
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
    """Two models, the same questions, asked in the same way; the first group is all questions.

    ``examples`` are ids of questions that they did differently, those with the largest difference first, in which the
    first and the second model were better by turns. ``folders`` are those of the two runs.
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
class Asked:
    """A set of questions: where it came from, how many it has, and what was left out (by reason)."""

    name: str
    origin: str
    fingerprint: str
    questions: int
    left_out: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that lies in an evaluation's folder, in a stable order."""

    data: tuple[Asked, ...]
    results: tuple[Result, ...]
    paired: tuple[Paired, ...]
