"""Exact normal form of expressions: quotients of polynomials with rational coefficients in atoms.

An atom is a symbol, a prime to a fractional power, pi, e to a monomial, or a function of normal forms. Roots of
integers,
rational powers, sin² + cos², i² and logarithms of rationals are reduced, so two numbers built of them are equal exactly
when their normal forms are. Work is bounded: what would grow beyond a limit raises TooLargeError before it does.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from math import comb, factorial, gcd, lcm
from typing import Any

from mmpr.answers.formula import Tree

Atom = tuple[Any, ...]
Monomial = tuple[tuple[Atom, Fraction], ...]
"""Sorted (atom, exponent) pairs; () is the constant 1."""
Poly = dict[Monomial, Fraction]
Form = tuple[Poly, Poly]
"""Numerator and denominator."""

MAX_TERMS = 160
MAX_POWER = 24
MAX_BITS = 4_000  # of an integer: far more than any answer shows
MAX_FACTORIAL = 120

ZERO: Poly = {}
ONE: Poly = {(): Fraction(1)}
_I: Atom = ("i",)
_PI: Atom = ("sym", "pi")


class TooLargeError(ValueError):
    """The expression would outgrow the limits of the normal form."""


class UndefinedError(ValueError):
    """The expression has no value: a division by zero, an infinity among terms, or something that is no scalar."""


def normal(tree: Tree) -> Form:
    """The normal form of an expression; raises TooLargeError or UndefinedError."""
    return _normal(tree)


def equal_forms(left: Form, right: Form) -> bool:
    """Whether two normal forms are the same quotient."""
    return not _subtract(_times(left[0], right[1]), _times(right[0], left[1]))


def is_complete(form: Form) -> bool:
    """Whether different normal forms of this kind are different values: only symbols, roots of integers, pi and e."""
    return all(
        atom[0] in ("sym", "prime", "i", "word", "sub", "call")
        or (atom[0] == "exp" and atom[1] == ("sym", "e") and all(factor[0] == "sym" for factor, _ in atom[2]))
        for poly in form
        for monomial in poly
        for atom, _ in monomial
    )


def multiplied(left: Poly, right: Poly) -> Poly:
    """The product of two polynomials; raises TooLargeError."""
    return _times(left, right)


def constant(form: Form) -> Fraction | None:
    """The rational value of a normal form that has one."""
    if set(form[0]) <= {()} and set(form[1]) == {()}:
        return form[0].get((), Fraction(0)) / form[1][()]
    return None


def freeze(form: Form) -> Tree:
    """A hashable key of a normal form, the denominator made monic by its first term."""
    top, bottom = form
    lead = bottom[min(bottom, key=_order)]
    return tuple(
        tuple(sorted(((monomial, value / lead) for monomial, value in poly.items()), key=lambda item: _order(item[0])))
        for poly in (top, bottom)
    )


def _order(monomial: Monomial) -> str:
    return repr(monomial)


@lru_cache(maxsize=8192)
def _normal(tree: Tree) -> Form:
    kind = tree[0]
    if kind in ("num", "dec"):
        value = Fraction(tree[1], tree[2])
        return _of_poly({(): value} if value else {})
    if kind == "sym":
        return _symbol(tree[1])
    if kind == "add":
        total = _normal(tree[1])
        for term in tree[2:]:
            total = _sum(total, _normal(term))
        return total
    if kind == "mul":
        product = _normal(tree[1])
        for factor in tree[2:]:
            product = _product(product, _normal(factor))
        return product
    if kind == "pow":
        return _power(_normal(tree[1]), _normal(tree[2]))
    if kind == "deg":
        return _product(_normal(tree[1]), _of_atom(_PI, Fraction(1), Fraction(1, 180)))
    if kind == "fn":
        return _function(tree[1], [_normal(part) for part in tree[2:]])
    if kind in ("sub", "call"):
        return _of_atom((kind, *(freeze(_normal(part)) if isinstance(part, tuple) else part for part in tree[1:])))
    if kind == "big":
        return _of_atom(("big", tree[1], _frozen(tree[2]), _frozen(tree[3]), freeze(_normal(tree[4]))))
    raise UndefinedError(f"{kind} is no scalar")


def _frozen(tree: Tree) -> Tree:
    if tree[0] == "rel":
        return ("rel", tree[1], *(freeze(_normal(side)) for side in tree[2]))
    return tree if tree == ("sym", "") else freeze(_normal(tree))


def _symbol(name: str) -> Form:
    if name == "e":
        return _of_atom(("exp", ("sym", "e"), ()))
    if name == "i":
        return _of_atom(_I)
    if name == "oo" or name.startswith("\\"):
        raise UndefinedError("no number")
    return _of_atom(("sym", name))


def _of_poly(poly: Poly) -> Form:
    return poly, ONE


def _of_atom(atom: Atom, exponent: Fraction = Fraction(1), factor: Fraction = Fraction(1)) -> Form:
    return {((atom, exponent),): factor}, ONE


def _checked(poly: Poly) -> Poly:
    if len(poly) > MAX_TERMS:
        raise TooLargeError("too many terms")
    for value in poly.values():
        if value.numerator.bit_length() > MAX_BITS or value.denominator.bit_length() > MAX_BITS:
            raise TooLargeError("too many digits")
    return poly


def _plus(left: Poly, right: Poly) -> Poly:
    result = dict(left)
    for monomial, value in right.items():
        total = result.get(monomial, Fraction(0)) + value
        if total:
            result[monomial] = total
        else:
            result.pop(monomial, None)
    return result


def _subtract(left: Poly, right: Poly) -> Poly:
    return _plus(left, {monomial: -value for monomial, value in right.items()})


def _times(left: Poly, right: Poly) -> Poly:
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
                total = result.get(monomial, Fraction(0)) + a * b * factor
                if total:
                    result[monomial] = total
                else:
                    result.pop(monomial, None)
    return _checked(result)


@lru_cache(maxsize=16384)
def _join_cached(left: Monomial, right: Monomial) -> tuple[tuple[Monomial, Fraction], ...]:
    exponents: dict[Atom, Fraction] = dict(left)
    for atom, exponent in right:
        exponents[atom] = exponents.get(atom, Fraction(0)) + exponent
    return tuple(_reduced(exponents).items())


def _join(left: Monomial, right: Monomial) -> Poly:
    """The product of two monomials; a sum when sin² or i² is reduced in it."""
    if not left:
        return {right: Fraction(1)}
    if not right:
        return {left: Fraction(1)}
    return dict(_join_cached(left, right))


def _reduced(exponents: dict[Atom, Fraction]) -> Poly:
    factor = Fraction(1)
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
        elif atom == _I:
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
            poly = _times(poly, square)
    return poly


def _sum(left: Form, right: Form) -> Form:
    if left[1] == right[1]:
        return _checked(_plus(left[0], right[0])), left[1]
    return (
        _checked(_plus(_times(left[0], right[1]), _times(right[0], left[1]))),
        _times(left[1], right[1]),
    )


def _product(left: Form, right: Form) -> Form:
    return _tidy((_times(left[0], right[0]), _times(left[1], right[1])))


def _tidy(form: Form) -> Form:
    """A denominator of one term moves into the numerator where that is exact."""
    top, bottom = form
    if len(bottom) == 1 and bottom is not ONE:
        (monomial, value), *_ = bottom.items()
        inverse = {atom: -exponent for atom, exponent in monomial}
        if not any(atom[0] == "fn" or atom == _I for atom in inverse):
            return _times(top, {tuple(sorted(inverse.items(), key=repr)): 1 / value}) if monomial else {
                key: number / value for key, number in top.items()
            }, ONE
    return form


def _inverse(form: Form) -> Form:
    if not form[0]:
        raise UndefinedError("a division by zero")
    return _tidy((form[1], form[0]))


def _power(base: Form, exponent: Form) -> Form:
    power = constant(exponent)
    if power is None:
        return _symbolic_power(base, exponent)
    if power.denominator == 1:
        return _whole_power(base, int(power))
    number = constant(base)
    if number is not None:
        return _root_of_number(number, power)
    if len(base[0]) == 1 and len(base[1]) == 1:
        return _root_of_monomial(base, power)
    if len(base[1]) == 1 and base[1] is not ONE:
        return _product(_power((base[0], ONE), exponent), _power((base[1], ONE), _negated(exponent)))
    content = _content(base[0])
    if content != 1 and content > 0 and base[1] is ONE:
        inner: Form = ({key: value / content for key, value in base[0].items()}, ONE)
        return _product(_root_of_number(content, power), _opaque_root(inner, power))
    return _opaque_root(base, power)


def _opaque_root(base: Form, power: Fraction) -> Form:
    whole = power.numerator // power.denominator
    part = power - whole
    root = _of_atom(("root", freeze(base), str(part)))
    return _product(root, _whole_power(base, whole))


def _content(poly: Poly) -> Fraction:
    """The rational factor that all coefficients share."""
    top, bottom = 0, 1
    for value in poly.values():
        top, bottom = gcd(top, value.numerator), lcm(bottom, value.denominator)
    return Fraction(top, bottom)


def _negated(form: Form) -> Form:
    return {key: -value for key, value in form[0].items()}, form[1]


def _whole_power(base: Form, power: int) -> Form:
    if power < 0:
        base, power = _inverse(base), -power
    number = constant(base)
    if number is not None:
        size = max(number.numerator.bit_length(), number.denominator.bit_length())
        if (size - 1) * power > MAX_BITS:
            raise TooLargeError("a power too high")
        return _of_poly({(): number**power} if number else ({} if power else ONE))
    if len(base[0]) == 1 and len(base[1]) == 1 and power <= 1_000:
        return _tidy((_monomial_power(base[0], power), _monomial_power(base[1], power)))
    if power > MAX_POWER:
        raise TooLargeError("a power too high")
    result: Form = (ONE, ONE)
    for _ in range(power):
        result = _product(result, base)
    return result


def _monomial_power(poly: Poly, power: int) -> Poly:
    ((monomial, value),) = poly.items()
    if max(value.numerator.bit_length(), value.denominator.bit_length()) * power > MAX_BITS:
        raise TooLargeError("a power too high")
    reduced = _reduced({atom: exponent * power for atom, exponent in monomial})
    return {key: number * value**power for key, number in reduced.items()}


def _root_of_number(number: Fraction, power: Fraction) -> Form:
    """A rational to a fractional power, as a rational times primes to powers in (0, 1)."""
    if not number:
        if power < 0:
            raise UndefinedError("a division by zero")
        return _of_poly({})
    if abs(power) > MAX_BITS:
        raise TooLargeError("a power too high")
    exponents: dict[Atom, Fraction] = {}
    for prime, count in [*_factors(abs(number.numerator)), *((p, -c) for p, c in _factors(number.denominator))]:
        atom: Atom = ("prime", prime)
        exponents[atom] = exponents.get(atom, Fraction(0)) + count * power
    result = _of_poly(_reduced(exponents))
    if number > 0:
        return result
    if power.denominator % 2:
        return _product(result, _of_poly({(): Fraction(-1 if power.numerator % 2 else 1)}))
    if power.denominator == 2:
        return _product(result, _whole_power(_of_atom(_I), power.numerator))
    raise UndefinedError("an even root of a negative number")


def _root_of_monomial(base: Form, power: Fraction) -> Form:
    top, bottom = base
    result: Form = (ONE, ONE)
    for poly, sign in ((top, 1), (bottom, -1)):
        ((monomial, value),) = poly.items()
        if value < 0 and power.denominator % 2 == 0:
            return _opaque_root(base, power)
        result = _product(result, _root_of_number(value, power * sign))
        for atom, exponent in monomial:
            if atom == _I or (power.denominator % 2 == 0 and exponent.denominator == 1 and exponent % 2 == 0):
                return _opaque_root(base, power)  # the root of x² is |x|
            result = _product(result, _of_poly(_reduced({atom: exponent * power * sign})))
    return result


def _symbolic_power(base: Form, exponent: Form) -> Form:
    """``2^{x+1}`` is 2·2^x: the exponent's terms are split, each with its rational coefficient as a power."""
    if exponent[1] is not ONE and len(exponent[1]) > 1:
        return _of_atom(("power", freeze(base), freeze(exponent)))
    top, bottom = exponent
    if bottom is not ONE:
        return _of_atom(("power", freeze(base), freeze(exponent)))
    number = constant(base)
    bases: list[tuple[Atom, Fraction]]
    if number is not None:
        if not number or (number < 0 and top.get((), Fraction(0)).denominator != 1):
            return _of_atom(("power", freeze(base), freeze(exponent)))
        signs = [(("num", -1), Fraction(1))] if number < 0 else []
        number = abs(number)
        bases = [(("num", prime), Fraction(count)) for prime, count in _factors(number.numerator)]
        bases += signs
        bases += [(("num", prime), Fraction(-count)) for prime, count in _factors(number.denominator)]
    elif len(base[0]) == 1 and base[1] is ONE and len(next(iter(base[0]))) == 1 and next(iter(base[0].values())) == 1:
        ((atom, count),) = next(iter(base[0]))
        if atom[0] == "exp" and atom[2] == ():
            atom = atom[1]
        elif atom[0] != "sym":
            return _of_atom(("power", freeze(base), freeze(exponent)))
        bases = [(atom, count)]
    else:
        return _of_atom(("power", freeze(base), freeze(exponent)))
    result: Form = (ONE, ONE)
    for atom, count in bases:
        for monomial, value in top.items():
            if atom == ("sym", "e") and len(monomial) == 1 and monomial[0][0][0] == "ln" and monomial[0][1] == 1:
                result = _product(result, _root_of_number(Fraction(monomial[0][0][1]), count * value))
            elif monomial:
                result = _product(result, _of_poly(_reduced({("exp", atom, monomial): count * value})))
            elif atom == ("num", -1):
                result = _product(result, _of_poly({(): Fraction(-1 if value % 2 else 1)}))
            elif atom[0] == "num":
                result = _product(result, _root_of_number(Fraction(atom[1]), count * value))
            else:
                target = ("exp", atom, ()) if atom == ("sym", "e") else atom
                result = _product(result, _of_poly(_reduced({target: count * value})))
    return result


@lru_cache(maxsize=4096)
def _factors(number: int) -> tuple[tuple[int, int], ...]:
    """Prime factors with counts, by trial division; a large rest counts as a prime (its perfect powers are found)."""
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


def _function(name: str, arguments: list[Form]) -> Form:
    numbers = [constant(argument) for argument in arguments]
    first = numbers[0]
    if name == "factorial" and first is not None and first.denominator == 1 and 0 <= first <= MAX_FACTORIAL:
        return _of_poly({(): Fraction(factorial(int(first)))})
    if (
        name == "binom"
        and len(numbers) == 2
        and all(n is not None and n.denominator == 1 and 0 <= n <= 500 for n in numbers)
    ):
        value = comb(int(numbers[0] or 0), int(numbers[1] or 0))
        return _of_poly({(): Fraction(value)} if value else {})
    if name == "abs" and first is not None:
        return _of_poly({(): abs(first)} if first else {})
    if name in ("floor", "ceil") and first is not None:
        value = first.__floor__() if name == "floor" else first.__ceil__()
        return _of_poly({(): Fraction(value)} if value else {})
    if name in ("max", "min", "gcd", "lcm") and len(numbers) > 1 and None not in numbers:
        known = [number for number in numbers if number is not None]
        if name in ("max", "min"):
            return _of_poly(_plus(ZERO, {(): max(known) if name == "max" else min(known)}) if any(known) else {})
        if all(number.denominator == 1 for number in known):
            whole = [int(number) for number in known]
            return _of_poly({(): Fraction(gcd(*whole) if name == "gcd" else lcm(*whole))})
    if len(arguments) == 1:
        if name in ("sin", "cos", "tan", "cot", "sec", "csc"):
            return _trigonometric(name, arguments[0])
        if name in ("ln", "log"):
            natural = _logarithm(arguments[0])
            return natural if name == "ln" else _product(natural, _inverse(_logarithm(_of_poly({(): Fraction(10)}))))
        if name == "abs":
            frozen = min(freeze(arguments[0]), freeze(_negated(arguments[0])), key=repr)
            return _of_atom(("fn", "abs", frozen))
    if name == "log_" and len(arguments) == 2:
        return _product(_logarithm(arguments[1]), _inverse(_logarithm(arguments[0])))
    return _of_atom(("fn", name, *(freeze(argument) for argument in arguments)))


def _logarithm(argument: Form) -> Form:
    number = constant(argument)
    if number is not None:
        if number <= 0:
            raise UndefinedError("the logarithm of no positive number")
        total: Poly = {}
        for prime, count in [*_factors(number.numerator), *((p, -c) for p, c in _factors(number.denominator))]:
            total = _plus(total, {((("ln", prime), Fraction(1)),): Fraction(count)})
        return _of_poly(total)
    if len(argument[0]) == 1 and argument[1] is ONE:
        ((monomial, value),) = argument[0].items()
        if value > 0 and all(atom[0] in ("prime", "exp") for atom, _ in monomial):
            result = _logarithm(_of_poly({(): value}))
            for atom, exponent in monomial:
                if atom[0] == "prime":
                    term: Form = _of_atom(("ln", atom[1]), Fraction(1), exponent)
                elif atom[1] == ("sym", "e"):
                    term = _of_poly({atom[2]: exponent})
                else:
                    return _of_atom(("fn", "ln", freeze(argument)))
                result = _sum(result, term)
            return result
    return _of_atom(("fn", "ln", freeze(argument)))


def _trigonometric(name: str, argument: Form) -> Form:
    if name == "tan":
        return _product(_trigonometric("sin", argument), _inverse(_trigonometric("cos", argument)))
    if name == "cot":
        return _product(_trigonometric("cos", argument), _inverse(_trigonometric("sin", argument)))
    if name in ("sec", "csc"):
        return _inverse(_trigonometric("cos" if name == "sec" else "sin", argument))
    if not argument[0]:
        return _of_poly({} if name == "sin" else ONE)
    if set(argument[0]) == {((_PI, Fraction(1)),)} and argument[1] is ONE:
        exact = _exact_sine(argument[0][((_PI, Fraction(1)),)] + (Fraction(1, 2) if name == "cos" else 0))
        if exact is not None:
            return exact
    parts = _angles(argument)
    if parts:
        return _sum_of_angles(name, parts)
    negated = _negated(argument)
    if repr(freeze(negated)) < repr(freeze(argument)):
        flipped = _of_atom(("fn", name, freeze(negated)))
        return _negated(flipped) if name == "sin" else flipped
    return _of_atom(("fn", name, freeze(argument)))


def _angles(argument: Form) -> list[tuple[Form, int]]:
    """A sum of angles as (angle, how often) pairs, [] when it is one simple angle or too many."""
    if argument[1] is not ONE or len(argument[0]) > 3:
        return []
    parts = []
    for monomial, value in argument[0].items():
        if monomial == ((_PI, Fraction(1)),):
            parts.append((_of_poly({monomial: value}), 1))
        else:
            parts.append((_of_poly({monomial: Fraction(1, value.denominator)}), value.numerator))
    total = sum(abs(count) for _, count in parts)
    return parts if 1 < total <= 5 else []


def _sum_of_angles(name: str, parts: list[tuple[Form, int]]) -> Form:
    """The addition theorems, one angle at a time."""
    sine: Form = (ZERO, ONE)
    cosine: Form = (ONE, ONE)
    for angle, count in parts:
        one, two = _trigonometric("sin", angle), _trigonometric("cos", angle)
        if count < 0:
            one = _negated(one)
        for _ in range(abs(count)):
            sine, cosine = (
                _sum(_product(sine, two), _product(cosine, one)),
                _sum(_product(cosine, two), _negated(_product(sine, one))),
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
    return _product(_root_of_number(Fraction(roots[turn]), Fraction(1, 2)), _of_poly({(): Fraction(sign, 2)}))
