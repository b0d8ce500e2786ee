"""From a finished build to its Report, and from a Report to ``OUT/report/``."""

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
from mmpr.report.contamination import HELDOUT, Others, find_overlaps, heldout
from mmpr.report.facts import Facts, read_facts
from mmpr.report.findings import Basis, example_numbers, make_findings
from mmpr.report.flow import make_flow, rejected_rows
from mmpr.report.nouns import Report, SourceLine, as_json
from mmpr.report.read import read_unit
from mmpr.report.sample import Rows, audit, choose, gallery, question_ids
from mmpr.report.tally import BIT, FLAGS, Tally

Say = Callable[[str], None]

_SAY_EVERY = 200  # units


def make_report(
    out: Path, *, against: Sequence[Path] = (), other: Path | None = None, seed: int = 0, say: Say = lambda _: None
) -> Report:
    """The report of a finished build.

    Args:
        out: the build.
        against: other people's questions, to look for among the training questions.
        other: a build to compare with.
        seed: what is shown is drawn by it.
        say: is told what is being done, a line at a time.

    Raises:
        OutputError: ``out`` or ``other`` is no finished build, or a shard cannot be read.
        SourceError: one of ``against`` cannot be read.
    """
    facts = read_facts(out)
    others: list[Others] = []
    for path in against:
        say(f"reading {path}")
        others.append(read_against(path, taken=[HELDOUT, *(other.name for other in others)]))
    report = _report(facts, others, seed, say, with_samples=True)
    if other is None:
        return report
    say(f"comparing with {other}")
    their_facts = read_facts(other)
    theirs = _report(their_facts, others, seed, say, with_samples=False)
    return replace(report, comparison=compare(report, theirs, (facts, their_facts)))


def write_report(report: Report, out: Path) -> Path:
    """Put a report into ``OUT/report/``, whole or not at all; returns the path of its page.

    Raises:
        OutputError: it cannot be written.
    """
    from mmpr.report.page import write_page

    folder, making = out / "report", out / f".report-{os.getpid()}.tmp"
    old = out / f".report-old-{os.getpid()}.tmp"
    try:
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        text = json.dumps(as_json(report), ensure_ascii=True, indent=1, allow_nan=False)
        # Where the JSON is put into a page it must not end the script that holds it.
        (making / "report.json").write_text(text.replace("<", "\\u003c") + "\n", encoding="ascii")
        write_page(report, making)
        if folder.exists():
            folder.rename(old)
        making.rename(folder)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}") from error
    finally:
        for left in (making, old):
            shutil.rmtree(left, ignore_errors=True)
    return folder / "index.html"


def _report(facts: Facts, others: Sequence[Others], seed: int, say: Say, *, with_samples: bool) -> Report:
    tally = Tally(facts, seed)
    units = facts.units["train"]
    for number, unit in enumerate(units):
        if number % _SAY_EVERY == 0:
            say(f"counting {facts.name}: {number:,} of {len(units):,} units")
        tally.add(read_unit(facts.out, unit))
    _mark_duplicates(tally)
    say("comparing pictures and questions with the held-out split")
    contamination = find_overlaps(facts, tally, [heldout(facts), *others])
    rejected = rejected_rows(facts)
    flow = make_flow(facts, tally, rejected)
    picked = {name: example_numbers(tally, name, seed) for name in FLAGS} if with_samples else {}
    numbers = choose(tally, seed) if with_samples else []
    drawn = tally.drawn.chosen() if with_samples else []
    say("reading what is shown")
    examples = {number for some in picked.values() for number in some}
    ids = question_ids(facts, tally, examples)
    rows = Rows(facts, tally, {*numbers, *(number for number, _ in drawn)})
    basis = Basis(facts, tally, flow, contamination, rejected)
    findings = make_findings(basis, lambda name: tuple(ids[number] for number in picked.get(name, ())))
    return Report(
        name=facts.name,
        about=facts.about,
        seed=seed,
        sources=_source_lines(facts, tally),
        findings=findings,
        flow=flow,
        distributions=tuple(counted.distribution() for counted in tally.distributions()),
        gallery=gallery(tally, rows, numbers),
        audit=audit(rows, drawn),
        contamination=contamination,
    )


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
        methods = tuple((key.removeprefix("pairs/"), by) for key, by in facts.named("pair", "pairs/", (name,)).items())
        lines.append(
            SourceLine(
                name=name,
                questions=sum(tally.categories["outcomes"].totals(at).values()),
                responses=sum(tally.categories["finish_reasons"].totals(at).values()),
                pairs=sum(by for _, by in methods),
                pass_rate=of["correct"] / judged if judged else None,
                by_method=methods,
            )
        )
    return tuple(lines)
