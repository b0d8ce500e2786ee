"""The tokens of a formula, one at a time."""

from __future__ import annotations

from mmpr.answers.formula.notation import TOKEN, FormulaError


class Tokens:
    """A text and the token that stands at ``at``; ``bars`` says how many |…| are open, ``depth`` how deep we are."""

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
        found = TOKEN.match(self.text, self.at)
        if found:
            self.kind, self.token, self.end = found.lastgroup or "", found[0].strip(), found.end()
        elif self.text[self.at :].strip():
            raise FormulaError(f"unknown character {self.text[self.at :].strip()[0]!r}")
        else:
            self.kind, self.token, self.end = "end", "", len(self.text)
        return last

    def expect(self, token: str) -> None:
        """Step over ``token``; raises FormulaError when another one stands here."""
        if self.token != token:
            raise FormulaError(f"{token} expected")
        self.next()

    def spaced(self) -> bool:
        """Whether white space stands before the current token."""
        return self.text[self.at : self.at + 1].isspace()
