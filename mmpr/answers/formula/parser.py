"""LaTeX and plain mathematics to a small syntax tree, by a whitelist: what is not known here is no formula.

Nothing is evaluated, and lengths, depth and digits are bounded before anything is built. ``notation`` describes the
tree.
"""

from __future__ import annotations

import re
from functools import lru_cache

from mmpr.answers.formula.notation import (
    MAX_DEPTH,
    MAX_LENGTH,
    MAX_MATRIX,
    MAX_POSTFIX,
    RELATIONS,
    FormulaError,
    Tree,
    negative,
)
from mmpr.answers.formula.terms import Terms
from mmpr.answers.text.numerals import REPEATING, parse_number

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
    if "over" in text or "dot" in text or "bar" in text:
        text = REPEATING.sub(_exact, text)
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


def _exact(found: re.Match[str]) -> str:
    """A repeating decimal as a fraction."""
    value = parse_number(found.group())
    return found.group() if value is None else f"{found[1]}({abs(value.numerator)}/{value.denominator})"


def _system(found: re.Match[str]) -> str:
    """The equations of a brace, side by side."""
    rows = [row.replace("&", " ").strip(" ,;") for row in re.split(r"\\\\", found["rows"]) if row.strip()]
    return " ; ".join(rows) if all(_COMPARED.search(row) and "," not in row for row in rows) else found.group()


class _Parser(Terms):
    """The grammar above terms, by recursive descent: lists, relations, sets, sums, products, powers."""

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
        while self.token in RELATIONS:
            operator = RELATIONS[self.next()]
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
                terms.append(negative(term))
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
            return negative(self.signed_next()) if self.token == "-" else self.signed_next()
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
                self.token not in RELATIONS
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
        for _ in range(MAX_POSTFIX):
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
            exponent = negative(self.signed_next()) if self.token == "-" else self.signed_next()
        else:
            exponent = self.argument(single=False)
            if self.token in ("^", "**"):
                self.next()
                exponent = ("pow", exponent, self.exponent())
        self.depth -= 1
        return exponent
