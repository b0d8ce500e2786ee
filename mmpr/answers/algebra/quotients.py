"""Quotients of polynomials: sums, products, powers and roots of them."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from math import isqrt, prod

from mmpr.answers.algebra.polynomials import (
    IMAGINARY,
    MAX_BITS,
    MAX_POWER,
    ONE,
    Atom,
    Poly,
    TooLargeError,
    UndefinedError,
    bounded,
    common_factor,
    poly_plus,
    poly_times,
    reduce_product,
)
from mmpr.answers.formula.tree import Tree

Form = tuple[Poly, Poly]
"""Numerator and denominator."""
_HALF = Fraction(1, 2)


def constant(form: Form) -> Fraction | None:
    """The rational value of a normal form that has one."""
    if set(form[0]) <= {()} and set(form[1]) == {()}:
        return form[0].get((), Fraction(0)) / form[1][()]
    return None


def freeze(form: Form) -> Tree:
    """A hashable key of a form: its sorted terms, divided by the first coefficient of the denominator."""
    top, bottom = form
    lead = bottom[min(bottom, key=repr)]
    return tuple(tuple((key, poly[key] / lead) for key in sorted(poly, key=repr)) for poly in (top, bottom))


def of_poly(poly: Poly) -> Form:
    """A polynomial as a form."""
    return poly, ONE


def of_number(number: Fraction | int) -> Form:
    """A rational as a form."""
    return of_poly({(): Fraction(number)} if number else {})


def of_atom(atom: Atom, exponent: Fraction = Fraction(1), factor: Fraction = Fraction(1)) -> Form:
    """An atom to a power, times a factor, as a form."""
    return {((atom, exponent),): factor}, ONE


def add(left: Form, right: Form) -> Form:
    """The sum of two forms."""
    if left[1] == right[1]:
        return bounded(poly_plus(left[0], right[0])), left[1]
    return (
        bounded(poly_plus(poly_times(left[0], right[1]), poly_times(right[0], left[1]))),
        poly_times(left[1], right[1]),
    )


def multiply(left: Form, right: Form) -> Form:
    """The product of two forms."""
    return _tidy((poly_times(left[0], right[0]), poly_times(left[1], right[1])))


def _tidy(form: Form) -> Form:
    """The form with a denominator of one term moved into the numerator, where that is exact."""
    top, bottom = form
    if len(bottom) == 1 and bottom is not ONE:
        (monomial, value), *_ = bottom.items()
        inverse = {atom: -exponent for atom, exponent in monomial}
        if not any(atom[0] == "fn" or atom == IMAGINARY for atom in inverse):
            return poly_times(top, {tuple(sorted(inverse.items(), key=repr)): 1 / value}) if monomial else {
                key: number / value for key, number in top.items()
            }, ONE
    return form


def invert(form: Form) -> Form:
    """One divided by a form."""
    if not form[0]:
        raise UndefinedError("a division by zero")
    return _tidy((form[1], form[0]))


def raised(base: Form, exponent: Form) -> Form:
    """A form to the power of another."""
    power = constant(exponent)
    if power is None:
        return _symbolic_power(base, exponent)
    if power.denominator == 1:
        return _whole_power(base, int(power))
    number = constant(base)
    if number is not None:
        return root_of_number(number, power)
    if len(base[0]) == 1 and len(base[1]) == 1:
        return _root_of_monomial(base, power)
    if len(base[1]) == 1 and base[1] is not ONE:
        return multiply(raised((base[0], ONE), exponent), raised((base[1], ONE), negate(exponent)))
    if power.denominator == 2 and base[1] is ONE:
        root = _denested(base[0])
        if root is not None:
            return _whole_power(root, power.numerator)
    content = common_factor(base[0])
    if content != 1 and content > 0 and base[1] is ONE:
        inner: Form = ({key: value / content for key, value in base[0].items()}, ONE)
        return multiply(root_of_number(content, power), _opaque_root(inner, power))
    return _opaque_root(base, power)


def _opaque_root(base: Form, power: Fraction) -> Form:
    """The whole part of the power multiplied out, times an atom for the root that remains."""
    whole = power.numerator // power.denominator
    part = power - whole
    root = of_atom(("root", freeze(base), str(part)))
    return multiply(root, _whole_power(base, whole))


def _denested(poly: Poly) -> Form | None:
    """The square root of a + b√c as √p ± √q where p and q are rational: √(5+2√6) is √2 + √3."""
    surd = next((key for key in poly if key), ())
    if len(poly) != 2 or () not in poly or not all(atom[0] == "prime" and n == _HALF for atom, n in surd):
        return None
    whole, factor = poly[()], poly[surd]
    square = whole**2 - factor**2 * prod(atom[1] for atom, _ in surd)
    if whole <= 0 or square < 0:
        return None
    below = Fraction(isqrt(square.numerator), isqrt(square.denominator))
    if below**2 != square:
        return None
    first, second = (root_of_number((whole + sign * below) / 2, _HALF) for sign in (1, -1))
    return add(first, second if factor > 0 else negate(second))


def negate(form: Form) -> Form:
    """A form with the other sign."""
    return {key: -value for key, value in form[0].items()}, form[1]


def _whole_power(base: Form, power: int) -> Form:
    if power < 0:
        base, power = invert(base), -power
    number = constant(base)
    if number is not None:
        size = max(number.numerator.bit_length(), number.denominator.bit_length())
        if (size - 1) * power > MAX_BITS:
            raise TooLargeError("a power too high")
        return of_number(number**power)
    if len(base[0]) == 1 and len(base[1]) == 1 and power <= 1_000:
        return _tidy((_monomial_power(base[0], power), _monomial_power(base[1], power)))
    if power > MAX_POWER:
        raise TooLargeError("a power too high")
    result: Form = (ONE, ONE)
    for _ in range(power):
        result = multiply(result, base)
    return result


def _monomial_power(poly: Poly, power: int) -> Poly:
    ((monomial, value),) = poly.items()
    if max(value.numerator.bit_length(), value.denominator.bit_length()) * power > MAX_BITS:
        raise TooLargeError("a power too high")
    reduced = reduce_product({atom: exponent * power for atom, exponent in monomial})
    return {key: number * value**power for key, number in reduced.items()}


def root_of_number(number: Fraction, power: Fraction) -> Form:
    """A rational to a fractional power, as a rational times primes to powers in (0, 1)."""
    if not number:
        if power < 0:
            raise UndefinedError("a division by zero")
        return of_poly({})
    if abs(power) > MAX_BITS:
        raise TooLargeError("a power too high")
    exponents: dict[Atom, Fraction] = {}
    for prime, count in prime_powers(abs(number)):
        atom: Atom = ("prime", prime)
        exponents[atom] = exponents.get(atom, Fraction(0)) + count * power
    result = of_poly(reduce_product(exponents))
    if number > 0:
        return result
    if power.denominator % 2:
        return multiply(result, of_number(-1 if power.numerator % 2 else 1))
    if power.denominator == 2:
        return multiply(result, _whole_power(of_atom(IMAGINARY), power.numerator))
    raise UndefinedError("an even root of a negative number")


def _root_of_monomial(base: Form, power: Fraction) -> Form:
    top, bottom = base
    result: Form = (ONE, ONE)
    for poly, sign in ((top, 1), (bottom, -1)):
        ((monomial, value),) = poly.items()
        if value < 0 and power.denominator % 2 == 0:
            return _opaque_root(base, power)
        result = multiply(result, root_of_number(value, power * sign))
        for atom, exponent in monomial:
            if atom == IMAGINARY or (power.denominator % 2 == 0 and exponent.denominator == 1 and exponent % 2 == 0):
                return _opaque_root(base, power)  # the root of x² is |x|
            result = multiply(result, of_poly(reduce_product({atom: exponent * power * sign})))
    return result


def _symbolic_power(base: Form, exponent: Form) -> Form:
    """``2^{x+1}`` as 2·2^x: one factor for each term of the exponent; an opaque atom where that is not exact."""
    top, bottom = exponent
    bases = _bases(base, top) if bottom is ONE else None
    if bases is None:
        return of_atom(("power", freeze(base), freeze(exponent)))
    result: Form = (ONE, ONE)
    for atom, count in bases:
        for monomial, value in top.items():
            if atom == ("sym", "e") and len(monomial) == 1 and monomial[0][0][0] == "ln" and monomial[0][1] == 1:
                result = multiply(result, root_of_number(Fraction(monomial[0][0][1]), count * value))
            elif monomial:
                result = multiply(result, of_poly(reduce_product({("exp", atom, monomial): count * value})))
            elif atom == ("num", -1):
                result = multiply(result, of_number(-1 if value % 2 else 1))
            elif atom[0] == "num":
                result = multiply(result, root_of_number(Fraction(atom[1]), count * value))
            else:
                target = ("exp", atom, ()) if atom == ("sym", "e") else atom
                result = multiply(result, of_poly(reduce_product({target: count * value})))
    return result


def _bases(base: Form, exponent: Poly) -> list[tuple[Atom, Fraction]] | None:
    """A number's primes, or a single symbol, each with its power; None for any other base."""
    number = constant(base)
    if number is not None:
        if not number or (number < 0 and exponent.get((), Fraction(0)).denominator != 1):
            return None
        signs = [(("num", -1), Fraction(1))] if number < 0 else []
        return [(("num", prime), Fraction(count)) for prime, count in prime_powers(abs(number))] + signs
    ((monomial, value), *more) = base[0].items()
    if more or base[1] is not ONE or len(monomial) != 1 or value != 1:
        return None
    ((atom, count),) = monomial
    if atom[0] == "exp" and atom[2] == ():
        return [(atom[1], count)]
    return [(atom, count)] if atom[0] == "sym" else None


def prime_powers(number: Fraction) -> list[tuple[int, int]]:
    """The primes of a positive rational with their powers, which are negative for those of the denominator."""
    below = ((prime, -count) for prime, count in _prime_factors(number.denominator))
    return [*_prime_factors(number.numerator), *below]


@lru_cache(maxsize=4096)
def _prime_factors(number: int) -> tuple[tuple[int, int], ...]:
    """Prime factors with counts, by trial division up to 5,000.

    What remains is taken for a prime, or for the perfect power that it is.
    """
    found = []
    prime = 2
    while prime * prime <= number and prime < 5_000:
        count = 0
        while number % prime == 0:
            number //= prime
            count += 1
        if count:
            found.append((prime, count))
        prime += 1 if prime == 2 else 2
    if number > 1:
        for count in (5, 3, 2):
            root = round(number ** (1 / count)) if number.bit_length() < 1_000 else 0
            if root > 1 and root**count == number:
                return (*found, (root, count))
        found.append((number, 1))
    return tuple(found)
