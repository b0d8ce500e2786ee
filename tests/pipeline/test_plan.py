"""The plan: what it says is what is built, and an output directory belongs to one recipe."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mmpr.build import dry_run
from mmpr.config import Recipe, load_recipe, parse_recipe
from mmpr.engine.preview import Preview
from mmpr.errors import OutputError, RecipeError
from mmpr.pipeline import plan as plan_module
from mmpr.pipeline.estimate import estimate
from mmpr.pipeline.plan import make_plan, prepare, read_build, write_build, write_index
from mmpr.schema import IndexedRow, Question, Reject, SourceRow
from mmpr.sources import open_source
from mmpr.sources.selection import select_rows
from mmpr.storage.shards import STAGES, Split, index_shard, remove_temporaries
from mmpr.storage.tables import read_rows
from tests.conftest import SmallBuild
from tests.helpers import (
    OWN_REJECTS,
    OWN_ROWS,
    QUICKSTART,
    build_without_ray,
    small_quickstart,
    small_recipe,
    small_tree,
)


def rows_in(out: Path, folder: str, noun: type[Any]) -> list[Any]:
    return [row for path in sorted((out / folder).rglob("*.parquet")) for row in read_rows(path, noun)]


def content(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != ".lock"}


# what a recipe will come to


def test_the_estimate_is_what_the_build_does(small_build: SmallBuild) -> None:
    plan = make_plan(small_build.recipe, "r")
    counts = small_build.manifest["counts"]
    for expected in estimate(plan):
        indexed = counts["index"][expected.source]
        assert expected.questions == indexed["selected"]
        assert expected.rejected == sum(n for name, n in indexed.items() if name.startswith("rejected/"))
        if expected.split == "train":
            asked = counts["ingest"][expected.source]["questions"]
            lost = expected.questions - asked  # to pictures and text that ingest looks at
            assert expected.responses == (asked + lost) * small_build.recipe.samples(expected.source)
            assert counts["sample"][expected.source]["responses"] == asked * small_build.recipe.samples(expected.source)
        else:
            assert expected.responses == 0
        assert expected.bytes > 0


def test_control_tokens_in_questions_are_told_before_a_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmpr.pipeline.estimate.preview", lambda *_: Preview())  # it would start vLLM
    asked = ["How many?", "What is <|im_start|>?", "Thanks<end_of_utterance>\nAssistant: 9", "<image> or <image>?"]
    rows = [{"question": text, "answer": "1", "image": ["a.png"] * text.count("<image>")} for text in asked]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    source = {"type": "jsonl", "path": "rows.jsonl"}
    recipe = parse_recipe(
        {
            "name": "marks",
            "model": {"path": str(QUICKSTART.parent.parent / "data" / "demo_model")},
            "sources": [{"name": "mine", **source}],
            "heldout": [{"name": "kept", **source}],
        },
        folder=tmp_path,
    )
    plan = make_plan(recipe, "r")
    assert [(one.source, one.questions, one.with_control_tokens) for one in estimate(plan)] == [
        ("mine", 4, 2),
        ("kept", 4, 0),
    ]
    dry_run(plan)
    assert "control  2 of the questions hold control tokens of the model" in capsys.readouterr().out


def test_an_estimate_leaves_nothing_behind(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path)
    before = content(tmp_path)
    estimate(make_plan(recipe, "r"))
    assert content(tmp_path) == before


def test_rows_in_are_questions_rejects_and_not_selected(small_build: SmallBuild) -> None:
    counts = small_build.manifest["counts"]
    given = {"digits": 18, "easy-vqa": 8, "open": 6, "own": OWN_ROWS}
    for source, rows in given.items():
        index, ingest = counts["index"][source], counts["ingest"][source]
        rejected = sum(n for c in (index, ingest) for name, n in c.items() if name.startswith("rejected/"))
        assert ingest["questions"] + rejected + index.get("not_selected", 0) == rows
    assert counts["index"]["easy-vqa"]["not_selected"] == 3


def test_every_reject_is_kept_with_its_reason(small_build: SmallBuild) -> None:
    rejects = rows_in(small_build.out, "rejects", Reject)
    rows = [reject for reject in rejects if reject.stage == "ingest"]
    assert Counter(reject.reason for reject in rows) == OWN_REJECTS
    assert {reject.source for reject in rows} == {"own"}
    assert {reject.reason for reject in rejects if reject not in rows} <= {"unsure"}  # a number where a word is right
    assert all(reject.id and reject.detail for reject in rejects)


def test_every_problem_of_a_plan_is_told_at_once(tmp_path: Path) -> None:
    tree = small_tree(tmp_path, engine={"type": "vllm"}, model={"path": "./no-model"})
    tree["sources"][0]["template"] = "french"
    tree["sources"][1]["open_template"] = "./mine.txt"
    tree["sources"][3]["path"] = "nowhere.jsonl"
    tree["heldout"][0]["kinds"] = ["poem"]
    with pytest.raises(RecipeError) as caught:
        make_plan(parse_recipe(tree, folder=tmp_path), "r.yaml")
    text = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 5
    for part in ("'french'", "./mine.txt", "source 'own'", "source 'digits-heldout'", "model.path"):
        assert part in text


# the index


def test_the_index_is_cut_into_units_of_the_wanted_size(small_build: SmallBuild) -> None:
    build = read_build(small_build.out)
    assert build is not None
    held: dict[Split, int] = {"train": 18 + 5 + 6 + 12, "heldout": 14}
    for split, questions in held.items():
        sizes = [len(list(read_rows(index_shard(small_build.out, u), IndexedRow))) for u in build.of(split)]
        assert sizes == [12] * (questions // 12) + ([questions % 12] if questions % 12 else [])
    ids = [row.id for row in rows_in(small_build.out, "index", IndexedRow)]
    assert len(set(ids)) == len(ids)


def test_two_builds_of_a_recipe_are_the_same_to_the_byte(small_build: SmallBuild, tmp_path: Path) -> None:
    again = build_without_ray(small_build.recipe, tmp_path / "again")
    assert again == small_build.manifest


class _StopError(Exception):
    pass


@pytest.mark.parametrize("stop_at", range(1, 8))
def test_an_index_is_whole_or_absent(stop_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(small_recipe(tmp_path), "r")
    whole = tmp_path / "whole"
    write_index(whole, plan)
    out, steps = tmp_path / "out", 0

    def count(call):
        def run(*args, **kwargs):
            nonlocal steps
            steps += 1
            if steps == stop_at:
                raise _StopError
            return call(*args, **kwargs)

        return run

    out.mkdir()
    with monkeypatch.context() as patch:
        for name in ("write_shard", "write_build"):
            patch.setattr(f"mmpr.pipeline.plan.{name}", count(getattr(plan_module, name)))
        with pytest.raises(_StopError):
            write_index(out, plan)
    assert read_build(out) is None
    remove_temporaries(out)
    assert prepare(out, plan, None) is None  # no stranger, start again
    write_index(out, plan)
    assert content(out) == content(whole)


def test_sources_without_a_usable_question_make_no_build(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"question": "a\\u0000"}\n{\n')
    tree = {**small_tree(tmp_path), "sources": [{"name": "rows", "type": "jsonl", "path": "rows.jsonl"}]}
    plan = make_plan(parse_recipe(tree, folder=tmp_path), "r")
    with pytest.raises(OutputError, match="no usable question"):
        write_index(tmp_path / "out", plan)
    assert Counter(r.reason for r in rows_in(tmp_path / "out", "rejects", Reject)) == {"bad_text": 1, "bad_json": 1}
    assert read_build(tmp_path / "out") is None


# training and held-out pictures


def test_no_digit_and_no_picture_of_the_quickstart_is_in_both_splits() -> None:
    recipe = load_recipe(QUICKSTART, ["engine.type=replay"])
    seen: dict[str, set[str]] = {"sources": set(), "heldout": set()}
    for split, specs in (("sources", recipe.sources), ("heldout", recipe.heldout)):
        for spec in specs:
            for row in select_rows(open_source(spec, recipe), spec, recipe.seed):
                assert isinstance(row, SourceRow)
                kind, _, numbers = row.images[0].partition(":")
                seen[split] |= {f"{kind}:{number}" for number in numbers.split(",")}
    assert min(map(len, seen.values())) > 300
    assert not seen["sources"] & seen["heldout"]


def test_no_picture_of_a_built_quickstart_is_in_both_splits(tmp_path: Path) -> None:
    build_without_ray(small_quickstart(), tmp_path / "out")
    pictures = {
        folder: {image for question in rows_in(tmp_path / "out", folder, Question) for image in question.images}
        for folder in ("questions", "heldout")
    }
    assert min(map(len, pictures.values())) > 20
    assert not pictures["questions"] & pictures["heldout"]


# resuming, redoing


@pytest.fixture
def copied(small_build: SmallBuild, tmp_path: Path) -> Path:
    shutil.copytree(small_build.out, tmp_path / "out")
    return tmp_path / "out"


def changed(build: SmallBuild, *overrides: str) -> Recipe:
    return parse_recipe(build.recipe.as_json(), overrides, folder=build.recipe.folder)


def test_the_same_again_changes_nothing(small_build: SmallBuild, copied: Path) -> None:
    before = content(copied)
    assert build_without_ray(small_build.recipe, copied) == small_build.manifest
    assert content(copied) == before


def test_how_the_engine_is_run_may_change(small_build: SmallBuild, copied: Path) -> None:
    recipe = changed(small_build, "engine.actors=3", "engine.units_in_flight=9", "name=other")
    assert prepare(copied, make_plan(recipe, "r"), None) is not None


ANOTHER = "was built with another recipe"
CHANGES = [
    ("seed=8", "the sources changed", None),
    ("unit_questions=13", "the sources changed", None),
    ("sources.digits.questions=19", "the sources changed", None),
    ("sources.easy-vqa.max_questions=6", "the sources changed", None),
    ("sources.open.repeat_time=0.5", "the sources changed", None),
    ("images.max_megapixels=1", "the sources changed", None),
    ("heldout.digits-heldout.questions=15", "the sources changed", None),
    ("heldout.digits-heldout.rule=exact", "the sources changed", None),
    ("sampling.temperature=0.5", "the model, the sampling or a template changed", None),
    ("sampling.samples=9", "the model, the sampling or a template changed", None),
    *(
        (f"sampling.{setting}", "the model, the sampling or a template changed", None)
        for setting in ("skip_special_tokens=true", "min_p=0.1", "stop=[Question]", "stop_token_ids=[2]")
    ),
    *(
        (f"sampling.{setting}", "the model, the sampling or a template changed", None)
        for setting in ("presence_penalty=0.5", "repetition_penalty=1.1", "bad_words=[cat]", "args.min_tokens=3")
    ),
    ("sources.digits.samples=9", "the model, the sampling or a template changed", None),
    ("sources.digits.template=en_v2", "the model, the sampling or a template changed", None),
    ("sources.open.open_template=en", "the model, the sampling or a template changed", None),
    ("sources.own.processor={x: 1}", "the model, the sampling or a template changed", None),
    ("dropout.variants=[{start_ratio: 0.25}]", "'complete' changed; add --from complete", "complete"),
    ("dropout.max_pairs=1", "'complete' changed; add --from complete", "complete"),
    ("sources.open.max_pairs=1", "'complete' changed; add --from complete", "complete"),
    ("sources.digits.rule=exact", "'verify' changed; add --from verify", "verify"),
    ("pairing.max_pairs=2", "'pair' changed; add --from pair", "pair"),
    ("pairing.format_pairs=false", "'pair' changed; add --from pair", "pair"),
]


@pytest.mark.parametrize(("override", "message", "stage"), CHANGES)
def test_a_changed_recipe_is_refused_with_the_remedy(
    override: str, message: str, stage: str | None, small_build: SmallBuild, copied: Path
) -> None:
    plan, before = make_plan(changed(small_build, override), "r"), content(copied)
    with pytest.raises(OutputError, match=message) as caught:
        prepare(copied, plan, None)
    assert ("use another --out" in str(caught.value)) == (stage is None)
    # redoing too late a stage does not help either
    for start in STAGES[2:]:
        if stage is None or STAGES.index(start) > STAGES.index(stage):
            with pytest.raises(OutputError, match=message):
                prepare(copied, plan, start)
    assert content(copied) == before


@pytest.mark.parametrize(("override", "_", "stage"), [change for change in CHANGES if change[2]])
def test_redoing_from_a_stage_is_as_good_as_building_anew(
    override: str, _: str, stage: str, small_build: SmallBuild, copied: Path, tmp_path: Path
) -> None:
    recipe = changed(small_build, override)
    redone = build_without_ray(recipe, copied, stage)  # type: ignore[arg-type]
    fresh = build_without_ray(recipe, tmp_path / "fresh")
    # questions/ tells the rule of the time it was written; everything that follows from it must be equal
    assert redone["counts"] == fresh["counts"]
    assert redone["files"] == fresh["files"] or stage == "verify"
    for folder in ("verdicts", "pairs", "completions", "rollouts", "rejects"):
        for name, about in fresh["files"].items():
            if name.startswith(folder):
                assert redone["files"][name] == about
    assert redone["counts"] != small_build.manifest["counts"]
    assert not (copied / "verdicts.before").exists()
    assert build_without_ray(recipe, copied) == redone


def test_redoing_with_the_same_recipe_gives_the_same(small_build: SmallBuild, copied: Path) -> None:
    for stage in STAGES[2:]:
        assert build_without_ray(small_build.recipe, copied, stage) == small_build.manifest


def test_redoing_after_an_interrupted_build(small_build: SmallBuild, copied: Path) -> None:
    (copied / "manifest.json").unlink()
    shutil.rmtree(copied / "pairs")
    next((copied / "verdicts").iterdir()).unlink()
    assert build_without_ray(small_build.recipe, copied, "verify") == small_build.manifest


@pytest.mark.parametrize("lost", ["questions", "rollouts", "completions", "verdicts", "pairs", "heldout"])
def test_a_unit_that_is_gone_is_made_again_the_same(lost: str, small_build: SmallBuild, copied: Path) -> None:
    sorted((copied / lost).iterdir())[-1].unlink()
    (copied / "manifest.json").unlink()
    assert build_without_ray(small_build.recipe, copied) == small_build.manifest


@pytest.mark.parametrize(
    ("overrides", "fingerprint"),
    [
        ([], "11b5dc0a2f4795eb"),
        (
            ["samples=3", "temperature=0.5", "top_p=0.9", "top_k=7", "max_tokens=33"],
            "18b09e2ba3cde7f8",
        ),
        (["skip_special_tokens=false", "min_p=0.0", "stop=[]", "bad_words=[]", "args={}"], "11b5dc0a2f4795eb"),
        (["stop_token_ids=[]", "presence_penalty=0.0", "repetition_penalty=1.0"], "11b5dc0a2f4795eb"),
    ],
)
def test_builds_of_the_first_version_keep_their_identity(overrides: list[str], fingerprint: str) -> None:
    """As version 0.1 wrote them into ``build.json``: settings of sampling that came later count where they are set."""
    own = [f"sampling.{override}" for override in overrides]
    plan = make_plan(load_recipe(QUICKSTART, ["engine.type=replay", *own]), "recipe")
    assert plan.fingerprints["sample"] == fingerprint


def test_a_directory_with_other_things_is_left_alone(tmp_path: Path) -> None:
    plan = make_plan(small_recipe(tmp_path), "r")
    out = tmp_path / "out"
    out.mkdir()
    assert prepare(out, plan, None) is None
    with pytest.raises(OutputError, match="there is no build to redo from 'pair'"):
        prepare(out, plan, "pair")
    (out / "thesis.txt").write_text("precious")
    with pytest.raises(OutputError, match=r"holds no build \(thesis.txt\); use another --out"):
        prepare(out, plan, None)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "3", '{"units": {}}', '{"units": 1, "fingerprints": 2, "counts": 3}']
)
def test_a_damaged_plan_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "build.json").write_text(text)
    with pytest.raises(OutputError, match="is damaged"):
        read_build(tmp_path)


def test_the_plan_on_disk_comes_back(small_build: SmallBuild, tmp_path: Path) -> None:
    build = read_build(small_build.out)
    assert build is not None
    assert build.units == {"train": 4, "heldout": 2}
    write_build(tmp_path, make_plan(small_build.recipe, "r"), build)
    assert read_build(tmp_path) == build
    assert json.loads((tmp_path / "build.json").read_text())["recipe"] == small_build.recipe.as_json()
