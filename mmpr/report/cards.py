"""Questions and responses as the gallery and the audit show them: texts in pieces that know what they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmpr.report.display import Piece, Span, differing, pieces
from mmpr.report.nouns import GalleryQuestion, ShownPair, ShownResponse

PAIRS_SHOWN = 5
"""Pairs of a question that are shown side by side; a question has at most fifteen."""


@dataclass(frozen=True, slots=True)
class ResponseCard:
    """A response and its text in pieces."""

    response: ShownResponse
    pieces: list[Piece]


@dataclass(frozen=True, slots=True)
class PairCard:
    """A pair side by side, what differs marked in both."""

    pair: ShownPair
    chosen: ResponseCard
    rejected: ResponseCard


@dataclass(frozen=True, slots=True)
class QuestionCard:
    """A question, its first pairs and all its responses."""

    question: GalleryQuestion
    pairs: list[PairCard]
    responses: list[ResponseCard]
    more_pairs: int


def question_card(question: GalleryQuestion) -> QuestionCard:
    """What the gallery shows of a question."""
    return QuestionCard(
        question,
        [pair_card(pair, question.responses) for pair in question.pairs[:PAIRS_SHOWN]],
        [response_card(response) for response in question.responses],
        max(0, len(question.pairs) - PAIRS_SHOWN),
    )


def pair_card(pair: ShownPair, responses: tuple[ShownResponse, ...]) -> PairCard:
    """A pair with what differs; of a dropout pair, both begin with the same prefix."""
    chosen, rejected = responses[pair.chosen], responses[pair.rejected]
    prefix_chars = rejected.prefix_chars if rejected.continued else 0
    ours, theirs = differing(chosen.text, rejected.text)
    return PairCard(
        pair,
        response_card(chosen, prefix_chars=prefix_chars, differs=ours),
        response_card(rejected, prefix_chars=prefix_chars, differs=theirs),
    )


def response_card(
    response: ShownResponse, *, prefix_chars: int | None = None, differs: tuple[Span, ...] = ()
) -> ResponseCard:
    """A response with its final answer marked; ``prefix_chars`` is its own unless told."""
    if prefix_chars is None:
        prefix_chars = response.prefix_chars if response.continued else 0
    answer = (response.answer_start, response.answer_end)
    return ResponseCard(response, pieces(response.text, prefix_chars=prefix_chars, answer=answer, differs=differs))


def filter_values(question: GalleryQuestion) -> dict[str, Any]:
    """What the gallery's filters compare, as lists of names."""
    return {
        "id": question.id,
        "source": [question.source],
        "method": list(dict.fromkeys(pair.method for pair in question.pairs)),
        "outcome": [question.outcome],
        "verdict": list(dict.fromkeys(r.status for r in question.responses if r.status)),
        "finding": list(question.findings),
    }
