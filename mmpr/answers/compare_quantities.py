"""When two quantities agree."""

from __future__ import annotations

from fractions import Fraction

from mmpr.answers.algebra.equality import Prove, same_scalars
from mmpr.answers.formula.tree import Tree, number_tree
from mmpr.answers.values import units
from mmpr.answers.values.quantities import Quantity, scaled_tree


def same_quantities(gold: Quantity, other: Quantity, prove: Prove, relaxed: bool = False) -> tuple[bool, str]:
    """Whether two quantities agree, and why or why not.

    ``relaxed`` allows 5 % between numbers that are no years, as charts need it.
    """
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
    is_rate = units.is_rate(left, right) or units.is_rate(right, left)  # $5 per pound against $5
    if not is_rate and not units.compatible(left, right):
        return False, "units of different kinds"
    if is_rate or units.DEGREE in (left, right):  # 25° may be 25 °C
        return _verdict(gold.tree, other.tree, prove, relaxed, False)
    return _verdict(_based(gold), _based(other), prove, relaxed, False)


def _same_percent(gold: Quantity, other: Quantity, prove: Prove, relaxed: bool) -> tuple[bool, str]:
    """Compare where one side has a per cent sign: 50 % is 0.5, and 50 stands for 50 %.

    50 % does not stand for 50, of which it is a hundredth, except under the relaxed rule.
    """
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
