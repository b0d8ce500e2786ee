"""Polynomials with rational coefficients in atoms, bounded in size.

An atom is a symbol, a prime to a fractional power, pi, e to a monomial, or a function of normal forms; products of
atoms are reduced as they are formed (i², √2·√2). What would grow beyond a limit raises TooLargeError before it does.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from math import gcd, lcm
from typing import Any

Atom = tuple[Any, ...]
Monomial = tuple[tuple[Atom, Fraction], ...]
"""Sorted (atom, exponent) pairs; () is the constant 1."""
Poly = dict[Monomial, Fraction]

MAX_TERMS = 160
MAX_POWER = 24
MAX_BITS = 4_000  # of an integer: far more than any answer shows
MAX_FACTORIAL = 120

ZERO: Poly = {}
_ONCE = Fraction(1)
ONE: Poly = {(): _ONCE}
IMAGINARY: Atom = ("i",)
PI: Atom = ("sym", "pi")


class TooLargeError(ValueError):
    """The expression would outgrow the limits of the normal form."""


class UndefinedError(ValueError):
    """The expression has no value: a division by zero, an infinity among terms, or something that is no scalar."""


def bounded(poly: Poly) -> Poly:
    """The polynomial itself; raises TooLargeError when it is over a limit."""
    if len(poly) > MAX_TERMS:
        raise TooLargeError("too many terms")
    for value in poly.values():
        if value.numerator.bit_length() > MAX_BITS or value.denominator.bit_length() > MAX_BITS:
            raise TooLargeError("too many digits")
    return poly


def poly_plus(left: Poly, right: Poly) -> Poly:
    """The sum of two polynomials."""
    result = dict(left)
    for monomial, value in right.items():
        _add_term(result, monomial, value)
    return result


def _add_term(poly: Poly, monomial: Monomial, value: Fraction) -> None:
    there = poly.get(monomial)
    total = value if there is None else there + value
    if total:
        poly[monomial] = total
    else:
        poly.pop(monomial, None)


def poly_minus(left: Poly, right: Poly) -> Poly:
    """The difference of two polynomials."""
    return poly_plus(left, {monomial: -value for monomial, value in right.items()})


def poly_times(left: Poly, right: Poly) -> Poly:
    """The product of two polynomials; raises TooLargeError."""
    if left is ONE:
        return right
    if right is ONE:
        return left
    if len(left) * len(right) > MAX_TERMS * 8:
        raise TooLargeError("too many terms")
    result: Poly = {}
    for one, a in left.items():
        for two, b in right.items():
            for monomial, factor in _join(one, two).items():
                _add_term(result, monomial, a * b if factor is _ONCE else a * b * factor)
    return bounded(result)


@lru_cache(maxsize=16384)
def _join_cached(left: Monomial, right: Monomial) -> tuple[tuple[Monomial, Fraction], ...]:
    exponents: dict[Atom, Fraction] = dict(left)
    for atom, exponent in right:
        there = exponents.get(atom)
        exponents[atom] = exponent if there is None else there + exponent
    return tuple(reduce_product(exponents).items())


def _join(left: Monomial, right: Monomial) -> Poly:
    """The product of two monomials; several terms when a sin² in it becomes 1 - cos²."""
    if not left:
        return {right: _ONCE}
    if not right:
        return {left: _ONCE}
    return dict(_join_cached(left, right))


def reduce_product(exponents: dict[Atom, Fraction]) -> Poly:
    """The product of atoms to their exponents: whole powers of primes become numbers, i² is -1, sin² is 1 - cos²."""
    factor = _ONCE
    sines: list[tuple[Atom, int]] = []
    kept: dict[Atom, Fraction] = {}
    for atom, exponent in exponents.items():
        if not exponent:
            continue
        if atom[0] == "prime":
            whole = exponent.numerator // exponent.denominator
            if abs(whole) > MAX_BITS:
                raise TooLargeError("a power too high")
            factor *= Fraction(atom[1]) ** whole
            exponent -= whole
        elif atom == IMAGINARY:
            turns = int(exponent) % 4 if exponent.denominator == 1 else None
            if turns is None:
                raise UndefinedError("a root of i")
            factor *= -1 if turns >= 2 else 1
            exponent = Fraction(turns % 2)
        elif atom[0] == "fn" and atom[1] == "sin" and exponent >= 2 and exponent.denominator == 1:
            sines.append((atom, int(exponent) // 2))
            exponent = Fraction(int(exponent) % 2)
        if exponent:
            kept[atom] = exponent
    poly: Poly = {tuple(sorted(kept.items(), key=repr)): factor}
    for atom, count in sines:
        if count > MAX_POWER:
            raise TooLargeError("a power too high")
        square: Poly = {(): Fraction(1), ((("fn", "cos", *atom[2:]), Fraction(2)),): Fraction(-1)}
        for _ in range(count):
            poly = poly_times(poly, square)
    return poly


def common_factor(poly: Poly) -> Fraction:
    """The rational factor that all coefficients share."""
    top, bottom = 0, 1
    for value in poly.values():
        top, bottom = gcd(top, value.numerator), lcm(bottom, value.denominator)
    return Fraction(top, bottom)
