"""What reaches a terminal: text as text, whatever a model or a data set put into it."""

import pytest
from rich.table import Table

from mmpr.progress import print_tables
from mmpr.train.progress import TrainProgress
from tests.test_command import HOSTILE


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
