"""Several acceptable answers on their way through judging and the shards; builds of earlier versions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mmpr.check.print_build import _pair_text
from mmpr.config import parse_recipe
from mmpr.errors import RecipeError
from mmpr.export.formats import record, trl_row
from mmpr.models import FoundModel
from mmpr.pipeline.identity import fingerprints_of
from mmpr.pipeline.judging import judge
from mmpr.pipeline.plan import make_plan
from mmpr.schema import IndexedRow, Pair, PairedResponse, PreferenceRow, Question, SourceRow, shown_truth
from mmpr.sources import open_source
from mmpr.sources.selection import select_rows
from mmpr.storage.columns import read_selected
from mmpr.storage.tables import read_rows, write_parquet


@pytest.mark.parametrize(
    ("said", "truths", "rule", "status"),
    [
        ("STOP sign", ("stop", "STOP sign"), "default", "correct"),
        ("go", ("stop", "halt"), "default", "incorrect"),
        ("4", ("3", "4"), "default", "correct"),
        ("5", ("3", "4"), "default", "incorrect"),
        ("net", ("net", "net", "net", "racket"), "vqa", "correct"),
        ("racket", ("net", "net", "net", "racket"), "vqa", "unsure"),
        ("ball", ("net", "net", "net", "racket"), "vqa", "incorrect"),
        ("own", ("stop", "own"), "mine", "correct"),
        ("go", ("stop", "own"), "mine", "incorrect"),
    ],
)
def test_any_of_several_truths(said: str, truths: tuple[str, ...], rule: str, status: str) -> None:
    rules = {"mine": lambda answer, truth, choices: answer == truth}
    [verdict] = judge([f"Reasons.\nFinal answer: {said}"], truths, rule=rule, rules=rules)
    assert verdict.status == status, verdict


@pytest.mark.parametrize(
    ("noun", "row"),
    [
        (Question, Question("1", "s", "q", "a", where="w", images=(b"x",))),
        (IndexedRow, IndexedRow("1", "s", SourceRow("w", "q", "a"))),
        (PreferenceRow, PreferenceRow("1", "s", "", (), "q", "q", "a", 0.5, (), ())),
    ],
)
def test_shards_of_earlier_versions(noun: Any, row: Any, tmp_path: Path) -> None:
    path, old = tmp_path / "new.parquet", tmp_path / "old.parquet"
    write_parquet(path, noun, [row], {})
    table = pq.read_table(path)
    if noun is IndexedRow:
        fields = table.schema.field("row").type
        names = [field.name for field in fields if field.name != "answers"]
        cells = [{name: cell[name] for name in names} for cell in table["row"].to_pylist()]
        table = table.drop_columns("row").append_column("row", [cells])
    else:
        table = table.drop_columns("answers")
        assert read_selected_without(table, old)["answer"] == "a"
    pq.write_table(table, old)
    assert list(read_rows(old, noun)) == list(read_rows(path, noun)) == [row]


def read_selected_without(table: Any, path: Path) -> dict[str, Any]:
    pq.write_table(table, path)
    return read_selected(path, ("id", "answer", "answers"), ["1"])["1"]


def test_fingerprints_of_recipes_without_the_new_settings_are_those_of_the_first_version(tmp_path: Path) -> None:
    """A build that was begun then goes on now; each new setting changes them."""
    source = {"name": "s", "type": "jsonl", "path": "x.jsonl", "columns": {"choices": "c"}}
    tree: dict[str, Any] = {
        "name": "t",
        "model": {"path": "none"},
        "engine": {"type": "replay"},
        "sources": [source, {"name": "d", "type": "digits", "split": "train", "questions": 3}],
        "heldout": [{"name": "h", "type": "parquet", "path": "y"}],
    }

    def found(**settings: Any) -> dict[str, str]:
        changed = {**tree, "sources": [{**source, **settings.pop("source", {})}, *tree["sources"][1:]], **settings}
        recipe = parse_recipe(changed, folder=tmp_path)
        return fingerprints_of(recipe, FoundModel("", "rev"), {"en": "a", "plain": "b"})

    first = {
        "index": "be4bb14029b82a3d",
        "sample": "88147e465653881c",
        "complete": "080ed8c1cbdc7452",
        "verify": "d1ffa8d17d111390",
        "pair": "ac145e27da69d123",
    }
    assert found() == first
    for settings in (
        {"source": {"answer_index": 0}},
        {"source": {"options": {"letters": "a"}}},
        {"images": {"remote": {"hosts": ["example.org"]}}},
    ):
        assert found(**settings)["index"] != first["index"]


def test_options_that_nobody_shows_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.jsonl").write_text(
        '{"question": "Which?", "choices": ["left", "right"], "answer": "B"}\n'
        '{"question": "left or right?", "choices": ["left", "right"], "answer": "B"}\n'
    )
    for template, said in (("en", "1 of 2 questions do not show their options"), ("en_choices", "")):
        source = {"name": "s", "type": "jsonl", "path": "x.jsonl", "columns": {"choices": "choices"}}
        tree = {"name": "t", "model": {"path": "none"}, "sources": [{**source, "template": template}]}
        recipe = parse_recipe(tree, folder=tmp_path)
        selection = select_rows(open_source(recipe.sources[0], recipe), recipe.sources[0], 0)
        assert len(list(selection)) == 2
        selection.tell(recipe)
        told = capsys.readouterr().err
        assert (said in told) if said else (told == "")


def test_a_template_with_options_needs_their_column(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"question": "Which?", "answer": "B"}\n')
    source = {"name": "s", "type": "jsonl", "path": "x.jsonl", "template": "en_choices"}
    tree = {"name": "t", "model": {"path": "none"}, "engine": {"type": "replay"}, "sources": [source]}
    with pytest.raises(RecipeError, match=r"template 'en_choices' shows options; name their column"):
        make_plan(parse_recipe(tree, folder=tmp_path), "recipe")


def test_exports_and_pages_show_all_of_them() -> None:
    side = PairedResponse("stop", 1, "stop", 0, 0), PairedResponse("go", 1, "stop", 1, 1)
    pair = Pair(0, 1, "correctness")
    row = PreferenceRow("1", "s", "", (), "q", "q", "stop", 0.5, side, (pair,), answers=("stop", "halt", "stop"))
    one = replace(row, answers=())
    assert record("mmpr", row, pair, ())["answers"] == ["stop", "halt", "stop"]
    assert record("trl", row, pair, ())["answers"] == ("stop", "halt", "stop")
    assert trl_row(row, pair).answers == row.answers
    assert all("answers" not in record(form, one, pair, ()) for form in ("mmpr", "trl"))
    assert shown_truth(row.answer, row.answers) == "stop or halt"
    assert shown_truth(one.answer, one.answers) == "stop"
    assert shown_truth(None, None) is None
    assert "answer 'stop' or 'halt'" in _pair_text("x", replace(row, answers=("stop", "halt")), pair)
