"""The check of a machine, whole at tiny size on a CPU: every check passes, and one that fails is told as such."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mmpr.train.check_gpu.__main__ import main
from mmpr.train.check_gpu.checks import CHECKS
from mmpr.train.check_gpu.shapes import EIGHT_BILLION, HALF_BILLION, TINY, TWO_BILLION, Size, make_model, make_part
from mmpr.train.shared_prefix import attention

pytestmark = pytest.mark.slow


def test_all_checks_pass_at_tiny_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--tiny", "--json", str(tmp_path / "gpu.json")])
    lines = json.loads((tmp_path / "gpu.json").read_text())
    assert status == 0, lines
    assert [line["check"] for line in lines] == ["machine", *CHECKS]
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == lines
    by_name: dict[str, dict[str, Any]] = {line["check"]: line for line in lines}
    assert by_name["machine"]["device"] == "CPU"
    assert by_name["kernel"]["block by block"] == 2
    assert by_name["repeat"]["bitwise"]
    assert by_name["sharing"]["unshared, float32"][1] > 0  # computed otherwise, and not the same thing twice
    assert by_name["step"]["15 pairs, shared / unshared"] > 0
    assert by_name["adapters"]["tokens_per_second"] > 0


def test_a_check_that_fails_is_told_and_the_others_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = attention.block_by_block
    monkeypatch.setattr(attention, "block_by_block", lambda *args: right(*args) * 1.1)
    assert main(["--tiny", "--only", "attention", "--only", "tiles"]) == 1
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()][1:]
    assert [(line["check"], line["ok"]) for line in found] == [("attention", False), ("tiles", True)]
    assert "differs by" in found[0]["error"]
    assert main(["--tiny", "--only", "tiles", "--limit-s", "-1"]) == 1
    assert "not run: -1 seconds had passed" in capsys.readouterr().out


def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tiny", "--only", "speed"]) == 1
    assert "there is no check speed; there are attention" in capsys.readouterr().err
    if not torch.cuda.is_available():
        assert main([]) == 1
        assert "this machine has no GPU" in capsys.readouterr().err


@pytest.mark.parametrize(("size", "billions"), [(HALF_BILLION, 0.9), (TWO_BILLION, 2.1), (EIGHT_BILLION, 7.9)])
def test_models_have_the_size_of_their_name(size: Size, billions: float) -> None:
    """With the vision tower of 0.3 B, and two matrices for the vocabulary."""
    model = make_model(size, torch.device("meta"))
    assert sum(p.numel() for p in model.parameters()) / 1e9 == pytest.approx(billions, rel=0.15)
    assert size.tile_tokens * size.tiles == 1024


def test_questions_have_the_pairs_that_are_asked() -> None:
    for pairs in (1, 4, 15):
        part = make_part(TINY, pairs)
        assert len(part.pairs) == len(set(part.pairs)) == pairs
        assert len(part.used) == len(part.row.response_ids)
