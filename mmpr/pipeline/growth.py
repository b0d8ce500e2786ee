"""Builds that grow: what a source has more than when the build was planned, taken in as new units.

    build.json + index/ ─▶ KnownRows ─▶ the sources again ─▶ new rows ─▶ new units behind the old ones ─▶ build.json

What was sampled stays. Questions that get more samples are done again from what they have (``earlier/``).
"""

from __future__ import annotations

import json
import shutil
import sys
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from mmpr.cli.command import printable
from mmpr.config import Recipe, SourceSpec
from mmpr.errors import OutputError
from mmpr.pipeline.plan import Build, Plan, RejectFiles, forget_result, selected_rows, splits, write_build
from mmpr.pipeline.work import WORK
from mmpr.schema import IndexedRow, Reject, content_id
from mmpr.sources.files import fingerprint_of_files
from mmpr.sources.ids import KnownRows, RowChanges
from mmpr.storage.shards import (
    Split,
    Units,
    add_counts,
    index_shard,
    remove_stage,
    set_aside,
    write_json,
    write_shard,
)
from mmpr.storage.tables import read_rows
from mmpr.storage.trees import as_json
from mmpr.templates import store_templates

SEEN_FILES = "logs/sources.json"
"""What the sources' files looked like when the build last agreed with them; no part of the build."""


def remember_files(out: Path, recipe: Recipe) -> None:
    """Note what the files of the sources look like now."""
    write_json(out / SEEN_FILES, _files(recipe))


def remove_strays(out: Path, build: Build) -> None:
    """Delete what a growth that was stopped has left: shards of the index, and rejects, that the plan does not know."""
    growths = max((len(numbers) for numbers in build.grown.values()), default=0)
    for split in build.units:
        units = build.of(split)
        for path in (out / "index" / split).glob("part-*.parquet"):
            number = int(path.name.split("-")[1])
            if number >= units.of or units.unit(number).file != path.name:
                path.unlink()
        for path in (out / "rejects").glob(f"index-{split}-grown*.parquet"):
            if int(path.name.split("-")[2].removeprefix("grown")) > growths:
                path.unlink()


def ask_about_changes(out: Path, plan: Plan, build: Build) -> None:
    """See that the sources hold the rows that the build was planned with, if their files look different.

    Raises:
        OutputError: they do not; the text says what differs, by source, and what to do.
    """
    now, seen = _files(plan.recipe), _seen(out)
    names = [name for name in now if seen.get(name) != now[name]]
    if not names:
        return
    print(f"comparing {', '.join(names)} with the build: files have changed", file=sys.stderr)
    known = _known(out, build)
    for _, specs in splits(plan.recipe):
        for spec in specs:
            if spec.name in names:
                for row in selected_rows(spec, plan.recipe, lambda reject: None, {}):
                    known.meet(*_told(row))
    changes = {name: change for name in names if (change := known.changes(name))}
    if not changes:
        write_json(out / SEEN_FILES, now)
        return
    told = "; ".join(f"{name}: {change}" for name, change in changes.items())
    raise OutputError(
        f"{out}: its sources have changed ({told}); --grow takes new rows into the build, --as-it-was goes on without "
        "them. What was sampled stays in both"
    )


def grow(out: Path, plan: Plan, build: Build) -> Build:
    """Take into a build what its recipe has more by now: rows, sources, held-out questions, samples.

    What was sampled of rows that changed or are gone stays. A stop in between leaves a build that this, or the build
    command as it was before, goes on with. Returns the plan on disk.
    """
    recipe, files, known = plan.recipe, _files(plan.recipe), _known(out, build)
    making = out / "index.making"
    shutil.rmtree(making, ignore_errors=True)
    growth = 1 + max((len(numbers) for numbers in build.grown.values()), default=0)
    counts = {name: by for name, by in build.counts.items() if not name.endswith("/not_selected")}
    grown = dict(build.grown)
    units = dict(build.units)
    work = {name: array("I", numbers) for name, numbers in build.work.items()}
    for split, specs in splits(recipe):
        rejects = _NewRejects(out, split, growth, counts)
        rows = (row for spec in specs for row in _new_rows(spec, recipe, known, rejects, counts))
        sizes = _write_units(making / split, rows, recipe)
        rejects.files.flush()
        if not sizes:
            continue
        earlier = build.units[split]
        units[split] = earlier + len(sizes)
        grown[split] = (*build.grown.get(split, ()), earlier)
        if split == "train" and work:
            for name, numbers in zip(WORK, zip(*sizes, strict=True), strict=True):
                work[name].extend(numbers)
        places = Units(split, units[split], earlier=grown[split])
        for at in range(len(sizes)):
            target = index_shard(out, places.unit(earlier + at))
            target.parent.mkdir(parents=True, exist_ok=True)
            (making / split / f"{at:05d}.parquet").replace(target)
    shutil.rmtree(making, ignore_errors=True)
    _say(recipe, known)
    more = _has_more_samples(build, recipe)
    if not more and units == build.units and plan.fingerprints == build.fingerprints:
        write_json(out / SEEN_FILES, files)
        print("nothing has grown", file=sys.stderr)
        return build
    forget_result(out)
    store_templates(out, plan.templates)
    if more:
        # Backwards: whatever is missing at a stop is made again from what lies before it.
        for stage in ("pair", "adjudicate", "verify"):
            remove_stage(out, stage)
        set_aside(out, "complete")
        set_aside(out, "sample")
    now = Build(units, plan.fingerprints, counts, work, recipe=recipe.as_json(), grown=grown)
    if more and work:
        work["to_judge"] = array("I", _to_judge(out, recipe, now))
    write_build(out, plan, now)
    write_json(out / SEEN_FILES, files)
    return now


def _files(recipe: Recipe) -> dict[str, str]:
    """A hash of what the files of each source look like; sources without files are not in it."""
    specs = (*recipe.sources, *recipe.heldout)
    paths = {spec.name: getattr(spec, "path", None) for spec in specs if spec.type != "hub"}
    return {name: fingerprint_of_files(recipe.resolve(path)) for name, path in paths.items() if path is not None}


def _seen(out: Path) -> dict[str, str]:
    try:
        return dict(json.loads((out / SEEN_FILES).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}  # never noted: the rows themselves are compared


def _known(out: Path, build: Build) -> KnownRows:
    """The rows of a build's index."""
    known = KnownRows()
    for split in build.units:
        for unit in build.of(split):
            for row in read_rows(index_shard(out, unit), IndexedRow):
                known.add(*_told(row))
    return known


def _told(row: IndexedRow) -> tuple[str, str, str, str]:
    """A row's id, source and place, and a hash of what it says to the model and the judge."""
    return row.id, row.source, row.row.where, content_id(json.dumps(as_json(row.row, ("where", "meta"))))


def _new_rows(
    spec: SourceSpec, recipe: Recipe, known: KnownRows, rejects: _NewRejects, counts: dict[str, int]
) -> Iterator[IndexedRow]:
    """The rows of a source that the build does not have."""
    met: dict[str, int] = {}
    for row in selected_rows(spec, recipe, rejects.add, met):
        if known.meet(*_told(row)):
            add_counts(counts, {f"{spec.name}/selected": 1})
            yield row
    if not_selected := met.get(f"{spec.name}/not_selected"):
        counts[f"{spec.name}/not_selected"] = not_selected


def _write_units(folder: Path, rows: Iterator[IndexedRow], recipe: Recipe) -> list[tuple[int, int]]:
    """Write rows as units, numbered from 0; returns the work of each (``WORK``)."""
    sizes: list[tuple[int, int]] = []
    while part := list(islice(rows, recipe.unit_questions)):
        write_shard(folder / f"{len(sizes):05d}.parquet", IndexedRow, part, {})
        sizes.append((len(part), sum(recipe.samples(row.source) for row in part if row.row.answer)))
    return sizes


class _NewRejects:
    """Rejects that the build does not have, of a pass over sources that were read before."""

    def __init__(self, out: Path, split: Split, growth: int, counts: dict[str, int]) -> None:
        self.files = RejectFiles(out, split, growth)
        self._counts = counts
        self._known = KnownRows()
        for path in sorted((out / "rejects").glob(f"index-{split}-*.parquet")):
            for reject in read_rows(path, Reject):
                self._known.add(self._id(reject), reject.source, "", "")

    def add(self, reject: Reject) -> None:
        if self._known.meet(self._id(reject), reject.source, "", ""):
            add_counts(self._counts, {f"{reject.source}/rejected/{reject.reason}": 1})
            self.files.add(reject)

    def _id(self, reject: Reject) -> str:
        return content_id(reject.source, reject.id, reject.reason, reject.detail)


def _has_more_samples(build: Build, recipe: Recipe) -> bool:
    if not build.recipe:
        return False
    if build.recipe["sampling"].get("adaptive") != recipe.as_json()["sampling"]["adaptive"]:
        return True
    default = build.recipe["sampling"]["samples"]
    old = {source["name"]: source["samples"] or default for source in build.recipe["sources"]}
    return any(recipe.samples(name) > samples for name, samples in old.items())


def _to_judge(out: Path, recipe: Recipe, build: Build) -> Iterator[int]:
    """How many responses of each training unit are to be judged."""
    for unit in build.of("train"):
        rows = pq.read_table(index_shard(out, unit), columns=["source", "row"]).to_pylist()
        yield sum(recipe.samples(row["source"]) for row in rows if row["row"]["answer"])


def _say(recipe: Recipe, known: KnownRows) -> None:
    changes: Sequence[tuple[str, RowChanges]] = [
        (spec.name, known.changes(spec.name)) for _, specs in splits(recipe) for spec in specs
    ]
    for name, change in changes:
        if change:
            kept = "; what was sampled of rows that changed or are gone stays" if change.changed or change.gone else ""
            print(printable(f"grown     {name}: {change}{kept}"), file=sys.stderr)
