"""What reaches a terminal: text as text, whatever a model or a data set put into it."""

import io

import pytest
from rich.table import Table

from mmpr.pipeline.progress import BuildProgress, print_tables
from mmpr.train.progress import TrainProgress
from tests.cli.test_command import HOSTILE


@pytest.mark.parametrize("cell", ["[/bold]", "[link=http://evil]x[/link]", "[red]x", ":bomb:", "[@click=app.bell]x"])
def test_brackets_in_tables_are_text(cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(title=cell)
    table.add_column(cell)
    table.add_row(cell)
    print_tables(table)
    assert capsys.readouterr().out.count(cell) == 3


def test_what_training_says_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    TrainProgress("train", "steps", 1).say("".join(HOSTILE))
    assert capsys.readouterr().err.removesuffix("\n").isprintable()


@pytest.mark.parametrize(
    ("engines", "words"),
    [
        (0, "starting 2 engines"),
        (1, "tokens/s"),
        (2, "tokens/s"),
        (3, ", 1 engine restart"),
        (5, ", 3 engine restarts"),
    ],
)
def test_engines_that_died_are_told_of(engines: int, words: str) -> None:
    progress = BuildProgress(dict, {"questions": 8}, 2, io.StringIO())
    assert progress._details({"engines": engines}).strip().endswith(words)


def test_a_short_build_is_told_of_at_its_start_and_its_end() -> None:
    file = io.StringIO()
    with BuildProgress(dict, {"questions": 8}, 1, file) as progress:
        progress.judged({"s/correct": 1, "s/incorrect": 3})
    first, last = file.getvalue().splitlines()
    assert first == "8 questions to ask: starting 1 engine"
    assert last.startswith("done in 0 s: pass rate 0.25")
