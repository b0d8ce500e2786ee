"""Public benchmarks: their files, how a row becomes a question, and their metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmpr.config import Columns, ImagesSpec
from mmpr.errors import RowError, SourceError
from mmpr.evaluate.benchmarks.readers import Broken, JsonRows, ParquetRows, Reader, find_benchmark_files
from mmpr.evaluate.benchmarks.scores import Published, PublishedRule, Score, is_correct, share
from mmpr.evaluate.benchmarks.tsv import TsvRows
from mmpr.evaluate.results import Answered, Differing, Metric
from mmpr.schema import Question, Reject, Rule, SourceRow, Verdict
from mmpr.sources import cells

_READERS: dict[str, type[JsonRows] | type[ParquetRows] | type[TsvRows]] = {
    ".json": JsonRows,
    ".jsonl": JsonRows,
    ".parquet": ParquetRows,
    ".tsv": TsvRows,
}


@dataclass(frozen=True, slots=True)
class Layout:
    """How a public benchmark is read.

    ``patterns`` are the names of its files, in the order in which they are looked for in a folder. ``pictures`` is the
    column of pictures, by a file's suffix. ``row`` makes a question from a row's columns and place (or raises
    RowError); pictures and place are put in after it. ``metrics`` makes the benchmark's numbers from the scores of
    questions. ``right`` says whether the matcher's verdict on a response counts as right; ``official`` says it by the
    published rule, None where that rule asks a language model or needs more than the response. ``download`` is the
    command that fetches the files, ``images`` are the limits of its pictures.
    """

    name: str
    patterns: tuple[str, ...]
    pictures: Mapping[str, str]
    rule: Rule
    row: Callable[[Mapping[str, Any], str], SourceRow]
    metrics: Callable[[Sequence[Answered], Score], list[Metric]]
    download: str
    right: Callable[[Question, Verdict], bool] = is_correct
    official: PublishedRule | None = None
    images: ImagesSpec = field(default_factory=ImagesSpec)


class LocalBenchmark:
    """A public benchmark in a local folder or file: a source of questions (``mmpr.sources.Source``) with own metrics.

    A row's ``question`` shows its options and ``choices`` holds their texts in order; ``kind`` is the category, ``key``
    the benchmark's own id, ``meta`` a JSON object of whatever the metrics need. A row without an answer is asked and
    not judged. A question may end with an instruction to answer briefly that ``mmpr.prompts.strip_short_answer`` knows:
    it is removed when reasoning is asked for.
    """

    def __init__(self, layout: Layout, path: Path) -> None:
        """Raises SourceError when there is no such file, or it has another layout."""
        if not path.exists():
            raise SourceError(f"{path}: no such file or folder; fetch {layout.name} with\n  {layout.download}")
        base, paths = find_benchmark_files(path, layout.patterns)
        self._layout = layout
        self._readers: list[Reader] = [_open(layout, file, base) for file in paths]

    @property
    def name(self) -> str:
        """The name of the source of all its questions."""
        return self._layout.name

    @property
    def rule(self) -> Rule:
        """The rule by which the matcher compares its answers."""
        return self._layout.rule

    @property
    def images(self) -> ImagesSpec:
        """The limits of its pictures; some benchmarks are about very large ones."""
        return self._layout.images

    def rows(self) -> Iterator[SourceRow | Reject]:
        """Every row, in the same order every time, in bounded memory; a row that is wrong is a Reject."""
        for number, reader in enumerate(self._readers):
            for record in reader.records():
                try:
                    if isinstance(record, Broken):
                        raise record.error
                    row = self._layout.row(record.cells, record.where)
                    refs = tuple(f"{number}:{ref}" for ref in record.images)
                    yield replace(row, where=record.where, images=refs)
                except RowError as error:
                    yield Reject("ingest", self.name, record.where, error.reason, error.detail)

    def load(self, ref: str) -> bytes:
        """The picture that a row refers to (see ``mmpr.sources.Source``)."""
        number, _, inner = ref.partition(":")
        return self._readers[int(number)].load(inner)

    def metrics(self, answered: Sequence[Answered]) -> list[Metric]:
        """The benchmark's own metrics over all its questions; the headline first, then its groups."""
        metrics = self._layout.metrics(answered, lambda one: share(one, self._right(one)))
        if self._layout.official is None:
            return metrics
        official = self._layout.metrics(
            answered, lambda one: share(one, [published.right for published in self._published(one)])
        )
        return [replace(metric, official=other.score) for metric, other in zip(metrics, official, strict=True)]

    def differing(self, answered: Sequence[Answered]) -> list[Differing]:
        """The responses of which the matcher and the published rule think differently; none where no rule is known."""
        return [
            Differing(
                one.question.id,
                sample,
                one.question.answer or "",
                verdict.answer,
                f"right {'officially' if published.right else 'here'} only: {published.how}",
            )
            for one in answered
            for sample, (verdict, right, published) in enumerate(
                zip(one.verdicts, self._right(one), self._published(one), strict=False)
            )
            if right != published.right
        ]

    def _right(self, one: Answered) -> list[bool]:
        """Whether each response is right by the matcher; none for a question without a truth."""
        return [self._layout.right(one.question, verdict) for verdict in one.verdicts]

    def _published(self, one: Answered) -> list[Published]:
        """What the published rule says of each response; none without such a rule or without a truth."""
        rule = self._layout.official
        if rule is None or one.question.answer is None:
            return []
        return [rule(one.question, response.text) for response in one.responses]


def make_row(record: Mapping[str, Any], columns: Columns, where: str) -> SourceRow:
    """A row by its columns (see ``mmpr.sources.cells.make_row``); pictures are put in after it.

    Raises:
        RowError: a cell is missing or of another type.
    """
    return cells.make_row(record, columns, where, question=None, refer=lambda _, picture: str(picture))


def _open(layout: Layout, path: Path, base: Path) -> Reader:
    suffix = path.suffix.lower()
    pictures = layout.pictures.get(suffix)
    if pictures is None:
        readable = ", ".join(layout.pictures)
        raise SourceError(f"{path}: {layout.name} is read from {readable}; fetch it with\n  {layout.download}")
    return _READERS[suffix](path, base, pictures, layout.images)
