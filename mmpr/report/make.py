"""Make the report of a finished build or a release, and write its files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmpr.errors import OutputError
from mmpr.inputs.kinds import kind_of
from mmpr.inputs.release import release_name
from mmpr.report.contents import Distribution, Report, SourceLine
from mmpr.report.load.dataset import Dataset, open_dataset
from mmpr.report.load.info import DatasetInfo
from mmpr.report.measure.comparison import compare
from mmpr.report.measure.contamination import HELDOUT, Overlaps, QuestionSet, heldout_set, read_question_set
from mmpr.report.measure.dataset_statistics import BIT, FLAGS, Statistics
from mmpr.report.measure.findings import Basis, example_numbers, make_findings
from mmpr.report.measure.flow import make_flow
from mmpr.report.show.gallery import audit, choose, gallery, question_ids, read_shown_rows
from mmpr.storage.counts import JUDGED, METHODS
from mmpr.storage.shards import MANIFEST, writing
from mmpr.storage.trees import as_json

Say = Callable[[str], None]

_SAY_EVERY = 200  # units


def make_report(
    path: Path,
    *,
    against: Sequence[Path] = (),
    other: Path | None = None,
    seed: int = 0,
    unsure_first: bool = False,
    say: Say = lambda _: None,
) -> Report:
    """The report of a finished build, or of a release of MMPR.

    Args:
        path: the build's folder, or ``meta.json`` or its folder.
        against: sets of questions to look for among the training questions.
        other: a build or release to compare with.
        seed: draws what is shown.
        unsure_first: draw the unsure verdicts for the audit before all others.
        say: called with a line for each step.

    Raises:
        OutputError: ``path`` or ``other`` is no finished build, or a shard cannot be read.
        SourceError: a release or one of ``against`` cannot be read.
    """
    say(f"reading {path}")
    dataset = open_dataset(path)
    sets: list[QuestionSet] = []
    for elsewhere in against:
        say(f"reading {elsewhere}")
        sets.append(read_question_set(elsewhere, taken=[HELDOUT, *(one.name for one in sets)]))
    report = _report(dataset, sets, seed, say, with_samples=True, unsure_first=unsure_first)
    if other is None:
        return report
    say(f"comparing with {other}")
    theirs = open_dataset(other)
    that = _report(theirs, sets, seed, say, with_samples=False)
    return replace(report, comparison=compare(report, that, (dataset.info, theirs.info)))


def report_folder(path: Path, other: Path | None = None) -> Path:
    """Where a report goes by default: inside a build, or ``reports/NAME`` for a release.

    A comparison with ``other`` has a folder of its own beside it, ``report-vs-OTHER``.
    """
    plain = Path("reports") / release_name(path) if kind_of(path) == "release" else path / "report"
    if other is None:
        return plain
    name = release_name(other) if kind_of(other) == "release" else other.resolve().name
    return plain.with_name(f"{plain.name}-vs-{name}")


def check_folder(folder: Path) -> None:
    """Check that a report may be written to a folder: it is new, empty, or holds an earlier report.

    Raises:
        OutputError: it is a file, or holds something else.
    """
    with writing(folder):
        strange = folder.exists() and any(folder.iterdir()) and not (folder / "report.json").is_file()
    # In a build's folder an incomplete report of any version may be replaced.
    if strange and not (folder.parent / MANIFEST).is_file():
        raise OutputError(f"{folder}: holds something else than a report; name a new folder with --out")


def write_report(report: Report, folder: Path) -> Path:
    """Write a report to a folder, whole or not at all, in place of an earlier one; returns the path of its page.

    Raises:
        OutputError: it cannot be written, or the folder holds something else.
    """
    from mmpr.report.show.page import write_page

    check_folder(folder)
    making, old = (folder.with_name(f".{folder.name}-{what}{os.getpid()}.tmp") for what in ("", "old-"))
    try:
        with writing(folder):
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(parents=True)
            text = json.dumps(report_json(report), ensure_ascii=True, indent=1, allow_nan=False)
            # A page that holds this JSON in a script must not be ended by it.
            (making / "report.json").write_text(text.replace("<", "\\u003c") + "\n", encoding="ascii")
            write_page(report, making)
            if folder.exists():
                folder.rename(old)
            making.rename(folder)
    finally:
        for left in (making, old):
            shutil.rmtree(left, ignore_errors=True)
    return folder / "index.html"


def report_json(report: Report) -> Any:
    """The report as a JSON tree, without its pictures."""
    return as_json(report, without=("pictures",))


def _report(
    dataset: Dataset,
    others: Sequence[QuestionSet],
    seed: int,
    say: Say,
    *,
    with_samples: bool,
    unsure_first: bool = False,
) -> Report:
    info = dataset.info
    stats = Statistics(info, seed, unsure_first)
    heldout = dataset.heldout()
    overlaps = Overlaps([*([] if heldout is None else [heldout_set(heldout)]), *others])
    for number, unit in enumerate(dataset.units()):
        if number % _SAY_EVERY == 0:
            say(f"counting {info.name}: {stats.questions:,} questions so far")
        stats.add(unit.columns)
        overlaps.add(unit.questions, stats)
    _flag_duplicates(stats)
    contamination = overlaps.found()
    flow = make_flow(dataset, stats)
    picked = {name: example_numbers(stats, name, seed) for name in FLAGS} if with_samples else {}
    numbers = choose(stats, seed) if with_samples else []
    verdicts = stats.verdicts.chosen() if with_samples else []
    say("reading what is shown")
    ids = question_ids(dataset, stats, {number for some in picked.values() for number in some})
    rows = read_shown_rows(dataset, stats, {*numbers, *(number for number, _ in verdicts)})
    basis = Basis(info, stats, flow, contamination, *dataset.lost())
    distributions = (one.distribution() for one in stats.distributions())
    return Report(
        name=info.name,
        about=info.about,
        seed=seed,
        sources=_source_lines(info, stats),
        findings=make_findings(basis, lambda name: tuple(ids[number] for number in picked.get(name, ()))),
        flow=flow,
        distributions=tuple(one for one in distributions if info.kind == "build" or _says_something(one)),
        gallery=gallery(stats, rows, numbers),
        audit=audit(rows, verdicts),
        contamination=contamination,
        kind=info.kind,
        dropped=dataset.dropped(),
        audited=dataset.audited(),
    )


def _says_something(distribution: Distribution) -> bool:
    """Whether a distribution says anything about a release, whose questions all have pairs and no kinds."""
    return distribution.groups[0].total > 0 and distribution.key not in ("outcomes", "kinds")


def _flag_duplicates(stats: Statistics) -> None:
    """Flag the questions, in all units, whose chosen texts are near duplicates."""
    owners, alike = stats.duplicates.found()
    ends = np.cumsum([len(flags) for flags in stats.flags])
    marked = np.unique(owners[alike])
    for end, flags in zip(ends, stats.flags, strict=True):
        mine = marked[(marked >= end - len(flags)) & (marked < end)]
        flags[mine - (end - len(flags))] |= np.uint32(BIT["near_duplicates"])


def _source_lines(info: DatasetInfo, stats: Statistics) -> tuple[SourceLine, ...]:
    statuses = stats.categories["statuses"]
    lines = []
    for at, name in enumerate(info.sources):
        of = statuses.totals(at)
        judged = sum(of[status] for status in JUDGED)
        methods = sorted((method, int(by)) for method, by in zip(METHODS, stats.pairs[at], strict=True) if by)
        lines.append(
            SourceLine(
                name=name,
                questions=sum(stats.categories["outcomes"].totals(at).values()),
                responses=sum(stats.categories["finish_reasons"].totals(at).values()) if info.kind == "build" else None,
                pairs=sum(by for _, by in methods),
                pass_rate=of["correct"] / judged if judged else None,
                by_method=tuple(methods),
            )
        )
    return tuple(lines)
