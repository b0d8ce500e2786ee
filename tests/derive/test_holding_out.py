"""A held-out split that is taken later: by picture, and nothing of it is trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmpr.check.__main__ import main as check
from mmpr.derive.merging import merge
from mmpr.derive.selecting import main, select
from mmpr.errors import OutputError
from mmpr.inputs.build import heldout_shards
from mmpr.schema import PreferenceRow, Question, Rollout
from mmpr.storage.manifest import read_manifest
from mmpr.storage.tables import read_rows
from tests.derive.test_selecting import level, rows
from tests.pipeline.test_growth import make, no_page, recipe_of, write_rows
from tests.report.planted import picture

pytestmark = pytest.mark.slow
__all__ = ["no_page"]  # a fixture


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """Forty pictures, two questions and a description about each; and some questions about two of them."""
    folder = tmp_path / "data"
    write_rows(folder, "first", range(40))
    write_rows(folder, "open", range(40), answered=False)
    lines: list[dict[str, Any]] = [
        {"question": f"Which in {number}?", "answer": str(2 + number % 3), "image": f"{number}.png"}
        for number in range(40)
    ]
    lines += [
        {"question": f"Both of {number}?", "answer": "2", "image": [f"{number}.png", f"{number + 1}.png"]}
        for number in range(0, 40, 4)
    ]
    picture(folder / "40.png", 40)
    (folder / "second.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    make(recipe_of(folder, "first", "second", "open", samples=8), tmp_path / "out")
    return tmp_path / "out"


def test_pictures_are_on_one_side(build: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "split"
    assert main([str(build), "--heldout", "20%", "--out", str(out)]) == 0
    held, asked = rows(out, "heldout", Question), rows(out, "questions", Question)
    before = rows(build, "questions", Question)
    assert {question.source for question in held.values()} == {"first-heldout", "second-heldout"}
    assert all(question.answer is not None for question in held.values())
    aside = {image for question in held.values() for image in question.images}
    assert 4 <= len(aside) <= 18
    for folder, noun in (("questions", Question), ("pairs", PreferenceRow)):
        assert not aside & {image for row in rows(out, folder, noun).values() for image in row.images}
    assert asked.items() <= before.items()
    assert rows(out, "rollouts", Rollout).keys() == asked.keys()
    told = read_manifest(out)["lineage"]
    assert (told["held_out"], told["left_out"]) == (len(held), len(before) - len(asked) - len(held))
    assert told["left_out"] > 0
    assert f"held out  {len(held):,} questions; {told['left_out']:,} that share" in capsys.readouterr().out
    assert check([str(out), "--verify"]) == 0
    assert {level(out, key) for key in ("unaccounted", "shared_images", "heldout_overlap")} == {"ok"}
    stored = {row.id for path in heldout_shards(out) for row in read_rows(path, Question)}
    assert stored == held.keys()
    assert [spec["name"] for spec in read_manifest(out)["recipe"]["heldout"]] == ["first-heldout", "second-heldout"]


def test_the_split_is_the_same_again_and_goes_with_a_condition(build: Path, tmp_path: Path) -> None:
    select(build, "", tmp_path / "one", 0.2)
    select(build, "", tmp_path / "two", 0.2)
    assert read_manifest(tmp_path / "one")["files"] == read_manifest(tmp_path / "two")["files"]
    select(build, "source == 'first' and not near_duplicate", tmp_path / "part", 0.2)
    part, whole = rows(tmp_path / "part", "heldout", Question), rows(tmp_path / "one", "heldout", Question)
    assert part == {id: row for id, row in whole.items() if row.source == "first-heldout"}
    assert {row.source for row in rows(tmp_path / "part", "questions", Question).values()} == {"first"}
    assert check([str(tmp_path / "part"), "--verify"]) == 0


def test_a_split_build_can_be_merged(build: Path, tmp_path: Path) -> None:
    select(build, "", tmp_path / "one", 0.2)
    write_rows(tmp_path / "data", "late", range(60, 66))
    make(recipe_of(tmp_path / "data", "late", samples=8), tmp_path / "late")
    merge([tmp_path / "one", tmp_path / "late"], tmp_path / "both")
    assert check([str(tmp_path / "both"), "--verify"]) == 0
    # the first build again would bring back what is held out: it is left out
    merge([tmp_path / "one", build], tmp_path / "back")
    held = {image for row in rows(tmp_path / "back", "heldout", Question).values() for image in row.images}
    assert not held & {image for row in rows(tmp_path / "back", "questions", Question).values() for image in row.images}


def test_shares_are_checked(build: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(build), "--out", str(tmp_path / "a")]) == 2
    assert "--where CONDITION, or --heldout SHARE" in capsys.readouterr().err
    for share in ("0", "1", "120%", "-0.1"):
        with pytest.raises(SystemExit):
            main([str(build), f"--heldout={share}", "--out", str(tmp_path / "a")])
    with pytest.raises(OutputError, match="no question is left"):
        select(build, "", tmp_path / "b", 0.99999)
