"""The terms of a formula: numbers, names, commands, functions, brackets, sets and matrices."""

from __future__ import annotations

import re

from mmpr.answers.notation import (
    ACCENTS,
    BIG,
    CLOSERS,
    COMMAND_SYMBOLS,
    EMPTY_SETS,
    FUNCTIONS,
    GROUPED_NUMBER,
    MATRICES,
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_MATRIX,
    NAMED,
    WORD_SYMBOLS,
    WRAPPERS,
    FormulaError,
    Tree,
    is_product,
    nth_root,
    symbol,
)
from mmpr.answers.tokens import Tokens


class Terms(Tokens):
    """Reads one term; what stands within brackets and groups is read by the grammar above it (``formula``)."""

    def items(self, top: bool = False) -> tuple[list[Tree], bool]:
        """Statements separated by commas."""
        raise NotImplementedError

    def statement(self, top: bool = False) -> Tree:
        """A relation or an expression."""
        raise NotImplementedError

    def product(self, top: bool = False) -> Tree:
        """Factors."""
        raise NotImplementedError

    def power(self, top: bool = False) -> Tree:
        """A term with its exponents."""
        raise NotImplementedError

    def exponent(self) -> Tree:
        """What stands behind ``^``."""
        raise NotImplementedError

    def starts_factor(self) -> bool:
        """Whether another factor begins here."""
        raise NotImplementedError

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
            return symbol(letter)
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
        """A number, a word, a command or something in brackets."""
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
        """A number; with thousands separated only at the ``top`` level."""
        if top:
            start = self.end - len(self.token)
            grouped = GROUPED_NUMBER.match(self.text, start)
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
        """A function, a constant, a symbol, or letters that are a product."""
        word = self.token
        if word in FUNCTIONS and len(word) > 1:
            self.next()
            return self.function(word)
        if word in WORD_SYMBOLS or (not word.isascii() and len(word) == 1):
            self.next()
            return symbol(WORD_SYMBOLS.get(word, word))
        if word in ("triangle", "angle") and self.text[self.end :].lstrip()[:1].isupper():
            self.next()
            return self.named(word)
        for name in ("sqrt", "pi"):  # 2xsqrt(3), rpi: only behind one letter
            if len(word) == len(name) + 1 and word.endswith(name):
                self.end -= len(name)
                self.next()
                return symbol(word[0])
        following = self.text[self.end : self.end + 1]
        if len(word) == 1 and following.isdigit() and not self.latex:
            self.next()
            index = self.number(False)
            return ("sub", symbol(word), index)
        if len(word) == 1 and word in "fgFG" and following == "(":
            self.next()
            return ("call", word, *self.bracketed())
        if len(word) > 1 and word.isupper() and len(word) <= 4:
            self.next()
            return ("sym", word)
        if len(word) > 1 and not is_product(word):
            raise FormulaError("a word")
        letter = word[0]
        self.end = self.end - len(word) + 1
        self.next()
        return symbol(letter)

    def bracketed(self) -> list[Tree]:
        """The arguments within (…)."""
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
            tree = nth_root(arguments[0], root or ("num", 3 if name == "cbrt" else 2, 1))
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
        """What a command of LaTeX begins."""
        token = self.next()
        name = token[1:]
        if name == "frac":
            top = self.argument()
            return ("mul", top, ("pow", self.argument(), ("num", -1, 1)))
        if name in FUNCTIONS:
            return self.function(name)
        if name in COMMAND_SYMBOLS:
            return symbol(COMMAND_SYMBOLS[name])
        if name in ("binom", "dbinom", "tbinom", "choose"):
            top = self.argument()
            return ("fn", "binom", top, self.argument())
        if name in ("boxed", "fbox", "ensuremath"):
            return self.argument()
        if name in EMPTY_SETS:
            return ("set",)
        if token == "\\{":
            return self.braces()
        if token in CLOSERS:
            return self.enclosed(token)
        if name in ("mathbb", "Bbb"):
            letter = self.token if self.token != "{" else self.text[self.end : self.end + 1]
            self.argument()
            return ("sym", f"\\mathbb{{{letter}}}")
        if name in ("text", "mathrm", "textbf", "mbox", "textrm", "operatorname", "textit", "textnormal"):
            return self.text_group()
        if name in NAMED:
            return self.named(name)
        if name in WRAPPERS:
            return self.argument()
        if name == "vec" and self.token == "{" and re.match(r"\s*[A-Z]{2}\s*\}", self.text[self.end :]):
            return self.named("overrightarrow")
        if name in ACCENTS:
            return ("fn", name, self.argument())
        if token in BIG:
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
        """The words in ``\\text{…}`` as a function, a number or a symbol."""
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
            return symbol(words)
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
        """A sum, product, integral or limit, kept as it is written."""
        low: Tree = ("sym", "")
        high: Tree = ("sym", "")
        while self.token in ("_", "^"):
            if self.next() == "_":
                low = self.argument()
            else:
                high = self.argument()
        return ("big", token, low, high, self.product())

    def operator(self) -> Tree:
        """Brackets, bars, roots and signs."""
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
            return nth_root(self.argument(single=False), ("num", 2, 1))
        if token in ("∠", "△"):
            self.next()
            return self.named("angle" if token == "∠" else "triangle")
        raise FormulaError(f"unexpected {token or 'end'}")

    def braces(self) -> Tree:
        """A set in ``\\{…\\}``."""
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
        """A tuple, interval, list or plain brackets after ``opening``."""
        bars, self.bars = self.bars, 0
        closings = (")", "]") if opening in ("(", "[") else (CLOSERS[opening],)
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
        """The rows of a matrix environment."""
        found = re.compile(r"\s*\{?(\w+)\*?\}(?:\s*\{[clr|]*\})?").match(self.text, self.at)
        if not found or found[1] not in MATRICES:
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
