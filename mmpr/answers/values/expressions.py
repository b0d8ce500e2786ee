"""Formulas with a unit behind them or without: ``2\\sqrt{3} cm``, ``x = 50°``."""

from __future__ import annotations

import re

from mmpr.answers.formula.names import named_value
from mmpr.answers.formula.parser import parse_formula
from mmpr.answers.formula.tree import FormulaError, Tree
from mmpr.answers.formula.worded import looks_like_formula
from mmpr.answers.text.remembered import remembered
from mmpr.answers.values import units
from mmpr.answers.values.quantities import Quantity, parse_quantity
from mmpr.answers.values.units import Unit

_ANGLE_INSIDE = re.compile(r"\\?(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_LETTER = re.compile(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])|[(,=]")
_MANY = frozenset(("set", "seq", "tuple", "list", "alt", "interval", "cup", "cap", "minus", "matrix", "rel", "pm"))
"""What is made of several values."""
_CLOSE_UNIT = re.compile(r"(?<=[}\d)])(?=[a-z]{2}(?:\^\{?[23]\}?)?$)")  # 2\\sqrt{3}cm


@remembered(4096)
def parse_expression(text: str) -> Quantity | None:
    """A formula (relations and sets included) with a unit behind it or without; None for any other text."""
    unit: Unit | None = None
    head = text
    if _ANGLE_INSIDE.search(text) or ", " in text:
        pass
    elif text[0] in units.CURRENCY_SIGNS and text[1:2] == "\\":
        unit, head = units.parse_unit(units.CURRENCY_SIGNS[text[0]]), text[1:]
    elif text.endswith("%"):
        unit, head = units.PERCENT, text[:-1]
    elif text.endswith("°"):
        unit, head = units.DEGREE, text[:-1]
    else:
        words = _CLOSE_UNIT.sub(" ", text).split(" ")
        for count in range(min(3, len(words) - 1), 0, -1):
            tail = " ".join(words[-count:])
            if len(tail) > 1 or tail in "°%" or (tail in "mgsLNJWVA" and not _LETTER.search(" ".join(words[:-1]))):
                unit = units.parse_unit(tail)
                if unit:
                    head = " ".join(words[:-count])
                    break
    if head.endswith(("\\", "^", "_")):
        return None
    tree = _tree(head)
    if tree is not None and (head == text or named_value(tree) is not None):
        return Quantity(tree, unit)
    whole = _tree(text) if head != text else None
    return Quantity(whole) if whole is not None else None


def _tree(text: str) -> Tree | None:
    try:
        return parse_formula(text)
    except FormulaError:
        return None


@remembered(4096)
def expression_in_signs(text: str) -> Quantity | None:
    """The expression of a text that has the signs of a formula; None for any other text."""
    return parse_expression(text) if looks_like_formula(text) else None


def valued(quantity: Quantity) -> Quantity:
    """``x = 7`` and ``3 + 4 = 7`` as 7; anything else as it is."""
    if quantity.tree[0] != "rel":
        return quantity
    value = named_value(quantity.tree)
    return quantity if value is None else Quantity(value, quantity.unit)


def is_one_value(answer: str) -> bool:
    """Whether an answer is a single quantity, expression or equation, whose parts are no answers themselves."""
    if parse_quantity(answer) is not None:
        return True
    formula = expression_in_signs(answer)
    if formula is None:
        return False
    return set(formula.tree[1]) == {"="} if formula.tree[0] == "rel" else formula.tree[0] not in _MANY
