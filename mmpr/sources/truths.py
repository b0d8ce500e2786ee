"""Truths that no answer can match: a number where the options have letters and texts."""

from __future__ import annotations

from mmpr.errors import RowError
from mmpr.schema import SourceRow

_KNOW_OPTIONS = ("default", "relaxed", "multiple_choice", "vqa")
"""The rules of ``mmpr.answers`` that judge by options where there are any."""


def check_truth(row: SourceRow, rule: str) -> None:
    """Refuse a row of a multiple-choice question whose truth is neither a letter nor an option: no answer is right.

    Rows with options are multiple choice for the rules that know them; so is every row of the rule ``multiple_choice``.

    Raises:
        RowError: answer_not_an_option.
    """
    if row.answer is None or not (rule == "multiple_choice" or (row.choices and rule in _KNOW_OPTIONS)):
        return
    letters = {chr(ord("A") + place) for place in range(len(row.choices))}
    truths = [truth for truth in dict.fromkeys(row.answers or (row.answer,)) if truth not in letters]
    if not truths:
        return
    from mmpr.answers.match import is_option  # the judge is large, and most sources need it later, if at all

    for truth in truths:
        if not is_option(truth, row.choices):
            told = f"{truth[:60]!a} is neither a letter nor an option"
            if not row.choices:
                told += "; name the column of the options (columns.choices), or use another rule"
            elif truth.strip().isdecimal():
                told += "; if it is an option's number, set answer_index: 0 or answer_index: 1 (the first option's)"
            raise RowError("answer_not_an_option", told)
