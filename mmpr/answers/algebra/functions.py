"""Functions of quotients, exact where they can be: logarithms, sines, cosines, factorials, binomials, …"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, comb, factorial, floor, gcd, lcm

from mmpr.answers.algebra.polynomials import MAX_FACTORIAL, ONE, PI, ZERO, Poly, UndefinedError, poly_plus
from mmpr.answers.algebra.quotients import (
    Form,
    add,
    constant,
    freeze,
    invert,
    multiply,
    negate,
    of_atom,
    of_number,
    of_poly,
    prime_powers,
    raised,
    root_of_number,
)

_MAX_BINOMIAL = 500
_MAX_STEPS = 6  # factors by which a factorial or a binomial of an unknown is written out


def apply(name: str, arguments: list[Form]) -> Form:
    """The function of that name of its arguments: an exact value or a reduction where there is one, else an atom."""
    numbers = [constant(argument) for argument in arguments]
    first = numbers[0]
    if name == "factorial" and first is not None and first.denominator == 1 and 0 <= first <= MAX_FACTORIAL:
        return of_number(factorial(int(first)))
    if name == "factorial" and first is None and arguments[0][1] is ONE:
        offset = arguments[0][0].get((), Fraction(0))
        if offset.denominator == 1 and 0 < abs(offset) <= _MAX_STEPS:
            return _shifted_factorial(arguments[0], int(offset))
    counts = all(n is not None and n.denominator == 1 and 0 <= n <= _MAX_BINOMIAL for n in numbers)
    if name == "binom" and len(numbers) == 2 and counts:
        return of_number(comb(int(numbers[0] or 0), int(numbers[1] or 0)))
    if name == "binom" and len(numbers) == 2 and numbers[1] in range(1, _MAX_STEPS + 1):
        count = int(numbers[1] or 0)
        return multiply(_falling(arguments[0], count), of_number(Fraction(1, factorial(count))))
    if name == "abs" and first is not None:
        return of_number(abs(first))
    if name in ("floor", "ceil") and first is not None:
        return of_number(floor(first) if name == "floor" else ceil(first))
    if name in ("max", "min", "gcd", "lcm") and len(numbers) > 1 and None not in numbers:
        known = [number for number in numbers if number is not None]
        if name in ("max", "min"):
            return of_number(max(known) if name == "max" else min(known))
        if all(number.denominator == 1 for number in known):
            whole = [int(number) for number in known]
            return of_number(gcd(*whole) if name == "gcd" else lcm(*whole))
    if len(arguments) == 1:
        if name in ("sinh", "cosh", "tanh", "coth"):
            return _hyperbolic(name, arguments[0])
        if name in ("sin", "cos", "tan", "cot", "sec", "csc"):
            return _trigonometric(name, arguments[0])
        if name in ("ln", "log"):
            natural = _logarithm(arguments[0])
            return natural if name == "ln" else multiply(natural, invert(_logarithm(of_number(10))))
        if name == "abs":
            frozen = min(freeze(arguments[0]), freeze(negate(arguments[0])), key=repr)
            return of_atom(("fn", "abs", frozen))
    if name == "log_" and len(arguments) == 2:
        return multiply(_logarithm(arguments[1]), invert(_logarithm(arguments[0])))
    return of_atom(("fn", name, *(freeze(argument) for argument in arguments)))


def _falling(top: Form, count: int) -> Form:
    """n(n-1)…, ``count`` factors."""
    product = of_poly(ONE)
    for step in range(count):
        product = multiply(product, add(top, of_number(-step)))
    return product


def _shifted_factorial(argument: Form, offset: int) -> Form:
    """(n+2)! as (n+2)(n+1)n!, (n-1)! as n!/n."""
    base = add(argument, of_number(-offset))
    whole = of_atom(("fn", "factorial", freeze(base)))
    if offset > 0:
        return multiply(_falling(argument, offset), whole)
    return multiply(whole, invert(_falling(base, -offset)))


def _logarithm(argument: Form) -> Form:
    number = constant(argument)
    if number is not None:
        if number <= 0:
            raise UndefinedError("the logarithm of no positive number")
        total: Poly = {}
        for prime, count in prime_powers(number):
            total = poly_plus(total, {((("ln", prime), Fraction(1)),): Fraction(count)})
        return of_poly(total)
    if len(argument[0]) == 1 and argument[1] is ONE:
        ((monomial, value),) = argument[0].items()
        if value > 0 and all(atom[0] in ("prime", "exp") for atom, _ in monomial):
            result = _logarithm(of_number(value))
            for atom, exponent in monomial:
                if atom[0] == "prime":
                    term: Form = of_atom(("ln", atom[1]), Fraction(1), exponent)
                elif atom[1] == ("sym", "e"):
                    term = of_poly({atom[2]: exponent})
                else:
                    return of_atom(("fn", "ln", freeze(argument)))
                result = add(result, term)
            return result
    return of_atom(("fn", "ln", freeze(argument)))


def _hyperbolic(name: str, argument: Form) -> Form:
    """By exponentials: cosh x is (e^x + e^-x)/2."""
    if name in ("tanh", "coth"):
        parts = [_hyperbolic(part, argument) for part in ("sinh", "cosh")]
        return multiply(parts[0], invert(parts[1])) if name == "tanh" else multiply(parts[1], invert(parts[0]))
    base = of_atom(("exp", ("sym", "e"), ()))
    up, down = raised(base, argument), raised(base, negate(argument))
    return multiply(add(up, down if name == "cosh" else negate(down)), of_number(Fraction(1, 2)))


def _trigonometric(name: str, argument: Form) -> Form:
    if name == "tan":
        return multiply(_trigonometric("sin", argument), invert(_trigonometric("cos", argument)))
    if name == "cot":
        return multiply(_trigonometric("cos", argument), invert(_trigonometric("sin", argument)))
    if name in ("sec", "csc"):
        return invert(_trigonometric("cos" if name == "sec" else "sin", argument))
    if not argument[0]:
        return of_poly({} if name == "sin" else ONE)
    if set(argument[0]) == {((PI, Fraction(1)),)} and argument[1] is ONE:
        exact = _exact_sine(argument[0][((PI, Fraction(1)),)] + (Fraction(1, 2) if name == "cos" else 0))
        if exact is not None:
            return exact
    parts = _angles(argument)
    if parts:
        return _sum_of_angles(name, parts)
    negated = negate(argument)
    if repr(freeze(negated)) < repr(freeze(argument)):
        flipped = of_atom(("fn", name, freeze(negated)))
        return negate(flipped) if name == "sin" else flipped
    return of_atom(("fn", name, freeze(argument)))


def _angles(argument: Form) -> list[tuple[Form, int]]:
    """A sum of angles as (angle, how often) pairs, [] when it is one simple angle or too many."""
    if argument[1] is not ONE or len(argument[0]) > 3:
        return []
    parts = []
    for monomial, value in argument[0].items():
        if monomial == ((PI, Fraction(1)),):
            parts.append((of_poly({monomial: value}), 1))
        else:
            parts.append((of_poly({monomial: Fraction(1, value.denominator)}), value.numerator))
    total = sum(abs(count) for _, count in parts)
    return parts if 1 < total <= 5 else []


def _sum_of_angles(name: str, parts: list[tuple[Form, int]]) -> Form:
    """The addition theorems, one angle at a time."""
    sine: Form = (ZERO, ONE)
    cosine: Form = (ONE, ONE)
    for angle, count in parts:
        one, two = _trigonometric("sin", angle), _trigonometric("cos", angle)
        if count < 0:
            one = negate(one)
        for _ in range(abs(count)):
            sine, cosine = (
                add(multiply(sine, two), multiply(cosine, one)),
                add(multiply(cosine, two), negate(multiply(sine, one))),
            )
    return sine if name == "sin" else cosine


def _exact_sine(turn: Fraction) -> Form | None:
    """sin(turn·pi) for multiples of 30 and 45 degrees."""
    turn %= 2
    sign = 1
    if turn >= 1:
        turn, sign = turn - 1, -1
    if turn > Fraction(1, 2):
        turn = 1 - turn
    roots = {Fraction(0): 0, Fraction(1, 6): 1, Fraction(1, 4): 2, Fraction(1, 3): 3, Fraction(1, 2): 4}
    if turn not in roots:
        return None
    return multiply(root_of_number(Fraction(roots[turn]), Fraction(1, 2)), of_number(Fraction(sign, 2)))
