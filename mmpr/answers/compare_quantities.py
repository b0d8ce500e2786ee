"""When two quantities agree."""

from __future__ import annotations

import math
from fractions import Fraction

from mmpr.answers.algebra import sampling
from mmpr.answers.algebra.equality import Prove, same_scalars
from mmpr.answers.formula.names import variables
from mmpr.answers.formula.tree import Tree, number_tree
from mmpr.answers.values import units
from mmpr.answers.values.quantities import Quantity, scaled_tree

_ROUNDED = Fraction(1, 100)  # of the value: 33 % is 33.3 % rounded, 0.3 is not


def same_quantities(gold: Quantity, other: Quantity, prove: Prove, relaxed: bool = False) -> tuple[bool | None, str]:
    """Whether two quantities agree, and why or why not; None where only the question could tell.

    That is so for the truth rounded, "about" it, or as a count of another thing. ``relaxed`` allows 5 % between
    numbers that are no years, as charts need it.
    """
    if not relaxed and other.loose and not gold.loose:
        return _doubted(_agree(gold, other, prove, True), "only about so much")
    if gold.noun and other.noun and not _same_nouns(gold.noun, other.noun):
        nouns = f"of {' '.join(gold.noun)}, not of {' '.join(other.noun)}"
        return _doubted(_agree(gold, other, prove, relaxed), nouns)
    return _agree(gold, other, prove, relaxed)


def _doubted(agreement: tuple[bool | None, str], doubt: str) -> tuple[bool | None, str]:
    """An agreement with something that speaks against it is none, and no difference either."""
    return (False, agreement[1]) if agreement[0] is False else (None, doubt)


def _agree(gold: Quantity, other: Quantity, prove: Prove, relaxed: bool) -> tuple[bool | None, str]:
    left, right = gold.unit, other.unit
    if (left and other.noun) or (right and gold.noun):
        return _doubted(_verdict(gold.tree, other.tree, prove, relaxed, False), "a unit against a counted thing")
    if units.PERCENT in (left, right) and left != right and units.PERCENT_POINT not in (left, right):
        return _same_percent(gold, other, prove, relaxed)
    if left is None or right is None or left == right:
        if (left or right) == units.DEGREE and left != right and _contains_pi(other.tree if left else gold.tree):
            return _verdict(_scaled(gold), _scaled(other), prove, relaxed, gold.year)
        return _verdict(gold.tree, other.tree, prove, relaxed, gold.year)
    if {left, right} == {units.DEGREE, units.RADIAN}:
        return _verdict(_scaled(gold), _scaled(other), prove, relaxed, False)
    if {left, right} == {units.PERCENT, units.PERCENT_POINT}:
        return _doubted(_verdict(gold.tree, other.tree, prove, relaxed, False), "per cent against percentage points")
    is_rate = units.is_rate(left, right) or units.is_rate(right, left)  # $5 per pound against $5
    if not is_rate and not units.compatible(left, right):
        return False, "units of different kinds"
    if is_rate or units.same_name(left, right):
        return _verdict(gold.tree, other.tree, prove, relaxed, False)
    return _verdict(_based(gold), _based(other), prove, relaxed, False)


def _same_percent(gold: Quantity, other: Quantity, prove: Prove, relaxed: bool) -> tuple[bool | None, str]:
    """Compare where one side has a per cent sign: 50 % is 0.5, and 50 stands for 50 %.

    Whether 50 % stands for 50, of which it is a hundredth, is known under the relaxed rule only.
    """
    if gold.unit is not None and other.unit is not None:
        return False, "units of different kinds"
    hundredths = _verdict(_scaled(gold), _scaled(other), prove, relaxed, False)
    if hundredths[0]:
        return hundredths
    plain = _verdict(gold.tree, other.tree, prove, relaxed, False)
    if gold.unit == units.PERCENT or relaxed:
        return plain if hundredths[0] is False else hundredths
    return _doubted(plain, "a percentage of a bare number") if hundredths[0] is False else hundredths


def _verdict(gold: Tree, other: Tree, prove: Prove, relaxed: bool, year: bool) -> tuple[bool | None, str]:
    if gold[0] in ("num", "dec") and other[0] in ("num", "dec"):
        if gold[1] * other[2] == other[1] * gold[2]:
            return True, "equal"
        if relaxed and not year and gold[1]:
            left, right = Fraction(gold[1], gold[2]), Fraction(other[1], other[2])
            if abs(left - right) * 20 <= abs(left):
                return True, "within 5 %"
        return (None, "equal when rounded") if rounds(gold, other) else (False, "different numbers")
    if same_scalars(gold, other, prove):
        return True, "equal expressions"
    return (None, "equal when rounded") if rounds(gold, other) else (False, "different values")


def rounds(gold: Tree, other: Tree) -> bool:
    """Whether one value is a decimal or an integer to which the other rounds, or at whose digits it was cut off."""
    if gold[0] in ("num", "dec") and other[0] in ("num", "dec"):
        left, right = gold[1] * other[2], other[1] * gold[2]
        if abs(left - right) * _ROUNDED.denominator > max(abs(left), abs(right)) * _ROUNDED.numerator:
            return False
    for shown, exact in ((gold, other), (other, gold)):
        if shown[0] not in ("num", "dec") or (shown[0] == "num" and shown[2] != 1):
            continue
        step, number = Fraction(1, shown[2]), Fraction(shown[1], shown[2])
        value = _value(exact)
        if value is None:
            continue
        off = abs(value - number)
        cut_off = shown[0] == "dec" and abs(number) < abs(value) and off < step
        if off <= abs(value) * _ROUNDED and (2 * off <= step or cut_off):
            return True
    return False


def _value(tree: Tree) -> Fraction | None:
    """The number that a tree is, as near as a float for one that is not rational; None when it is no real number."""
    if tree[0] in ("num", "dec"):
        return Fraction(tree[1], tree[2])
    real = None if variables(tree) else sampling.real(tree)
    return Fraction(real) if real is not None and math.isfinite(real) else None


def _scaled(amount: Quantity) -> Tree:
    """The value with percent as hundredths and degrees as radians."""
    if amount.unit == units.PERCENT:
        return scaled_tree(amount.tree, Fraction(1, 100))
    return ("deg", amount.tree) if amount.unit == units.DEGREE else amount.tree


def _based(amount: Quantity) -> Tree:
    """The value in base units."""
    assert amount.unit is not None
    tree = scaled_tree(amount.tree, amount.unit.factor)
    zero = amount.unit.zero
    return ("add", tree, number_tree(zero)) if zero else tree


def _contains_pi(tree: Tree) -> bool:
    return tree == ("sym", "pi") or any(isinstance(part, tuple) and _contains_pi(part) for part in tree)


def _same_nouns(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    one, two = set(map(_stem, left)) - {"个"}, set(map(_stem, right)) - {"个"}
    return one <= two or two <= one


def _stem(word: str) -> str:
    word = word.lower()
    for ending, kept in (("people", "person"), ("children", "child"), ("ies", "y")):
        if word.endswith(ending) and len(word) > len(ending):
            return word[: -len(ending)] + kept
    return {"people": "person", "men": "man", "women": "woman", "children": "child"}.get(
        word, word.rstrip("s") if len(word) > 3 else word
    )
