"""Names in formulas: the one in front of a value (``x = 7``), and the unknowns of an equation."""

from __future__ import annotations

from mmpr.answers.formula.tree import MINUS_ONE, Tree

_CONSTANTS = frozenset(("pi", "e", "i", "oo"))


def name_and_value(tree: Tree) -> tuple[Tree | None, Tree]:
    """The name in front of a value and the value: x and 7 of ``x = 5+2 = 7``, x and S of ``x ∈ S``.

    The name is None where there is none; an equation or inequality is its own value.
    """
    if tree[0] in ("seq", "alt") and len(tree) > 2:
        return _named_sequence(tree)
    if tree[0] != "rel":
        return None, tree
    sides = tree[2]
    operators = tuple(
        "~" if operator in ("similar", "congruent") and not variables(side) else operator  # x \\sim 5 is about 5
        for operator, side in zip(tree[1], sides[1:], strict=True)
    )
    if operators == ("in",) and is_name(sides[0]):
        return sides[0], sides[1]
    if not set(operators) <= {"=", "~", "to"} or "to" in operators[1:]:
        return None, tree
    exact = operators.index("~") if "~" in operators else len(operators)
    value = sides[max(exact, 1)] if exact == 0 else sides[exact]
    if operators == ("=",) and is_name(sides[1]) and not variables(sides[0]):
        return sides[1], sides[0]
    if is_name(sides[0]) or (_is_label(sides[0]) and not variables(value)):
        return sides[0], value
    if exact == 0 and len(operators) > 1:
        return None, tree
    if not any(variables(side) for side in sides):
        return None, sides[0] if exact == 0 else value
    if len(sides) > 2 and exact == len(operators):
        return sides[0], value
    return None, tree


def named_value(tree: Tree) -> Tree | None:
    """The value of ``x = 7``, ``x ∈ S`` or ``3 + 4 = 7``; None for an equation or an inequality."""
    value = name_and_value(tree)[1]
    return None if value[0] == "rel" else value


def _named_sequence(tree: Tree) -> tuple[Tree | None, Tree]:
    """``n = 1, 2, 3`` and ``x = 2, x = 3`` are a named list; ``x = 1, y = 2`` becomes ``("assign", pair, …)``."""
    named = [name_and_value(item) for item in tree[1:]]
    names = [_series(name) for name, _ in named]
    if any(item[0] == "rel" and is_equation(item) for _, item in named) or any(
        is_equation(value) for _, value in named
    ):
        return None, tree
    if names[0] is not None and all(name in (None, names[0]) for name in names[1:]):
        first = names[0]
        if not any(value[0] == "rel" for _, value in named):
            return first, ("set" if tree[0] == "alt" else "seq", *(value for _, value in named))
    if None not in names and tree[0] == "seq" and len(set(names)) == len(names):
        return None, ("assign", *(("pair", repr(name), value) for name, value in named))
    return None, tree


def base_name(name: Tree | None) -> Tree | None:
    """A name without its index: S of S_{ABC}; with a number for an index as it is."""
    return name[1] if name is not None and name[0] == "sub" and name[2][0] != "num" else name


def _series(name: Tree | None) -> Tree | None:
    """x of x_1, since numbered names stand for the values of one unknown; any other name as it is."""
    return name[1] if name is not None and name[0] == "sub" and name[2][0] == "num" and name[1][0] == "sym" else name


def is_name(tree: Tree) -> bool:
    """Whether a formula is only a name (x, x_1, f(x), (x, y))."""
    if tree[0] == "sym":
        return str(tree[1]) not in _CONSTANTS
    if tree[0] in ("sub", "call"):
        return True
    return tree[0] in ("tuple", "seq") and all(is_name(part) for part in tree[1:])


def _is_label(tree: Tree) -> bool:
    """Whether a left side only names a quantity: P(A), |AB|, sin θ, ∠ABC."""
    if tree[0] == "mul":
        return all(_is_label(part) for part in tree[1:])
    if tree[0] == "pow":
        return tree[2] == MINUS_ONE and _is_label(tree[1])
    if tree[0] == "sym":
        return tree[1] not in _CONSTANTS
    return tree[0] == "fn" and all(is_name(part) or _is_label(part) for part in tree[2:])


def may_be_same_name(one: Tree, two: Tree) -> bool:
    """Whether two names may stand for the same unknown."""
    if one[0] == two[0] == "call":
        return bool(one[1] == two[1])
    if one == two or one[0] == "call" or two[0] == "call":
        return True
    if one[0] == "tuple" or two[0] == "tuple":
        return bool(one[0] == two[0])
    return not (one[0] == "sym" and two[0] == "sym")


def is_equation(tree: Tree) -> bool:
    """Whether a formula is one equation."""
    return bool(tree[0] == "rel" and tree[1] == ("=",))


def variables(tree: Tree) -> set[str]:
    """The unknowns of a formula."""
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
                    found |= variables(sub)
    return found
