"""The process that ``pool`` starts: proves expressions equal with sympy, one line of JSON in, one word out.

Expressions arrive as trees, never as text, and ``build`` makes sympy objects of them; no string is evaluated.
"""

from __future__ import annotations

import importlib
import json
from typing import Any

from mmpr.answers import processes

MEMORY_BYTES = 1 << 30
CPU_S = 2  # processor seconds a proof may use: a backstop, the parent kills sooner
_MAX_NODES = 300


_X = ("sym", "x")
_TWO = ("num", 2, 1)
_ROOT = ("pow", _TWO, ("num", 1, 2))
_FIRST = [
    (("fn", "sin", ("mul", _TWO, _X)), ("mul", _TWO, ("fn", "sin", _X), ("fn", "cos", _X))),
    (("pow", ("add", ("num", 3, 1), ("mul", _TWO, _ROOT)), ("num", 1, 2)), ("add", ("num", 1, 1), _ROOT)),
]


class UnknownError(ValueError):
    """The tree holds something that ``build`` does not know, or a power or factorial too high to try."""


def prove(left: Any, right: Any) -> bool:
    """Whether sympy shows two trees to be equal where all symbols are positive; sampling has tried negative ones."""
    import sympy

    if _count(left) + _count(right) > _MAX_NODES:
        return False
    difference = build(left) - build(right)
    if difference == 0:
        return True
    for simplify in (sympy.expand_trig, sympy.expand_complex, sympy.simplify, sympy.radsimp, sympy.trigsimp):
        if sympy.expand(simplify(difference)) == 0:
            return True
    denested = difference.replace(lambda part: part.is_Pow and part.exp == sympy.Rational(1, 2), sympy.sqrtdenest)
    if difference.free_symbols or not difference.is_algebraic:
        return False
    return bool(sympy.expand(denested) == 0 or sympy.minimal_polynomial(difference) == sympy.Symbol("x"))


def build(tree: Any) -> Any:
    """The sympy object of a tree; raises UnknownError."""
    import sympy

    kind = tree[0]
    if kind in ("num", "dec"):
        return sympy.Rational(tree[1], tree[2])
    if kind == "sym":
        known = {"pi": sympy.pi, "e": sympy.E, "i": sympy.I, "oo": sympy.oo}
        return known.get(tree[1]) or sympy.Symbol(tree[1], positive=True)
    if kind == "add":
        return sympy.Add(*map(build, tree[1:]))
    if kind == "mul":
        return sympy.Mul(*map(build, tree[1:]))
    if kind == "pow":
        base, exponent = build(tree[1]), build(tree[2])
        if exponent.is_number and not bool(abs(exponent) <= 1_000):
            raise UnknownError("a power too high")
        if exponent.is_Rational and exponent.q % 2 and exponent.q > 1 and base.is_negative:
            return -((-base) ** exponent) if exponent.p % 2 else (-base) ** exponent
        return base**exponent
    if kind == "deg":
        return build(tree[1]) * sympy.pi / 180
    if kind in ("sub", "call"):
        return sympy.Symbol(json.dumps(tree), positive=True)
    if kind == "fn":
        return _function(tree[1], [build(part) for part in tree[2:]])
    raise UnknownError(kind)


def _function(name: str, arguments: list[Any]) -> Any:
    import sympy

    single = {
        "ln": sympy.log, "abs": sympy.Abs, "norm": sympy.Abs, "floor": sympy.floor, "ceil": sympy.ceiling,
        "arcsin": sympy.asin, "arccos": sympy.acos, "arctan": sympy.atan, "arccot": sympy.acot, "sgn": sympy.sign,
    }  # fmt: skip
    if name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth"):
        return getattr(sympy, name)(arguments[0])
    if name in single and len(arguments) == 1:
        return single[name](arguments[0])
    if name == "log":
        return sympy.log(arguments[0], 10)
    if name == "log_":
        return sympy.log(arguments[1], arguments[0])
    if name == "binom":
        return sympy.binomial(*arguments)
    if name == "factorial":
        if arguments[0].is_number and not arguments[0] <= 200:
            raise UnknownError("a factorial too high")
        return sympy.factorial(arguments[0])
    if name in ("max", "min"):
        return (sympy.Max if name == "max" else sympy.Min)(*arguments)
    raise UnknownError(name)


def _count(tree: Any) -> int:
    return 1 + sum(_count(part) for part in tree if isinstance(part, list | tuple))


def answer(request: str) -> list[str]:
    """``yes``, ``no`` or ``memory`` for one line of JSON."""
    left, right = json.loads(request)
    try:
        return ["yes" if prove(left, right) else "no"]
    except (ArithmeticError, ValueError, TypeError, AttributeError, NotImplementedError, RecursionError):
        return ["no"]  # sympy cannot work with it: not shown to be equal
    except MemoryError:
        return ["memory"]


def serve() -> None:
    """Answer the requests on standard input (``mmpr.answers.processes``)."""
    importlib.import_module("sympy")
    for left, right in _FIRST:  # sympy loads much of itself at first use; no request shall pay for that
        prove(left, right)
    processes.serve(answer, memory_bytes=MEMORY_BYTES, cpu_s=CPU_S)
