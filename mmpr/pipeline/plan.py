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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import mmpr
from mmpr.config import Recipe, SourceSpec, fingerprint
from mmpr.errors import MmprError, OutputError, RecipeError, RowError
from mmpr.models import FoundModel, find_model
from mmpr.pipeline.adjudicating import Verifier, find_verifier
from mmpr.pipeline.audited import keep_judgements
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
_STEPS = ("index", *STAGES)


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe that has been looked at from all sides: its models exist, its templates load, its sources open."""

    recipe: Recipe
    model: FoundModel
    templates: dict[str, str]
    fingerprints: dict[str, str]
    verifier: Verifier | None = None

    def about(self) -> dict[str, Any]:
        """What identifies the plan, for ``build.json`` and the manifest; ``prompts`` are hashes by template name."""
        extensions = self.recipe.extensions.fingerprints()
        return {
            "mmpr": mmpr.__version__,
            "recipe": self.recipe.as_json(),
            **({"extensions": extensions} if extensions else {}),
            "model_revision": self.model.revision,
            **({"adjudicate": self.verifier.about()} if self.verifier else {}),
            "prompts": dict(sorted(self.templates.items())),
            "fingerprints": self.fingerprints,
        }


@dataclass(frozen=True, slots=True)
class Build:
    """The plan as it lies in ``build.json``; ``counts`` are those of the index (``<source>/<what>``).

    ``work`` says what each training unit asks for (``mmpr.pipeline.work.WORK``); builds of earlier versions lack it.
    """

    units: dict[Split, int]
    fingerprints: dict[str, str]
    counts: dict[str, int]
    work: dict[str, array[int]] = field(default_factory=dict)

    def of(self, split: Split) -> Units:
        """The units of a split."""
        return Units(split, self.units[split])


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
    verifier = None
    try:
        verifier = find_verifier(recipe)
    except MmprError as error:
        problems.append(f"adjudicate: {error}")
    most = max(recipe.samples(spec.name) for spec in recipe.sources)
    if recipe.engine.type == "vllm" and recipe.sampling.temperature == 0 and most > 1:
        problems.append(
            f"sampling.temperature: at 0 all {most} samples of a question are the same; set it above 0 (the paper: 1.0)"
        )
    if problems:
        raise RecipeError(where, list(dict.fromkeys(problems)))
    return Plan(recipe, model, templates, _fingerprints(recipe, model, templates, verifier), verifier)


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
        return Build(units, dict(tree["fingerprints"]), dict(tree["counts"]), work)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise OutputError(f"{path}: is damaged ({error}); use another --out") from None


def write_build(out: Path, plan: Plan, build: Build) -> None:
    """Put the plan on disk."""
    work = {name: list(numbers) for name, numbers in build.work.items()}
    write_json(out / PLAN, {**plan.about(), "units": build.units, "counts": build.counts, "work": work})


def prepare(out: Path, plan: Plan, start: Stage | None) -> Build | None:
    """See that ``out`` is empty or belongs to this plan; forget the stages from ``start`` on.

    Returns the plan on disk, None for a new directory.

    Raises:
        OutputError: it belongs to another recipe; the text says what differs and what to do.
    """
    build = check_out(out, plan, start)
    if build is not None and start is not None:
        keep_judgements(out, build.of("train"))
        _forget_from(out, start)
        write_build(out, plan, build)
    return build


def check_out(out: Path, plan: Plan, start: Stage | None) -> Build | None:
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
    changed = [name for name in _STEPS if build.fingerprints.get(name) != plan.fingerprints.get(name)]
    for stage in changed:
        if stage in ("index", "sample"):
            what = "the sources" if stage == "index" else "the model, the sampling or a template"
            raise OutputError(f"{out}: was built with another recipe ({what} changed); use another --out")
        if start is None or _STEPS.index(start) > _STEPS.index(stage):
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
    build = Build(units, plan.fingerprints, counts, work["train"])
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
    rejects = _RejectFiles(out, split)
    rows = (row for spec in specs for row in _rows(spec, recipe, rejects, counts))
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


def _rows(spec: SourceSpec, recipe: Recipe, rejects: _RejectFiles, counts: dict[str, int]) -> Iterator[IndexedRow]:
    """The selected rows of a source with their ids; the rest goes to ``rejects`` and ``counts``."""
    selection = select_rows(open_source(spec, recipe), spec, recipe.seed)
    for item in checked_rows(selection, spec.name):
        if isinstance(item, Reject):
            add_counts(counts, {f"{spec.name}/rejected/{item.reason}": 1})
            rejects.add(item)
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


class _RejectFiles:
    """Rejects of the index pass, in files of bounded size."""

    def __init__(self, out: Path, split: Split) -> None:
        self._folder, self._split = out / "rejects", split
        self._rejects: list[Reject] = []
        self._files = 0

    def add(self, reject: Reject) -> None:
        self._rejects.append(reject)
        if len(self._rejects) >= _REJECTS_A_FILE:
            self.flush()

    def flush(self) -> None:
        if self._rejects:
            path = self._folder / f"index-{self._split}-{self._files:05d}.parquet"
            write_shard(path, Reject, self._rejects, {})
            self._files += 1
            self._rejects = []


def _forget_from(out: Path, start: Stage) -> None:
    """Remove what the stages from ``start`` on made; old verdicts are kept until the new ones have been compared."""
    (out / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(out / "report", ignore_errors=True)
    stages = STAGES[STAGES.index(start) :]
    if "verify" in stages and (out / "verdicts").is_dir():
        shutil.rmtree(out / VERDICTS_BEFORE, ignore_errors=True)
        (out / "verdicts").rename(out / VERDICTS_BEFORE)
    for stage in reversed(stages):
        remove_stage(out, stage)


def _is_ours(path: Path) -> bool:
    """Whether an unfinished index pass left this behind."""
    return path.name in ("index", "index.making", "rejects", "logs")


def _fingerprints(
    recipe: Recipe, model: FoundModel, templates: dict[str, str], verifier: Verifier | None = None
) -> dict[str, str]:
    """What each stage's output depends on, beyond the stages before it. How the engine is run is not among it."""
    tree = recipe.as_json()
    own = recipe.extensions.fingerprints()
    later = ("template", "open_template", "rule", "samples", "max_pairs", "processor")

    def without(source: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in source.items() if key not in later}

    def of_sources(*keys: str) -> list[list[Any]]:
        return [[source["name"], *(source[key] for key in keys)] for source in tree["sources"]]

    return {
        "index": fingerprint(
            [
                [without(source) for source in tree["sources"]],
                [[without(source), source["rule"]] for source in tree["heldout"]],
                [tree[key] for key in ("seed", "unit_questions", "images", "max_question_chars")],
                *([own["sources"]] if "sources" in own else []),
            ]
        ),
        "sample": fingerprint(
            [
                [
                    *(model.revision, tree["engine"]["type"], recipe.sampling.identity()),
                    *([chat] if (chat := recipe.chat.identity()) else []),
                ],
                [
                    [s.name, recipe.samples(s.name), templates[s.template], templates[s.open_template], s.processor]
                    for s in recipe.sources
                ],
            ]
        ),
        "complete": fingerprint([tree["dropout"], of_sources("max_pairs")]),
        "verify": fingerprint([*of_sources("rule"), *([own["rules"]] if "rules" in own else [])]),
        **({"adjudicate": fingerprint(verifier.identity())} if verifier else {}),
        "pair": fingerprint([tree["pairing"], of_sources("max_pairs")]),
    }
