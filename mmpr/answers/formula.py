"""LaTeX and plain mathematics to a small syntax tree, by a whitelist: what is not known here is no formula.

A tree is nested tuples of strings, integers and tuples, so it can be hashed, cached and sent to a worker as JSON::

    ("num", 1, 3)  ("dec", 314, 100, 3)  ("sym", "x")  ("add", a, b, …)  ("mul", a, b, …)  ("pow", a, b)  ("fn",
    "sin", a)
    ("pm", a, b)   ("deg", a)   ("tuple" | "set" | "list" | "seq" | "alt", a, b, …)   ("interval", "[", a, b, ")")
    ("cup" | "cap" | "minus", a, b)   ("matrix", ("row", a, b), …)   ("rel", ("=", "<"), (a, b, c))   ("big", "\\sum",
    …)

``seq`` is a bare ``1, 2``; ``alt`` one that says "or"; ``dec`` keeps how many digits were shown. Nothing is evaluated
here, and lengths, depth and digits are bounded before anything is built.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

Tree = tuple[Any, ...]

MAX_LENGTH = 600
MAX_DEPTH = 40
MAX_DIGITS = 60
MAX_MATRIX = 64
_MAX_POSTFIX = 6


class FormulaError(ValueError):
    """The text is no formula that the whitelist knows, or it is over a limit."""


_GREEK = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "varepsilon",
    "zeta",
    "eta",
    "theta",
    "vartheta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "rho",
    "sigma",
    "tau",
    "upsilon",
    "phi",
    "varphi",
    "chi",
    "psi",
    "omega",
    "Gamma",
    "Delta",
    "Theta",
    "Lambda",
    "Xi",
    "Sigma",
    "Phi",
    "Psi",
    "Omega",
    "ell",
    "hbar",
    "nabla",
    "partial",
    "aleph",
]
FUNCTIONS = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "arcsin",
        "arccos",
        "arctan",
        "arccot",
        "sinh",
        "cosh",
        "tanh",
        "coth",
        "exp",
        "ln",
        "log",
        "lg",
        "sqrt",
        "cbrt",
        "abs",
        "max",
        "min",
        "gcd",
        "lcm",
        "deg",
        "det",
        "dim",
        "ker",
        "floor",
        "ceil",
        "asin",
        "acos",
        "atan",
        "sgn",
        "sign",
        "Re",
        "Im",
        "arg",
        "mod",
    ]
)
_WORD_SYMBOLS = {"pi": "pi", "infinity": "oo", "inf": "oo", "infty": "oo", "oo": "oo"} | {name: name for name in _GREEK}
_COMMAND_SYMBOLS = {name: name for name in _GREEK} | {"pi": "pi", "infty": "oo", "imath": "i", "prime": "prime"}
_EMPTY_SETS = {"emptyset", "varnothing"}
_RELATIONS = {
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
_SHORT_WORDS = frozenset(
    [
        "is",
        "of",
        "to",
        "in",
        "or",
        "be",
        "it",
        "if",
        "at",
        "an",
        "as",
        "so",
        "we",
        "no",
        "by",
        "on",
        "do",
        "go",
        "he",
        "me",
        "my",
        "up",
        "us",
        "am",
        "ok",
    ]
)
_BIG = {"\\sum", "\\prod", "\\int", "\\lim", "\\iint", "\\oint", "\\bigcup", "\\bigcap"}
_CLOSERS = {
    "(": ")",
    "[": "]",
    "\\{": "\\}",
    "{": "}",
    "\\langle": "\\rangle",
    "\\lfloor": "\\rfloor",
    "\\lceil": "\\rceil",
}
_MATRICES = {"matrix", "pmatrix", "bmatrix", "vmatrix", "Bmatrix", "Vmatrix", "array", "smallmatrix"}
_WRAPPERS = {"mathbf", "mathrm", "mathit", "boldsymbol", "bm", "mathsf", "mathcal", "mathscr"}
_ACCENTS = {"vec", "hat", "bar", "tilde", "widehat", "dot", "ddot"}
_NAMED = {"angle", "triangle", "overline", "overrightarrow", "square", "measuredangle", "odot"}

_SPACES = re.compile(r"(?<!\\)\\[,;:!> ]|\\q?quad|\\(?:enspace|thinspace)(?![A-Za-z])|(?<!\\)~")
_THOUSANDS = re.compile(r"(\d)\s*(?:\{\s*,\s*\}|,\s*\\!|\\!,|\\,)\s*(?=\d{3}(?!\d))")
_CONNECTOR = re.compile(
    r"(?:\\(?:text|mbox|textrm|mathrm)\s*\{\s*,?\s*(and|or)\s*\}|(?<![A-Za-z\\{])(and|or)(?![A-Za-z}])|\\(lor|vee|land|wedge)(?![A-Za-z]))"
)
_LOGIC = re.compile(r"\\(?:lor|vee|land|wedge)(?![A-Za-z])")
_COMPARED = re.compile(r"[<>=≤≥]|\\(?:le|ge|lt|gt|ne)")
_SIGNS = str.maketrans({"∛": "\\cbrt ", "⊥": "\\perp ", "∥": "\\parallel "})
_SYSTEM = re.compile(
    r"(?:\\begin\{cases\}|\\\{\s*\\begin\{(?:array|aligned|matrix)\}(?:\{[clr|]*\})?)(?P<rows>.*?)"
    r"\\end\{(?:cases|array|aligned|matrix)\}",
    re.DOTALL,
)
_TOKEN = re.compile(
    r"\s*(?:(?P<num>\d+(?:\.\d+)?|\.\d+)|(?P<cmd>\\[A-Za-z]+|\\[{}|%$\\&#_])|(?P<word>[A-Za-zα-ωΑ-Ω]+)"
    r"|(?P<op><=|>=|!=|==|=<|=>|:=|\*\*|[-+*/^_=<>(){}\[\]|,;:!'%°&~≤≥≠≈∈∉≡∼∪∩±∓×÷·√∞∅π→∠△]))"
)
_GROUPED_NUMBER = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?(?!\d|,\d)")


@lru_cache(maxsize=8192)
def parse_formula(text: str) -> Tree:
    """The tree of a whole text; raises FormulaError when it is no formula or over a limit."""
    if len(text) > MAX_LENGTH:
        raise FormulaError("too long")
    if "\\\\" in text and "begin" not in text:
        text = re.sub(r"\\\\(?=[A-Za-z{}])", r"\\", text)  # escaped twice on its way here
    if _LOGIC.search(text) and not _COMPARED.search(text):
        raise FormulaError("a statement of logic")
    if "{{" in text and "\\" not in text:
        raise FormulaError("a template, no formula")
    text = _THOUSANDS.sub(r"\1", text).translate(_SIGNS)
    text = re.sub(r"\\(?:d|t|c)frac(?![A-Za-z])", r"\\frac", text)
    text = re.sub(r"\\(?:left|right|middle|[bB]igg?[lrm]?)(?![A-Za-z])\s*\.?", "", text)
    text = re.sub(r"\\(?:displaystyle|textstyle|limits|nolimits|hfill|rm|bf|it)(?![A-Za-z])", "", text)
    text = _SPACES.sub(" ", text)
    text = re.sub(
        r"\^\s*(?:\{\s*\\(?:circ|degree)\s*\}|\\(?:circ|degree)(?![A-Za-z])|°)|\\(?:degree|textdegree)(?![A-Za-z])",
        "°",
        text,
    )
    text = text.replace("\\lvert", "|").replace("\\rvert", "|").replace("\\vert", "|").replace("\\mid", ":")
    text = text.replace("\\lbrace", "\\{").replace("\\rbrace", "\\}").replace("\\lbrack", "[").replace("\\rbrack", "]")
    if "begin" in text:
        text = _SYSTEM.sub(_system, text)
    text = _CONNECTOR.sub(
        lambda found: " ; " if (found[1] or found[2]) == "and" or found[3] in ("land", "wedge") else " ;; ", text
    )
    return _Parser(text.strip()).whole()


def _system(found: re.Match[str]) -> str:
    """The equations of a brace, side by side."""
    rows = [row.replace("&", " ").strip(" ,;") for row in re.split(r"\\\\", found["rows"]) if row.strip()]
    return " ; ".join(rows) if all(_COMPARED.search(row) and "," not in row for row in rows) else found.group()


class _Parser:
    """Recursive descent over one text; ``at`` is the position, ``bars`` how many |…| are open."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.bars = 0
        self.latex = "\\" in text
        self.kind = ""
        self.token = ""
        self.end = 0
        self.next()

    def next(self) -> str:
        """Step over the current token and return it."""
        last = self.token
        self.at = self.end
        found = _TOKEN.match(self.text, self.at)
        if found:
            self.kind, self.token, self.end = found.lastgroup or "", found[0].strip(), found.end()
        elif self.text[self.at :].strip():
            raise FormulaError(f"unknown character {self.text[self.at :].strip()[0]!r}")
        else:
            self.kind, self.token, self.end = "end", "", len(self.text)
        return last

    def expect(self, token: str) -> None:
        if self.token != token:
            raise FormulaError(f"{token} expected")
        self.next()

    def spaced(self) -> bool:
        """Whether white space stands before the current token."""
        return self.text[self.at : self.at + 1].isspace()

    def whole(self) -> Tree:
        if self.kind == "end":
            raise FormulaError("empty")
        items, alternative = self.items(top=True)
        if self.kind != "end":
            raise FormulaError(f"unexpected {self.token}")
        if len(items) == 1:
            return items[0]
        return ("alt" if alternative else "seq", *items)

    def items(self, top: bool = False) -> tuple[list[Tree], bool]:
        """Statements separated by commas, semicolons, "and" or "or"; the flag tells of an "or"."""
        found = [self.statement(top)]
        alternative = False
        while self.token in (",", ";"):
            while self.token in (",", ";"):
                if self.token == ";" and self.text.startswith(";", self.end):
                    alternative = True
                self.next()
            if self.kind == "end" and top:
                raise FormulaError("ends with a comma")
            found.append(self.statement(top))
            if len(found) > MAX_MATRIX:
                raise FormulaError("too many items")
        return found, alternative

    def statement(self, top: bool = False) -> Tree:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise FormulaError("too deep")
        operators: list[str] = []
        sides = [self.union(top)]
        while self.token in _RELATIONS:
            operator = _RELATIONS[self.next()]
            operators.append(operator)
            sides.append(self.union(top))
        self.depth -= 1
        return ("rel", tuple(operators), tuple(sides)) if operators else sides[0]

    def union(self, top: bool = False) -> Tree:
        left = self.sum(top)
        for _ in range(MAX_MATRIX):
            if self.token in ("\\cup", "∪") or (self.token == "U" and left[0] in ("interval", "tuple", "set")):
                name = "cup"
            elif self.token in ("\\cap", "∩"):
                name = "cap"
            elif self.token in ("\\setminus", "\\backslash"):
                name = "minus"
            else:
                return left
            self.next()
            left = (name, left, self.sum(top))
        raise FormulaError("too many sets")

    def sum(self, top: bool = False) -> Tree:
        terms: list[Tree] = []
        operator = "+"
        if self.token in ("+", "-", "\\pm", "±", "\\mp", "∓"):
            operator = self.next()
        while True:
            term = self.product(top)
            if operator == "-":
                terms.append(_negative(term))
            elif operator == "+":
                terms.append(term)
            else:
                if terms and terms[0][0] in ("pm", "mp"):
                    raise FormulaError("two double signs")
                left: Tree = ("add", *terms) if len(terms) > 1 else terms[0] if terms else ("num", 0, 1)
                terms = [("pm" if operator in ("\\pm", "±") else "mp", left, term)]
            if self.token not in ("+", "-", "\\pm", "±", "\\mp", "∓"):
                break
            operator = self.next()
        return terms[0] if len(terms) == 1 else ("add", *terms)

    def product(self, top: bool = False) -> Tree:
        factors = [self.power(top)]
        while True:
            if self.token in ("*", "\\cdot", "\\times", "×", "·", "\\ast", "\\bullet"):
                self.next()
                factors.append(self.signed())
            elif self.token in ("/", "\\div", "÷"):
                self.next()
                factors.append(("pow", self.signed(), ("num", -1, 1)))
            elif self.token in ("\\bmod", "\\pmod", "\\mod"):
                raise FormulaError("modular")
            elif self.starts_factor():
                mixed = self.mixed(factors[-1])
                if mixed is not None:
                    factors[-1] = mixed
                    continue
                if self.kind == "num" and (factors[-1][0] in ("num", "dec") or not self.latex):
                    raise FormulaError("two numbers in a row")
                factors.append(self.power())
            else:
                return factors[0] if len(factors) == 1 else ("mul", *factors)

    def signed(self) -> Tree:
        if self.token in ("+", "-"):
            return _negative(self.signed_next()) if self.token == "-" else self.signed_next()
        return self.power()

    def signed_next(self) -> Tree:
        self.next()
        return self.power()

    def starts_factor(self) -> bool:
        if self.kind == "word":
            return self.token != "U"
        if self.kind == "num":
            return True
        if self.kind == "cmd":
            name = self.token[1:]
            return (
                self.token not in _RELATIONS
                and name
                not in (
                    "cup",
                    "cap",
                    "setminus",
                    "backslash",
                    "pm",
                    "mp",
                    "rangle",
                    "rfloor",
                    "rceil",
                    "end",
                    "cdots",
                    "ldots",
                    "dots",
                )
                and self.token not in ("\\}", "\\\\", "\\&", "\\%", "\\$", "\\|")
            )
        return self.token in ("(", "{", "√", "∞", "π", "∠", "△") or (self.token == "|" and not self.bars)

    def mixed(self, whole: Tree) -> Tree | None:
        """``2\\frac{1}{3}`` is two and a third when the fraction is a proper one of plain integers."""
        if whole[0] != "num" or whole[2] != 1 or self.token != "\\frac":
            return None
        found = re.compile(r"\s*(?:\{\s*(\d+)\s*\}|(\d))\s*(?:\{\s*(\d+)\s*\}|(\d))").match(self.text, self.end)
        if not found:
            return None
        top, bottom = int(found[1] or found[2]), int(found[3] or found[4])
        if not 0 < top < bottom:
            return None
        self.end = found.end()
        self.next()
        return ("num", whole[1] * bottom + top, bottom)

    def power(self, top: bool = False) -> Tree:
        base = self.primary(top)
        for _ in range(_MAX_POSTFIX):
            if self.token in ("^", "**"):
                self.next()
                exponent = self.exponent()
                if exponent == ("sym", "prime"):
                    base = ("sub", base, exponent)
                    continue
                base = ("pow", base, exponent)
            elif self.token == "!" and not self.text.startswith("=", self.end):
                self.next()
                base = ("fn", "factorial", base)
            elif self.token in ("%", "\\%"):
                self.next()
                base = ("mul", base, ("num", 1, 100))
            elif self.token == "°":
                self.next()
                base = ("deg", base)
            elif self.token == "_":
                self.next()
                base = ("sub", base, self.argument(single=False))
            elif self.token == "'" and base[0] in ("sym", "sub"):
                self.next()
                base = ("sub", base, ("sym", "prime"))
            else:
                return base
        raise FormulaError("too many signs behind one term")

    def exponent(self) -> Tree:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise FormulaError("too deep")
        if self.token in ("-", "+"):
            exponent = _negative(self.signed_next()) if self.token == "-" else self.signed_next()
        else:
            exponent = self.argument(single=False)
            if self.token in ("^", "**"):
                self.next()
                exponent = ("pow", exponent, self.exponent())
        self.depth -= 1
        return exponent

    def argument(self, single: bool = True) -> Tree:
        """What a command or a script takes: a group, or one token (one digit of a number when ``single``)."""
        if self.token == "{":
            return self.group()
        if self.kind == "num" and single:
            digit = self.token[0]
            if not digit.isdigit():
                raise FormulaError("digit expected")
            self.end = self.end - len(self.token) + 1
            self.next()
            return ("num", int(digit), 1)
        if self.kind == "word" and self.latex:
            letter = self.token[0]
            self.end = self.end - len(self.token) + 1
            self.next()
            return _symbol(letter)
        return self.primary()

    def group(self) -> Tree:
        """``{…}`` as LaTeX groups: one statement, or a set when commas stand in it; outside LaTeX braces are a set."""
        self.next()
        if not self.latex:
            return self.set_or_condition("}")
        bars, self.bars = self.bars, 0
        items, _ = self.items()
        self.bars = bars
        self.expect("}")
        return items[0] if len(items) == 1 else ("set", *items)

    def primary(self, top: bool = False) -> Tree:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise FormulaError("too deep")
        try:
            if self.kind == "num":
                return self.number(top)
            if self.kind == "word":
                return self.word()
            if self.kind == "cmd":
                return self.command()
            return self.operator()
        finally:
            self.depth -= 1

    def number(self, top: bool) -> Tree:
        if top:
            start = self.end - len(self.token)
            grouped = _GROUPED_NUMBER.match(self.text, start)
            if grouped and grouped.end() > self.end:
                self.token, self.end = grouped[0].replace(",", ""), grouped.end()
        digits = self.next()
        if len(digits) > MAX_DIGITS:
            raise FormulaError("too many digits")
        whole, _, part = digits.partition(".")
        if not part:
            return ("num", int(whole), 1)
        return ("dec", int(whole + part), 10 ** len(part), len((whole + part).lstrip("0")))

    def word(self) -> Tree:
        word = self.token
        if word in FUNCTIONS and len(word) > 1:
            self.next()
            return self.function(word)
        if word in _WORD_SYMBOLS or (not word.isascii() and len(word) == 1):
            self.next()
            return _symbol(_WORD_SYMBOLS.get(word, word))
        if word in ("triangle", "angle") and self.text[self.end :].lstrip()[:1].isupper():
            self.next()
            return self.named(word)
        for name in ("sqrt", "pi"):  # 2xsqrt(3), rpi: only behind one letter
            if len(word) == len(name) + 1 and word.endswith(name):
                self.end -= len(name)
                self.next()
                return _symbol(word[0])
        following = self.text[self.end : self.end + 1]
        if len(word) == 1 and following.isdigit() and not self.latex:
            self.next()
            index = self.number(False)
            return ("sub", _symbol(word), index)
        if len(word) == 1 and word in "fgFG" and following == "(":
            self.next()
            return ("call", word, *self.bracketed())
        if len(word) > 1 and word.isupper() and len(word) <= 4:
            self.next()
            return ("sym", word)
        if len(word) > 1 and not _is_product(word):
            raise FormulaError("a word")
        letter = word[0]
        self.end = self.end - len(word) + 1
        self.next()
        return _symbol(letter)

    def bracketed(self) -> list[Tree]:
        self.expect("(")
        items, _ = self.items()
        self.expect(")")
        return items

    def function(self, name: str) -> Tree:
        """A function with what it applies to: brackets, or the factors up to the next function or sign."""
        base: Tree | None = None
        exponent: Tree | None = None
        root: Tree | None = None
        while self.token in ("^", "_"):
            if self.next() == "^":
                exponent = self.exponent()
            else:
                base = self.argument()
        if name == "sqrt" and self.token == "[":
            self.next()
            root = self.statement()
            self.expect("]")
        if self.token == "(":
            arguments = self.bracketed()
        elif self.token == "{":
            arguments = [self.group()]
        elif name == "sqrt":
            arguments = [self.argument(single=self.latex)]
        else:
            factors = [self.power()]
            while (
                self.starts_factor()
                and self.token != "("
                and self.token[1:] not in FUNCTIONS
                and self.token not in FUNCTIONS
            ):
                factors.append(self.power())
            arguments = [factors[0] if len(factors) == 1 else ("mul", *factors)]
        if name in ("sqrt", "cbrt"):
            tree = _root(arguments[0], root or ("num", 3 if name == "cbrt" else 2, 1))
        elif name == "exp":
            tree = ("pow", ("sym", "e"), arguments[0])
        elif base is not None:
            tree = ("fn", name + "_", base, *arguments)
        else:
            tree = (
                "fn",
                {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "sign": "sgn", "lg": "log"}.get(name, name),
                *arguments,
            )
        if exponent == ("num", -1, 1) and name in ("sin", "cos", "tan"):
            return ("fn", "arc" + name, *arguments)
        return tree if exponent is None else ("pow", tree, exponent)

    def command(self) -> Tree:
        token = self.next()
        name = token[1:]
        if name == "frac":
            top = self.argument()
            return ("mul", top, ("pow", self.argument(), ("num", -1, 1)))
        if name in FUNCTIONS:
            return self.function(name)
        if name in _COMMAND_SYMBOLS:
            return _symbol(_COMMAND_SYMBOLS[name])
        if name in ("binom", "dbinom", "tbinom", "choose"):
            top = self.argument()
            return ("fn", "binom", top, self.argument())
        if name in ("boxed", "fbox", "ensuremath"):
            return self.argument()
        if name in _EMPTY_SETS:
            return ("set",)
        if token == "\\{":
            return self.braces()
        if token in _CLOSERS:
            return self.enclosed(token)
        if name in ("mathbb", "Bbb"):
            letter = self.token if self.token != "{" else self.text[self.end : self.end + 1]
            self.argument()
            return ("sym", f"\\mathbb{{{letter}}}")
        if name in ("text", "mathrm", "textbf", "mbox", "textrm", "operatorname", "textit", "textnormal"):
            return self.text_group()
        if name in _NAMED:
            return self.named(name)
        if name in _WRAPPERS:
            return self.argument()
        if name == "vec" and self.token == "{" and re.match(r"\s*[A-Z]{2}\s*\}", self.text[self.end :]):
            return self.named("overrightarrow")
        if name in _ACCENTS:
            return ("fn", name, self.argument())
        if token in _BIG:
            return self.big(token)
        if name == "begin":
            return self.matrix()
        if token == "\\|" or name in ("lVert", "Vert"):
            inside = self.statement()
            self.next()
            return ("fn", "norm", inside)
        if token == "\\$":
            return self.primary()
        if name in ("top", "bot", "star", "cdots", "ldots", "dots"):
            return ("sym", name)
        raise FormulaError(f"unknown command {token}")

    def text_group(self) -> Tree:
        if self.token != "{":
            raise FormulaError("text without braces")
        close = self.text.find("}", self.end)
        words = self.text[self.end : close].strip() if close >= 0 else ""
        if not words or "{" in words or "\\" in words:
            raise FormulaError("text inside a formula")
        self.end = close + 1
        self.next()
        if words in FUNCTIONS:
            return self.function(words)
        if words.replace(".", "", 1).isdigit():
            return ("num", int(words), 1) if words.isdigit() else ("sym", words)
        if len(words) == 1 and words.isalpha():
            return _symbol(words)
        if re.fullmatch(r"[A-Za-z]+(?: [A-Za-z]+){0,3}", words) is None or words.lower() in (
            "or",
            "and",
            "not",
            "if",
            "for",
            "to",
        ):
            raise FormulaError("text inside a formula")
        return ("sym", words)

    def named(self, name: str) -> Tree:
        """∠ABC, △ABC, \\overline{AB}: the letters keep their order."""
        if self.token == "{":
            close = self.text.find("}", self.end)
            letters = self.text[self.end : close].strip() if close >= 0 else ""
            if not letters.isalnum():
                raise FormulaError(f"unknown {name}")
            self.end = close + 1
            self.next()
        elif self.kind in ("word", "num"):
            letters = self.next()
        else:
            raise FormulaError(f"unknown {name}")
        return ("sym", f"{name} {letters}")

    def big(self, token: str) -> Tree:
        low: Tree = ("sym", "")
        high: Tree = ("sym", "")
        while self.token in ("_", "^"):
            if self.next() == "_":
                low = self.argument()
            else:
                high = self.argument()
        return ("big", token, low, high, self.product())

    def operator(self) -> Tree:
        token = self.token
        if token in ("(", "["):
            self.next()
            return self.enclosed(token)
        if token == "{":
            return self.group()
        if token == "|":
            self.next()
            self.bars += 1
            inside = self.statement()
            self.bars -= 1
            self.expect("|")
            return ("fn", "abs", inside)
        if token in ("π", "∞", "∅"):
            self.next()
            return ("set",) if token == "∅" else ("sym", "pi" if token == "π" else "oo")
        if token == "√":
            self.next()
            return _root(self.argument(single=False), ("num", 2, 1))
        if token in ("∠", "△"):
            self.next()
            return self.named("angle" if token == "∠" else "triangle")
        raise FormulaError(f"unexpected {token or 'end'}")

    def braces(self) -> Tree:
        if self.token == "\\}":
            self.next()
            return ("set",)
        return self.set_or_condition("\\}")

    def set_or_condition(self, closing: str) -> Tree:
        """The elements of a set, or the condition of ``{x | x > 3}``."""
        bars, self.bars = self.bars, 1
        items, _ = self.items()
        self.bars = bars
        if self.token in ("|", ":", "\\colon"):  # {x | x > 3}: the condition is the set
            self.next()
            conditions, alternative = self.items()
            self.expect(closing)
            return conditions[0] if len(conditions) == 1 else ("alt" if alternative else "seq", *conditions)
        self.expect(closing)
        return items[0] if closing == "}" and len(items) == 1 else ("set", *items)

    def enclosed(self, opening: str) -> Tree:
        bars, self.bars = self.bars, 0
        closings = (")", "]") if opening in ("(", "[") else (_CLOSERS[opening],)
        if self.token in closings:
            raise FormulaError("empty brackets")
        items, _ = self.items()
        self.bars = bars
        closing = self.token
        if closing not in closings:
            raise FormulaError("a bracket is not closed")
        self.next()
        if opening == "\\langle":
            return ("tuple", *items)
        if opening in ("\\lfloor", "\\lceil"):
            return ("fn", "floor" if opening == "\\lfloor" else "ceil", items[0])
        if len(items) == 2 and (opening == "[" or closing == "]"):
            return ("interval", opening, items[0], items[1], closing)
        if len(items) == 1:
            if (opening, closing) in (("(", "]"), ("[", ")")):
                raise FormulaError("brackets do not match")
            return items[0]
        if opening == "[" or closing == "]":
            return ("list", *items)
        return ("tuple", *items)

    def matrix(self) -> Tree:
        found = re.compile(r"\s*\{?(\w+)\*?\}(?:\s*\{[clr|]*\})?").match(self.text, self.at)
        if not found or found[1] not in _MATRICES:
            raise FormulaError("unknown environment")
        name = found[1]
        self.end = found.end()
        self.next()
        rows: list[Tree] = []
        row: list[Tree] = []
        while True:
            if self.token == "\\end":
                break
            if self.token == "&":
                self.next()
            elif self.token == "\\\\":
                self.next()
                rows.append(("row", *row))
                row = []
            elif self.token == "\\hline":
                self.next()
            else:
                row.append(self.statement())
            if len(rows) * max(1, len(row)) > MAX_MATRIX or len(row) > MAX_MATRIX or self.kind == "end":
                raise FormulaError("a matrix too large or not closed")
        if row:
            rows.append(("row", *row))
        ending = re.compile(r"\s*\{(\w+)\*?\}").match(self.text, self.end)
        if not ending or not rows or len({len(row) for row in rows}) != 1:
            raise FormulaError("a matrix with uneven rows")
        self.end = ending.end()
        self.next()
        return ("fn", "det", ("matrix", *rows)) if name == "vmatrix" else ("matrix", *rows)


def _negative(tree: Tree) -> Tree:
    if tree[0] == "num":
        return ("num", -tree[1], tree[2])
    if tree[0] == "dec":
        return ("dec", -tree[1], *tree[2:])
    return ("mul", ("num", -1, 1), tree)


def _root(tree: Tree, index: Tree) -> Tree:
    if index[0] != "num" or not 1 < index[1] <= 64:
        return ("pow", tree, ("pow", index, ("num", -1, 1)))
    return ("pow", tree, ("num", 1, index[1]))


def _symbol(name: str) -> Tree:
    return (
        "sym",
        {"π": "pi", "∞": "oo", "varepsilon": "epsilon", "vartheta": "theta", "varphi": "phi"}.get(name, name),
    )


def _is_product(word: str) -> bool:
    """Whether a run of letters may be read as a product: two letters that are no word, or neighbours like abc and
    xyz."""
    if len(word) == 2:
        return word not in _SHORT_WORDS
    return len(word) <= 4 and any(word in run for run in ("abcdefgh", "mnpqrst", "uvwxyz"))
