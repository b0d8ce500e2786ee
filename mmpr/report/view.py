"""A unit's rows joined: which question each response, verdict and pair belongs to, as positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmpr.report.histogram import METHODS
from mmpr.report.read import Bools, Ints, Nested, UnitColumns, nested, one, places, truths
from mmpr.report.texts import keys

STATUSES = ("correct", "incorrect", "unparseable", "timeout", "error")


@dataclass(frozen=True, slots=True)
class View:
    """A unit's rows by the positions of their questions in it. Responses are flat, so are pairs.

    ``source`` and ``has_truth`` are of the questions; ``response_question``, ``status`` (a position in STATUSES, -1 for
    open-ended), ``stopped`` and ``empty`` of all sampled responses; ``pair_question``, ``method``, and ``chosen`` and
    ``rejected`` (positions in ``paired``) of the pairs; ``pair_row_question`` of the rows of pairs/.
    """

    source: Ints
    has_truth: Bools
    responses: Nested
    rollout_question: Ints
    response_question: Ints
    status: Ints
    stopped: Bools
    empty: Bools
    text_keys: npt.NDArray[np.uint64]
    verdicts: Nested
    verdict_question: Ints
    paired: Nested
    pair_row_question: Ints
    pair_question: Ints
    method: Ints
    chosen: Ints
    rejected: Ints

    @classmethod
    def of(cls, columns: UnitColumns, sources: Sequence[str]) -> View:
        """Look at the columns of a unit; ``sources`` are the recipe's names in order."""
        ids = one(columns.questions, "id")
        responses, verdicts = nested(columns.rollouts, "responses"), nested(columns.verdicts, "verdicts")
        rollout_question = places(one(columns.rollouts, "id"), ids)
        verdict_question = places(one(columns.verdicts, "id"), ids)
        start = np.zeros(len(ids), dtype=np.int64)
        start[rollout_question] = responses.starts
        status = np.full(len(responses.items), -1, dtype=np.int64)
        within = np.arange(len(verdicts.items)) - np.repeat(verdicts.starts, verdicts.lengths)
        judged = np.repeat(start[verdict_question], verdicts.lengths) + within
        status[judged] = places(verdicts.texts("status"), pa.array(STATUSES))
        texts = [text.strip() for text in responses.texts("text").to_pylist()]
        paired, pairs = nested(columns.pairs, "responses"), nested(columns.pairs, "pairs")
        row_question = places(one(columns.pairs, "id"), ids)
        first = np.repeat(paired.starts, pairs.lengths)
        return cls(
            source=places(one(columns.questions, "source"), pa.array(sources)),
            has_truth=truths(pc.is_valid(one(columns.questions, "answer"))),
            responses=responses,
            rollout_question=rollout_question,
            response_question=np.repeat(rollout_question, responses.lengths),
            status=status,
            stopped=truths(pc.equal(responses.texts("finish_reason"), "stop")),
            empty=np.fromiter((not text for text in texts), dtype=np.bool_, count=len(texts)),
            text_keys=keys(texts),
            verdicts=verdicts,
            verdict_question=verdict_question,
            paired=paired,
            pair_row_question=row_question,
            pair_question=np.repeat(row_question, pairs.lengths),
            method=places(pairs.texts("method"), pa.array(METHODS)),
            chosen=pairs.numbers("chosen") + first,
            rejected=pairs.numbers("rejected") + first,
        )

    def first_of_its_text(self) -> Bools:
        """One of each different text of a question: the first that is not truncated (``mmpr.pairing.distinct``)."""
        many = len(self.status)
        order = np.lexsort((np.arange(many), ~self.stopped, self.text_keys, self.response_question))
        question, key = self.response_question[order], self.text_keys[order]
        new = np.ones(many, dtype=np.bool_)
        new[1:] = (question[1:] != question[:-1]) | (key[1:] != key[:-1])
        first = np.zeros(many, dtype=np.bool_)
        first[order[new]] = True
        return first

    def row_is_judged(self) -> Bools:
        """Which rows of pairs/ are of questions with a truth."""
        return self.has_truth[self.pair_row_question]


def encode(values: pa.Array) -> tuple[list[str], Ints]:
    """Texts as their different values and, for each, its number."""
    encoded = pc.dictionary_encode(values)
    codes = np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
    return [str(value) for value in encoded.dictionary.to_pylist()], codes
