"""Ratios (``3:4``, ``1:\\sqrt{2}``) and ranges (``10-20``, ``10 to 20 cm``)."""

from __future__ import annotations

import re
from fractions import Fraction

from mmpr.answers.formula.tree import Tree
from mmpr.answers.text.remembered import remembered
from mmpr.answers.values.expressions import parse_expression
from mmpr.answers.values.quantities import Quantity, parse_quantity

_TO = r"\s*+(?::|：|比|\bto\b)\s*+"
_RATIO = re.compile(rf"(\d+(?:\.\d+)?){_TO}(\d+(?:\.\d+)?)(?:{_TO}(\d+(?:\.\d+)?))?")
_RANGE = re.compile(  # no number has more than 400 characters
    r"(?:from |between |[Aa]ges? |[Aa]ged )?"
    r"(\S{1,400}(?: \S{1,400})?)\s*+(?:-|to|~|and|至|到)\s*+(\S{1,400}(?: \S{1,400})?)"
)


def parse_ratio(text: str) -> tuple[str, ...] | None:
    """The parts of ``3:4`` or ``3 to 4`` without needless zeros; None when the text is no ratio of numbers."""
    found = _RATIO.fullmatch(text.strip(" ."))
    if not found:
        return None
    return tuple(
        (part.rstrip("0").rstrip(".") if "." in part else part.lstrip("0") or "0") for part in found.groups() if part
    )


def ratio_value(parts: tuple[str, ...]) -> Fraction | None:
    """The quotient of a ratio of two numbers; None for three of them and for a division by zero."""
    if len(parts) != 2 or not Fraction(parts[1]):
        return None
    return Fraction(parts[0]) / Fraction(parts[1])


def same_proportions(one: tuple[str, ...], two: tuple[str, ...]) -> bool:
    """Whether two ratios are multiples of each other: ``10:24`` of ``5:12``."""
    left, right = [[Fraction(part) for part in parts] for parts in (one, two)]
    if len(left) != len(right) or not sum(left) or not sum(right):
        return False
    return all(a * sum(right) == b * sum(left) for a, b in zip(left, right, strict=True))


def parse_ratio_of_expressions(text: str) -> list[Tree] | None:
    """The parts of ``1:\\sqrt{2}``, or of what stands behind an equals sign; None when they are no expressions."""
    parts = text.rpartition("=")[2].split(":")
    if not 2 <= len(parts) <= 3 or not set("\\√") & set(text) or "{" in text.replace("{", "", text.count("}")):
        return None
    found = [parse_expression(part.strip()) for part in parts]
    return [one.tree for one in found if one] if all(one and one.unit is None for one in found) else None


@remembered(4096)
def parse_range(text: str) -> tuple[Quantity, Quantity] | None:
    """Both ends of ``10-20``, ``10 to 20 cm`` or ``between 3 and 5``; None when the text is no range."""
    found = _RANGE.fullmatch(text)
    if not found or ("and" in text and not text.startswith("between")):
        return None
    low, high = parse_quantity(found[1]), parse_quantity(found[2])
    if low is None or high is None:
        return None
    return Quantity(low.tree, low.unit or high.unit), high
