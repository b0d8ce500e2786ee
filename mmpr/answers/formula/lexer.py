"""Reads a formula token by token."""

from __future__ import annotations

import re

from mmpr.answers.formula.tree import FormulaError

_TOKEN = re.compile(
    r"\s*(?:(?P<num>\d+(?:\.\d+)?|\.\d+)|(?P<cmd>\\[A-Za-z]+|\\[{}|%$\\&#_])|(?P<word>[A-Za-zα-ωΑ-Ω]+)"
    r"|(?P<op><=|>=|!=|==|=<|=>|:=|\*\*|[-+*/^_=<>(){}\[\]|,;:!'%°&~≤≥≠≈≅≌∽⊂⊆⊃⊇∈∉≡∼∪∩±∓×÷·√∞∅π→∠△]))"
)


class Lexer:
    """A text and its current token: ``text[at:end]`` with white space before it.

    ``kind`` is ``num``, ``cmd`` (a LaTeX command), ``word``, ``op`` or, behind the last token, ``end``.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.end = 0
        self.kind = ""
        self.token = ""
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

    def next_from(self, end: int) -> None:
        """Continue with the token that begins at ``end``."""
        self.end = end
        self.next()

    def first_character(self) -> str:
        """Step over the first character of the current token alone and return it."""
        first = self.token[0]
        self.next_from(self.end - len(self.token) + 1)
        return first

    def expect(self, token: str) -> None:
        """Step over ``token``; raises FormulaError when another one stands here."""
        if self.token != token:
            raise FormulaError(f"{token} expected")
        self.next()
