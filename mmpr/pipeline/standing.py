"""The verdicts that pairs stand on: the judge's, and where it is unsure the word of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mmpr.schema import Adjudications, Status, Verdict, Word

ADJUDICATED = "adjudicated"
"""The comparator of a verdict that stands on a model's word."""

_STATUS: dict[Word, Status] = {"correct": "correct", "incorrect": "incorrect"}


def standing_verdicts(verdicts: Sequence[Verdict], adjudications: Adjudications | None) -> tuple[Verdict, ...]:
    """The verdicts of a question's responses, with the model's word where the judge is unsure and the model is not.

    A verdict that the judge is sure of stays, whatever a model says.
    """
    standing = list(verdicts)
    for said in adjudications.words if adjudications else ():
        status = _STATUS.get(said.word)
        if status and 0 <= said.response < len(standing) and standing[said.response].status == "unsure":
            standing[said.response] = replace(standing[said.response], status=status, comparator=ADJUDICATED)
    return tuple(standing)
