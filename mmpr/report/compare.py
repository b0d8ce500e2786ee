"""What moved between two builds, or between a build and a release as far as both have it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from mmpr.report.facts import Facts
from mmpr.report.nouns import Comparison, Distribution, Moved, MovedFinding, Report

_LENGTHS = ("question_tokens", "response_tokens", "chosen_length", "rejected_length", "margin_length")
_OF_LENGTHS = ("length_bias", "longer_wins")
_SHARES = ("pass_rate",)
_LABELS = {"statuses": "verdicts", "outcomes": "questions", "finish_reasons": "responses that ended with"}

Unit = Literal["share", "count", "ratio", "tokens", "characters"]


def compare(here: Report, there: Report, facts: tuple[Facts, Facts]) -> Comparison:
    """What is in ``here`` against ``there``; ``facts`` are of both, in this order, for their recipes.

    Of a build and a release what only one of them has is left out, and so are lengths, which are in other units.
    """
    same_kind, same_measure = here.kind == there.kind, facts[0].measure == facts[1].measure
    findings = {finding.key: finding for finding in there.findings}
    moved_findings = tuple(
        MovedFinding(mine.key, mine.title, mine.unit, mine.level, other.level, mine.number, other.number)
        for mine in here.findings
        if (other := findings.get(mine.key))
        and (mine.level, mine.number) != (other.level, other.number)
        and (same_measure or mine.key not in _OF_LENGTHS)
    )
    return Comparison(
        there.name,
        tuple(line for line in _moved(here, there) if same_kind or None not in (line.here, line.there)),
        moved_findings,
        tuple(_settings(facts[0].recipe, facts[1].recipe)) if same_kind else (),
    )


def _moved(here: Report, there: Report) -> Iterator[Moved]:
    """Every number that differs, group by group."""
    mine, other = dict(_numbers(here)), dict(_numbers(there))
    for key in [*mine, *(key for key in other if key not in mine)]:
        if mine.get(key) != other.get(key):
            group, title, unit = key
            yield Moved(group, title, unit, mine.get(key), other.get(key))


def _numbers(report: Report) -> Iterator[tuple[tuple[str, str, Unit], float | None]]:
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
        elif distribution.key in _LABELS:
            whole = distribution.groups[0]
            for label, count in zip(distribution.labels, whole.counts, strict=True):
                share = count / max(whole.total, 1)
                yield (distribution.title, f"{_LABELS[distribution.key]} {label.replace('_', ' ')}", "share"), share


def _means(distribution: Distribution, unit: Unit) -> Iterator[tuple[tuple[str, str, Unit], float | None]]:
    for group in distribution.groups:
        if group.summary is not None:
            yield (f"{distribution.title}, mean", group.name, unit), group.summary.mean


def _settings(here: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    mine, other = dict(_leaves("", here)), dict(_leaves("", there))
    for name in sorted({*mine, *other}):
        if mine.get(name) != other.get(name):
            yield name, mine.get(name, "-"), other.get(name, "-")


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """The settings of a recipe by dotted name; sources go by their own names."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(f"{name}.{key}" if name else str(key), part)
    elif isinstance(value, list) and any(isinstance(part, Mapping) for part in value):
        for at, part in enumerate(value):
            yield from _leaves(f"{name}.{part.get('name', at) if isinstance(part, Mapping) else at}", part)
    else:
        yield name, str(value)
