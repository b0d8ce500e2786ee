"""Mathematics in LaTeX or plain characters to a tree.

Nothing is evaluated; length, depth, digits and list sizes are bounded before anything is built. The grammar, read by
recursive descent with one token of look-ahead (each rule is the method of its name)::

    whole     = items END
    items     = statement { ("," | ";" | ";;") statement }           ";;" stands for "or"
    statement = union { RELATION union }
    union     = sum { ("∪" | "∩" | "\\setminus") sum }
    sum       = [ SIGN ] product { SIGN product }                     SIGN is +, -, ± or ∓
    product   = power { ("*" | "/") signed | power }                  a factor may follow without a sign
    signed    = [ "+" | "-" ] power
    power     = primary { "^" exponent | "_" argument | "!" | "%" | "°" | "'" }
    exponent  = ( "+" | "-" ) power | argument [ "^" exponent ]
    argument  = group | one digit | one letter | primary
    primary   = number | word | command | operator
    word      = FUNCTION function | SYMBOL | NAME "(" items ")" | letters that are a product
    command   = "\\frac" argument argument | FUNCTION function | "\\{" set | "\\begin" matrix | …
    operator  = ( "(" | "[" ) enclosed | group | "|" statement "|" | "√" argument | "π" | …
    function  = { "^" exponent | "_" argument } ( "(" items ")" | group | power { power } )
    group     = "{" items "}"
    enclosed  = items ( ")" | "]" | … )                               a tuple, an interval, a list or one value

``top`` is true outside of all brackets: only there may a comma separate thousands. ``tree`` describes what is built,
``vocabulary`` lists the names.
"""

from __future__ import annotations

import re

from mmpr.answers.formula.latex import one_spelling
from mmpr.answers.formula.lexer import Lexer
from mmpr.answers.formula.tree import MINUS_ONE, FormulaError, Tree, determinant, negative, nth_root, symbol
from mmpr.answers.formula.vocabulary import (
    ACCENTS,
    BIG,
    CLOSERS,
    COMMAND_SYMBOLS,
    DIVISION_SIGNS,
    EMPTY_SETS,
    FONTS,
    FUNCTION_SPELLINGS,
    FUNCTIONS,
    MATRICES,
    MODULAR,
    NAMED,
    NO_FACTOR,
    NO_NAMES,
    RELATIONS,
    SUM_SIGNS,
    TEXTS,
    TIMES_SIGNS,
    WORD_SYMBOLS,
    is_product,
)
from mmpr.answers.text.remembered import remembered

_MAX_LENGTH = 600
_MAX_DEPTH = 40
_MAX_DIGITS = 60
_MAX_ITEMS = 64  # of a list or a matrix
_MAX_POSTFIX = 6

_GROUPED_NUMBER = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?(?!\d|,\d)")
_MIXED_FRACTION = re.compile(r"\s*(?:\{\s*(\d+)\s*\}|(\d))\s*(?:\{\s*(\d+)\s*\}|(\d))")
_PRIMES = re.compile(r"('*)(?=\()")
_CALLABLE = frozenset("fgFG")
_ENVIRONMENT = re.compile(r"\s*\{?(\w+)\*?\}(?:\s*\{[clr|]*\})?")
_ENVIRONMENT_END = re.compile(r"\s*\{(\w+)\*?\}")
_TWO_POINTS = re.compile(r"\s*[A-Z]{2}\s*\}")
_NAME_IN_WORDS = re.compile(r"[A-Za-z]+(?: [A-Za-z]+){0,3}")


@remembered(4096)
def parse_formula(text: str) -> Tree:
    """The tree of a whole text; raises FormulaError when it is no formula or over a limit."""
    if len(text) > _MAX_LENGTH:
        raise FormulaError("too long")
    return _Parser(one_spelling(text)).whole()


class _Parser(Lexer):
    """``depth`` counts open brackets and terms, ``bars`` the open |…| in which a | can only be the closing one."""

    def __init__(self, text: str) -> None:
        self.depth = 0
        self.bars = 0
        self.latex = "\\" in text
        super().__init__(text)

    def deeper(self) -> None:
        """Count one level more; raises FormulaError beyond the limit."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise FormulaError("too deep")

    # --- lists, relations, sets, sums, products, powers --------------------------------------------------------------

    def whole(self) -> Tree:
        if self.kind == "end":
            raise FormulaError("empty")
        items, alternative = self.items(top=True)
        if self.kind != "end":
            raise FormulaError(f"unexpected {self.token}")
        return _joined(items, alternative)

    def items(self, top: bool = False) -> tuple[list[Tree], bool]:
        """The statements of a list, and whether an "or" stands among them."""
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
            if len(found) > _MAX_ITEMS:
                raise FormulaError("too many items")
        return found, alternative

    def items_within(self, bars: int) -> tuple[list[Tree], bool]:
        """The items within brackets, where ``bars`` of the |…| around them may be closed."""
        outside, self.bars = self.bars, bars
        found = self.items()
        self.bars = outside
        return found

    def statement(self, top: bool = False) -> Tree:
        self.deeper()
        operators: list[str] = []
        sides = [self.union(top)]
        while self.token in RELATIONS:
            operators.append(RELATIONS[self.next()])
            sides.append(self.union(top))
        self.depth -= 1
        return ("rel", tuple(operators), tuple(sides)) if operators else sides[0]

    def union(self, top: bool = False) -> Tree:
        left = self.sum(top)
        for _ in range(_MAX_ITEMS):
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
        sign = self.next() if self.token in SUM_SIGNS else "+"
        while True:
            term = self.product(top)
            if sign == "-":
                terms.append(negative(term))
            elif sign == "+":
                terms.append(term)
            else:
                if terms and terms[0][0] in ("pm", "mp"):
                    raise FormulaError("two double signs")
                left: Tree = _one_or("add", terms) if terms else ("num", 0, 1)
                terms = [("pm" if sign in ("\\pm", "±") else "mp", left, term)]
            if self.token not in SUM_SIGNS:
                return _one_or("add", terms)
            sign = self.next()

    def product(self, top: bool = False) -> Tree:
        factors = [self.power(top)]
        while True:
            if self.token in TIMES_SIGNS:
                self.next()
                factors.append(self.signed())
            elif self.token in DIVISION_SIGNS:
                self.next()
                factors.append(("pow", self.signed(), MINUS_ONE))
            elif self.token in MODULAR:
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
                return _one_or("mul", factors)

    def signed(self) -> Tree:
        if self.token not in ("+", "-"):
            return self.power()
        return negative(self.power()) if self.next() == "-" else self.power()

    def starts_factor(self) -> bool:
        """Whether another factor begins here."""
        if self.kind == "word":
            return self.token != "U"
        if self.kind == "cmd":
            return self.token not in NO_FACTOR
        return self.kind == "num" or self.token in ("(", "{", "√", "∞", "π", "∠", "△") or self.opens_bar()

    def opens_bar(self) -> bool:
        """Whether a | stands here that closes none."""
        return self.token == "|" and not self.bars

    def mixed(self, whole: Tree) -> Tree | None:
        """``2\\frac{1}{3}``: an integer and a proper fraction of plain integers are their sum."""
        if whole[0] != "num" or whole[2] != 1 or self.token != "\\frac":
            return None
        found = _MIXED_FRACTION.match(self.text, self.end)
        if not found:
            return None
        top, bottom = int(found[1] or found[2]), int(found[3] or found[4])
        if not 0 < top < bottom:
            return None
        self.next_from(found.end())
        return ("num", whole[1] * bottom + top, bottom)

    def power(self, top: bool = False) -> Tree:
        base = self.primary(top)
        for _ in range(_MAX_POSTFIX):
            if self.token in ("^", "**"):
                self.next()
                exponent = self.exponent()
                base = ("sub" if exponent == ("sym", "prime") else "pow", base, exponent)
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
        self.deeper()
        if self.token in ("-", "+"):
            exponent = self.signed()
        else:
            exponent = self.argument(single=False)
            if self.token in ("^", "**"):
                self.next()
                exponent = ("pow", exponent, self.exponent())
        self.depth -= 1
        return exponent

    # --- one term ----------------------------------------------------------------------------------------------------

    def argument(self, single: bool = True) -> Tree:
        """What a command or a script applies to. When ``single``, only the first digit of a number: \\frac12 is ½."""
        if self.token == "{":
            return self.group()
        if self.kind == "num" and single:
            if not self.token[0].isdigit():
                raise FormulaError("digit expected")
            return ("num", int(self.first_character()), 1)
        if self.kind == "word" and self.latex:
            return symbol(self.first_character())
        return self.primary()

    def primary(self, top: bool = False) -> Tree:
        self.deeper()
        try:
            if self.kind == "num":
                return self.number(top)
            if self.kind == "word":
                return self.word()
            return self.command() if self.kind == "cmd" else self.operator()
        finally:
            self.depth -= 1

    def number(self, top: bool) -> Tree:
        if top:
            grouped = _GROUPED_NUMBER.match(self.text, self.end - len(self.token))
            if grouped and grouped.end() > self.end:
                self.token, self.end = grouped[0].replace(",", ""), grouped.end()
        digits = self.next()
        if len(digits) > _MAX_DIGITS:
            raise FormulaError("too many digits")
        whole, _, part = digits.partition(".")
        if not part:
            return ("num", int(whole), 1)
        return ("dec", int(whole + part), 10 ** len(part), len((whole + part).lstrip("0")))

    def word(self) -> Tree:
        word = self.token
        if word in FUNCTIONS:
            self.next()
            return self.function(word)
        if word in WORD_SYMBOLS or (not word.isascii() and len(word) == 1):
            self.next()
            return symbol(WORD_SYMBOLS.get(word, word))
        if word in ("triangle", "angle") and self.text[self.end :].lstrip()[:1].isupper():
            self.next()
            return self.named(word)
        if word[1:] in ("sqrt", "pi"):  # xsqrt(3), rpi: one letter before the name
            return symbol(self.first_character())
        called = _PRIMES.match(self.text, self.end)
        if called and word in _CALLABLE:
            self.next_from(called.end())
            return ("call", word + "'" * len(called[1]), *self.bracketed())
        if len(word) == 1 and self.text[self.end : self.end + 1].isdigit() and not self.latex:
            self.next()
            return ("sub", symbol(word), self.number(False))
        if 1 < len(word) <= 4 and word.isupper():
            self.next()
            return ("sym", word)
        if len(word) > 1 and not is_product(word):
            raise FormulaError("a word")
        return symbol(self.first_character())

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
            while self.starts_factor() and self.token != "(" and not {self.token, self.token[1:]} & FUNCTIONS:
                factors.append(self.power())
            arguments = [_one_or("mul", factors)]
        if exponent == MINUS_ONE and name in ("sin", "cos", "tan"):
            return ("fn", "arc" + name, *arguments)
        tree: Tree
        if name in ("sqrt", "cbrt"):
            tree = nth_root(arguments[0], root or ("num", 3 if name == "cbrt" else 2, 1))
        elif name == "exp":
            tree = ("pow", ("sym", "e"), arguments[0])
        elif base is not None:
            tree = ("fn", name + "_", base, *arguments)
        else:
            tree = ("fn", FUNCTION_SPELLINGS.get(name, name), *arguments)
        return tree if exponent is None else ("pow", tree, exponent)

    def command(self) -> Tree:
        token = self.next()
        name = token[1:]
        if name == "frac":
            top = self.argument()
            return ("mul", top, ("pow", self.argument(), MINUS_ONE))
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
        if name in TEXTS:
            return self.text_group()
        if name in NAMED:
            return self.named(name)
        if name in FONTS:
            return self.argument()
        if name == "vec" and self.token == "{" and _TWO_POINTS.match(self.text, self.end):
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
        """The words of ``\\text{…}`` as a function, a number or a symbol."""
        if self.token != "{":
            raise FormulaError("text without braces")
        words = self.in_braces()
        if not words or "{" in words or "\\" in words:
            raise FormulaError("text inside a formula")
        self.next_from(self.text.find("}", self.end) + 1)
        if words in FUNCTIONS:
            return self.function(words)
        if words.replace(".", "", 1).isdigit():
            return ("num", int(words), 1) if words.isdigit() else ("sym", words)
        if len(words) == 1 and words.isalpha():
            return symbol(words)
        if not _NAME_IN_WORDS.fullmatch(words) or words.lower() in NO_NAMES:
            raise FormulaError("text inside a formula")
        return ("sym", words)

    def in_braces(self) -> str:
        """The text up to the next closing brace, which may be empty."""
        return self.text[self.end : max(self.end, self.text.find("}", self.end))].strip()

    def named(self, name: str) -> Tree:
        """∠ABC, △ABC, \\overline{AB}: one symbol whose letters keep their order."""
        if self.token == "{":
            letters = self.in_braces()
            if not letters.isalnum():
                raise FormulaError(f"unknown {name}")
            self.next_from(self.text.find("}", self.end) + 1)
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
        token = self.token
        if token == "{":
            return self.group()
        if token not in ("(", "[", "|", "π", "∞", "∅", "√", "∠", "△"):
            raise FormulaError(f"unexpected {token or 'end'}")
        self.next()
        if token in ("(", "["):
            return self.enclosed(token)
        if token == "|":
            self.bars += 1
            inside = self.statement()
            self.bars -= 1
            self.expect("|")
            return ("fn", "abs", inside)
        if token == "√":
            return nth_root(self.argument(single=False), ("num", 2, 1))
        if token in ("∠", "△"):
            return self.named("angle" if token == "∠" else "triangle")
        return ("set",) if token == "∅" else symbol(token)

    # --- brackets ----------------------------------------------------------------------------------------------------

    def group(self) -> Tree:
        """``{…}``: in LaTeX a group, or a set when commas stand in it; elsewhere a set."""
        self.next()
        if not self.latex:
            return self.set_or_condition("}")
        items, _ = self.items_within(bars=0)
        self.expect("}")
        return items[0] if len(items) == 1 else ("set", *items)

    def bracketed(self) -> list[Tree]:
        """The arguments within (…)."""
        self.expect("(")
        items, _ = self.items()
        self.expect(")")
        return items

    def braces(self) -> Tree:
        """A set after ``\\{``."""
        if self.token == "\\}":
            self.next()
            return ("set",)
        return self.set_or_condition("\\}")

    def set_or_condition(self, closing: str) -> Tree:
        """The elements of a set; of ``{x | x > 3}`` the condition, which stands for the set."""
        items, _ = self.items_within(bars=1)
        if self.token in ("|", ":", "\\colon"):
            self.next()
            conditions, alternative = self.items()
            self.expect(closing)
            return _joined(conditions, alternative)
        self.expect(closing)
        return items[0] if closing == "}" and len(items) == 1 else ("set", *items)

    def enclosed(self, opening: str) -> Tree:
        closings = (")", "]") if opening in ("(", "[") else (CLOSERS[opening],)
        if self.token in closings:
            raise FormulaError("empty brackets")
        items, _ = self.items_within(bars=0)
        if self.token not in closings:
            raise FormulaError("a bracket is not closed")
        closing = self.next()
        if opening == "\\langle":
            return ("tuple", *items)
        if opening in ("\\lfloor", "\\lceil"):
            return ("fn", "floor" if opening == "\\lfloor" else "ceil", items[0])
        square = opening == "[" or closing == "]"
        if len(items) == 2 and square:
            return ("interval", opening, items[0], items[1], closing)
        if len(items) == 1:
            if (opening, closing) in (("(", "]"), ("[", ")")):
                raise FormulaError("brackets do not match")
            return items[0]
        return ("list" if square else "tuple", *items)

    def matrix(self) -> Tree:
        """The rows of a matrix environment after ``\\begin``; a ``vmatrix`` is its determinant."""
        begin = _ENVIRONMENT.match(self.text, self.at)
        if not begin or begin[1] not in MATRICES:
            raise FormulaError("unknown environment")
        self.next_from(begin.end())
        rows: list[Tree] = []
        row: list[Tree] = []
        while self.token != "\\end":
            if self.token in ("&", "\\hline"):
                self.next()
            elif self.token == "\\\\":
                self.next()
                rows.append(("row", *row))
                row = []
            else:
                row.append(self.statement())
            if len(rows) * max(1, len(row)) > _MAX_ITEMS or len(row) > _MAX_ITEMS or self.kind == "end":
                raise FormulaError("a matrix too large or not closed")
        if row:
            rows.append(("row", *row))
        end = _ENVIRONMENT_END.match(self.text, self.end)
        if not end or not rows or len({len(row) for row in rows}) != 1:
            raise FormulaError("a matrix with uneven rows")
        self.next_from(end.end())
        return determinant([list(row[1:]) for row in rows]) if begin[1] == "vmatrix" else ("matrix", *rows)


def _one_or(kind: str, parts: list[Tree]) -> Tree:
    """A single part itself, several as a sum or a product."""
    return parts[0] if len(parts) == 1 else (kind, *parts)


def _joined(items: list[Tree], alternative: bool) -> Tree:
    """A single statement itself, several as ``seq`` or, with an "or" among them, ``alt``."""
    return _one_or("alt" if alternative else "seq", items)
