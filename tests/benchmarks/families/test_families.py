"""The table of families: the fast part of it here, for the family that needs no package beside the locks."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.families.checkpoints import ALL, THINKING
from benchmarks.families.prompts import PREFIX, SYSTEM, forty
from benchmarks.families.table import BEGIN, COLUMNS, END, NOT_RUN, PAGE, RESULTS, Row, read_rows, table, write_table
from mmpr.schema import IMAGE_MARK


@pytest.mark.vllm
@pytest.mark.timeout(180)
def test_a_family_is_sampled_and_trained_on_the_same_tokens(tmp_path: Path) -> None:
    from benchmarks.families.measure import measure

    cells = measure("idefics3", tmp_path)
    assert cells["prompt"] == "40 of 40"
    assert cells["train"].startswith("ok, loss ")
    assert cells["shared"].startswith("yes: scores ")


@pytest.mark.vllm
@pytest.mark.timeout(180)
def test_other_tokens_in_training_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.families import measure as module
    from benchmarks.families.checkpoints import make
    from mmpr.train.model import load_processor

    folder = make("idefics3", tmp_path / "idefics3")

    def with_other_tiles(path: str, trust: bool) -> Any:
        processor = load_processor(path, trust)
        processor.image_processor.do_image_splitting = False
        return processor

    monkeypatch.setattr(module, "load_processor", with_other_tiles)
    cell = module.compare_prompts("idefics3", folder, [])
    assert cell.endswith("; WRONG: 28 × other tokens in training")
    told = capsys.readouterr().err
    assert "sampled" in told
    assert "training" in told


@pytest.mark.parametrize("thinks", [False, True])
def test_forty_prompts_are_mixed(thinks: bool) -> None:
    asked = list(forty(thinks=thinks))
    assert len(asked) == len({str(each) for each in asked}) == 40
    assert {len(each.images) for each in asked} == {0, 1, 2, 3}
    said = [[*(turn.text for turn in each.context), each.prompt] for each in asked]
    assert all("".join(texts).count(IMAGE_MARK) == len(each.images) for texts, each in zip(said, asked, strict=True))
    assert sum(bool(each.context) for each in asked) == 5
    assert sum(IMAGE_MARK in texts[0] for texts in said if len(texts) > 1) == 3
    assert sum(each.chat.system == SYSTEM for each in asked) == (10 if thinks else 20)
    assert sum(each.prefix == PREFIX for each in asked) == (10 if thinks else 20)
    assert sum("enable_thinking" in each.chat.template_kwargs for each in asked) == (10 if thinks else 0)
    assert list(forty(thinks=thinks)) == asked, "the same every time"


def test_rows_are_kept_and_the_page_around_the_table_stays(tmp_path: Path) -> None:
    results, page = tmp_path / "models.json", tmp_path / "models.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    rows = {"gemma3": Row({"prompt": "40 of 40", "train": "a | b <c>"}, "2026-01-02", "vllm 1")}
    write_table(rows, results, page)
    assert read_rows(results) == rows
    said = page.read_text()
    assert said.startswith(f"before\n{BEGIN}\n| family |")
    assert said.endswith(f"{END}\nafter\n")
    cells = ("gemma3", "40 of 40", "a \\| b &lt;c>", *[NOT_RUN] * (len(COLUMNS) - 2), "2026-01-02")
    assert f"\n| {' | '.join(cells)} |\n\nMeasured with vllm 1.\n" in said
    assert read_rows(tmp_path / "none.json") == {}


def test_the_page_holds_every_family_as_it_was_measured() -> None:
    rows = read_rows(RESULTS)
    assert list(rows) == list(ALL)
    assert set(ALL) > THINKING
    assert f"{BEGIN}\n{table(rows)}\n{END}" in PAGE.read_text()
    assert "WRONG" not in json.dumps([asdict(row) for row in rows.values()])
