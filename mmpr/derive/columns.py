"""The columns that a condition may name: those of a question, and those of one of its pairs."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from mmpr.derive.where import Row, Type, Value
from mmpr.pipeline.standing import standing_verdicts
from mmpr.schema import (
    Adjudications,
    Completions,
    Judgements,
    Pair,
    PreferenceRow,
    Question,
    Rollout,
    Verdict,
    Verdicts,
    content_id,
)
from mmpr.sources.ids import Seen
from mmpr.storage.counts import STATUSES

OF_QUESTION: Mapping[str, Type] = {
    **dict.fromkeys(("id", "source", "kind", "question", "answer", "rule", "where"), "text"),
    **dict.fromkeys(("model", "model_revision", "template"), "text"),
    **dict.fromkeys(("pass_rate", "responses", "pairs", "pictures", "prompt_tokens", "response_tokens"), "number"),
    **dict.fromkeys(STATUSES, "number"),
    "question_chars": "number",
    "near_duplicate": "flag",
}
"""``answer`` is null for an open-ended question, ``pass_rate`` where nothing was judged; ``correct`` and the other
statuses count responses, ``response_tokens`` is their mean length. ``near_duplicate``: an earlier question of the build
has the same letters and digits, and pictures that look the same."""
OF_PAIR: Mapping[str, Type] = {
    **dict.fromkeys(("method", "chosen_answer", "rejected_answer"), "text"),
    **dict.fromkeys(("chosen_comparator", "rejected_comparator"), "text"),
    **dict.fromkeys(("chosen_tokens", "rejected_tokens", "chosen_chars", "rejected_chars", "length_ratio"), "number"),
}
"""``length_ratio`` is the tokens of chosen over those of rejected; ``…_comparator`` names what decided a verdict."""
COLUMNS: Mapping[str, Type] = {**OF_QUESTION, **OF_PAIR}

_SIDE = 16
"""Pictures look the same when they have the same steps from pixel to pixel at 16 x 16."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a build stores of one question; parts that there are not are None."""

    question: Question
    rollout: Rollout | None = None
    completions: Completions | None = None
    verdicts: Verdicts | None = None
    row: PreferenceRow | None = None
    adjudications: Adjudications | None = None
    judgements: Judgements | None = None

    @property
    def standing(self) -> tuple[Verdict, ...] | None:
        """The verdicts as a model and people leave them, which pairs stand on; None for an open-ended question."""
        if self.verdicts is None:
            return None
        return standing_verdicts(self.verdicts.verdicts, self.adjudications, self.judgements)


class Looks:
    """Which questions repeat an earlier one, to the eye; remembers them on disk."""

    def __init__(self) -> None:
        self._seen = Seen()

    def repeats(self, question: Question) -> bool:
        """Whether a question that looks like this one was there before."""
        return not self._seen.add(content_id(letters_of(question), *map(_look, question.images)))


def letters_of(question: Question) -> str:
    """The letters and digits of a question's text, whatever their case."""
    return "".join(filter(str.isalnum, question.question.casefold()))


def question_columns(stored: Stored, near_duplicate: bool) -> Row:
    """The values of a question's columns."""
    question, rollout = stored.question, stored.rollout
    statuses = [verdict.status for verdict in stored.verdicts.verdicts] if stored.verdicts else []
    responses = rollout.responses if rollout else ()
    values: dict[str, Value] = {
        name: getattr(question, name) for name in ("id", "source", "kind", "question", "answer", "rule", "where")
    }
    for name in ("model", "model_revision", "template", "prompt_tokens"):
        values[name] = getattr(rollout, name) if rollout else None
    return {
        **values,
        "pass_rate": stored.verdicts.pass_rate if stored.verdicts else None,
        "responses": len(responses),
        "pairs": len(stored.row.pairs) if stored.row else 0,
        "pictures": question.question.count("<image>"),
        "response_tokens": sum(one.tokens for one in responses) / len(responses) if responses else None,
        **{status: statuses.count(status) for status in STATUSES},
        "question_chars": len(question.question),
        "near_duplicate": near_duplicate,
    }


def pair_columns(stored: Stored, pair: Pair) -> Row:
    """The values of a pair's own columns."""
    assert stored.row is not None
    chosen, rejected = stored.row.responses[pair.chosen], stored.row.responses[pair.rejected]
    verdicts = stored.standing or ()
    return {
        "method": pair.method,
        "chosen_answer": chosen.answer,
        "rejected_answer": rejected.answer,
        "chosen_comparator": verdicts[chosen.sample].comparator if verdicts else None,
        "rejected_comparator": verdicts[rejected.sample].comparator if verdicts else None,
        "chosen_tokens": chosen.tokens,
        "rejected_tokens": rejected.tokens,
        "chosen_chars": len(chosen.text),
        "rejected_chars": len(rejected.text),
        "length_ratio": chosen.tokens / max(1, rejected.tokens),
    }


def _look(picture: bytes) -> bytes:
    """A few bytes that pictures which look the same have in common (a difference hash)."""
    with Image.open(io.BytesIO(picture)) as opened:
        small = opened.convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.BOX).tobytes()
    rows = [small[start : start + _SIDE + 1] for start in range(0, len(small), _SIDE + 1)]
    return bytes(left > right for row in rows for left, right in itertools.pairwise(row))
