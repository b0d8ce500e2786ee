"""Compare an answer with the truth."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from mmpr.answers.extract import extract
from mmpr.schema import Verdict

_NUMBER = re.compile(r"[-+]?\$?(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?\$?")
_LETTER = re.compile(r"(?:option |choice )?\(?([A-Za-z])\)?[.:)]?(?:\s+(.*))?", re.IGNORECASE)
_YES = {"yes": True, "true": True, "no": False, "false": False, "是": True, "否": False}


def match(prediction: str, gold: str, *, choices: Sequence[str] | None = None, rule: str = "default") -> Verdict:
    """Judge an answer against the truth."""
    if not prediction or not prediction.strip():
        return Verdict("unparseable", None, "none", "no answer")
    prediction = extract(prediction) or prediction
    pred, truth = _plain(prediction), _plain(gold)
    if choices or re.fullmatch(r"\(?[A-Z]\)?", gold.strip()):
        options = [_plain(choice) for choice in choices or ()]
        want = options.index(truth) if truth in options else _index(truth)
        have = options.index(pred) if pred in options else _index(pred)
        return _say(want is not None and want == have, prediction, "multiple_choice")
    if truth in _YES:
        return _say(_YES.get(pred.split(" ")[0].rstrip(",")) is _YES[truth], prediction, "yes_no")
    left, right = _value(pred), _value(truth)
    if right is not None:
        return _say(left == right, prediction, "number")
    return _say(pred == truth, prediction, "text")


def match_many(rows: Iterable[Mapping[str, Any]]) -> list[Verdict]:
    """Judge many rows."""
    return [
        match(row["pred"], row["gold"], choices=row.get("choices"), rule=row.get("rule") or "default") for row in rows
    ]


def entails(rejected: str, chosen: str, *, choices: Sequence[str] | None = None) -> bool:
    """Whether a chosen answer is contained in a rejected one, compared as answers."""
    if match(rejected, chosen, choices=choices).status == "correct":
        return True
    have = re.findall(r"\d+(?:\.\d+)?|\w+", _plain(rejected))
    want = re.findall(r"\d+(?:\.\d+)?|\w+", _plain(chosen))
    return bool(want) and any(have[i : i + len(want)] == want for i in range(len(have)))


def _plain(text: str) -> str:
    text = re.sub(r"\s+", " ", text).strip().strip("*`\"'").rstrip(".").strip().casefold()
    return re.sub(r"^(?:it is|this is|the|an|a) (?=\S)", "", text)


def _index(text: str) -> int | None:
    found = _LETTER.fullmatch(text)
    return ord(found.group(1).upper()) - ord("A") if found else None


def _value(text: str) -> Fraction | None:
    found = _NUMBER.fullmatch(text)
    return Fraction(re.sub(r"[,$]", "", text)) if found else None


def _say(right: bool, answer: str, comparator: str) -> Verdict:
    return Verdict("correct" if right else "incorrect", answer, comparator, "equal" if right else "not equal")
