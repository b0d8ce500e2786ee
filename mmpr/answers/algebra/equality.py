"""Equality of two formulas: scalars, tuples, sets, lists, intervals, inequalities, equations and matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from mmpr.answers.algebra import sampling
from mmpr.answers.algebra.intervals import is_region, only_variable, region
from mmpr.answers.algebra.matrices import contains_matrix, rows_of
from mmpr.answers.algebra.normal_form import equal_forms, is_complete, normal
from mmpr.answers.algebra.polynomials import ONE, Atom, Poly, TooLargeError, UndefinedError, poly_times
from mmpr.answers.algebra.quotients import constant
from mmpr.answers.formula.names import base_name, is_equation, may_be_same_name, name_and_value, variables
from mmpr.answers.formula.tree import FLIPPED, MINUS_ONE, Tree, difference

Prove = Callable[[Tree, Tree], bool]
"""Whether two expressions that agree at the sampled points are equal; may raise errors of its own."""

_ROWS = frozenset(("list", "interval"))
_SYMMETRIC = frozenset(("similar", "congruent", "parallel", "perp"))
_MOST_FACTORS = 64
_EXACT_DIGITS = 10  # a decimal that shows this many digits of an irrational or periodic value stands for it


def same(gold: Tree, other: Tree, prove: Prove) -> bool:
    """Whether two formulas say the same; a name in front (``x =``, ``x ∈``) counts only when both have one.

    May raise what ``prove`` raises.
    """
    if gold == other:
        return True
    gold_name, gold_value = name_and_value(gold)
    other_name, other_value = name_and_value(other)
    renamed = base_name(gold_name) != base_name(other_name) and not any(
        name and name[0] == "call" for name in (gold_name, other_name)
    )
    if is_equation(gold_value) or is_equation(other_value) or (renamed and is_equation(gold) and is_equation(other)):
        return _same_equations(gold, other, prove)
    if gold_name and other_name and not may_be_same_name(gold_name, other_name):
        return False
    if (
        other_value[0] == "alt" and not is_region(other_value) and (gold[0] == "alt" or _has_sign(gold_value))
    ):  # the truth itself says "or", or "±"
        other_value = ("set", *other_value[1:])
    return _same_values(_expanded(gold_value), _expanded(other_value), prove)


def same_scalars(gold: Tree, other: Tree, prove: Prove) -> bool:
    """Whether two expressions are equal: by normal form, else by sampled points, which can only reject, else by
    ``prove``."""
    if gold == other:
        return True
    if sampling.infinity(gold) or sampling.infinity(other):
        return sampling.infinity(gold) == sampling.infinity(other)
    if gold[0] == "sym" and other[0] == "sym":
        return False
    try:
        left, right = normal(gold), normal(other)
        if equal_forms(left, right):
            return True
        if gold[0] == "dec" or other[0] == "dec":
            return _same_decimal(gold, other)
        if is_complete(left) and is_complete(right):
            return False
    except UndefinedError:
        return False
    except TooLargeError:
        pass
    constants = not variables(gold) and not variables(other)
    if sampling.differ(gold, other, constants) is not False:
        return False
    return prove(gold, other)


def _same_decimal(gold: Tree, other: Tree) -> bool:
    """Whether one is a long decimal to which the other's exact value rounds."""
    decimal, exact = (gold, other) if gold[0] == "dec" else (other, gold)
    if exact[0] == "dec" or decimal[3] < _EXACT_DIGITS:
        return False
    number = sampling.real(exact)
    return number is not None and abs(number - decimal[1] / decimal[2]) <= 1.0001 / decimal[2]


def _same_values(gold: Tree, other: Tree, prove: Prove) -> bool:
    kinds = {gold[0], other[0]}
    if contains_matrix(gold) or contains_matrix(other):
        return _same_matrices(gold, other, prove)
    if "assign" in kinds:
        return _same_assignments(gold, other, prove)
    if is_region(gold) or is_region(other):
        return _same_regions(gold, other, prove)
    if kinds & {"rel"} or _relations(gold) or _relations(other):
        return _same_relations(gold, other, prove)
    if kinds <= {"set", "seq", "alt", "list"} and kinds != {"list"}:
        if "list" not in kinds and (other[0] != "alt" or gold[0] == "alt"):
            points_only = all(item[0] == "tuple" for item in (*gold[1:], *other[1:]))
            return _same_unordered(gold[1:], other[1:], prove, unique="set" in kinds or points_only)
        return "list" in kinds and kinds != {"list", "alt"} and _same_ordered(gold[1:], other[1:], prove)
    if kinds in ({"tuple"}, {"list"}):
        return _same_ordered(gold[1:], other[1:], prove)
    for one, two in ((gold, other), (other, gold)):
        if one[0] == "set" and len(one) == 2 and two[0] not in ("tuple", "list", "seq", "alt", "set"):
            return same_scalars(one[1], two, prove)
    for product, items in ((gold, other), (other, gold)):
        if items[0] in ("seq", "set") and (factors := _factors(product)) is not None:
            return _same_unordered(factors, items[1:], prove, unique=False)
    if kinds & {"tuple", "list", "set", "seq", "alt"}:
        return False
    return same_scalars(gold, other, prove)


def _factors(tree: Tree) -> list[Tree] | None:
    """The factors of ``2^2 * 3`` or ``x(x - 5)``, each as often as it occurs; None for what asks for no factors.

    ``2x`` and ``3\\sqrt{2}`` are terms: a product of factors has integers only, or a sum among them.
    """
    found: list[Tree] = []
    for part in tree[1:] if tree[0] == "mul" else ():
        times = part[2][1] if part[0] == "pow" and part[2][0] == "num" and part[2][2] == 1 else 1
        if not 0 < times <= _MOST_FACTORS - len(found):
            return None
        found += [part[1] if times > 1 else part] * times
    integers = all(part[0] == "num" and part[2] == 1 for part in found)
    return found if len(found) > 1 and (integers or any(part[0] == "add" for part in found)) else None


def _same_assignments(gold: Tree, other: Tree, prove: Prove) -> bool:
    """``x = 1, y = 2`` against the same in any order, a tuple in the order of the names, or a list as written."""
    written = [[pair[2] for pair in tree[1:]] if tree[0] == "assign" else list(tree[1:]) for tree in (gold, other)]
    by_name = [
        [pair[2] for pair in sorted(tree[1:], key=lambda pair: pair[1])] if tree[0] == "assign" else list(tree[1:])
        for tree in (gold, other)
    ]
    if gold[0] == other[0]:
        return sorted(pair[1] for pair in gold[1:]) == sorted(pair[1] for pair in other[1:]) and _same_ordered(
            by_name[0], by_name[1], prove
        )
    plain = other[0] if gold[0] == "assign" else gold[0]
    if plain == "tuple":
        return _same_ordered(by_name[0], by_name[1], prove)
    return plain == "seq" and _same_ordered(written[0], written[1], prove)


def _same_ordered(gold: Sequence[Tree], other: Sequence[Tree], prove: Prove) -> bool:
    return len(gold) == len(other) and all(same(a, b, prove) for a, b in zip(gold, other, strict=True))


def _same_unordered(gold: Sequence[Tree], other: Sequence[Tree], prove: Prove, unique: bool) -> bool:
    if unique:
        gold, other = _distinct(gold, prove), _distinct(other, prove)
    if len(gold) != len(other):
        return False
    left = list(other)
    for item in gold:
        for at, candidate in enumerate(left):
            if same(item, candidate, prove):
                del left[at]
                break
        else:
            return False
    return True


def _distinct(items: Sequence[Tree], prove: Prove) -> list[Tree]:
    kept: list[Tree] = []
    for item in items:
        if not any(same(item, known, prove) for known in kept):
            kept.append(item)
    return kept


def _same_equations(gold: Tree, other: Tree, prove: Prove) -> bool:
    """Two equations have the same zero set when their differences are proportional."""
    if not (is_equation(gold) and is_equation(other)):
        return False
    if not may_be_same_name(gold[2][0], other[2][0]) and gold[2][0][0] == "call":
        return False
    try:
        one, two = (normal(difference(tree[2][0], tree[2][1])) for tree in (gold, other))
    except (TooLargeError, UndefinedError):
        return all(same(a, b, prove) for a, b in zip(gold[2], other[2], strict=True))
    left, right = _cleared(one[0]), _cleared(two[0])
    if not left or not right:
        return not left and not right
    return _proportion(left, right) is not None


def _proportion(left: Poly, right: Poly) -> Fraction | None:
    """The number that the left polynomial, which is not 0, must be multiplied by to be the right one; None if none."""
    lead = min(left, key=repr)
    if lead not in right:
        return None
    factor = right[lead] / left[lead]
    return factor if {key: number * factor for key, number in left.items()} == right else None


def _cleared(poly: Poly) -> Poly:
    """A polynomial multiplied by symbols until none has a negative power: y - 1/x becomes xy - 1."""
    lowest: dict[Atom, Fraction] = {}
    for monomial in poly:
        for atom, exponent in monomial:
            if atom[0] == "sym" and exponent < lowest.get(atom, Fraction(0)):
                lowest[atom] = exponent
    for atom, exponent in lowest.items():
        poly = poly_times(poly, {((atom, -exponent),): Fraction(1)})
    return poly


def _expanded(tree: Tree) -> Tree:
    """``1 ± √2`` as the set of its two values, within sets and lists too."""
    if tree[0] in ("set", "seq", "alt"):
        items = [item for part in tree[1:] for item in (_signs(part) if _has_sign(part) else [part])]
        kind = "set" if len(items) > len(tree) - 1 and tree[0] != "set" else tree[0]
        if len(items) == 1 and items[0][0] == "seq":
            return items[0]
        return (kind, *items)
    if tree[0] not in ("rel", "tuple", "list", "interval", "matrix") and _has_sign(tree):
        return ("set", *_signs(tree))
    return tree


def _has_sign(tree: Tree) -> bool:
    if tree[0] in ("pm", "mp"):
        return True
    return any(type(part) is tuple and part and type(part[0]) is str and _has_sign(part) for part in tree[1:])


def _signs(tree: Tree) -> list[Tree]:
    return [_with_sign(tree, 1), _with_sign(tree, -1)]


def _with_sign(tree: Tree, sign: int) -> Tree:
    if tree[0] in ("pm", "mp"):
        positive = (sign > 0) == (tree[0] == "pm")
        left, right = _with_sign(tree[1], sign), _with_sign(tree[2], sign)
        return ("add", left, right if positive else ("mul", MINUS_ONE, right))
    return (
        tree[0],
        *(
            _with_sign(part, sign) if isinstance(part, tuple) and part and isinstance(part[0], str) else part
            for part in tree[1:]
        ),
    )


def _relations(tree: Tree) -> bool:
    return tree[0] in ("seq", "alt") and all(part[0] == "rel" for part in tree[1:])


def _same_regions(gold: Tree, other: Tree, prove: Prove) -> bool:
    one, two = region(gold), region(other)
    if one is None or two is None:
        if gold[0] == other[0] == "interval":
            return (gold[1], gold[4]) == (other[1], other[4]) and _same_ordered(gold[2:4], other[2:4], prove)
        if gold[0] == other[0] and gold[0] in ("cup", "cap"):
            return _same_unordered(_operands(gold), _operands(other), prove, unique=True)
        if gold[0] == other[0] == "minus":
            return _same_ordered(gold[1:], other[1:], prove)
        return gold[0] == other[0] == "rel" and _same_relations(gold, other, prove)
    names = [only_variable(tree) for tree in (gold, other)]
    if all(names) and names[0] != names[1]:
        return False
    return len(one) == len(two) and all(
        (a.low_closed, a.high_closed) == (b.low_closed, b.high_closed)
        and same_scalars(a.low, b.low, prove)
        and same_scalars(a.high, b.high, prove)
        for a, b in zip(one, two, strict=True)
    )


def _operands(tree: Tree) -> list[Tree]:
    """The sets that a chain of one operator joins."""
    return [item for part in tree[1:] for item in (_operands(part) if part[0] == tree[0] else [part])]


def _same_relations(gold: Tree, other: Tree, prove: Prove) -> bool:
    """Inequalities in several variables, chains of them, and lists of relations."""
    if gold[0] in ("seq", "alt") and other[0] == gold[0]:
        return _same_unordered(gold[1:], other[1:], prove, unique=False)
    if gold[0] != "rel" or other[0] != "rel" or len(gold[1]) != len(other[1]):
        return False
    one, two = _oriented(gold), _oriented(other)
    if one[1] != two[1]:
        return False
    if _same_ordered(one[2], two[2], prove):
        return True
    if len(one[1]) == 1 and one[1][0] in _SYMMETRIC and _same_ordered(one[2], two[2][::-1], prove):
        return True
    if len(one[1]) > 1 or one[1][0] not in ("<", "<=", "!="):
        return False
    return _same_halfspaces(one, two)


def _oriented(tree: Tree) -> Tree:
    if tree[1][0] in (">", ">=", "superset", "superseteq"):
        return (
            "rel",
            tuple(FLIPPED.get(operator, operator) for operator in reversed(tree[1])),
            tuple(reversed(tree[2])),
        )
    return tree


def _same_halfspaces(one: Tree, two: Tree) -> bool:
    """Whether two linear inequalities have the same solutions: their differences are proportional."""
    try:
        left, right = (normal(difference(*tree[2])) for tree in (one, two))
    except (TooLargeError, UndefinedError):
        return False
    if constant((left[1], ONE)) is None or constant((right[1], ONE)) is None or not left[0]:
        return False
    factor = _proportion(left[0], right[0])
    return factor is not None and (one[1][0] == "!=" or factor * left[1][()] / right[1][()] > 0)


def _written_matrix(tree: Tree) -> Tree:
    """A matrix that is written as a list of lists, [[1, 2], [3, 4]]; a list of two reads as a closed interval."""
    if tree[0] == "interval" and tree[1] + tree[4] == "[]":
        tree = ("list", *tree[2:4])
    if tree[0] != "list":
        return tree
    rows = [("row", *(row[2:4] if row[0] == "interval" else row[1:])) for row in tree[1:] if row[0] in _ROWS]
    return ("matrix", *rows) if len(rows) == len(tree) - 1 else tree


def _same_matrices(gold: Tree, other: Tree, prove: Prove) -> bool:
    one, two = rows_of(_written_matrix(gold)), rows_of(_written_matrix(other))
    if not isinstance(one, list) or not isinstance(two, list):
        return False
    return [len(row) for row in one] == [len(row) for row in two] and all(
        same_scalars(a, b, prove)
        for left, right in zip(one, two, strict=True)
        for a, b in zip(left, right, strict=True)
    )
