"""What was found in a response."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Found:
    """The final answer of a response.

    Args:
        answer: the answer; None when none is named. When it is not sure, what may be the answer, or None.
        sure: False when something may be an answer (several candidates, a condition, a last sentence): such a response
            can be called neither right nor wrong. None with ``sure`` means that no final answer is named anywhere.
        why: the form that was found, or why none was, in a few words.
    """

    answer: str | None
    sure: bool
    why: str
