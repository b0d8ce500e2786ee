"""Exact normal form of expressions: quotients of polynomials with rational coefficients in atoms.

An atom is a symbol, a prime to a fractional power, pi, e to a monomial, or a function of normal forms. Roots of
integers, rational powers, sin² + cos², i² and logarithms of rationals are reduced, so two numbers built of them are
equal exactly when their normal forms are. Work is bounded: what would grow over a limit raises TooLargeError instead.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache, reduce

from mmpr.answers.algebra.functions import apply
from mmpr.answers.algebra.polynomials import IMAGINARY, PI, UndefinedError, poly_minus, poly_times
from mmpr.answers.algebra.quotients import Form, add, freeze, multiply, of_atom, of_number, raised
from mmpr.answers.formula.tree import Tree


def equal_forms(left: Form, right: Form) -> bool:
    """Whether two normal forms are the same quotient."""
    return not poly_minus(poly_times(left[0], right[1]), poly_times(right[0], left[1]))


def is_complete(form: Form) -> bool:
    """Whether a form is made of symbols, roots of integers, pi and e only.

    Two such forms that differ have different values.
    """
    return all(
        atom[0] in ("sym", "prime", "i", "word", "sub", "call")
        or (atom[0] == "exp" and atom[1] == ("sym", "e") and all(factor[0] == "sym" for factor, _ in atom[2]))
        for poly in form
        for monomial in poly
        for atom, _ in monomial
    )


@lru_cache(maxsize=8192)
def normal(tree: Tree) -> Form:
    """The normal form of an expression; raises TooLargeError or UndefinedError."""
    kind = tree[0]
    if kind in ("num", "dec"):
        return of_number(Fraction(tree[1], tree[2]))
    if kind == "sym":
        return _symbol(tree[1])
    if kind == "add":
        return reduce(add, map(normal, tree[1:]))
    if kind == "mul":
        return reduce(multiply, map(normal, tree[1:]))
    if kind == "pow":
        return raised(normal(tree[1]), normal(tree[2]))
    if kind == "deg":
        return multiply(normal(tree[1]), of_atom(PI, Fraction(1), Fraction(1, 180)))
    if kind == "fn":
        return apply(tree[1], [normal(part) for part in tree[2:]])
    if kind in ("sub", "call"):
        return of_atom((kind, *(freeze(normal(part)) if isinstance(part, tuple) else part for part in tree[1:])))
    if kind == "big":
        return of_atom(("big", tree[1], _frozen(tree[2]), _frozen(tree[3]), freeze(normal(tree[4]))))
    raise UndefinedError(f"{kind} is no scalar")


def _frozen(tree: Tree) -> Tree:
    if tree[0] == "rel":
        return ("rel", tree[1], *(freeze(normal(side)) for side in tree[2]))
    return tree if tree == ("sym", "") else freeze(normal(tree))


def _symbol(name: str) -> Form:
    if name == "e":
        return of_atom(("exp", ("sym", "e"), ()))
    if name == "i":
        return of_atom(IMAGINARY)
    if name == "oo" or name.startswith("\\"):
        raise UndefinedError("no number")
    return of_atom(("sym", name))
