"""Equality of two formulas: scalars, tuples, sets, lists, intervals, inequalities, equations and matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cmp_to_key

from mmpr.answers import algebra, points
from mmpr.answers.formula import Tree

Prove = Callable[[Tree, Tree], bool]
"""Asks the symbolic tier whether two scalars that agree at every point are equal; may raise its own errors."""

_EXACT_DIGITS = 10  # a decimal that shows this many digits of an irrational or periodic value stands for it
_MINUS_ONE: Tree = ("num", -1, 1)
_CONSTANTS = frozenset(("pi", "e", "i", "oo"))
_FLIP = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}


@dataclass(frozen=True, slots=True)
class Piece:
    """One interval of a region of the real line; a point is closed at both ends."""

    low: Tree
    low_closed: bool
    high: Tree
    high_closed: bool


def same(gold: Tree, other: Tree, prove: Prove) -> bool:
    """Whether two formulas say the same; a name in front (``x =``, ``x ∈``) counts only when both have one."""
    if gold == other:
        return True
    gold_name, gold_value = _named(gold)
    other_name, other_value = _named(other)
    renamed = _stem(gold_name) != _stem(other_name) and not any(
        name and name[0] == "call" for name in (gold_name, other_name)
    )
    if (
        _is_equation(gold_value)
        or _is_equation(other_value)
        or (renamed and _is_equation(gold) and _is_equation(other))
    ):
        return _same_equations(gold, other, prove)
    if gold_name and other_name and not _may_be_same_name(gold_name, other_name):
        return False
    if (
        other_value[0] == "alt" and not _is_region(other_value) and (gold[0] == "alt" or _has_sign(gold_value))
    ):  # the truth itself says "or", or "±"
        other_value = ("set", *other_value[1:])
    return _same_values(_expanded(gold_value), _expanded(other_value), prove)


def same_scalars(gold: Tree, other: Tree, prove: Prove) -> bool:
    """Equality of two expressions: normal form, then points (which may only reject), then the symbolic tier."""
    if gold == other:
        return True
    if points.infinity(gold) or points.infinity(other):
        return points.infinity(gold) == points.infinity(other)
    if gold[0] == "sym" and other[0] == "sym":
        return False
    try:
        left, right = algebra.normal(gold), algebra.normal(other)
        if algebra.equal_forms(left, right):
            return True
        if gold[0] == "dec" or other[0] == "dec":
            return _same_decimal(gold, other)
        if algebra.is_complete(left) and algebra.is_complete(right):
            return False
    except algebra.UndefinedError:
        return False
    except algebra.TooLargeError:
        pass
    constants = not _variables(gold) and not _variables(other)
    if points.differ(gold, other, constants) is not False:
        return False
    return prove(gold, other)


def _same_decimal(gold: Tree, other: Tree) -> bool:
    """A long decimal that rounds the other's exact value, to the last digit shown."""
    decimal, exact = (gold, other) if gold[0] == "dec" else (other, gold)
    if exact[0] == "dec" or decimal[3] < _EXACT_DIGITS:
        return False
    number = points.real(exact)
    return number is not None and abs(number - decimal[1] / decimal[2]) <= 1.0001 / decimal[2]


def _same_values(gold: Tree, other: Tree, prove: Prove) -> bool:
    kinds = {gold[0], other[0]}
    if "matrix" in (_contains_matrix(gold), _contains_matrix(other)):
        return _same_matrices(gold, other, prove)
    if "assign" in kinds:
        return _same_assignments(gold, other, prove)
    if _is_region(gold) or _is_region(other):
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
    if kinds & {"tuple", "list", "set", "seq", "alt"}:
        return False
    return same_scalars(gold, other, prove)


def _same_items(gold: Tree, other: Tree, prove: Prove) -> bool:
    return same(gold, other, prove)


def _same_assignments(gold: Tree, other: Tree, prove: Prove) -> bool:
    """``x = 1, y = 2`` in any order; as a tuple by the names' order; as a bare list in the order written."""
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
    return len(gold) == len(other) and all(_same_items(a, b, prove) for a, b in zip(gold, other, strict=True))


def _same_unordered(gold: Sequence[Tree], other: Sequence[Tree], prove: Prove, unique: bool) -> bool:
    if unique:
        gold, other = _distinct(gold, prove), _distinct(other, prove)
    if len(gold) != len(other):
        return False
    left = list(other)
    for item in gold:
        for at, candidate in enumerate(left):
            if _same_items(item, candidate, prove):
                del left[at]
                break
        else:
            return False
    return True


def _distinct(items: Sequence[Tree], prove: Prove) -> list[Tree]:
    kept: list[Tree] = []
    for item in items:
        if not any(_same_items(item, known, prove) for known in kept):
            kept.append(item)
    return kept


def _named(tree: Tree) -> tuple[Tree | None, Tree]:
    """The name in front of a value, and the value: of ``x = 5+2 = 7`` x and 7, of ``x ∈ S`` x and S."""
    if tree[0] in ("seq", "alt") and len(tree) > 2:
        return _named_sequence(tree)
    if tree[0] != "rel":
        return None, tree
    operators, sides = tree[1], tree[2]
    if operators == ("in",) and _is_name(sides[0]):
        return sides[0], sides[1]
    if not set(operators) <= {"=", "~", "to"} or "to" in operators[1:]:
        return None, tree
    exact = operators.index("~") if "~" in operators else len(operators)
    value = sides[max(exact, 1)] if exact == 0 else sides[exact]
    if _is_name(sides[0]) or (_is_label(sides[0]) and not _variables(value)):
        return sides[0], value
    if exact == 0 and len(operators) > 1:
        return None, tree
    if not any(_variables(side) for side in sides):
        return None, sides[0] if exact == 0 else value
    if len(sides) > 2 and exact == len(operators):
        return sides[0], value
    return None, tree


def named_value(tree: Tree) -> Tree | None:
    """The value of ``x = 7``, ``x ∈ S`` or ``3 + 4 = 7``; None for an equation or an inequality."""
    value = _named(tree)[1]
    return None if value[0] == "rel" else value


def _named_sequence(tree: Tree) -> tuple[Tree | None, Tree]:
    """``n = 1, 2, 3`` names its list; ``x = 2, x = 3`` too; ``x = 1, y = 2`` is a tuple in the names' order."""
    named = [_named(item) for item in tree[1:]]
    names = [_series(name) for name, _ in named]
    if any(item[0] == "rel" and _is_equation(item) for _, item in named) or any(
        _is_equation(value) for _, value in named
    ):
        return None, tree
    if names[0] is not None and all(name in (None, names[0]) for name in names[1:]):
        first = names[0]
        if not any(value[0] == "rel" for _, value in named):
            return first, ("set" if tree[0] == "alt" else "seq", *(value for _, value in named))
    if None not in names and tree[0] == "seq" and len(set(names)) == len(names):
        return None, ("assign", *(("pair", repr(name), value) for name, value in named))
    return None, tree


def _stem(name: Tree | None) -> Tree | None:
    """S of S_{ABC}."""
    return name[1] if name is not None and name[0] == "sub" and name[2][0] != "num" else name


def _series(name: Tree | None) -> Tree | None:
    """x of x_1: numbered names name the values of one unknown."""
    return name[1] if name is not None and name[0] == "sub" and name[2][0] == "num" and name[1][0] == "sym" else name


def _is_name(tree: Tree) -> bool:
    if tree[0] == "sym":
        return str(tree[1]) not in _CONSTANTS
    if tree[0] in ("sub", "call"):
        return True
    return tree[0] in ("tuple", "seq") and all(_is_name(part) for part in tree[1:])


def _is_label(tree: Tree) -> bool:
    """A left side that only names a quantity: P(A), |AB|, sin θ, ∠ABC."""
    if tree[0] == "mul":
        return all(_is_label(part) for part in tree[1:])
    if tree[0] == "pow":
        return tree[2] == _MINUS_ONE and _is_label(tree[1])
    if tree[0] == "sym":
        return tree[1] not in _CONSTANTS
    return tree[0] == "fn" and all(_is_name(part) or _is_label(part) for part in tree[2:])


def _may_be_same_name(one: Tree, two: Tree) -> bool:
    if one[0] == two[0] == "call":
        return bool(one[1] == two[1])
    if one == two or one[0] == "call" or two[0] == "call":
        return True
    if one[0] == "tuple" or two[0] == "tuple":
        return bool(one[0] == two[0])
    return not (one[0] == "sym" and two[0] == "sym")


def _is_equation(tree: Tree) -> bool:
    return bool(tree[0] == "rel" and tree[1] == ("=",))


def _same_equations(gold: Tree, other: Tree, prove: Prove) -> bool:
    """Two equations have the same zero set when their differences are proportional."""
    if not (_is_equation(gold) and _is_equation(other)):
        return False
    if not _may_be_same_name(gold[2][0], other[2][0]) and gold[2][0][0] == "call":
        return False
    try:
        one, two = (algebra.normal(_difference(tree[2][0], tree[2][1])) for tree in (gold, other))
    except (algebra.TooLargeError, algebra.UndefinedError):
        return all(_same_items(a, b, prove) for a, b in zip(gold[2], other[2], strict=True))
    left, right = _cleared(one[0]), _cleared(two[0])
    if not left or not right:
        return not left and not right
    lead = min(left, key=repr)
    if lead not in right:
        return False
    scale = right[lead] / left[lead]
    return {key: number * scale for key, number in left.items()} == right


def _cleared(poly: algebra.Poly) -> algebra.Poly:
    """A polynomial times what its negative powers of symbols need to vanish: y - 1/x as xy - 1."""
    lowest: dict[algebra.Atom, Fraction] = {}
    for monomial in poly:
        for atom, exponent in monomial:
            if atom[0] == "sym" and exponent < lowest.get(atom, Fraction(0)):
                lowest[atom] = exponent
    for atom, exponent in lowest.items():
        poly = algebra.multiplied(poly, {((atom, -exponent),): Fraction(1)})
    return poly


def _difference(left: Tree, right: Tree) -> Tree:
    return ("add", left, ("mul", _MINUS_ONE, right))


def _variables(tree: Tree) -> set[str]:
    if tree[0] == "sym":
        return set() if tree[1] in _CONSTANTS else {tree[1]}
    if tree[0] in ("sub", "call"):
        if tree[0] == "sub" and tree[1][0] == "num":
            return set()
        return {repr(tree)}
    found: set[str] = set()
    for part in tree[1:]:
        if isinstance(part, tuple):
            for sub in (part,) if part and isinstance(part[0], str) else part:
                if isinstance(sub, tuple) and sub:
                    found |= _variables(sub)
    return found


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
    return tree[0] in ("pm", "mp") or any(
        isinstance(part, tuple) and part and isinstance(part[0], str) and _has_sign(part) for part in tree[1:]
    )


def _signs(tree: Tree) -> list[Tree]:
    return [_with_sign(tree, 1), _with_sign(tree, -1)]


def _with_sign(tree: Tree, sign: int) -> Tree:
    if tree[0] in ("pm", "mp"):
        positive = (sign > 0) == (tree[0] == "pm")
        left, right = _with_sign(tree[1], sign), _with_sign(tree[2], sign)
        return ("add", left, right if positive else ("mul", _MINUS_ONE, right))
    return (
        tree[0],
        *(
            _with_sign(part, sign) if isinstance(part, tuple) and part and isinstance(part[0], str) else part
            for part in tree[1:]
        ),
    )


def _relations(tree: Tree) -> bool:
    return tree[0] in ("seq", "alt") and all(part[0] == "rel" for part in tree[1:])


def _is_region(tree: Tree) -> bool:
    if tree[0] in ("interval", "cup", "cap", "minus") or (tree[0] == "sym" and tree[1] == "\\mathbb{R}"):
        return True
    if tree[0] in ("seq", "alt"):
        return all(part[0] in ("rel", "interval") for part in tree[1:]) and any(
            region(part) is not None for part in tree[1:]
        )
    return tree[0] == "rel" and not _is_equation(tree) and region(tree) is not None


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
    names = [_only_variable(tree) for tree in (gold, other)]
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


def _only_variable(tree: Tree) -> str | None:
    names = _variables(tree) if tree[0] in ("rel", "seq", "alt") else set()
    return next(iter(names)) if len(names) == 1 else None


def region(tree: Tree) -> list[Piece] | None:
    """The subset of the real line a tree describes, as sorted disjoint intervals; None when it is no such thing."""
    kind = tree[0]
    if kind == "interval":
        return _piece(tree[2], tree[1] == "[", tree[3], tree[4] == "]")
    if kind == "tuple" and len(tree) == 3:
        return _piece(tree[1], False, tree[2], False)
    if kind == "set":
        pieces = [Piece(item, True, item, True) for item in tree[1:]]
        return _merged(pieces) if all(points.real(item) is not None for item in tree[1:]) else None
    if tree == ("sym", "\\mathbb{R}"):
        return [_REALS]
    if kind == "rel":
        return _relation_region(tree)
    if kind in ("cup", "cap", "minus"):
        left, right = region(tree[1]), region(tree[2])
        if left is None or right is None:
            return None
        if kind == "cup":
            return _merged([*left, *right])
        return _intersection(left, right if kind == "cap" else _complement(right))
    if kind in ("seq", "alt") and len(tree) > 1:
        regions = [region(part) for part in tree[1:]]
        known = [part for part in regions if part is not None]
        if len(known) != len(regions) or len({_only_variable(part) for part in tree[1:]}) > 1:
            return None
        if kind == "seq" and tree[1][0] == "rel":
            meeting = known[0]
            for part in known[1:]:
                meeting = _intersection(meeting, part)
            if meeting:
                return meeting
        return _merged([piece for part in known for piece in part])
    return None


_REALS = Piece(("mul", _MINUS_ONE, ("sym", "oo")), False, ("sym", "oo"), False)


def _piece(low: Tree, low_closed: bool, high: Tree, high_closed: bool) -> list[Piece] | None:
    start, end = points.real(low), points.real(high)
    if start is None or end is None or _variables(low) or _variables(high) or start > end:
        return None
    return [Piece(low, low_closed, high, high_closed)]


def _start(piece: Piece) -> float:
    return points.real(piece.low) or 0.0


def _end(piece: Piece) -> float:
    return points.real(piece.high) or 0.0


def _merged(pieces: list[Piece]) -> list[Piece]:
    def order(one: Piece, two: Piece) -> int:
        left, right = (_start(one), not one.low_closed), (_start(two), not two.low_closed)
        return (left > right) - (left < right)

    result: list[Piece] = []
    for piece in sorted(pieces, key=cmp_to_key(order)):
        if result:
            last = result[-1]
            if _start(piece) < _end(last) or (_start(piece) == _end(last) and (last.high_closed or piece.low_closed)):
                longer = (_end(piece), piece.high_closed) > (_end(last), last.high_closed)
                result[-1] = Piece(
                    last.low,
                    last.low_closed,
                    *((piece.high, piece.high_closed) if longer else (last.high, last.high_closed)),
                )
                continue
        result.append(piece)
    return result


def _complement(pieces: list[Piece]) -> list[Piece]:
    result: list[Piece] = []
    low, closed = _REALS.low, False
    for piece in pieces:
        if _start(piece) > (points.real(low) or 0.0) or (closed and piece.low_closed is False):
            result.append(Piece(low, closed, piece.low, not piece.low_closed))
        low, closed = piece.high, not piece.high_closed
    if points.infinity(low) != 1:
        result.append(Piece(low, closed, _REALS.high, False))
    return result


def _intersection(left: list[Piece], right: list[Piece]) -> list[Piece]:
    result = []
    for one in left:
        for two in right:
            low = max((one, two), key=lambda piece: (_start(piece), not piece.low_closed))
            high = min((one, two), key=lambda piece: (_end(piece), piece.high_closed))
            start, end = _start(low), _end(high)
            if start < end or (start == end and low.low_closed and high.high_closed):
                result.append(Piece(low.low, low.low_closed, high.high, high.high_closed))
    return _merged(result)


def _relation_region(tree: Tree) -> list[Piece] | None:
    """``-2 ≤ x < 7``, ``x > 3``, ``-x > -1``, ``x ≠ 3``, ``x ∈ S`` over one variable that stands alone and linear."""
    operators, sides = tree[1], tree[2]
    if operators == ("in",) and _is_name(sides[0]):
        return region(sides[1])
    if not set(operators) <= {"<", ">", "<=", ">=", "!=", "="} or len(_variables(("seq", *sides))) != 1:
        return None
    result = [_REALS]
    for at, operator in enumerate(operators):
        part = _half_line(sides[at], operator, sides[at + 1])
        if part is None:
            return None
        result = _intersection(result, part)
    return result


def _half_line(left: Tree, operator: str, right: Tree) -> list[Piece] | None:
    for one, two, sign in ((left, right, operator), (right, left, _FLIP[operator])):
        if one[0] in ("sym", "call", "sub") and not _variables(two):
            return _ray(sign, two)
    try:
        form = algebra.normal(_difference(left, right))
    except (algebra.TooLargeError, algebra.UndefinedError):
        return None
    top, bottom = form
    linear = [key for key in top if key]
    if (
        algebra.constant((bottom, algebra.ONE)) is None
        or len(linear) != 1
        or [p for _, p in linear[0]] != [1]
        or linear[0][0][0][0] != "sym"
    ):
        return None
    slope = top[linear[0]] / bottom[()]
    edge = -top.get((), Fraction(0)) / bottom[()] / slope
    return _ray(operator if slope > 0 else _FLIP[operator], ("num", edge.numerator, edge.denominator))


def _ray(operator: str, edge: Tree) -> list[Piece] | None:
    if points.real(edge) is None:
        return None
    if operator in ("<", "<="):
        return [Piece(_REALS.low, False, edge, operator == "<=")]
    if operator in (">", ">="):
        return [Piece(edge, operator == ">=", _REALS.high, False)]
    point = [Piece(edge, True, edge, True)]
    return _complement(point) if operator == "!=" else point


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
    if len(one[1]) > 1 or one[1][0] not in ("<", "<=", "!="):
        return False
    return _same_halfspaces(one, two)


def _oriented(tree: Tree) -> Tree:
    if tree[1][0] in (">", ">="):
        return ("rel", tuple(_FLIP.get(operator, operator) for operator in reversed(tree[1])), tuple(reversed(tree[2])))
    return tree


def _same_halfspaces(one: Tree, two: Tree) -> bool:
    try:
        left, right = (algebra.normal(_difference(*tree[2])) for tree in (one, two))
    except (algebra.TooLargeError, algebra.UndefinedError):
        return False
    if (
        algebra.constant((left[1], algebra.ONE)) is None
        or algebra.constant((right[1], algebra.ONE)) is None
        or not left[0]
    ):
        return False
    lead = min(left[0], key=repr)
    if lead not in right[0]:
        return False
    scale = (right[0][lead] / right[1][()]) / (left[0][lead] / left[1][()])
    if scale < 0 and one[1][0] != "!=":
        return False
    factor = scale * right[1][()] / left[1][()]
    return {key: number * factor for key, number in left[0].items()} == right[0]


def _contains_matrix(tree: Tree) -> str:
    if tree[0] == "matrix":
        return "matrix"
    if tree[0] in ("add", "mul", "pow"):
        return "matrix" if any(_contains_matrix(part) for part in tree[1:]) else ""
    return ""


def _same_matrices(gold: Tree, other: Tree, prove: Prove) -> bool:
    one, two = _matrix(gold), _matrix(other)
    if not isinstance(one, list) or not isinstance(two, list):
        return False
    return [len(row) for row in one] == [len(row) for row in two] and all(
        same_scalars(a, b, prove)
        for left, right in zip(one, two, strict=True)
        for a, b in zip(left, right, strict=True)
    )


def _matrix(tree: Tree) -> list[list[Tree]] | Tree | None:
    """The rows of a matrix or of a sum, product or multiple of matrices; a scalar stays a tree; None when undefined."""
    if tree[0] == "matrix":
        return [list(row[1:]) for row in tree[1:]]
    if not _contains_matrix(tree):
        return tree
    if tree[0] == "pow":
        base = _matrix(tree[1])
        if tree[2][0] != "num" or tree[2][2] != 1 or not 1 <= tree[2][1] <= 4:
            return None
        parts: list[list[list[Tree]] | Tree | None] = [base] * tree[2][1]
        return _fold(parts, _matrix_product)
    combine = _matrix_sum if tree[0] == "add" else _matrix_product
    return _fold([_matrix(part) for part in tree[1:]], combine)


def _fold(
    parts: list[list[list[Tree]] | Tree | None],
    combine: Callable[[list[list[Tree]] | Tree, list[list[Tree]] | Tree], list[list[Tree]] | Tree | None],
) -> list[list[Tree]] | Tree | None:
    result = parts[0]
    for part in parts[1:]:
        if result is None or part is None:
            return None
        result = combine(result, part)
    return result


def _matrix_sum(left: list[list[Tree]] | Tree, right: list[list[Tree]] | Tree) -> list[list[Tree]] | Tree | None:
    if isinstance(left, list) and isinstance(right, list) and [len(r) for r in left] == [len(r) for r in right]:
        return [[("add", a, b) for a, b in zip(one, two, strict=True)] for one, two in zip(left, right, strict=True)]
    return None


def _matrix_product(left: list[list[Tree]] | Tree, right: list[list[Tree]] | Tree) -> list[list[Tree]] | Tree | None:
    if isinstance(left, list) and isinstance(right, list):
        if len(left[0]) != len(right) or len(left) * len(right) * len(right[0]) > 1_000:
            return None
        columns = list(zip(*right, strict=True))
        return [
            [("add", *(("mul", a, b) for a, b in zip(row, column, strict=True)), ("num", 0, 1)) for column in columns]
            for row in left
        ]
    if isinstance(left, list):
        return [[("mul", cell, right) for cell in row] for row in left]
    if isinstance(right, list):
        return [[("mul", left, cell) for cell in row] for row in right]
    return ("mul", left, right)
