"""What differs between two datasets: numbers, findings, and the settings of two builds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from mmpr.report.contents import Comparison, Distribution, LengthUnit, Moved, MovedFinding, NumberUnit, Report
from mmpr.report.load.info import DatasetInfo
from mmpr.storage.trees import differing_settings

_LENGTHS = ("question_tokens", "response_tokens", "chosen_length", "rejected_length", "margin_length")
_OF_LENGTHS = ("length_bias", "chosen_shorter", "longer_wins", "guessable")
_SHARES = ("pass_rate",)
_LABEL_TITLES = {"statuses": "verdicts", "outcomes": "questions", "finish_reasons": "responses that ended with"}

Unit = Literal[NumberUnit, LengthUnit]
Key = tuple[str, str, Unit]
"""Group, title and unit of a number."""


def compare(here: Report, there: Report, infos: tuple[DatasetInfo, DatasetInfo]) -> Comparison:
    """What differs between ``here`` and ``there``; ``infos`` are theirs, in this order.

    Between a build and a release only numbers that both have are compared, and no lengths, whose units differ.
    """
    same_kind, same_unit = here.kind == there.kind, infos[0].length_unit == infos[1].length_unit
    findings = {finding.key: finding for finding in there.findings}
    moved_findings = tuple(
        MovedFinding(mine.key, mine.title, mine.unit, mine.level, other.level, mine.number, other.number)
        for mine in here.findings
        if (other := findings.get(mine.key))
        and (mine.level, mine.number) != (other.level, other.number)
        and (same_unit or mine.key not in _OF_LENGTHS)
    )
    return Comparison(
        there.name,
        tuple(line for line in _moved(here, there) if same_kind or None not in (line.here, line.there)),
        moved_findings,
        tuple(_settings(infos)) if same_kind else (),
    )


def _moved(here: Report, there: Report) -> Iterator[Moved]:
    """Every number that differs, group by group."""
    mine, other = dict(_numbers(here)), dict(_numbers(there))
    for key in [*mine, *(key for key in other if key not in mine)]:
        if mine.get(key) != other.get(key):
            group, title, unit = key
            yield Moved(group, title, unit, mine.get(key), other.get(key))


def _numbers(report: Report) -> Iterator[tuple[Key, float | None]]:
    for source in report.sources:
        yield ("questions by source", source.name, "count"), float(source.questions)
    for source in report.sources:
        yield ("pairs by source", source.name, "count"), float(source.pairs)
    methods = sorted({method for source in report.sources for method, _ in source.by_method})
    for method in methods:
        total = sum(by for source in report.sources for name, by in source.by_method if name == method)
        yield ("pairs by method", method, "count"), float(total)
    for source in report.sources:
        yield ("pass rate", source.name, "share"), source.pass_rate
    for distribution in report.distributions:
        if distribution.key in _LENGTHS:
            yield from _means(distribution, "characters" if distribution.unit == "characters" else "tokens")
        elif distribution.key in _SHARES:
            yield from _means(distribution, "share")
        elif distribution.key in _LABEL_TITLES:
            whole = distribution.groups[0]
            for label, count in zip(distribution.labels, whole.counts, strict=True):
                share = count / max(whole.total, 1)
                yield (
                    (distribution.title, f"{_LABEL_TITLES[distribution.key]} {label.replace('_', ' ')}", "share"),
                    share,
                )


def _means(distribution: Distribution, unit: Unit) -> Iterator[tuple[Key, float | None]]:
    for group in distribution.groups:
        if group.summary is not None:
            yield (f"{distribution.title}, mean", group.name, unit), group.summary.mean


def _settings(infos: tuple[DatasetInfo, DatasetInfo]) -> Iterator[tuple[str, str, str]]:
    for name, here, there in differing_settings(infos[0].recipe, infos[1].recipe):
        yield name, "-" if here is None else here, "-" if there is None else there
