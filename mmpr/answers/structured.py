"""Answers that are boxes, points, counts and JSON objects: each rule reads both sides and compares what it read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from mmpr.answers.judgement import Judgement
from mmpr.answers.text.numerals import parse_number
from mmpr.answers.text.wrapping import peel
from mmpr.answers.values.quantities_in_sentences import quantity_said

IOU_THRESHOLD = 0.5

Judge = Callable[[str, str], Judgement]
"""Called as (answer, truth) for a field that is plain text."""

_NAME = re.compile(r"[A-Za-z_]\w*+")
_NUMBER = re.compile(r"[-+]?\d++(?:\.\d++)?|[-+]?\.\d++")
_FENCE = re.compile(r"^```(?:json)?\s*+|```$", re.IGNORECASE)


def _numbers(text: str, many: int) -> tuple[float, ...] | None:
    """The numbers of ``[10, 20]``, ``x="10" y="20"`` or ``{"bbox_2d": [..]}`` when there are just so many."""
    found = _NUMBER.findall(_NAME.sub(" ", text))
    return tuple(map(float, found)) if len(found) == many and max(map(len, found)) < 16 else None


def _box(text: str) -> tuple[float, float, float, float] | None:
    """Left, top, right and bottom of the only box in a text."""
    found = _numbers(text, 4)
    if found is None:
        return None
    left, top, right, bottom = found
    return (left, top, right, bottom) if left < right and top < bottom else None


def _same_scale(one: Iterable[float], two: Iterable[float]) -> bool:
    """Whether both are pixels, or both shares of the picture's size."""
    return (max(one) <= 1) == (max(two) <= 1)


def _iou(answer: str, truth: str, _: Judge) -> Judgement:
    """Whether the boxes' intersection over their union is at least 0.5."""
    gold, box = _box(truth), _box(answer)
    if gold is None:
        raise ValueError("the truth is no box: left, top, right, bottom")
    if box is None or not _same_scale(gold, box):
        return Judgement(None, "iou", "no single box, or one in another scale")
    width = min(gold[2], box[2]) - max(gold[0], box[0])
    height = min(gold[3], box[3]) - max(gold[1], box[1])
    common = max(0.0, width) * max(0.0, height)
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (gold, box)]
    share = common / (sum(areas) - common)
    return Judgement(share >= IOU_THRESHOLD, "iou", f"intersection over union {share:.2f}")


def _point_in_box(answer: str, truth: str, _: Judge) -> Judgement:
    """Whether the point lies in the true box, its edge included."""
    gold, point = _box(truth), _numbers(answer, 2)
    if gold is None:
        raise ValueError("the truth is no box: left, top, right, bottom")
    if point is None or not _same_scale(gold, point):
        return Judgement(None, "point_in_box", "no single point, or one in another scale")
    right = gold[0] <= point[0] <= gold[2] and gold[1] <= point[1] <= gold[3]
    return Judgement(right, "point_in_box", f"{'in' if right else 'outside of'} the box")


def _count(answer: str, truth: str, _: Judge) -> Judgement:
    """Whether the number is the true one, whatever is counted."""
    gold = parse_number(truth)
    if gold is None:
        raise ValueError("the truth is no number")
    if re.fullmatch(r"(?:there (?:are|is) )?(?:no|none)(?: [a-z ]{1,40})?", answer.casefold().rstrip(".")):
        return Judgement(gold == 0, "count", f"0 against {gold}")
    said = quantity_said(peel(answer), truth)
    if said is None or isinstance(said, str) or said.number is None:
        return Judgement(None, "count", said if isinstance(said, str) else "no single number in it")
    right = said.number == gold
    return Judgement(None if right and said.loose else right, "count", f"{said.number} against {gold}")


def _json(answer: str, truth: str, judge: Judge) -> Judgement:
    """Whether both have the same fields, each judged as an answer; lists in order. More fields leave it in doubt."""
    gold = json.loads(truth)
    try:
        have = json.loads(_FENCE.sub("", answer.strip()).strip())
    except (ValueError, RecursionError):
        return Judgement(None, "json", "no JSON that could be read")
    right, reason = _same_fields(have, gold, judge, "the object")
    return Judgement(right, "json", reason)


def _same_fields(have: Any, gold: Any, judge: Judge, where: str) -> tuple[bool | None, str]:
    if isinstance(gold, (dict, list)) and type(have) is not type(gold):
        return None, f"{where} is of another kind"
    if isinstance(gold, (dict, list)):
        keys = list(gold) if isinstance(gold, dict) else list(range(len(gold)))
        if isinstance(gold, list) and len(have) != len(gold):
            return False, f"{where} has {len(have)} items against {len(gold)}"
        missing = [key for key in keys if isinstance(gold, dict) and key not in have]
        if missing:
            return False, f"{missing[0]!r} is missing"
        found = [_same_fields(have[key], gold[key], judge, repr(key)) for key in keys]
        doubt: tuple[bool | None, str] | None = (None, "more fields than the truth") if len(have) > len(keys) else None
        wrong = next((one for one in found if one[0] is False), None)
        return wrong or next((one for one in found if one[0] is None), None) or doubt or (True, "the same fields")
    if isinstance(have, (dict, list)):
        return None, f"{where} is of another kind"
    if None in (have, gold) or isinstance(gold, bool) or isinstance(have, bool):
        return have is gold, f"{where}: {have} against {gold}"
    right, _, reason = judge(str(have), str(gold))
    return right, f"{where}: {reason}"


STRUCTURED: dict[str, Callable[[str, str, Judge], Judgement]] = {
    "iou": _iou,
    "point_in_box": _point_in_box,
    "count": _count,
    "json": _json,
}
"""The rules for such answers. Each raises ValueError for a truth that is none."""
