"""Questions and pairs with their texts cut into marked pieces, as the gallery's templates take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmpr.pages.responses import MarkedResponse, ShownResponse, mark_response
from mmpr.pages.safe_text import differing
from mmpr.report.contents import GalleryQuestion, ShownPair

PAIRS_SHOWN = 5
"""Pairs of a question that are shown side by side."""


@dataclass(frozen=True, slots=True)
class MarkedPair:
    """A pair with what differs marked in both responses."""

    pair: ShownPair
    chosen: MarkedResponse
    rejected: MarkedResponse


@dataclass(frozen=True, slots=True)
class MarkedQuestion:
    """A question, its first pairs and all its responses."""

    question: GalleryQuestion
    pairs: list[MarkedPair]
    responses: list[MarkedResponse]
    more_pairs: int


def mark_question(question: GalleryQuestion) -> MarkedQuestion:
    """Mark a question's responses and its first pairs."""
    return MarkedQuestion(
        question,
        [mark_pair(pair, question.responses) for pair in question.pairs[:PAIRS_SHOWN]],
        [mark_response(response) for response in question.responses],
        max(0, len(question.pairs) - PAIRS_SHOWN),
    )


def mark_pair(pair: ShownPair, responses: tuple[ShownResponse, ...]) -> MarkedPair:
    """Mark what differs between the responses of a pair, and the prefix that those of a dropout pair share."""
    chosen, rejected = responses[pair.chosen], responses[pair.rejected]
    prefix_chars = rejected.prefix_chars if rejected.continued else 0
    ours, theirs = differing(chosen.text, rejected.text)
    return MarkedPair(
        pair,
        mark_response(chosen, prefix_chars=prefix_chars, differs=ours),
        mark_response(rejected, prefix_chars=prefix_chars, differs=theirs),
    )


def filter_values(question: GalleryQuestion) -> dict[str, Any]:
    """A question's values of the gallery's filters, as lists of names, and the numbers that it is sorted by.

    ``margin`` is the length of the first pair's chosen minus that of its rejected, in characters.
    """
    first = question.pairs[0] if question.pairs else None
    lengths = [len(response.text) + response.left_out for response in question.responses]
    return {
        "id": question.id,
        "source": [question.source],
        "method": list(dict.fromkeys(pair.method for pair in question.pairs)),
        "outcome": [question.outcome],
        "verdict": list(dict.fromkeys(r.status for r in question.responses if r.status)),
        "finding": list(question.findings),
        "comparator": list(dict.fromkeys(r.comparator for r in question.responses if r.comparator)),
        "paired": bool(question.pairs),
        "pass_rate": question.pass_rate,
        "margin": None if first is None else lengths[first.chosen] - lengths[first.rejected],
    }
