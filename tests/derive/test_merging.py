"""Builds put together are a build: each row once, each response with its model, nothing held out is trained on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmpr.check.__main__ import main as check
from mmpr.derive.merging import main, merge
from mmpr.derive.selecting import select
from mmpr.errors import OutputError
from mmpr.export.run import export
from mmpr.schema import PreferenceRow, Question, Rollout
from mmpr.storage.manifest import read_manifest
from mmpr.train.data.preference_data import read_train_rows
from tests.derive.test_selecting import FOLDERS, level, rows
from tests.helpers import build_without_ray, small_recipe
from tests.report.planted import picture

pytestmark = pytest.mark.slow


@pytest.fixture
def build_of(tmp_path: Path) -> Callable[..., Path]:
    """Builds of the pictures of these numbers, ``heldout`` some of them, under a source's name."""

    def make(name: str, numbers: range, *overrides: str, heldout: range = range(0), source: str = "") -> Path:
        def spec(called: str, some: range) -> dict[str, Any]:
            for number in some:
                picture(tmp_path / f"{number}.png", number)
            lines = [{"question": f"How many in {i}?", "answer": str(2 + i % 3), "image": f"{i}.png"} for i in some]
            (tmp_path / f"{name}-{called}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
            return {"name": called, "type": "jsonl", "path": str(tmp_path / f"{name}-{called}.jsonl")}

        recipe = small_recipe(
            tmp_path / name,
            "engine.args.answers=[2, 3, 4]",
            *overrides,
            name=name,
            unit_questions=5,
            sources=[spec(source or f"{name}-rows", numbers)],
            heldout=[spec(f"{name}-heldout", heldout)] if heldout else [],
        )
        build_without_ray(recipe, tmp_path / f"{name}-out")
        return tmp_path / f"{name}-out"

    return make


def test_two_models_make_one_build(build_of: Callable[..., Path], tmp_path: Path, capsys: Any) -> None:
    one = build_of("one", range(12), heldout=range(50, 54))
    two = build_of("two", range(20, 33), "model.path=other", "sampling.samples=4", "seed=9", heldout=range(60, 63))
    out = tmp_path / "both"
    assert main([str(one), str(two), "--out", str(out)]) == 0
    for folder, noun in FOLDERS:
        assert rows(out, folder, noun) == rows(one, folder, noun) | rows(two, folder, noun)
    assert {(row.model, len(row.responses)) for row in rows(out, "rollouts", Rollout).values()} == {
        ("none", 8),
        ("other", 4),
    }
    assert check([str(out), "--verify"]) == 0
    assert level(out, "unaccounted") == "ok"
    assert "`none`" in (out / "README.md").read_text()
    assert "`other`" in (out / "README.md").read_text()
    assert len(read_train_rows(out)) == len(rows(out, "pairs", PreferenceRow))
    assert export(out, "mmpr", tmp_path / "exported", None)["counts"]["pairs"] > 0
    assert [of["name"] for of in read_manifest(out)["lineage"]["of"]] == ["one", "two"]
    # again, and a part of it
    three = build_of("three", range(40, 45))
    merge([out, three], tmp_path / "all")
    assert check([str(tmp_path / "all"), "--verify"]) == 0
    select(tmp_path / "all", "model == 'other'", tmp_path / "part")
    assert check([str(tmp_path / "part"), "--verify"]) == 0
    assert rows(tmp_path / "part", "rollouts", Rollout) == rows(two, "rollouts", Rollout)


def test_equal_questions_are_one(build_of: Callable[..., Path], tmp_path: Path, capsys: Any) -> None:
    one = build_of("one", range(12), source="rows")
    two = build_of("two", range(6, 18), source="rows")
    assert main([str(one), str(two), "--out", str(tmp_path / "both")]) == 0
    assert "6 questions are in two builds with the same content" in capsys.readouterr().out
    once = build_of("once", range(18), source="rows")
    for folder, noun in FOLDERS:
        both, wanted = rows(tmp_path / "both", folder, noun), rows(once, folder, noun)
        if noun is Question:
            both = {id: replace(row, where="") for id, row in both.items()}
            wanted = {id: replace(row, where="") for id, row in wanted.items()}
        assert both == wanted
    assert check([str(tmp_path / "both"), "--verify"]) == 0
    # a build and its own part
    select(one, "pairs > 2", tmp_path / "part")
    assert merge([one, tmp_path / "part"], tmp_path / "whole")["lineage"]["repeated"] > 0
    assert rows(tmp_path / "whole", "pairs", PreferenceRow) == rows(one, "pairs", PreferenceRow)


def test_other_content_is_refused_by_name(build_of: Callable[..., Path], tmp_path: Path) -> None:
    one = build_of("one", range(6), source="rows")
    two = build_of("two", range(5, 9), "engine.args.answers=[2, 3]", source="rows")
    [shared] = rows(one, "questions", Question).keys() & rows(two, "questions", Question).keys()
    with pytest.raises(OutputError, match=f"question {shared} of source 'rows'.*different responses") as told:
        merge([one, two], tmp_path / "both")
    assert str(one) in str(told.value)
    assert str(two) in str(told.value)
    assert not (tmp_path / "both").exists()
    # the remedy that it names
    select(two, f"id != '{shared}'", tmp_path / "rest")
    merge([one, tmp_path / "rest"], tmp_path / "both")
    assert check([str(tmp_path / "both"), "--verify"]) == 0


def test_what_is_held_out_is_never_trained_on(build_of: Callable[..., Path], tmp_path: Path, capsys: Any) -> None:
    one = build_of("one", range(10), heldout=range(30, 34))
    two = build_of("two", range(28, 40), heldout=range(3))
    assert main([str(one), str(two), "--out", str(tmp_path / "both")]) == 0
    assert "left out  7 questions, since a build holds out" in capsys.readouterr().out
    held_out = {image for row in rows(tmp_path / "both", "heldout", Question).values() for image in row.images}
    for folder, noun in (("questions", Question), ("pairs", PreferenceRow)):
        trained = {image for row in rows(tmp_path / "both", folder, noun).values() for image in row.images}
        assert trained
        assert not trained & held_out
    assert len(rows(tmp_path / "both", "questions", Question)) == 10 + 12 - 7
    assert check([str(tmp_path / "both"), "--verify"]) == 0
    assert {level(tmp_path / "both", key) for key in ("unaccounted", "shared_images", "heldout_overlap")} == {"ok"}


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["sampling.samples=4"], "source 'rows': samples is 8 in .* and 4 in"),
        (["seed=8"], "source 'rows': seed is 7 in .* and 8 in"),
        (["sources.0.rule=exact"], "source 'rows': rule is 'default' in .* and 'exact' in"),
        (["chat.system=Be kind."], "asked with other settings of chat"),
        (["pairing.format_pairs=false"], "pairing.format_pairs is not that of .*; run it again with --from pair"),
    ],
)
def test_builds_that_do_not_go_together(
    build_of: Callable[..., Path], tmp_path: Path, overrides: list[str], problem: str
) -> None:
    one, two = build_of("one", range(4), source="rows"), build_of("two", range(4, 8), *overrides, source="rows")
    with pytest.raises(OutputError, match=problem):
        merge([one, two], tmp_path / "both")


def test_names_and_folders_are_checked(build_of: Callable[..., Path], tmp_path: Path) -> None:
    one = build_of("one", range(4))
    with pytest.raises(OutputError, match="two different builds"):
        merge([one, one / "." / ""], tmp_path / "both")
    with pytest.raises(OutputError, match="holds no finished build"):
        merge([one, tmp_path], tmp_path / "both")
    two = build_of("two", range(4, 8), heldout=range(9, 11))
    crossed = build_of("crossed", range(9, 11), source="two-heldout")
    with pytest.raises(OutputError, match="source 'two-heldout': split is 'heldout'"):
        merge([two, crossed], tmp_path / "both")
    shutil.rmtree(one / "verdicts")
    with pytest.raises(OutputError, match="is missing"):
        merge([one, two], tmp_path / "both")
