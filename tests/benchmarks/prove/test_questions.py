"""More questions over the held-out pictures: written as a table that an evaluation reads, and compared kind by kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.prove import questions
from tests.evaluate.evaluations import evaluate_here

COLUMNS = ("data.columns.images=images", "data.columns.choices=choices", "data.columns.kind=kind")


def test_two_models_on_more_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "DIGITS", 12)
    monkeypatch.setattr(questions, "SHAPES", 8)
    table = tmp_path / "more.parquet"
    questions.write(table)
    evaluate_here(["base", "mpo-0", "mpo-1"], table, tmp_path / "out", *COLUMNS)
    found = questions.compare(tmp_path / "out")
    assert found[0]["kind"] == "all"
    assert found[0]["questions"] == sum(one["questions"] for one in found[1:]) == 20
    assert {one["kind"] for one in found} >= {"digits: sum", "easy-vqa: shape"}
    for one in found:
        assert set(one["after"]) == {"mpo-0", "mpo-1"}
        mean = sum(one["after"].values()) / 2
        assert one["difference"] == pytest.approx(mean - one["before"])
        assert one["low"] <= one["difference"] <= one["high"]
