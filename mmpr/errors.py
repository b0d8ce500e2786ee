"""What can go wrong, as a tree.

MmprError              anything this package raises on purpose; the commands print it without a traceback
├── RecipeError        the recipe is wrong; carries every problem found, exit status 2
├── SourceError        a source cannot be opened at all (a bad row is a RowError)
├── RowError           one row is bad; becomes a row of rejects/ and never stops a build
├── OutputError        the output directory cannot be used: other recipe, other driver, unwritable
└── EngineError        the inference engine failed
    ├── EngineStartError   it never came up (wrong model, out of memory)
    └── EngineDeadError    it died or hangs while working; its actor is restarted and the unit repeated
"""

from __future__ import annotations

from collections.abc import Sequence


class MmprError(Exception):
    """Base of every error raised on purpose; its text is meant for the user."""

    exit_status = 1


class RecipeError(MmprError):
    """A recipe has problems; ``problems`` lists all of them, one line each."""

    exit_status = 2

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        self.where = where
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{where}: {count} problem{'s' if count != 1 else ''}"
        super().__init__("\n".join([head, *(f"  - {problem}" for problem in self.problems)]))

    def __reduce__(self) -> tuple[type[RecipeError], tuple[str, tuple[str, ...]]]:
        return type(self), (self.where, self.problems)


class SourceError(MmprError):
    """A source cannot be opened: the file is missing, unreadable or of another layout."""


class RowError(MmprError):
    """One row is bad.

    ``reason`` is a short stable name that reports count (``image_missing``), ``detail`` is for a person.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[RowError], tuple[str, str]]:
        return type(self), (self.reason, self.detail)


class OutputError(MmprError):
    """The output directory cannot be used as it is; the text names the remedy."""


class EngineError(MmprError):
    """The inference engine failed."""


class EngineStartError(EngineError):
    """The engine never came up; the text ends with the engine's own last words."""


class EngineDeadError(EngineError):
    """The engine died while it was working."""
