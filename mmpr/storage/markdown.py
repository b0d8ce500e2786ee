"""Text from outside in the Markdown files that mmpr writes: cards and READMEs."""

from __future__ import annotations

import re

from mmpr.cli.command import printable

_RUN = re.compile(r"`+")
_MARKS = re.compile(r"[\\`*_{}\[\]<>()#+!|~&]")


def code(text: str) -> str:
    """The text as inline code, whatever it holds: on one line, in more backticks than it has in a row."""
    line = " ".join(printable(text).split())
    fence = "`" * (1 + max((len(run) for run in _RUN.findall(line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"


def plain(text: str) -> str:
    """The text on one line, with nothing that Markdown or HTML would take for markup."""
    return _MARKS.sub(lambda mark: f"\\{mark[0]}", " ".join(printable(text).split()))
