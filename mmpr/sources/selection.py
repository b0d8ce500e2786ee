"""Which rows of a source are asked: each question once, the wanted share of them, at most so many.

Every choice is a function of the seed and the question's id alone, so it does not change with the order of rows or with
rows that are added elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from mmpr.config import SourceSpec
from mmpr.schema import Reject, SourceRow, content_id, question_id
from mmpr.sources import Source, WeightedSource
from mmpr.sources.ids import Lowest, Seen


class Selection(Iterator[SourceRow | Reject]):
    """The chosen rows and the rejects of a source, in the source's order.

    When it is exhausted, ``selected + rejected + not_selected`` is the number of the source's rows. ``not_selected``
    are good rows that ``repeat_time`` and ``max_questions`` leave out.
    """

    def __init__(self, source: Source, spec: SourceSpec, seed: int) -> None:
        self.selected = 0
        self.rejected = 0
        self.not_selected = 0
        self._source = source
        self._spec = spec
        self._seed = str(seed)
        self._items = self._choose()

    def __next__(self) -> SourceRow | Reject:
        item = next(self._items)
        if isinstance(item, Reject):
            self.rejected += 1
        else:
            self.selected += 1
        return item

    def _choose(self) -> Iterator[SourceRow | Reject]:
        threshold = self._threshold()
        seen = Seen()
        for row in self._source.rows():
            if isinstance(row, Reject):
                yield row
                continue
            id = question_id(self._spec.name, row)
            if not self._in_share(row, id) or (threshold is not None and self._rank("few", id) > threshold):
                self.not_selected += 1
                continue
            if not seen.add(id):
                yield Reject("ingest", self._spec.name, id, "duplicate", f"{row.where} repeats an earlier question")
                continue
            yield row

    def _threshold(self) -> int | None:
        """The highest rank among the ``max_questions`` lowest; None when all are taken. Costs a pass over the rows."""
        most = self._spec.max_questions
        if most is None:
            return None
        lowest = Lowest(most)
        for row in self._source.rows():
            if isinstance(row, Reject):
                continue
            id = question_id(self._spec.name, row)
            if self._in_share(row, id):
                lowest.add(self._rank("few", id))
        return lowest.highest()

    def _in_share(self, row: SourceRow, id: str) -> bool:
        share = min(1.0, self._spec.repeat_time)
        if isinstance(self._source, WeightedSource):
            share *= min(1.0, self._source.repeat_time(row))
        return share >= 1 or self._rank("share", id) < share * 2**128

    def _rank(self, choice: str, id: str) -> int:
        """128 bits that are as good as random, other ones for each choice: two shares must not pick the same rows."""
        return int(content_id(choice, self._seed, id), 16)


def select_rows(source: Source, spec: SourceSpec, seed: int) -> Selection:
    """The rows of ``source`` that ``spec`` wants, and everything that is wrong with the others.

    A row whose question was there before is a Reject (``duplicate``). Memory: some megabytes, however many there are.
    """
    return Selection(source, spec, seed)
