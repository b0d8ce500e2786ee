"""What is counted of the true answers: their kinds, the letters of options, and whether a letter has its option."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmpr.report.load.units import Bools, Ints, UnitColumns, positions, value_codes
from mmpr.report.measure.histograms import Categories
from mmpr.report.measure.joined import JoinedUnit
from mmpr.report.measure.text_checks import YES_NO, answer_kind
from mmpr.storage.columns import column_of
from mmpr.storage.counts import STATUSES

_OPTION_LINE = re.compile(r"^[ \t]*+[(（]?(?P<letter>[A-Z])[)）]?[.．:：、)）]?[ \t]", re.MULTILINE)
_FEWEST_OPTIONS = 2


def add_answers(columns: UnitColumns, joined: JoinedUnit, categories: Mapping[str, Categories]) -> Ints:
    """Count kinds of true answers, and the letters and yes or no among them; each question counts once.

    Returns the positions of the questions whose true answer is a letter.
    """
    answers = column_of(columns.questions, "answer").to_pylist()
    kinds = [answer_kind(answer) for answer in answers]
    names = sorted(set(kinds))
    codes = np.array([names.index(kind) for kind in kinds], dtype=np.int64)
    categories["answer_kinds"].add(names, codes, joined.source)
    paired = joined.pair_row_question[joined.row_is_judged()]
    for row in paired:
        answer, at = (answers[row] or "").strip(), int(joined.source[row])
        if kinds[row] == "letter":
            categories["chosen_letters"].count(answer.strip("()."), at)
        elif kinds[row] == "yes or no":
            categories["chosen_yes_no"].count(YES_NO[answer.casefold()], at)
    if any(kind == "letter" for kind in kinds):
        _add_rejected_letters(joined, np.array([kind == "letter" for kind in kinds]), categories["rejected_letters"])
    return np.array([row for row, kind in enumerate(kinds) if kind == "letter"], dtype=np.int64)


def _add_rejected_letters(joined: JoinedUnit, has_letters: Bools, rejected: Categories) -> None:
    pair_at = np.flatnonzero(has_letters[joined.pair_question] & (joined.method == 0))
    said = joined.paired.texts("answer").take(pa.array(joined.rejected[pair_at]))
    found = pc.extract_regex(said, r"^\(?(?P<letter>[A-Z])(?:[^A-Za-z]|$)").field("letter")
    first: dict[int, str] = {}
    for question, letter in zip(joined.pair_question[pair_at], found.to_pylist(), strict=True):
        if letter:
            first.setdefault(int(question), letter)
    for question, letter in first.items():
        rejected.count(letter, int(joined.source[question]))


def without_option(columns: UnitColumns, lettered: Ints) -> tuple[int, Ints]:
    """Of questions whose truth is a letter (positions): how many show options, and which have none of this letter."""
    texts, choices = column_of(columns.questions, "question"), column_of(columns.questions, "choices")
    answers = column_of(columns.questions, "answer")
    shown, without = 0, []
    for row in lettered.tolist():
        options = choices[row].as_py() or ()
        letters = [chr(ord("A") + at) for at in range(len(options))] or _option_letters(texts[row].as_py())
        if len(letters) < _FEWEST_OPTIONS:
            continue
        shown += 1
        if answers[row].as_py().strip().strip("().") not in letters:
            without.append(row)
    return shown, np.array(without, dtype=np.int64)


def disputed_answers(joined: JoinedUnit) -> tuple[int, Ints]:
    """How many answers several samples of a question give, and the questions (positions) where verdicts on one differ.

    A question is there once for each such answer.
    """
    answers = value_codes(joined.verdicts.texts("answer"))[1]
    question = np.repeat(joined.verdict_question, joined.verdicts.lengths)
    status = positions(joined.verdicts.texts("status"), pa.array(STATUSES))
    judged = (answers >= 0) & (status <= STATUSES.index("incorrect")) & (status >= 0)
    keys = np.stack([question[judged], answers[judged]], axis=1)
    same, which, many = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    right = np.bincount(which.ravel(), status[judged] == STATUSES.index("correct"), minlength=len(same))
    return int((many > 1).sum()), same[(right > 0) & (right < many), 0].astype(np.int64)


def _option_letters(question: str) -> list[str]:
    """The letters that begin lines of a question, A first and without a gap."""
    found = {line["letter"] for line in _OPTION_LINE.finditer(question)}
    letters: list[str] = []
    while (letter := chr(ord("A") + len(letters))) in found:
        letters.append(letter)
    return letters
