"""Values of expressions at pseudo-random points, which can show that two expressions differ, never that they agree."""

from __future__ import annotations

import cmath
import hashlib
import math
from collections.abc import Callable

from mmpr.answers.formula.tree import Tree

_TOLERANCE = 1e-9
_POINTS = 6
_NEEDED = 2

_FUNCTIONS: dict[str, Callable[[complex], complex]] = {
    "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan, "sinh": cmath.sinh, "cosh": cmath.cosh, "tanh": cmath.tanh,
    "cot": lambda x: 1 / cmath.tan(x), "sec": lambda x: 1 / cmath.cos(x), "csc": lambda x: 1 / cmath.sin(x),
    "coth": lambda x: 1 / cmath.tanh(x), "arccot": lambda x: cmath.atan(1 / x),
    "arcsin": cmath.asin, "arccos": cmath.acos, "arctan": cmath.atan, "ln": cmath.log, "log": cmath.log10,
    "abs": abs, "norm": abs, "deg": lambda x: x, "Re": lambda x: x.real, "Im": lambda x: x.imag,
    "floor": lambda x: math.floor(x.real), "ceil": lambda x: math.ceil(x.real),
    "sgn": lambda x: (x.real > 0) - (x.real < 0), "factorial": lambda x: math.gamma(x.real + 1),
}  # fmt: skip


class NoValueError(ValueError):
    """The expression has no number at this point, or none that can be computed here."""


def value(tree: Tree, point: int = 0) -> complex:
    """The value at one point, where each symbol is a real number drawn from its name and the point.

    Raises NoValueError.
    """
    try:
        result = _value(tree, point)
    except (ArithmeticError, ValueError, TypeError, IndexError) as error:
        raise NoValueError(str(error)) from error
    if not cmath.isfinite(result):
        raise NoValueError("not finite")
    return result


def differ(left: Tree, right: Tree, constants: bool = False) -> bool | None:
    """True when the values differ at a point, False when they differ at none, None when too few can be computed.

    Expressions without symbols (``constants``) have the same value everywhere, so one point is enough.
    """
    seen = 0
    for point in range(1 if constants else _POINTS):
        try:
            one, two = value(left, point), value(right, point)
        except NoValueError:
            continue
        if point and (abs(one.imag) > _TOLERANCE or abs(two.imag) > _TOLERANCE):
            continue  # off the real branch, where the usual identities need not hold
        seen += 1
        if abs(one - two) > _TOLERANCE * max(1.0, abs(one), abs(two)) or _tiny(one, two):
            return True
    return False if seen >= (1 if constants else _NEEDED) else None


def real(tree: Tree) -> float | None:
    """The value of an expression without symbols, ±∞ included; None when it is not real or cannot be computed."""
    sign = infinity(tree)
    if sign:
        return math.inf * sign
    try:
        number = value(tree)
    except NoValueError:
        return None
    return number.real if abs(number.imag) < _TOLERANCE else None


def infinity(tree: Tree) -> int:
    """1 for ∞, -1 for -∞, 0 for anything else."""
    if tree == ("sym", "oo"):
        return 1
    return -1 if tree == ("mul", ("num", -1, 1), ("sym", "oo")) else 0


def _tiny(one: complex, two: complex) -> bool:
    largest = max(abs(one), abs(two))
    return 0 < largest < 1e-6 and abs(one - two) > _TOLERANCE * largest


def _random(name: str, point: int) -> float:
    """Between 0.35 and 1.95; at odd points negative for most names."""
    digest = hashlib.blake2b(f"{name}:{point}".encode("utf-8", "replace"), digest_size=8).digest()
    size = 0.35 + int.from_bytes(digest, "big") / 2**64 * 1.6
    return -size if point % 2 and digest[0] % 3 else size


def _value(tree: Tree, point: int) -> complex:
    kind = tree[0]
    if kind in ("num", "dec"):
        return complex(tree[1] / tree[2])
    if kind == "sym":
        name = tree[1]
        known = {"pi": math.pi, "e": math.e, "i": 1j}.get(name)
        if known is not None:
            return complex(known)
        if name == "oo" or name.startswith("\\"):
            raise NoValueError(name)
        return complex(_random(name, point))
    if kind == "add":
        return sum((_value(term, point) for term in tree[1:]), 0j)
    if kind == "mul":
        product = 1 + 0j
        for factor in tree[1:]:
            product *= _value(factor, point)
        return product
    if kind == "pow":
        base, exponent = _value(tree[1], point), _value(tree[2], point)
        if tree[2][0] == "num" and tree[2][2] % 2 and tree[2][2] > 1 and base.real < 0 and not base.imag:
            root = -((-base.real) ** (1 / tree[2][2]))
            return complex(root ** tree[2][1])
        if abs(exponent) > 1_000:
            raise NoValueError("a power too high")
        return base**exponent
    if kind == "deg":
        return _value(tree[1], point) * math.pi / 180
    if kind in ("sub", "call"):
        arguments = [_value(part, point) if isinstance(part, tuple) else part for part in tree[1:]]
        return complex(
            _random(f"{kind}{[round(a.real, 9) if isinstance(a, complex) else a for a in arguments]}", point)
        )
    if kind == "fn":
        return _call(tree[1], [_value(part, point) for part in tree[2:]])
    raise NoValueError(kind)


def _call(name: str, arguments: list[complex]) -> complex:
    if name in _FUNCTIONS and len(arguments) == 1:
        return complex(_FUNCTIONS[name](arguments[0]))
    if name == "log_":
        return cmath.log(arguments[1]) / cmath.log(arguments[0])
    if name == "binom":
        top, low = arguments[0].real, arguments[1].real
        return complex(math.gamma(top + 1) / math.gamma(low + 1) / math.gamma(top - low + 1))
    if name in ("max", "min"):
        return complex((max if name == "max" else min)(argument.real for argument in arguments))
    raise NoValueError(name)
