"""What was found in a response."""

from __future__ import annotations

from dataclasses import dataclass

LAST_SENTENCE = "a last sentence that may be the answer"
"""Why an answer is not sure where only the last sentence can be it."""
ONE_SENTENCE = "a reply of one sentence that may be the answer"
"""The same where that sentence is all that the model says."""


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


@dataclass(frozen=True)
class Naming:
    """A phrase that names an answer.

    Args:
        start: where it begins.
        end: where the answer begins, for a phrase that any text may follow.
        kind: ``label`` (strong), ``sentence`` (any text), ``option`` (an option is named as the answer) or ``right``
            (an option is called right, maybe one of several).
        letters: the option's letters, for ``option`` and ``right``; the answer may go on at ``end`` with its text.
    """

    start: int
    end: int
    kind: str
    letters: str = ""
