"""Amounts: a value with its unit or counted thing, and when two of them agree."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from mmpr.answers.algebra.equality import Prove, same_scalars
from mmpr.answers.formula.tree import Tree
from mmpr.answers.values import units
from mmpr.answers.values.units import Unit


@dataclass(frozen=True, slots=True)
class Amount:
    """A value with its unit or noun; ``loose`` when it was only said to be about so much; ``year`` when it may be
    one."""

    tree: Tree
    unit: Unit | None = None
    noun: tuple[str, ...] = ()
    loose: bool = False
    year: bool = False

    @property
    def number(self) -> Fraction | None:
        """The exact rational value, None for an expression."""
        return Fraction(self.tree[1], self.tree[2]) if self.tree[0] in ("num", "dec") else None


def number_tree(value: Fraction, text: str = "") -> Tree:
    """The tree of a number; a decimal keeps how many digits it showed."""
    if "." in text and "e" not in text.lower() and not text.rstrip(". ").endswith("}"):
        digits = re.sub(r"\D", "", text)
        part = len(text) - text.rindex(".") - 1
        if 10**part % value.denominator == 0:
            return ("dec", int(value * 10**part), 10**part, len(digits.lstrip("0")))
    return ("num", value.numerator, value.denominator)


def same_amounts(gold: Amount, other: Amount, prove: Prove, relaxed: bool = False) -> tuple[bool, str]:
    """Whether two amounts agree, and why (not)."""
    if other.loose and not gold.loose and not relaxed:
        return False, "only about so much"
    if gold.noun and other.noun and not _same_nouns(gold.noun, other.noun):
        return False, f"of {' '.join(gold.noun)}, not of {' '.join(other.noun)}"
    left, right = gold.unit, other.unit
    if (left and other.noun) or (right and gold.noun):
        return False, "a unit against a counted thing"
    if units.PERCENT in (left, right) and left != right:
        return _same_percent(gold, other, prove, relaxed)
    if left is None or right is None or left == right:
        if (left or right) == units.DEGREE and left != right and _contains_pi(other.tree if left else gold.tree):
            return _verdict(_scaled(gold), _scaled(other), prove, relaxed, gold.year)
        return _verdict(gold.tree, other.tree, prove, relaxed, gold.year)
    if {left, right} == {units.DEGREE, units.RADIAN}:
        return _verdict(_scaled(gold), _scaled(other), prove, relaxed, False)
    if units.is_rate(left, right) or units.is_rate(right, left):  # $5 per pound against $5
        return _verdict(gold.tree, other.tree, prove, relaxed, False)
    if not units.compatible(left, right):
        return False, "units of different kinds"
    if units.DEGREE in (left, right):
        return _verdict(gold.tree, other.tree, prove, relaxed, False)
    return _verdict(_based(gold), _based(other), prove, relaxed, False)


def _same_percent(gold: Amount, other: Amount, prove: Prove, relaxed: bool) -> tuple[bool, str]:
    """Percent on one side: 50 % is 0.5; the sign may be missing in the answer, but the answer may not add it to a bare
    number (that would be a hundredth) except under the relaxed rule."""
    if gold.unit is not None and other.unit is not None:
        return False, "units of different kinds"
    hundredths = _verdict(_scaled(gold), _scaled(other), prove, relaxed, False)
    if hundredths[0]:
        return hundredths
    if gold.unit == units.PERCENT or relaxed:
        return _verdict(gold.tree, other.tree, prove, relaxed, False)
    return False, "a percentage of a bare number"


def _verdict(gold: Tree, other: Tree, prove: Prove, relaxed: bool, year: bool) -> tuple[bool, str]:
    if gold[0] in ("num", "dec") and other[0] in ("num", "dec"):
        left, right = Fraction(gold[1], gold[2]), Fraction(other[1], other[2])
        if left == right:
            return True, "equal"
        if relaxed and not year and left and abs(left - right) * 20 <= abs(left):
            return True, "within 5 %"
        return False, "different numbers"
    equal = same_scalars(gold, other, prove)
    return equal, "equal expressions" if equal else "different values"


def _scaled(amount: Amount) -> Tree:
    """Percent as hundredths, degrees as radians."""
    if amount.unit == units.PERCENT:
        return scaled_tree(amount.tree, Fraction(1, 100))
    return ("deg", amount.tree) if amount.unit == units.DEGREE else amount.tree


def _based(amount: Amount) -> Tree:
    """The value in base units."""
    assert amount.unit is not None
    tree = scaled_tree(amount.tree, amount.unit.factor)
    zero = amount.unit.zero
    return ("add", tree, ("num", zero.numerator, zero.denominator)) if zero else tree


def scaled_tree(tree: Tree, factor: Fraction) -> Tree:
    """A value times an exact factor."""
    if tree[0] in ("num", "dec"):
        value = Fraction(tree[1], tree[2]) * factor
        return ("num", value.numerator, value.denominator)
    return ("mul", tree, ("num", factor.numerator, factor.denominator))


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
