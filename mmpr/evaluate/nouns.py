"""The nouns of an evaluation, and what a benchmark's loader must give.

A benchmark is a source of questions (``mmpr.sources.Source``: ``rows()`` and ``load(ref)``) with a name, the matcher's
rule for its questions, and its own metrics. ``mmpr.evaluate.benchmarks.open_benchmark(name, path)`` opens one:

    --data mmstar:PATH   ─▶ open_benchmark("mmstar", Path(PATH)) ─▶ rows ─▶ Question ─▶ sample ─▶ verify ─▶ Answered
                                                                                        metrics(answered) ◀──┘
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

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
