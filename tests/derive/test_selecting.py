"""A part of a build is a build: what is in it, and that every command takes it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmpr.check.__main__ import main as check
from mmpr.derive.selecting import main, select
from mmpr.errors import OutputError, RecipeError
from mmpr.export.run import export
from mmpr.pipeline.plan import make_plan, prepare
from mmpr.report.make import make_report
from mmpr.schema import PreferenceRow, Question, Rollout
from mmpr.storage.manifest import read_manifest
from mmpr.storage.tables import read_rows
from mmpr.train.data.preference_data import read_train_rows
from tests.conftest import SmallBuild

pytestmark = pytest.mark.slow


def rows(out: Path, folder: str, noun: type[Any]) -> dict[str, Any]:
    return {row.id: row for path in sorted((out / folder).glob("*.parquet")) for row in read_rows(path, noun)}


def level(out: Path, key: str) -> str:
    return next(line.level for line in make_report(out).findings if line.key == key)


def test_questions_are_kept_whole(small_build: SmallBuild, tmp_path: Path) -> None:
    out = tmp_path / "part"
    manifest = select(small_build.out, "source in ('digits', 'own') and pass_rate > 0.1", out)
    before = {name: rows(small_build.out, name, noun) for name, noun in FOLDERS}
    after = {name: rows(out, name, noun) for name, noun in FOLDERS}
    wanted = {
        id
        for id, row in before["pairs"].items()
        if row.source in ("digits", "own") and row.pass_rate is not None and row.pass_rate > 0.1
    }
    assert 0 < len(wanted) < len(before["pairs"])
    assert after["pairs"] == {id: row for id, row in before["pairs"].items() if id in wanted}
    assert wanted <= after["questions"].keys() < before["questions"].keys()
    assert after["rollouts"] == {id: row for id, row in before["rollouts"].items() if id in after["questions"]}
    assert after["heldout"] == before["heldout"]
    assert manifest["lineage"]["where"] == "source in ('digits', 'own') and pass_rate > 0.1"
    assert manifest["lineage"]["of"][0]["seal"] == read_manifest(small_build.out)["seal"]
    assert check([str(out), "--verify"]) == 0
    assert level(out, "unaccounted") == "ok"


FOLDERS = (("questions", Question), ("rollouts", Rollout), ("pairs", PreferenceRow), ("heldout", Question))


def test_pairs_are_kept_with_their_responses(small_build: SmallBuild, tmp_path: Path) -> None:
    out = tmp_path / "part"
    select(small_build.out, "method == 'correctness' and chosen_tokens <= rejected_tokens", out)
    pairs = rows(out, "pairs", PreferenceRow)
    kept = [(row.responses[p.chosen], row.responses[p.rejected], p) for row in pairs.values() for p in row.pairs]
    assert kept
    assert all(p.method == "correctness" and one.tokens <= other.tokens for one, other, p in kept)
    wanted = sum(
        p.method == "correctness" and row.responses[p.chosen].tokens <= row.responses[p.rejected].tokens
        for row in rows(small_build.out, "pairs", PreferenceRow).values()
        for p in row.pairs
    )
    assert len(kept) == wanted
    for row in pairs.values():
        assert {place for p in row.pairs for place in (p.chosen, p.rejected)} == set(range(len(row.responses)))
    assert rows(out, "questions", Question).keys() == pairs.keys()
    assert check([str(out), "--verify"]) == 0
    assert level(out, "unaccounted") == "ok"


def test_the_commands_take_a_selected_build(
    small_build: SmallBuild, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "part"
    assert main([str(small_build.out), "--where", "pairs > 3", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "dataset " in said
    assert (out / "report" / "index.html").exists()
    assert export(out, "trl", tmp_path / "exported", None)["counts"]["pairs"] > 0
    data = read_train_rows(out)
    assert len(data) == len(rows(out, "pairs", PreferenceRow))
    # a part of a part, with both in its lineage
    again = tmp_path / "again"
    lineage = select(out, "method == 'dropout'", again)["lineage"]
    assert [lineage["where"], lineage["of"][0]["lineage"]["where"]] == ["method == 'dropout'", "pairs > 3"]
    assert check([str(again), "--verify"]) == 0


def test_repeated_questions_can_be_left_out(small_build: SmallBuild, tmp_path: Path) -> None:
    """The small build asks the same of pictures that differ; a copy of itself would be all repeated."""
    from mmpr.derive.columns import Looks

    looks = Looks()
    questions = list(rows(small_build.out, "questions", Question).values())
    first = [looks.repeats(question) for question in questions]
    assert not all(first)
    assert all(looks.repeats(replace(question, id="other")) for question in questions)
    out = tmp_path / "part"
    select(small_build.out, "not near_duplicate", out)
    assert len(rows(out, "questions", Question)) == first.count(False)


def test_what_cannot_be_done_is_told(small_build: SmallBuild, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no column 'pas_rate'; do you mean pass_rate"):
        select(small_build.out, "pas_rate > 1", tmp_path / "a")
    with pytest.raises(OutputError, match="no question is left"):
        select(small_build.out, "pass_rate > 2", tmp_path / "b")
    assert not (tmp_path / "b").exists()
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="is there already"):
        select(small_build.out, "pairs > 0", tmp_path / "c")
    with pytest.raises(OutputError, match="holds no finished build"):
        select(tmp_path, "pairs > 0", tmp_path / "d")
    damaged = tmp_path / "damaged"
    shutil.copytree(small_build.out, damaged)
    next((damaged / "rollouts").iterdir()).unlink()
    with pytest.raises(OutputError, match=r"rollouts/part-.*is missing"):
        select(damaged, "pairs > 0", tmp_path / "d")
    out = tmp_path / "e"
    select(small_build.out, "pairs > 0", out)
    with pytest.raises(OutputError, match="was made of other builds by mmpr select"):
        prepare(out, make_plan(small_build.recipe, "recipe"), "pair")
