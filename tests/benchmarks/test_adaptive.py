"""What a fixed build says of adaptive sampling is what an adaptive build does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.adaptive import RULES, main, measure
from benchmarks.adaptive import judged as judged_of
from mmpr.config import AdaptiveSpec
from mmpr.storage.counts import total
from tests.helpers import build_without_ray, small_recipe

pytestmark = pytest.mark.slow


def test_the_rows_are_those_of_an_adaptive_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixed, out = tmp_path / "fixed", tmp_path / "adaptive"
    sources = small_recipe(tmp_path).as_json()["sources"][:2]
    settings = {"sources": sources, "sampling": {"samples": 24, "max_tokens": 64}}
    build_without_ray(small_recipe(tmp_path, **settings), fixed)
    rule = AdaptiveSpec(first=4, step=4, distinct=2)
    settings["sampling"] |= {"adaptive": rule.model_dump()}
    counts = build_without_ray(small_recipe(tmp_path, **settings), out)["counts"]
    told = measure(list(judged_of(fixed)), rule, 24, 15)
    assert told["tokens"] == total(counts["sample"], "tokens")
    assert told["responses"] == total(counts["sample"], "responses")
    assert told["pairs"] == total(counts["pair"], "pairs/")
    assert main([str(fixed), "--json", str(tmp_path / "rows.json")]) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["mode"] for row in rows] == ["fixed", *["adaptive"] * len(RULES)]
    assert all(row["tokens_share"] <= 1 and row["pairs_share"] <= 1 for row in rows[1:])
    assert main([str(out)]) == 2
    assert "this build is adaptive" in capsys.readouterr().err
