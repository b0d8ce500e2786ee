"""The tree that a formula becomes.

A tree is nested tuples of strings, integers and tuples, so it can be hashed, cached and sent to a worker as JSON::

    ("num", 1, 3)                            a rational number
    ("dec", 314, 100, 3)                     a decimal, with how many digits it shows
    ("sym", "x")                             a symbol; "pi", "e", "i" and "oo" are constants
    ("sub", a, b)   ("call", "f", a)         a_b, f(a)
    ("add", a, b, …)   ("mul", a, b, …)   ("pow", a, b)   ("deg", a)   ("fn", "sin", a)
    ("pm", a, b)   ("mp", a, b)              a ± b, a ∓ b
    ("big", "\\sum", low, high, a)           a sum, product, integral or limit
    ("tuple" | "set" | "list", a, b, …)
    ("seq", a, b, …)   ("alt", a, b, …)      a bare "a, b"; one that says "a or b"
    ("interval", "[", a, b, ")")   ("cup" | "cap" | "minus", a, b)
    ("matrix", ("row", a, b), …)
    ("rel", ("=", "<"), (a, b, c))           a = b < c

``names`` turns ``x = 1, y = 2`` into ``("assign", ("pair", name, value), …)``.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

Tree = tuple[Any, ...]

MINUS_ONE: Tree = ("num", -1, 1)
FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "subset": "superset", "superset": "subset"}
FLIPPED |= {"subseteq": "superseteq", "superseteq": "subseteq"}
FLIPPED |= {name: name for name in ("=", "!=", "similar", "congruent", "parallel", "perp", "equiv")}
"""Each relation as it reads from right to left."""
_ONE_SPELLING = {"π": "pi", "∞": "oo", "varepsilon": "epsilon", "vartheta": "theta", "varphi": "phi"}
_MAX_DETERMINANT = 4
_MAX_ROOT = 64


class FormulaError(ValueError):
    """The text is no formula that the parser knows, or it is over a limit."""


def number_tree(value: Fraction) -> Tree:
    """A rational number."""
    return ("num", value.numerator, value.denominator)


def negative(tree: Tree) -> Tree:
    """A tree with the other sign."""
    if tree[0] == "num":
        return ("num", -tree[1], tree[2])
    if tree[0] == "dec":
        return ("dec", -tree[1], *tree[2:])
    return ("mul", MINUS_ONE, tree)


def difference(left: Tree, right: Tree) -> Tree:
    """The left side minus the right one."""
    return ("add", left, ("mul", MINUS_ONE, right))


def nth_root(tree: Tree, index: Tree) -> Tree:
    """The root of a tree, as a power."""
    if index[0] != "num" or not 1 < index[1] <= _MAX_ROOT:
        return ("pow", tree, ("pow", index, MINUS_ONE))
    return ("pow", tree, ("num", 1, index[1]))


def symbol(name: str) -> Tree:
    """A symbol, in one spelling for those that have several."""
    return ("sym", _ONE_SPELLING.get(name, name))


def determinant(rows: list[list[Tree]]) -> Tree:
    """The determinant of a square matrix, expanded along its first row; raises FormulaError for one too large."""
    if len(rows) > _MAX_DETERMINANT or len(rows) != len(rows[0]):
        raise FormulaError("no determinant")
    if len(rows) == 1:
        return rows[0][0]
    terms: list[Tree] = []
    for at, entry in enumerate(rows[0]):
        minor = determinant([row[:at] + row[at + 1 :] for row in rows[1:]])
        terms.append(("mul", ("num", -1 if at % 2 else 1, 1), entry, minor))
    return ("add", *terms)
