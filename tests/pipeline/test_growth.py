"""Builds that grow hold what the build made at once holds, and the engine is asked nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import pytest

from mmpr.build import Growth, build, dry_run
from mmpr.check.__main__ import main as check
from mmpr.config import Recipe, parse_recipe
from mmpr.derive.merging import merge
from mmpr.engine import Reply, Request
from mmpr.engine.replay import ReplayEngine
from mmpr.errors import OutputError
from mmpr.pipeline import growth as growth_module
from mmpr.pipeline.growth import SEEN_FILES, grow
from mmpr.pipeline.plan import make_plan, prepare, read_build
from mmpr.report.make import make_report
from mmpr.schema import Completions, PreferenceRow, Question, Rollout, Verdicts
from mmpr.storage.manifest import read_manifest
from mmpr.storage.tables import read_rows
from tests.helpers import known
from tests.report.planted import picture

pytestmark = pytest.mark.slow

FOLDERS: dict[str, type[Any]] = {
    "questions": Question,
    "rollouts": Rollout,
    "completions": Completions,
    "verdicts": Verdicts,
    "pairs": PreferenceRow,
    "heldout": Question,
}


@pytest.fixture(autouse=True)
def no_page() -> Iterator[None]:
    """Builds here are judged by their rows; making a page of each would take most of the time."""
    with mock.patch("mmpr.build._report"):
        yield


class CountingEngine(ReplayEngine):
    """Counts every sample that it is asked for."""

    asked: ClassVar[Counter[tuple[str, str, int]]] = Counter()

    async def generate(self, request: Request) -> Reply:
        self.asked.update((request.prompt, request.prefix, request.seed + i) for i in range(request.samples))
        await asyncio.sleep(0)
        return await super().generate(request)


@pytest.fixture
def asked() -> Iterator[Counter[tuple[str, str, int]]]:
    counter: Counter[tuple[str, str, int]] = Counter()
    with (
        mock.patch("mmpr.runners.local.start_engine", side_effect=lambda recipe, *_, **__: CountingEngine(recipe)),
        mock.patch.object(CountingEngine, "asked", counter),
    ):
        yield counter


def write_rows(folder: Path, name: str, numbers: range, answered: bool = True) -> None:
    """Rows about pictures; each tells its number."""
    folder.mkdir(exist_ok=True)
    lines = []
    for number in numbers:
        picture(folder / f"{number}.png", number)
        row = {"question": f"How many in {number}?" if answered else f"Describe {number}.", "image": f"{number}.png"}
        lines.append(json.dumps({**row, "answer": str(2 + number % 3)} if answered else row) + "\n")
    (folder / f"{name}.jsonl").write_text("".join(lines))


def recipe_of(folder: Path, *names: str, samples: int = 4, heldout: tuple[str, ...] = (), **settings: Any) -> Recipe:
    def spec(name: str) -> dict[str, Any]:
        return {"name": name, "type": "jsonl", "path": f"{name}.jsonl"}

    tree = {
        "name": "grown",
        "model": {"path": "none"},
        "engine": {"type": "replay", "args": {"answers": [2, 3, 4]}},
        "sampling": {"samples": samples, "max_tokens": 64},
        "unit_questions": 4,
        "sources": [spec(name) for name in names],
        "heldout": [spec(name) for name in heldout],
        **settings,
    }
    return parse_recipe(tree, folder=folder)


def make(recipe: Recipe, out: Path, growth: Growth = "ask") -> dict[str, Any]:
    build(make_plan(recipe, "recipe"), out, None, "local", growth)
    return read_manifest(out)


def contents(out: Path, folder: str) -> dict[str, Any]:
    """The rows of a folder by id."""
    paths = sorted((out / folder).glob("*.parquet"))
    rows = [row for path in paths for row in read_rows(path, FOLDERS[folder])]
    assert len({row.id for row in rows}) == len(rows)
    return {row.id: row for row in rows}


def same_rows(one: Path, other: Path) -> bool:
    return all(contents(one, folder) == contents(other, folder) for folder in FOLDERS)


def is_whole(out: Path) -> bool:
    unaccounted = next(line.level for line in make_report(out).findings if line.key == "unaccounted")
    return check([str(out), "--verify"]) == 0 and unaccounted == "ok"


def test_a_build_that_grew_in_five_steps_is_the_build_made_at_once(tmp_path: Path, asked: Counter) -> None:
    """Rows, a source, samples, a held-out split, a merge: the same rows, and no sample was asked for twice."""
    out, folder = tmp_path / "out", tmp_path / "data"
    write_rows(folder, "charts", range(10))
    write_rows(folder, "open", range(20, 25), answered=False)
    make(recipe_of(folder, "charts", "open"), out)
    first = asked.total()
    write_rows(folder, "charts", range(17))
    make(recipe_of(folder, "charts", "open"), out, "grow")
    write_rows(folder, "maps", range(30, 36))
    make(recipe_of(folder, "charts", "open", "maps"), out, "grow")
    make(recipe_of(folder, "charts", "open", "maps", samples=8), out, "grow")
    write_rows(folder, "kept", range(40, 49))
    full = recipe_of(folder, "charts", "open", "maps", samples=8, heldout=("kept",))
    make(full, out, "grow")
    assert is_whole(out)
    grown = Counter(asked)
    assert first < grown.total()
    assert set(grown.values()) == {1}
    asked.clear()
    make(full, tmp_path / "once")
    assert grown == asked  # nothing twice, nothing else
    assert same_rows(out, tmp_path / "once")
    counts, wanted = read_manifest(out)["counts"], read_manifest(tmp_path / "once")["counts"]
    assert counts == wanted
    assert known(read_build(out)).grown == {"train": (4, 6), "heldout": (0,)}
    assert not (out / "earlier").exists()

    write_rows(folder, "late", range(50, 57))
    make(recipe_of(folder, "late", samples=8), tmp_path / "late")
    merge([out, tmp_path / "late"], tmp_path / "merged")
    make(recipe_of(folder, "charts", "open", "maps", "late", samples=8, heldout=("kept",)), tmp_path / "all")
    assert is_whole(tmp_path / "merged")
    assert same_rows(tmp_path / "merged", tmp_path / "all")


def test_more_samples_alone_give_the_same_files(tmp_path: Path, asked: Counter) -> None:
    out, folder = tmp_path / "out", tmp_path / "data"
    write_rows(folder, "charts", range(10))
    write_rows(folder, "open", range(20, 25), answered=False)
    for samples in (2, 4, 9):
        make(recipe_of(folder, "charts", "open", samples=samples), out, "grow" if samples > 2 else "ask")
    grown = Counter(asked)
    asked.clear()
    make(recipe_of(folder, "charts", "open", samples=9), tmp_path / "once")
    assert grown == asked
    assert read_manifest(out)["files"] == read_manifest(tmp_path / "once")["files"]


def test_changed_files_are_told_and_asked_about(tmp_path: Path, asked: Counter, capsys: Any) -> None:
    out, folder = tmp_path / "out", tmp_path / "data"
    write_rows(folder, "charts", range(10))
    recipe = recipe_of(folder, "charts")
    before = make(recipe, out)
    rows = (folder / "charts.jsonl").read_text().splitlines(keepends=True)
    edited = [rows[0], rows[1].replace("How many", "How few"), *rows[3:], *rows[-1:]]
    (folder / "charts.jsonl").write_text("".join(edited))
    with pytest.raises(OutputError, match=r"charts: 0 new rows, 1 changed, 1 gone\).*--grow .*--as-it-was"):
        make(recipe, out)
    assert read_manifest(out) == before
    asked.clear()
    assert make(recipe, out, "as-it-was") == before
    assert not asked
    write_rows(folder, "charts", range(13))
    with pytest.raises(OutputError, match=r"charts: 3 new rows, 0 changed, 0 gone"):
        make(recipe, out)
    make(recipe, out, "grow")
    assert asked.total() == 3 * 4
    assert "charts: 3 new rows, 0 changed, 0 gone" in capsys.readouterr().err
    assert is_whole(out)
    # nothing has changed since: nobody asks, and nothing is read
    with mock.patch.object(growth_module, "selected_rows", side_effect=AssertionError):
        make(recipe, out)


def test_what_was_sampled_of_rows_that_changed_stays(tmp_path: Path, asked: Counter) -> None:
    out, folder = tmp_path / "out", tmp_path / "data"
    write_rows(folder, "charts", range(6))
    recipe = recipe_of(folder, "charts")
    make(recipe, out)
    before = contents(out, "rollouts")
    rows = (folder / "charts.jsonl").read_text().splitlines(keepends=True)
    (folder / "charts.jsonl").write_text("".join([rows[0].replace("many", "few"), *rows[2:], "{broken\n"]))
    make(recipe, out, "grow")
    after = contents(out, "rollouts")
    assert len(after) == 7
    assert before.items() <= after.items()
    assert set(asked.values()) == {1}
    assert is_whole(out)
    assert read_manifest(out)["counts"]["index"]["charts"] == {"selected": 7, "rejected/bad_json": 1}
    # the broken row is known by now
    make(recipe, out, "grow")
    assert read_manifest(out)["counts"]["index"]["charts"]["rejected/bad_json"] == 1


def test_corrections_change_nothing(tmp_path: Path, asked: Counter) -> None:
    """A name, a path, the root of the pictures: the same command goes on."""
    out, folder = tmp_path / "out", tmp_path / "data"
    write_rows(folder, "charts", range(6))
    before = make(recipe_of(folder, "charts"), out)
    asked.clear()
    moved = tmp_path / "moved"
    folder.rename(moved)
    (moved / "charts.jsonl").rename(moved / "renamed.jsonl")
    spec = {"name": "charts", "type": "jsonl", "path": "renamed.jsonl", "images_root": "."}
    corrected = recipe_of(moved, "charts", sources=[spec], name="other")
    assert make(corrected, out) == before
    assert not asked
    shutil.rmtree(out / "pairs")
    (out / "manifest.json").unlink()
    assert make(corrected, out)["recipe"]["name"] == "other"
    assert not asked
    assert is_whole(out)


CANNOT = [
    ({"samples": 2}, "source 'charts': 2 samples are fewer than 4"),
    ({"seed": 3}, "seed changed"),
    ({"unit_questions": 5}, "unit_questions changed"),
    ({"sampling": {"samples": 8, "temperature": 0.5}}, "the model, the sampling or a template changed"),
    ({"pairing": {"max_pairs": 3}, "samples": 8}, "settings for 'pair' changed too; grow without that"),
    ({"sources": [{"name": "maps", "type": "jsonl", "path": "charts.jsonl"}]}, "source 'charts' is not in sources any"),
    (
        {"sources": [{"name": "charts", "type": "jsonl", "path": "charts.jsonl", "columns": {"kind": "image"}}]},
        "source 'charts': columns changed",
    ),
]


@pytest.mark.parametrize(("settings", "problem"), CANNOT)
def test_what_a_build_cannot_grow_to_is_told(tmp_path: Path, settings: dict, problem: str) -> None:
    out, folder = tmp_path / "out", tmp_path / "data"
    write_rows(folder, "charts", range(6))
    before = make(recipe_of(folder, "charts"), out)
    with pytest.raises(OutputError, match=f"cannot grow to this one: .*{problem}.*use another --out"):
        make(recipe_of(folder, "charts", **settings), out, "grow")
    assert read_manifest(out) == before


def test_what_a_build_could_grow_to_is_told(tmp_path: Path) -> None:
    out, folder = tmp_path / "out", tmp_path / "data"
    write_rows(folder, "charts", range(6))
    write_rows(folder, "maps", range(10, 12))
    make(recipe_of(folder, "charts"), out)
    told = "use another --out; --grow takes it into this build: source 'maps' is new, source 'charts': 4 to 8 samples"
    with pytest.raises(OutputError, match=told):
        make(recipe_of(folder, "charts", "maps", samples=8), out)
    plan = make_plan(recipe_of(folder, "charts", "maps", samples=8), "recipe")
    assert dry_run(plan, out) == 1
    assert dry_run(plan, out, grow=True) == 0
    with pytest.raises(OutputError, match="--grow and --from do not go together"):
        build(make_plan(recipe_of(folder, "charts"), "r"), out, "pair", "local", "grow")


class StopHere(Exception):  # noqa: N818 - nothing is wrong
    pass


@contextlib.contextmanager
def stopped_at(call: int) -> Iterator[None]:
    """Growth that is stopped at its n-th step that changes a file."""
    steps = iter(range(10_000))

    def guarded(work: Any) -> Any:
        def step(*args: Any, **kwargs: Any) -> Any:
            if next(steps) == call:
                raise StopHere
            return work(*args, **kwargs)

        return step

    names = ("write_shard", "set_aside", "remove_stage", "forget_result", "write_build", "write_json")
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(mock.patch.object(growth_module, name, guarded(getattr(growth_module, name))))
        stack.enter_context(mock.patch.object(Path, "replace", guarded(Path.replace)))
        yield


@pytest.mark.parametrize("again", ["grow", "as-it-was"])
def test_growth_can_be_stopped_anywhere(tmp_path: Path, asked: Counter, again: Growth) -> None:
    """After a stop at any step the growing command ends in the same build; the one before it goes on as before."""
    folder, start = tmp_path / "data", tmp_path / "start"
    write_rows(folder, "charts", range(6))
    write_rows(folder, "open", range(20, 22), answered=False)
    small = recipe_of(folder, "charts", "open")
    before = make(small, start)
    write_rows(folder, "charts", range(9))
    write_rows(folder, "maps", range(30, 33))
    big = recipe_of(folder, "charts", "open", "maps", samples=6)
    make(big, tmp_path / "once")
    call, stops = 0, 0
    while True:
        out = tmp_path / f"out-{again}-{call}"
        shutil.copytree(start, out)
        plan = make_plan(big, "recipe")
        state = prepare(out, plan, None, grow=True)
        assert state is not None
        with stopped_at(call), contextlib.suppress(StopHere):
            grow(out, plan, state)
            break
        asked.clear()
        stops += 1
        planned = read_build(out)
        assert planned is not None
        if again == "grow" or planned.recipe["sampling"]["samples"] == 6:
            make(big, out, "grow")
            assert same_rows(out, tmp_path / "once")
        else:
            assert make(small, out, "as-it-was")["files"] == before["files"]
            assert not asked
        assert check([str(out), "--verify"]) == 0
        shutil.rmtree(out)
        call += 1
    assert stops > 10


def test_a_stop_while_old_questions_get_more_samples_loses_nothing(tmp_path: Path, asked: Counter) -> None:
    folder, out = tmp_path / "data", tmp_path / "out"
    write_rows(folder, "charts", range(17))
    make(recipe_of(folder, "charts"), out)
    big = recipe_of(folder, "charts", samples=8)

    async def stop(*_: Any) -> Reply:
        if asked.total() >= 17 * 4 + 20:
            raise StopHere
        return await ReplayEngine.generate(*_)

    with mock.patch.object(CountingEngine, "generate", autospec=True) as generate:

        async def some(engine: CountingEngine, request: Request) -> Reply:
            engine.asked.update((request.prompt, request.prefix, request.seed + i) for i in range(request.samples))
            return await stop(engine, request)

        generate.side_effect = some
        with pytest.raises(StopHere):
            make(big, out, "grow")
    assert (out / "earlier" / "rollouts").is_dir()
    sampled = len(list((out / "rollouts").glob("*.parquet")))
    assert 0 < sampled < 5
    stored = asked.total()
    # once more, and further than before
    make(recipe_of(folder, "charts", samples=9), out, "grow")
    make(recipe_of(folder, "charts", samples=9), tmp_path / "once")
    assert same_rows(out, tmp_path / "once")
    assert stored < 17 * 9
    assert is_whole(out)


def test_a_build_of_an_earlier_version_grows(tmp_path: Path, asked: Counter) -> None:
    """Without a note of its files, and without the work of its units."""
    folder, out = tmp_path / "data", tmp_path / "out"
    write_rows(folder, "charts", range(6))
    recipe = recipe_of(folder, "charts")
    make(recipe, out)
    (out / SEEN_FILES).unlink()
    plan = json.loads((out / "build.json").read_text())
    del plan["work"]
    (out / "build.json").write_text(json.dumps(plan))
    make(recipe, out)
    assert (out / SEEN_FILES).exists()
    write_rows(folder, "charts", range(9))
    make(recipe, out, "grow")
    assert is_whole(out)
    assert len(contents(out, "rollouts")) == 9
    assert set(asked.values()) == {1}


def test_a_plan_without_its_recipe_takes_new_rows_and_no_other_recipe(tmp_path: Path) -> None:
    folder, out = tmp_path / "data", tmp_path / "out"
    write_rows(folder, "charts", range(6))
    make(recipe_of(folder, "charts"), out)
    plan = json.loads((out / "build.json").read_text())
    del plan["recipe"]
    (out / "build.json").write_text(json.dumps(plan))
    with pytest.raises(OutputError, match=r"build\.json does not tell its recipe"):
        make(recipe_of(folder, "charts", samples=8), out, "grow")
    write_rows(folder, "charts", range(9))
    make(recipe_of(folder, "charts"), out, "grow")
    assert is_whole(out)


def test_unit_files_keep_their_names(tmp_path: Path) -> None:
    folder, out = tmp_path / "data", tmp_path / "out"
    write_rows(folder, "charts", range(6))
    make(recipe_of(folder, "charts"), out)
    before = read_manifest(out)["files"]
    write_rows(folder, "charts", range(9))
    make(recipe_of(folder, "charts"), out, "grow")
    after = read_manifest(out)["files"]
    assert before.items() <= after.items()
    assert [name for name in after if name.startswith("pairs/")] == [
        "pairs/part-00000-of-00002.parquet",
        "pairs/part-00001-of-00002.parquet",
        "pairs/part-00002-of-00003.parquet",
    ]
    assert replace(known(read_build(out)), work={}).of("train")[2].of == 3
