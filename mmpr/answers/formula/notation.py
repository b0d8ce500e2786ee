"""The whitelist of signs, commands and names that a formula may be made of, and the tree it becomes.

A tree is nested tuples of strings, integers and tuples, so it can be hashed, cached and sent to a worker as JSON::

    ("num", 1, 3)  ("dec", 314, 100, 3)  ("sym", "x")  ("add", a, b, …)  ("mul", a, b, …)  ("pow", a, b)  ("fn",
    "sin", a)
    ("pm", a, b)   ("deg", a)   ("tuple" | "set" | "list" | "seq" | "alt", a, b, …)   ("interval", "[", a, b, ")")
    ("cup" | "cap" | "minus", a, b)   ("matrix", ("row", a, b), …)   ("rel", ("=", "<"), (a, b, c))   ("big", "\\sum",
    …)

``seq`` is a bare ``1, 2``; ``alt`` one that says "or"; ``dec`` keeps how many digits were shown.
"""

from __future__ import annotations

import re
from typing import Any

Tree = tuple[Any, ...]

MAX_LENGTH = 600
MAX_DEPTH = 40
MAX_DIGITS = 60
MAX_MATRIX = 64
MAX_POSTFIX = 6


class FormulaError(ValueError):
    """The text is no formula that the whitelist knows, or it is over a limit."""


_GREEK_TEXT = (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau "
    "upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega ell hbar nabla partial "
    "aleph"
)
_GREEK = _GREEK_TEXT.split()
_FUNCTIONS_TEXT = (
    "sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh coth exp ln log lg sqrt cbrt abs max min "
    "gcd lcm deg det dim ker floor ceil asin acos atan sgn sign Re Im arg mod"
)
FUNCTIONS = frozenset(_FUNCTIONS_TEXT.split())
WORD_SYMBOLS = {"pi": "pi", "infinity": "oo", "inf": "oo", "infty": "oo", "oo": "oo"} | {name: name for name in _GREEK}
COMMAND_SYMBOLS = {name: name for name in _GREEK} | {"pi": "pi", "infty": "oo", "imath": "i", "prime": "prime"}
EMPTY_SETS = {"emptyset", "varnothing"}
RELATIONS = {
    "=": "=",
    "<": "<",
    ">": ">",
    "<=": "<=",
    ">=": ">=",
    "=<": "<=",
    "=>": ">=",
    "==": "=",
    "!=": "!=",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "≈": "~",
    "~": "~",
    "∈": "in",
    "∉": "notin",
    ":=": "=",
    "≡": "equiv",
    "∼": "~",
    "\\leq": "<=",
    "\\le": "<=",
    "\\leqslant": "<=",
    "\\geq": ">=",
    "\\ge": ">=",
    "\\geqslant": ">=",
    "\\lt": "<",
    "\\gt": ">",
    "\\neq": "!=",
    "\\ne": "!=",
    "\\approx": "~",
    "\\simeq": "~",
    "\\sim": "~",
    "\\in": "in",
    "\\notin": "notin",
    "\\equiv": "equiv",
    "\\cong": "~",
    "\\subset": "subset",
    "\\subseteq": "subset",
    "\\doteq": "~",
    "\\to": "to",
    "→": "to",
    "\\rightarrow": "to",
    "\\parallel": "parallel",
    "\\perp": "perp",
}
_SHORT_WORDS_TEXT = "is of to in or be it if at an as so we no by on do go he me my up us am ok"
_SHORT_WORDS = frozenset(_SHORT_WORDS_TEXT.split())
BIG = {"\\sum", "\\prod", "\\int", "\\lim", "\\iint", "\\oint", "\\bigcup", "\\bigcap"}
CLOSERS = {
    "(": ")",
    "[": "]",
    "\\{": "\\}",
    "{": "}",
    "\\langle": "\\rangle",
    "\\lfloor": "\\rfloor",
    "\\lceil": "\\rceil",
}
MATRICES = {"matrix", "pmatrix", "bmatrix", "vmatrix", "Bmatrix", "Vmatrix", "array", "smallmatrix"}
WRAPPERS = {"mathbf", "mathrm", "mathit", "boldsymbol", "bm", "mathsf", "mathcal", "mathscr"}
ACCENTS = {"vec", "hat", "bar", "tilde", "widehat", "dot", "ddot"}
NAMED = {"angle", "triangle", "overline", "overrightarrow", "square", "measuredangle", "odot"}
TOKEN = re.compile(
    r"\s*(?:(?P<num>\d+(?:\.\d+)?|\.\d+)|(?P<cmd>\\[A-Za-z]+|\\[{}|%$\\&#_])|(?P<word>[A-Za-zα-ωΑ-Ω]+)"
    r"|(?P<op><=|>=|!=|==|=<|=>|:=|\*\*|[-+*/^_=<>(){}\[\]|,;:!'%°&~≤≥≠≈∈∉≡∼∪∩±∓×÷·√∞∅π→∠△]))"
)
GROUPED_NUMBER = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?(?!\d|,\d)")


def negative(tree: Tree) -> Tree:
    """A tree with the other sign."""
    if tree[0] == "num":
        return ("num", -tree[1], tree[2])
    if tree[0] == "dec":
        return ("dec", -tree[1], *tree[2:])
    return ("mul", ("num", -1, 1), tree)


def nth_root(tree: Tree, index: Tree) -> Tree:
    """The root of a tree, as a power."""
    if index[0] != "num" or not 1 < index[1] <= 64:
        return ("pow", tree, ("pow", index, ("num", -1, 1)))
    return ("pow", tree, ("num", 1, index[1]))


def symbol(name: str) -> Tree:
    """A symbol in its one spelling."""
    return (
        "sym",
        {"π": "pi", "∞": "oo", "varepsilon": "epsilon", "vartheta": "theta", "varphi": "phi"}.get(name, name),
    )


def is_product(word: str) -> bool:
    """Whether a run of letters may be read as a product: two letters that are no word, or neighbours like abc and
    xyz."""
    if len(word) == 2:
        return word not in _SHORT_WORDS
    return len(word) <= 4 and any(word in run for run in ("abcdefgh", "mnpqrst", "uvwxyz"))
