"""The terms of a formula: numbers, names, commands and functions."""

from __future__ import annotations

import re

from mmpr.answers.formula.brackets import Brackets
from mmpr.answers.formula.notation import (
    ACCENTS,
    BIG,
    CLOSERS,
    COMMAND_SYMBOLS,
    EMPTY_SETS,
    FUNCTIONS,
    GROUPED_NUMBER,
    MAX_DEPTH,
    MAX_DIGITS,
    NAMED,
    WORD_SYMBOLS,
    WRAPPERS,
    FormulaError,
    Tree,
    is_product,
    nth_root,
    symbol,
)

_CALLABLE = frozenset("fgFG")
_CALLED = re.compile(r"('*)(?=\()")


class Terms(Brackets):
    """Reads one term; what stands within brackets and groups is read by the grammar above it (``formula``)."""

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
        called = _CALLED.match(self.text, self.end)
        if called and word in _CALLABLE:
            self.end = called.end()
            self.next()
            return ("call", word + "'" * len(called[1]), *self.bracketed())
        following = self.text[self.end : self.end + 1]
        if len(word) == 1 and following.isdigit() and not self.latex:
            self.next()
            index = self.number(False)
            return ("sub", symbol(word), index)
        if len(word) > 1 and word.isupper() and len(word) <= 4:
            self.next()
            return ("sym", word)
        if len(word) > 1 and not is_product(word):
            raise FormulaError("a word")
        letter = word[0]
        self.end = self.end - len(word) + 1
        self.next()
        return symbol(letter)

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
