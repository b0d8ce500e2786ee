"""What a comparator says of an answer."""

from __future__ import annotations

from typing import NamedTuple


class Judgement(NamedTuple):
    """``right``, the comparator that decided, and its reason.

    ``right`` is False only for an answer of the truth's kind that differs from it. None means that nobody can tell
    without the question: the answer has the truth in it among other things, is of another kind, or cannot be read.
    """

    right: bool | None
    comparator: str
    reason: str
