"""The plan of a build: what is to be asked, cut into units, and whether an output directory belongs to it.

``OUT/build.json`` is the plan on disk. It is written when the index is complete; from then on the units are fixed,
whatever happens to the sources.
"""

from __future__ import annotations

import json
import os
import shutil
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import mmpr
from mmpr.config import Recipe, SourceSpec
from mmpr.errors import MmprError, OutputError, RecipeError, RowError
from mmpr.models import FoundModel, find_model
from mmpr.pipeline.identity import fingerprints_of, growth, is_corrected
from mmpr.pipeline.reasons import commonest, reject_reasons
from mmpr.pipeline.work import WORK
from mmpr.prompts import source_template
from mmpr.schema import IndexedRow, Reject, SourceRow, question_id
from mmpr.sources import open_source
from mmpr.sources.ingest import check_text
from mmpr.sources.selection import select_rows
from mmpr.storage.shards import (
    MANIFEST,
    PLAN,
    STAGES,
    VERDICTS_BEFORE,
    Split,
    Stage,
    Unit,
    Units,
    add_counts,
    remove_stage,
    shard,
    write_json,
    write_shard,
)

_REJECTS_A_FILE = 10_000


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe that has been looked at from all sides: its model exists, its templates load, its sources open."""

    recipe: Recipe
    model: FoundModel
    templates: dict[str, str]
    fingerprints: dict[str, str]

    def about(self) -> dict[str, Any]:
        """What identifies the plan, for ``build.json`` and the manifest; ``prompts`` are hashes by template name."""
        extensions = self.recipe.extensions.fingerprints()
        return {
            "mmpr": mmpr.__version__,
            "recipe": self.recipe.as_json(),
            **({"extensions": extensions} if extensions else {}),
            "model_revision": self.model.revision,
            "prompts": dict(sorted(self.templates.items())),
            "fingerprints": self.fingerprints,
        }


@dataclass(frozen=True, slots=True)
class Build:
    """The plan as it lies in ``build.json``; ``counts`` are those of the index (``<source>/<what>``).

    ``work`` says what each training unit asks for (``mmpr.pipeline.work.WORK``); builds of earlier versions lack it.
    ``made_by`` is the command that made the build of other builds, if any. ``recipe`` is the recipe as JSON. ``grown``
    are the numbers of units that each split had when it grew.
    """

    units: dict[Split, int]
    fingerprints: dict[str, str]
    counts: dict[str, int]
    work: dict[str, array[int]] = field(default_factory=dict)
    made_by: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    grown: Mapping[Split, tuple[int, ...]] = field(default_factory=dict)

    def of(self, split: Split) -> Units:
        """The units of a split."""
        return Units(split, self.units[split], earlier=self.grown.get(split, ()))


def make_plan(recipe: Recipe, where: str) -> Plan:
    """Look at everything that a recipe names.

    Raises:
        RecipeError: with every problem found.
    """
    problems: list[str] = []
    templates: dict[str, str] = {}
    for spec in recipe.sources:
        for name in (spec.template, spec.open_template):
            try:
                templates[name] = source_template(spec, name, recipe.folder).sha256
            except MmprError as error:
                problems.append(str(error))
    for spec in (*recipe.sources, *recipe.heldout):
        try:
            open_source(spec, recipe)
        except MmprError as error:
            problems.append(f"source {spec.name!r}: {error}")
    model = FoundModel("", "")
    try:
        model = find_model(recipe)
    except MmprError as error:
        problems.append(str(error))
    most = max(recipe.samples(spec.name) for spec in recipe.sources)
    if recipe.engine.type == "vllm" and recipe.sampling.temperature == 0 and most > 1:
        problems.append(
            f"sampling.temperature: at 0 all {most} samples of a question are the same; set it above 0 (the paper: 1.0)"
        )
    if problems:
        raise RecipeError(where, list(dict.fromkeys(problems)))
    return Plan(recipe, model, templates, fingerprints_of(recipe, model, templates))


def read_build(out: Path) -> Build | None:
    """The plan of an output directory; None when there is none yet.

    Raises:
        OutputError: the file is damaged.
    """
    path = out / PLAN
    if not path.exists():
        return None
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        units: dict[Split, int] = {split: int(tree["units"][split]) for split in ("train", "heldout")}
        work = {name: array("I", numbers) for name, numbers in tree.get("work", {}).items()}
        made_by = str(tree["lineage"]["by"]) if "lineage" in tree else ""
        grown: dict[Split, tuple[int, ...]] = {
            split: tuple(int(number) for number in tree.get("grown", {}).get(split, ())) for split in units
        }
        told = dict(tree["fingerprints"]), dict(tree["counts"])
        return Build(units, *told, work, made_by, dict(tree.get("recipe", {})), {s: g for s, g in grown.items() if g})
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise OutputError(f"{path}: is damaged ({error}); use another --out") from None


def write_build(out: Path, plan: Plan, build: Build) -> None:
    """Put the plan on disk."""
    work = {name: list(numbers) for name, numbers in build.work.items()}
    grown = {"grown": {split: list(numbers) for split, numbers in build.grown.items()}} if build.grown else {}
    write_json(out / PLAN, {**plan.about(), "units": build.units, **grown, "counts": build.counts, "work": work})


def prepare(out: Path, plan: Plan, start: Stage | None, *, grow: bool = False) -> Build | None:
    """See that ``out`` is empty or belongs to this plan, or can ``grow`` to it; forget the stages from ``start`` on.

    Returns the plan on disk, None for a new directory.

    Raises:
        OutputError: it belongs to another recipe; the text says what differs and what to do.
    """
    build = check_out(out, plan, start, grow=grow)
    if build is not None and start is not None:
        _forget_from(out, start)
        write_build(out, plan, build)
    return build


def check_out(out: Path, plan: Plan, start: Stage | None, *, grow: bool = False) -> Build | None:
    """See that ``out`` is new, empty or belongs to this plan, and changes nothing; returns the plan on disk, if any.

    Raises:
        OutputError: it cannot be used; the text says why and what to do.
    """
    build = read_build(out)
    if build is None:
        _check_new(out)
        if start is not None:
            raise OutputError(f"{out}: there is no build to redo from {start!r}; leave out --from")
        return None
    if build.made_by:
        raise OutputError(
            f"{out}: was made of other builds by mmpr {build.made_by}; build there, and {build.made_by} again"
        )
    changed = [name for name, value in plan.fingerprints.items() if build.fingerprints.get(name) != value]
    told = (build.recipe, build.fingerprints, plan.recipe, plan.model, plan.templates)
    if "index" in changed and is_corrected(*told):
        changed.remove("index")
    if not {"index", "sample"}.isdisjoint(changed):
        grown, problems = growth(*told)
        if grow and not problems:
            return build
        what = "the sources" if "index" in changed else "the model, the sampling or a template"
        other = f"{out}: was built with another recipe ({what} changed)"
        if grow:
            raise OutputError(f"{other}, and cannot grow to this one: {'; '.join(problems)}; use another --out")
        remedy = "" if problems else f"; --grow takes it into this build: {', '.join(grown)}"
        raise OutputError(f"{other}; use another --out{remedy}")
    for stage in changed:
        if start is None or STAGES.index(start) > STAGES.index(stage):
            raise OutputError(f"{out}: the recipe's settings for {stage!r} changed; add --from {stage} to redo it")
    return build


def _check_new(out: Path) -> None:
    """Refuse a folder that holds other things, or where nothing can be written."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file; use another --out")
    strangers = (
        [path.name for path in out.iterdir() if path.name != ".lock" and not _is_ours(path)] if out.exists() else []
    )
    if strangers:
        raise OutputError(f"{out}: is not empty and holds no build ({strangers[0]}); use another --out")
    place = out.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise OutputError(f"{out}: nothing can be written in {place}; use another --out")


def verdict_changes(out: Path, units: Sequence[Unit]) -> dict[str, int] | None:
    """After ``--from verify``: how many responses went from one status to another (``incorrect to correct``).

    None when there are no earlier verdicts to compare with.
    """
    if not (out / VERDICTS_BEFORE).is_dir():
        return None
    changes: Counter[str] = Counter()
    for unit in units:
        earlier = out / VERDICTS_BEFORE / unit.file
        if not earlier.exists():  # the build before was stopped before it came to this unit
            continue
        before, after = _statuses(earlier), _statuses(shard(out, "verify", unit))
        changes.update(f"{old} to {new}" for old, new in zip(before, after, strict=True) if old != new)
    return dict(changes.most_common())


def _statuses(path: Path) -> list[str]:
    column = pq.read_table(path, columns=["verdicts"])["verdicts"]
    return [str(status) for chunk in column.chunks for status in chunk.flatten().field("status").to_pylist()]


def write_index(out: Path, plan: Plan) -> Build:
    """Go through the sources once and cut what is to be asked into units, text only.

    The folder ``index/`` is whole or absent, like everything else.
    """
    recipe = plan.recipe
    making = out / "index.making"
    shutil.rmtree(making, ignore_errors=True)
    for old in (out / "rejects").glob("index-*.parquet"):
        old.unlink()
    counts: dict[str, int] = {}
    work = {split: _index_split(out, making, split, specs, recipe, counts) for split, specs in splits(recipe)}
    units: dict[Split, int] = {split: len(found["questions"]) for split, found in work.items()}
    if not units["train"]:
        told = "".join(f"\n  - {line}" for line in commonest(reject_reasons(out)))
        raise OutputError(f"the sources hold no usable question{told or ', and no row that is none'}")
    shutil.rmtree(out / "index", ignore_errors=True)
    making.rename(out / "index")
    build = Build(units, plan.fingerprints, counts, work["train"], recipe=recipe.as_json())
    write_build(out, plan, build)
    return build


def splits(recipe: Recipe) -> tuple[tuple[Split, Sequence[SourceSpec]], ...]:
    """The sources of each split."""
    return ("train", recipe.sources), ("heldout", recipe.heldout)


def _index_split(
    out: Path, making: Path, split: Split, specs: Sequence[SourceSpec], recipe: Recipe, counts: dict[str, int]
) -> dict[str, array[int]]:
    """Write the units of a split and what was dropped on the way; returns what each unit asks for."""
    folder = making / split
    rejects = RejectFiles(out, split)
    rows = (row for spec in specs for row in selected_rows(spec, recipe, rejects.add, counts))
    samples = {spec.name: recipe.samples(spec.name) for spec in specs}
    questions, to_judge = array("I"), array("I")
    while part := list(islice(rows, recipe.unit_questions)):
        write_shard(folder / f"{len(questions):05d}.parquet", IndexedRow, part, {})
        questions.append(len(part))
        to_judge.append(sum(samples[row.source] for row in part if row.row.answer))
    rejects.flush()
    units = Units(split, len(questions))
    for unit in units:
        (folder / f"{unit.number:05d}.parquet").rename(folder / unit.file)
    return dict(zip(WORK, (questions, to_judge), strict=True))


def selected_rows(
    spec: SourceSpec, recipe: Recipe, on_reject: Callable[[Reject], None], counts: dict[str, int]
) -> Iterator[IndexedRow]:
    """The selected rows of a source with their ids; the rest goes to ``on_reject`` and ``counts``."""
    selection = select_rows(open_source(spec, recipe), spec, recipe.seed)
    for item in checked_rows(selection, spec.name):
        if isinstance(item, Reject):
            add_counts(counts, {f"{spec.name}/rejected/{item.reason}": 1})
            on_reject(item)
        else:
            add_counts(counts, {f"{spec.name}/selected": 1})
            yield IndexedRow(question_id(spec.name, item), spec.name, item)
    selection.tell(recipe)
    if selection.not_selected:
        counts[f"{spec.name}/not_selected"] = selection.not_selected


def checked_rows(items: Iterable[SourceRow | Reject], source: str) -> Iterator[SourceRow | Reject]:
    """The same items; a row whose text no shard can hold is a Reject."""
    for item in items:
        if isinstance(item, SourceRow):
            try:
                check_text(item)
            except RowError as error:
                yield Reject("ingest", source, item.where, error.reason, error.detail)
                continue
        yield item


class RejectFiles:
    """Rejects of an index pass, in files of bounded size; those of a later pass, as builds grow, have its number."""

    def __init__(self, out: Path, split: Split, growth: int = 0) -> None:
        self._folder, self._name = out / "rejects", f"index-{split}-{f'grown{growth}-' if growth else ''}"
        self._rejects: list[Reject] = []
        self._files = 0

    def add(self, reject: Reject) -> None:
        """Take a reject, and write a file when there are enough."""
        self._rejects.append(reject)
        if len(self._rejects) >= _REJECTS_A_FILE:
            self.flush()

    def flush(self) -> None:
        """Write what has not been written."""
        if self._rejects:
            path = self._folder / f"{self._name}{self._files:05d}.parquet"
            write_shard(path, Reject, self._rejects, {})
            self._files += 1
            self._rejects = []


def forget_result(out: Path) -> None:
    """Remove what says that a build is finished."""
    (out / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(out / "report", ignore_errors=True)


def _forget_from(out: Path, start: Stage) -> None:
    """Remove what the stages from ``start`` on made; old verdicts are kept until the new ones have been compared."""
    forget_result(out)
    stages = STAGES[STAGES.index(start) :]
    if "verify" in stages and (out / "verdicts").is_dir():
        shutil.rmtree(out / VERDICTS_BEFORE, ignore_errors=True)
        (out / "verdicts").rename(out / VERDICTS_BEFORE)
    for stage in reversed(stages):
        remove_stage(out, stage)


def _is_ours(path: Path) -> bool:
    """Whether an unfinished index pass left this behind."""
    return path.name in ("index", "index.making", "rejects", "logs")
