"""The signs, commands and names that a formula may be made of. What is not listed here is no formula."""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_GREEK = _names(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau "
    "upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega ell hbar nabla partial "
    "aleph"
)
FUNCTIONS = _names(
    "sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh coth exp ln log lg sqrt cbrt abs max min "
    "gcd lcm deg det dim ker floor ceil asin acos atan sgn sign Re Im arg mod"
)
FUNCTION_SPELLINGS = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "sign": "sgn", "lg": "log"}
WORD_SYMBOLS = {"pi": "pi", "infinity": "oo", "inf": "oo", "infty": "oo", "oo": "oo"} | {name: name for name in _GREEK}
COMMAND_SYMBOLS = {name: name for name in _GREEK} | {"pi": "pi", "infty": "oo", "imath": "i", "prime": "prime"}
EMPTY_SETS = _names("emptyset varnothing")

_RELATION_SIGNS = {
    "=": "= == :=",
    "<": r"< \lt",
    ">": r"> \gt",
    "<=": r"<= =< ≤ \leq \le \leqslant",
    ">=": r">= => ≥ \geq \ge \geqslant",
    "!=": r"!= ≠ \neq \ne",
    "~": r"≈ ~ \approx \simeq \doteq",
    "similar": r"∼ ∽ \sim \backsim",
    "congruent": r"≅ ≌ \cong",
    "in": r"∈ \in",
    "notin": r"∉ \notin",
    "equiv": r"≡ \equiv",
    "subset": r"⊂ \subset",
    "subseteq": r"⊆ \subseteq",
    "superset": r"⊃ \supset",
    "superseteq": r"⊇ \supseteq",
    "to": r"→ \to \rightarrow",
    "parallel": r"\parallel",
    "perp": r"\perp",
}
RELATIONS = {sign: name for name, signs in _RELATION_SIGNS.items() for sign in signs.split()}
"""The name of each relation by the signs for it."""

SUM_SIGNS = _names(r"+ - ± ∓ \pm \mp")
TIMES_SIGNS = _names(r"* × · \cdot \times \ast \bullet")
DIVISION_SIGNS = _names(r"/ ÷ \div")
MODULAR = _names(r"\bmod \pmod \mod")
_NO_FACTOR = _names(r"cup cap setminus backslash pm mp rangle rfloor rceil end cdots ldots dots } \ & % $ |")
NO_FACTOR = frozenset(f"\\{name}" for name in _NO_FACTOR) | frozenset(RELATIONS)
"""Commands with which no factor of a product begins."""
BIG = _names(r"\sum \prod \int \lim \iint \oint \bigcup \bigcap")
CLOSERS = {"\\langle": "\\rangle", "\\lfloor": "\\rfloor", "\\lceil": "\\rceil"}
MATRICES = _names("matrix pmatrix bmatrix vmatrix Bmatrix Vmatrix array smallmatrix")
TEXTS = _names("text mathrm textbf mbox textrm operatorname textit textnormal")
FONTS = _names("mathbf mathrm mathit boldsymbol bm mathsf mathcal mathscr")
ACCENTS = _names("vec hat bar tilde widehat dot ddot")
NAMED = _names("angle triangle overline overrightarrow square measuredangle odot")
"""Commands that make a name of the letters behind them."""

_SHORT_WORDS = _names("is of to in or be it if at an as so we no by on do go he me my up us am ok")
NO_NAMES = _names("or and not if for to")


def is_product(word: str) -> bool:
    """Whether a run of letters may be a product: two that are no English word, or neighbours such as abc and xyz."""
    if len(word) == 2:
        return word not in _SHORT_WORDS
    return len(word) <= 4 and any(word in run for run in ("abcdefgh", "mnpqrst", "uvwxyz"))
