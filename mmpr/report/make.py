"""From a finished build or a release to its Report, and from a Report to the files of its page."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mmpr.errors import OutputError
from mmpr.report.against import read_against
from mmpr.report.compare import compare
from mmpr.report.contamination import HELDOUT, Others, Overlaps, heldout
from mmpr.report.facts import Facts
from mmpr.report.findings import Basis, example_numbers, make_findings
from mmpr.report.histogram import METHODS
from mmpr.report.inputs import Input
from mmpr.report.nouns import Distribution, Report, SourceLine, as_json
from mmpr.report.release import ReleaseInput
from mmpr.report.sample import Rows, audit, choose, gallery, question_ids
from mmpr.report.shards import BuildInput
from mmpr.report.tally import BIT, FLAGS, Tally
from mmpr.sources.mmpr_pairs import is_release
from mmpr.storage.shards import writing

Say = Callable[[str], None]

_SAY_EVERY = 200  # units


def make_report(
    path: Path, *, against: Sequence[Path] = (), other: Path | None = None, seed: int = 0, say: Say = lambda _: None
) -> Report:
    """The report of a finished build, or of a release of MMPR.

    Args:
        path: the build's folder, or ``meta.json`` or its folder.
        against: other people's questions, to look for among the training questions.
        other: a build or release to compare with.
        seed: what is shown is drawn by it.
        say: is told what is being done, a line at a time.

    Raises:
        OutputError: ``path`` or ``other`` is no finished build, or a shard cannot be read.
        SourceError: a release or one of ``against`` cannot be read.
    """
    say(f"reading {path}")
    given = open_input(path)
    others: list[Others] = []
    for elsewhere in against:
        say(f"reading {elsewhere}")
        others.append(read_against(elsewhere, taken=[HELDOUT, *(other.name for other in others)]))
    report = _report(given, others, seed, say, with_samples=True)
    if other is None:
        return report
    say(f"comparing with {other}")
    theirs = open_input(other)
    that = _report(theirs, others, seed, say, with_samples=False)
    return replace(report, comparison=compare(report, that, (given.facts, theirs.facts)))


def open_input(path: Path) -> Input:
    """A finished build, or a release of MMPR (``meta.json`` or its folder).

    Raises:
        OutputError: it is a folder without a finished build.
        SourceError: it is a release that cannot be read.
    """
    if not (path / "manifest.json").is_file() and is_release(path):
        return ReleaseInput(path)
    return BuildInput(path)


def report_folder(path: Path) -> Path:
    """Where the report of a build or a release goes unless told: into a build, but beside the work for a release."""
    if not (path / "manifest.json").is_file() and is_release(path):
        return Path("reports") / (path if path.is_dir() else path.parent).resolve().name
    return path / "report"


def check_folder(folder: Path) -> None:
    """See that a report may be put there: where there is nothing, or an earlier report.

    Raises:
        OutputError: it is a file, or holds something else.
    """
    with writing(folder):
        strange = folder.exists() and any(folder.iterdir()) and not (folder / "report.json").is_file()
    # Builds of all versions keep their report here, a half-copied one too.
    if strange and not (folder.parent / "manifest.json").is_file():
        raise OutputError(f"{folder}: holds something else than a report; name a new folder with --out")


def write_report(report: Report, folder: Path) -> Path:
    """Put a report into a folder, whole or not at all, in place of an earlier one; returns the path of its page.

    Raises:
        OutputError: it cannot be written, or the folder holds something else.
    """
    from mmpr.report.page import write_page

    check_folder(folder)
    making, old = (folder.with_name(f".{folder.name}-{what}{os.getpid()}.tmp") for what in ("", "old-"))
    try:
        with writing(folder):
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(parents=True)
            text = json.dumps(as_json(report), ensure_ascii=True, indent=1, allow_nan=False)
            # Where the JSON is put into a page it must not end the script that holds it.
            (making / "report.json").write_text(text.replace("<", "\\u003c") + "\n", encoding="ascii")
            write_page(report, making)
            if folder.exists():
                folder.rename(old)
            making.rename(folder)
    finally:
        for left in (making, old):
            shutil.rmtree(left, ignore_errors=True)
    return folder / "index.html"


def _report(given: Input, others: Sequence[Others], seed: int, say: Say, *, with_samples: bool) -> Report:
    facts = given.facts
    tally = Tally(facts, seed)
    kept_out = given.heldout()
    overlaps = Overlaps([*([] if kept_out is None else [heldout(kept_out)]), *others])
    for number, unit in enumerate(given.units()):
        if number % _SAY_EVERY == 0:
            say(f"counting {facts.name}: {tally.questions:,} questions so far")
        tally.add(unit.columns)
        overlaps.add(unit.asked, tally)
    _mark_duplicates(tally)
    contamination = overlaps.found()
    flow = given.flow(tally)
    picked = {name: example_numbers(tally, name, seed) for name in FLAGS} if with_samples else {}
    numbers = choose(tally, seed) if with_samples else []
    drawn = tally.drawn.chosen() if with_samples else []
    say("reading what is shown")
    examples = {number for some in picked.values() for number in some}
    ids = question_ids(given, tally, examples)
    rows = Rows(given, tally, {*numbers, *(number for number, _ in drawn)})
    basis = Basis(facts, tally, flow, contamination, *given.lost())
    findings = make_findings(basis, lambda name: tuple(ids[number] for number in picked.get(name, ())))
    counted = (one.distribution() for one in tally.distributions())
    return Report(
        name=facts.name,
        about=facts.about,
        seed=seed,
        sources=_source_lines(facts, tally),
        findings=findings,
        flow=flow,
        distributions=tuple(one for one in counted if facts.kind == "build" or _is_told(one)),
        gallery=gallery(tally, rows, numbers),
        audit=audit(rows, drawn),
        contamination=contamination,
        kind=facts.kind,
        dropped=given.dropped(),
    )


def _is_told(distribution: Distribution) -> bool:
    """Whether there is something to show of a release: much is not known of it, and all its questions have pairs."""
    return distribution.groups[0].total > 0 and distribution.key not in ("outcomes", "kinds")


def _mark_duplicates(tally: Tally) -> None:
    """Mark the questions whose chosen are said again elsewhere, in all units."""
    owners, alike = tally.duplicates.found()
    ends = np.cumsum([len(flags) for flags in tally.flags])
    marked = np.unique(owners[alike])
    for end, flags in zip(ends, tally.flags, strict=True):
        mine = marked[(marked >= end - len(flags)) & (marked < end)]
        flags[mine - (end - len(flags))] |= np.uint32(BIT["near_duplicates"])


def _source_lines(facts: Facts, tally: Tally) -> tuple[SourceLine, ...]:
    statuses = tally.categories["statuses"]
    lines = []
    for at, name in enumerate(facts.sources):
        of = statuses.totals(at)
        judged = of["correct"] + of["incorrect"] + of["unparseable"]
        methods = sorted((method, int(by)) for method, by in zip(METHODS, tally.pairs[at], strict=True) if by)
        lines.append(
            SourceLine(
                name=name,
                questions=sum(tally.categories["outcomes"].totals(at).values()),
                responses=sum(tally.categories["finish_reasons"].totals(at).values())
                if facts.kind == "build"
                else None,
                pairs=sum(by for _, by in methods),
                pass_rate=of["correct"] / judged if judged else None,
                by_method=tuple(methods),
            )
        )
    return tuple(lines)
