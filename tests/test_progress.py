"""What reaches a terminal: text as text, whatever a model or a data set put into it."""

import pytest
from rich.table import Table

from mmpr.progress import print_tables, printable
from mmpr.train.progress import TrainProgress

HOSTILE = [
    "\x1b[2J",
    "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\",
    "\x9b31m",
    "\x07\x08\x7f\r",
    "\u202eevil\u202c",
    "\u2066isolate",
    "\u200bzero",
    "\U000e0041tag",
    "\ud800",
    "\0",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_printable(text: str) -> None:
    shown = printable(f"a{text}b")
    assert shown.isprintable()
    assert (shown[0], shown[-1]) == ("a", "b")
    shown.encode()


def test_ordinary_text_stays() -> None:
    assert printable("图中 é x² 🙂\nnext") == "图中 é x² 🙂\nnext"
    assert printable("tab\tand\u00a0space") == "tab and space"


@pytest.mark.parametrize("cell", ["[/bold]", "[link=http://evil]x[/link]", "[red]x", ":bomb:", "[@click=app.bell]x"])
def test_brackets_in_tables_are_text(cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(title=cell)
    table.add_column(cell)
    table.add_row(cell)
    print_tables(table)
    assert capsys.readouterr().out.count(cell) == 3


def test_what_training_says_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    TrainProgress(0, 1, sys.stderr).say("".join(HOSTILE))
    assert capsys.readouterr().err.removesuffix("\n").isprintable()
