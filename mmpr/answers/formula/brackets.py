"""What stands within brackets: groups, sets, tuples, intervals, lists and matrices."""

from __future__ import annotations

import re

from mmpr.answers.algebra.matrices import determinant
from mmpr.answers.formula.notation import CLOSERS, MATRICES, MAX_MATRIX, FormulaError, Tree
from mmpr.answers.formula.tokens import Tokens


class Brackets(Tokens):
    """Reads one bracket; the statements within are read by the grammar above (``formula``)."""

    def items(self, top: bool = False) -> tuple[list[Tree], bool]:
        """Statements separated by commas."""
        raise NotImplementedError

    def statement(self, top: bool = False) -> Tree:
        """A relation or an expression."""
        raise NotImplementedError

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

    def bracketed(self) -> list[Tree]:
        """The arguments within (…)."""
        self.expect("(")
        items, _ = self.items()
        self.expect(")")
        return items

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
        return determinant([list(row[1:]) for row in rows]) if name == "vmatrix" else ("matrix", *rows)
