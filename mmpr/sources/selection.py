"""Which rows of a source are asked: each question once, the wanted share of them, at most so many.

Every choice is a function of the seed and the question's id alone, so it does not change with the order of rows or with
rows that are added elsewhere.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from mmpr.cli.command import printable
from mmpr.config import Recipe, SourceSpec
from mmpr.errors import RowError
from mmpr.schema import Reject, SourceRow, content_id, question_id
from mmpr.sources import Source, WeightedSource
from mmpr.sources.ids import Lowest, Seen
from mmpr.sources.truths import check_truth

_LIKE_ANSWERS = {
    *("gold", "golds", "gt", "gts", "truth", "truths", "ground_truth", "ground_truths", "label", "labels", "class"),
    *("target", "targets", "correct", "reference", "references", "solution", "solutions", "output", "outputs"),
}
_MOST_KNOWN = 10_000


class Selection(Iterator[SourceRow | Reject]):
    """The chosen rows and the rejects of a source, in the source's order.

    When it is exhausted, ``selected + rejected + not_selected`` is the number of the source's rows. ``not_selected``
    are good rows that ``repeat_time`` and ``max_questions`` leave out, ``answered`` the selected ones with an answer,
    ``hidden`` those whose question does not show its options.
    """

    def __init__(self, source: Source, spec: SourceSpec, seed: int) -> None:
        self.selected = 0
        self.answered = 0
        self.hidden = 0
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
            self.answered += item.answer is not None
            self.hidden += any(choice.strip() not in item.question for choice in item.choices)
        return item

    def note(self) -> str | None:
        """When all rows are through: what to say of a table none of whose rows has an answer; None of all others."""
        columns = getattr(self._spec, "columns", None)
        if not self.selected or self.answered or columns is None or columns.answer is None:
            return None
        known = sorted(getattr(self._source, "known", ()))
        alike = list(filter(_like_answers, known)) if len(known) < _MOST_KNOWN else []
        if not known:
            return None
        told = f"{self._spec.name}: no row has an answer in {columns.answer!r}, so all its questions are open-ended"
        remedy = (
            f"columns.answer can name another column; these look like one: {', '.join(alike[:8])}"
            if alike
            else f"its columns are {', '.join(known[:20])}"
        )
        return f"{told}; {remedy} (columns.answer: null if that is meant)"

    def hidden_options(self, recipe: Recipe) -> str | None:
        """When all rows are through: what to say of options that neither the questions nor the template show."""
        from mmpr.templates import load_template

        if not self.hidden or load_template(self._spec.template, recipe.folder).shows_choices:
            return None
        return (
            f"{self._spec.name}: {self.hidden:,} of {self.selected:,} questions do not show their options, nor does "
            f"the template {self._spec.template!r}; one with {{choices}}, such as en_choices, shows them"
        )

    def tell(self, recipe: Recipe) -> None:
        """Print the notes, if there are any, on the standard error stream."""
        for note in filter(None, (self.note(), self.hidden_options(recipe))):
            print(f"note: {printable(note)}", file=sys.stderr, flush=True)

    def _choose(self) -> Iterator[SourceRow | Reject]:
        threshold = self._threshold()
        seen = Seen()
        for row in self._rows():
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

    def _rows(self) -> Iterator[SourceRow | Reject]:
        """The source's rows; one with a truth that no answer can match is a Reject."""
        for row in self._source.rows():
            if isinstance(row, SourceRow):
                try:
                    check_truth(row, self._spec.rule)
                except RowError as error:
                    yield Reject("ingest", self._spec.name, row.where, error.reason, error.detail)
                    continue
            yield row

    def _threshold(self) -> int | None:
        """The highest rank among the ``max_questions`` lowest; None when all are taken. Costs a pass over the rows."""
        most = self._spec.max_questions
        if most is None:
            return None
        lowest = Lowest(most)
        for row in self._rows():
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


def _like_answers(name: str) -> bool:
    """Whether a column, or a field of one, has a name that answers have in many data sets."""
    last = name.rpartition(".")[2].casefold()
    return last in _LIKE_ANSWERS or "answer" in last or last.startswith("correct_")
