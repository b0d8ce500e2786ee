"""Planted faults are found, and a clean build shows none."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from mmpr import build
from mmpr.config import load_recipe
from mmpr.derive.columns import COLUMNS
from mmpr.derive.where import parse_condition
from mmpr.report.contents import LEVELS, Finding, Report
from mmpr.report.make import make_report
from mmpr.report.measure.thresholds import FIXES, KINDS, level
from tests.report.planted import FAULTS, Fault, make_build

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return make_report(make_build(tmp_path_factory.mktemp("clean"), Fault(numbers=70, others=24)))


def by_key(report: Report) -> dict[str, Finding]:
    return {finding.key: finding for finding in report.findings}


def test_a_clean_build_shows_nothing(clean: Report) -> None:
    assert {finding.key: finding.level for finding in clean.findings} == dict.fromkeys(FAULTS, "ok")
    unmeasured = [finding.key for finding in clean.findings if finding.number is None]
    assert not unmeasured  # a finding that measures nothing finds nothing


@pytest.mark.parametrize("key", FAULTS)
def test_a_planted_fault_is_found(key: str, tmp_path: Path) -> None:
    fault, expected = FAULTS[key]
    report = make_report(make_build(tmp_path, fault))
    found = by_key(report)[key]
    assert found.level == expected, found
    levels = [finding.level for finding in report.findings]
    assert levels == sorted(levels, key=LEVELS.index)  # the worst first
    if found.examples:
        shown = {question.id: question.findings for question in report.gallery}
        assert any(key in shown.get(id, ()) for id in found.examples)


@pytest.mark.parametrize(
    ("number", "look", "bad", "more", "expected"),
    [
        (None, 0.0, 0.0, False, "not measured"),
        (0.0, 0.0, 0.0, False, "ok"),
        (0.1, 0.0, 0.2, False, "look"),
        (0.1, 0.0, 0.0, False, "bad"),
        (0.2, 0.1, 0.2, False, "look"),
        (5.0, 10.0, 5.0, True, "look"),
        (4.0, 10.0, 5.0, True, "bad"),
        (10.0, 10.0, 5.0, True, "ok"),
    ],
)
def test_levels(number: float | None, look: float, bad: float, more: bool, expected: str) -> None:
    assert level(number, look, bad, more_is_better=more) == expected


@pytest.mark.parametrize("key", FIXES)
def test_the_commands_of_findings_are_understood(key: str) -> None:
    assert key in KINDS
    _, command, *words = shlex.split(FIXES[key])
    if command == "select":
        parse_condition(words[words.index("--where") + 1], COLUMNS)
    else:
        args = build._arguments().parse_intermixed_args(words)
        load_recipe(Path("quickstart"), args.override)
