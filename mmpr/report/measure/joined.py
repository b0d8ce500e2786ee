"""A unit's tables joined: the question of each response, verdict and pair, as positions in arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmpr.pipeline.standing import rulings
from mmpr.report.load.units import Bools, Ints, Nested, UnitColumns, booleans, nested, positions
from mmpr.report.measure.text_checks import text_hashes
from mmpr.schema import Judgements, Word
from mmpr.storage.columns import column_of
from mmpr.storage.counts import METHODS, STATUSES

WORDS: tuple[Word, ...] = get_args(Word)


@dataclass(frozen=True, slots=True)
class JoinedUnit:
    """A unit's rows with the positions of their questions in it; lists of a row are flattened.

    Of the questions: ``source``, ``has_truth``. Of all sampled responses: ``response_question``, ``judged`` (the
    judge's status as a position in STATUSES, -1 for open-ended), ``status`` (the one that pairs stand on, by the words
    of people and, where the judge is unsure, of a model), ``stopped`` (not truncated), ``empty``, ``text_keys`` (hashes
    of the texts). Of the words of a model: ``word`` (a position in WORDS). Of the pairs: ``pair_question``, ``method``
    (a position in METHODS), ``chosen`` and ``rejected`` (positions in ``paired``). ``rollout_question``,
    ``verdict_question`` and ``pair_row_question`` are of the rows of these folders.
    """

    source: Ints
    has_truth: Bools
    responses: Nested
    rollout_question: Ints
    response_question: Ints
    judged: Ints
    status: Ints
    word: Ints
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
    def of(cls, columns: UnitColumns, sources: Sequence[str]) -> JoinedUnit:
        """Join the tables of a unit; ``sources`` are the names that ``source`` numbers."""
        ids = column_of(columns.questions, "id")
        responses, verdicts = nested(columns.rollouts, "responses"), nested(columns.verdicts, "verdicts")
        rollout_question = positions(column_of(columns.rollouts, "id"), ids)
        verdict_question = positions(column_of(columns.verdicts, "id"), ids)
        start, many = np.zeros(len(ids), dtype=np.int64), np.zeros(len(ids), dtype=np.int64)
        start[rollout_question], many[rollout_question] = responses.starts, responses.lengths
        judged = np.full(len(responses.items), -1, dtype=np.int64)
        within = np.arange(len(verdicts.items)) - np.repeat(verdicts.starts, verdicts.lengths)
        judged_at = np.repeat(start[verdict_question], verdicts.lengths) + within
        judged[judged_at] = positions(verdicts.texts("status"), pa.array(STATUSES))
        words = nested(columns.adjudications, "words")
        word = positions(words.texts("word"), pa.array(WORDS))
        word_at = np.repeat(start[positions(column_of(columns.adjudications, "id"), ids)], words.lengths)
        word_at += words.numbers("response")
        status = judged.copy()
        stands = (word_at < len(status)) & (word >= 0) & (word < WORDS.index("unclear"))
        stands[stands] = judged[word_at[stands]] == STATUSES.index("unsure")
        status[word_at[stands]] = word[stands]  # the first two words are the first two statuses
        for row, question in zip(columns.judgements, _questions(columns.judgements, ids), strict=True):
            of_question = [STATUSES[code] for code in judged[start[question] :][: many[question]]]
            for place, ruled in rulings(row, of_question).items():
                status[start[question] + place] = STATUSES.index(ruled)
        texts = [text.strip() for text in responses.texts("text").to_pylist()]
        paired, pairs = nested(columns.pairs, "responses"), nested(columns.pairs, "pairs")
        row_question = positions(column_of(columns.pairs, "id"), ids)
        first = np.repeat(paired.starts, pairs.lengths)
        return cls(
            source=positions(column_of(columns.questions, "source"), pa.array(sources)),
            has_truth=booleans(pc.is_valid(column_of(columns.questions, "answer"))),
            responses=responses,
            rollout_question=rollout_question,
            response_question=np.repeat(rollout_question, responses.lengths),
            judged=judged,
            status=status,
            word=word,
            stopped=booleans(pc.equal(responses.texts("finish_reason"), "stop")),
            empty=np.fromiter((not text for text in texts), dtype=np.bool_, count=len(texts)),
            text_keys=text_hashes(texts),
            verdicts=verdicts,
            verdict_question=verdict_question,
            paired=paired,
            pair_row_question=row_question,
            pair_question=np.repeat(row_question, pairs.lengths),
            method=positions(pairs.texts("method"), pa.array(METHODS)),
            chosen=pairs.numbers("chosen") + first,
            rejected=pairs.numbers("rejected") + first,
        )

    def first_of_its_text(self) -> Bools:
        """Which responses are the first of their text, untruncated ones first (as ``pairing.distinct``)."""
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


def _questions(judgements: Sequence[Judgements], ids: pa.Array) -> list[int]:
    """The positions of the questions that people looked at."""
    found = positions(pa.array([row.id for row in judgements], pa.string()), ids)
    return [int(at) for at in found]
