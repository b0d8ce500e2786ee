"""Parts of the real line that a formula describes: intervals, inequalities, their unions and intersections."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from mmpr.answers.algebra import sampling
from mmpr.answers.algebra.normal_form import normal
from mmpr.answers.algebra.polynomials import ONE, TooLargeError, UndefinedError
from mmpr.answers.algebra.quotients import constant
from mmpr.answers.formula.names import is_equation, is_name, variables
from mmpr.answers.formula.tree import FLIPPED, MINUS_ONE, Tree, difference, number_tree


@dataclass(frozen=True, slots=True)
class Piece:
    """An interval; a single point is one that is closed at both ends."""

    low: Tree
    low_closed: bool
    high: Tree
    high_closed: bool


def is_region(tree: Tree) -> bool:
    """Whether a formula describes a part of the real line."""
    if tree[0] in ("interval", "cup", "cap", "minus") or (tree[0] == "sym" and tree[1] == "\\mathbb{R}"):
        return True
    if tree[0] in ("seq", "alt"):
        return all(part[0] in ("rel", "interval") for part in tree[1:]) and any(
            region(part) is not None for part in tree[1:]
        )
    return tree[0] == "rel" and not is_equation(tree) and region(tree) is not None


def only_variable(tree: Tree) -> str | None:
    """The unknown of a relation, or of a list of them, that has only one; else None."""
    names = variables(tree) if tree[0] in ("rel", "seq", "alt") else set()
    return next(iter(names)) if len(names) == 1 else None


def region(tree: Tree) -> list[Piece] | None:
    """The part of the real line that a formula describes, as sorted disjoint intervals; None for other formulas."""
    kind = tree[0]
    if kind == "interval":
        return _piece(tree[2], tree[1] == "[", tree[3], tree[4] == "]")
    if kind == "tuple" and len(tree) == 3:
        return _piece(tree[1], False, tree[2], False)
    if kind == "set":
        pieces = [Piece(item, True, item, True) for item in tree[1:]]
        return _merged(pieces) if all(sampling.real(item) is not None for item in tree[1:]) else None
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
        if len(known) != len(regions) or len({only_variable(part) for part in tree[1:]}) > 1:
            return None
        if kind == "seq" and tree[1][0] == "rel":
            meeting = known[0]
            for part in known[1:]:
                meeting = _intersection(meeting, part)
            if meeting:
                return meeting
        return _merged([piece for part in known for piece in part])
    return None


_REALS = Piece(("mul", MINUS_ONE, ("sym", "oo")), False, ("sym", "oo"), False)


def _piece(low: Tree, low_closed: bool, high: Tree, high_closed: bool) -> list[Piece] | None:
    start, end = sampling.real(low), sampling.real(high)
    if start is None or end is None or variables(low) or variables(high) or start > end:
        return None
    return [Piece(low, low_closed, high, high_closed)]


def _start(piece: Piece) -> float:
    return sampling.real(piece.low) or 0.0


def _end(piece: Piece) -> float:
    return sampling.real(piece.high) or 0.0


def _merged(pieces: list[Piece]) -> list[Piece]:
    result: list[Piece] = []
    for piece in sorted(pieces, key=lambda piece: (_start(piece), not piece.low_closed)):
        if result:
            last = result[-1]
            if _start(piece) < _end(last) or (_start(piece) == _end(last) and (last.high_closed or piece.low_closed)):
                if (_end(piece), piece.high_closed) > (_end(last), last.high_closed):
                    result[-1] = replace(last, high=piece.high, high_closed=piece.high_closed)
                continue
        result.append(piece)
    return result


def _complement(pieces: list[Piece]) -> list[Piece]:
    result: list[Piece] = []
    low, closed = _REALS.low, False
    for piece in pieces:
        if _start(piece) > (sampling.real(low) or 0.0) or (closed and piece.low_closed is False):
            result.append(Piece(low, closed, piece.low, not piece.low_closed))
        low, closed = piece.high, not piece.high_closed
    if sampling.infinity(low) != 1:
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
    """``-2 ≤ x < 7``, ``x > 3``, ``-x > -1``, ``x ≠ 3``, ``x ∈ S``: relations that are linear in one unknown."""
    operators, sides = tree[1], tree[2]
    if operators == ("in",) and is_name(sides[0]):
        return region(sides[1])
    if not set(operators) <= {"<", ">", "<=", ">=", "!=", "="} or len(variables(("seq", *sides))) != 1:
        return None
    result = [_REALS]
    for at, operator in enumerate(operators):
        part = _half_line(sides[at], operator, sides[at + 1])
        if part is None:
            return None
        result = _intersection(result, part)
    return result


def _half_line(left: Tree, operator: str, right: Tree) -> list[Piece] | None:
    for one, two, sign in ((left, right, operator), (right, left, FLIPPED[operator])):
        if one[:2] == ("fn", "abs") and sign in FLIPPED and (sampling.real(two) or 0) > 0 and not variables(two):
            return _distance(one[2], sign, two)
        if one[0] in ("sym", "call", "sub") and not variables(two):
            return _ray(sign, two)
    try:
        form = normal(difference(left, right))
    except (TooLargeError, UndefinedError):
        return None
    top, bottom = form
    linear = [key for key in top if key]
    if constant((bottom, ONE)) is None or len(linear) != 1:
        return None
    if [power for _, power in linear[0]] != [1] or linear[0][0][0][0] != "sym":
        return None
    slope = top[linear[0]] / bottom[()]
    edge = -top.get((), Fraction(0)) / bottom[()] / slope
    return _ray(operator if slope > 0 else FLIPPED[operator], number_tree(edge))


def _distance(inside: Tree, operator: str, edge: Tree) -> list[Piece] | None:
    """The solutions of ``|inside| < edge``, from ``inside < edge`` and ``inside > -edge``."""
    high = _half_line(inside, operator, edge)
    low = _half_line(inside, FLIPPED[operator], ("mul", MINUS_ONE, edge))
    if high is None or low is None:
        return None
    return _intersection(high, low) if operator in ("<", "<=", "!=") else _merged([*low, *high])


def _ray(operator: str, edge: Tree) -> list[Piece] | None:
    if sampling.real(edge) is None:
        return None
    if operator in ("<", "<="):
        return [Piece(_REALS.low, False, edge, operator == "<=")]
    if operator in (">", ">="):
        return [Piece(edge, operator == ">=", _REALS.high, False)]
    point = [Piece(edge, True, edge, True)]
    return _complement(point) if operator == "!=" else point
