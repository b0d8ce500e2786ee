"""Whole runs on two processes that torchrun starts: saved, reloaded, and equal to one process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from mmpr.train.recipe import parse_train_recipe
from mmpr.train.run import train
from tests.train.digits_table import MODEL, SETTINGS, digits_table
from tests.train.tiny import furthest

pytestmark = pytest.mark.slow

LORA = {"lora": {"rank": 2, "alpha": 4}, "optimizer": {"learning_rate": 1e-2, "weight_decay": 0.0}}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_table(tmp_path_factory.mktemp("data"))


def torchrun(data: Path, out: Path, settings: dict[str, Any], model: Path = MODEL) -> subprocess.CompletedProcess[str]:
    recipe = out.parent / f"{out.name}.yaml"
    recipe.write_text(json.dumps({**SETTINGS, **settings}))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command += ["mmpr.train", str(recipe), "--data", str(data / "pairs.jsonl"), "--model", str(model)]
    return subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, timeout=300, check=False)


def test_adapters_of_a_sharded_model_are_saved_and_merged(data: Path, tmp_path: Path) -> None:
    settings = {**LORA, "compute": {"precision": "float32", "parallel": "fsdp2"}}
    done = torchrun(data, tmp_path / "two", settings)
    assert done.returncode == 0, done.stderr[-3000:]
    alone = {**settings, "compute": {"precision": "float32"}}
    train(
        parse_train_recipe({**SETTINGS, **alone}),
        data=str(data / "pairs.jsonl"),
        model=str(MODEL),
        out=tmp_path / "one",
    )
    one, two, base = (
        load_file(folder / "model.safetensors") for folder in (tmp_path / "one/model", tmp_path / "two/model", MODEL)
    )
    assert furthest(one, two) < 5e-4  # Adam makes much of small gradients
    assert furthest(base, two) > 3e-3
    stock = PeftModel.from_pretrained(
        AutoModelForImageTextToText.from_pretrained(MODEL), tmp_path / "two/model/adapter"
    )
    reloaded = AutoModelForImageTextToText.from_pretrained(tmp_path / "two" / "model")
    assert furthest(dict(stock.merge_and_unload().named_parameters()), dict(reloaded.named_parameters())) < 1e-6


def test_a_model_in_bfloat16_is_saved_in_bfloat16(data: Path, tmp_path: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(MODEL, dtype=torch.bfloat16)
    source = tmp_path / "source"
    model.save_pretrained(source)
    for file in MODEL.iterdir():
        if not (source / file.name).exists():
            (source / file.name).write_bytes(file.read_bytes())
    for name, settings in {"full": {}, "lora": LORA}.items():
        done = torchrun(data, tmp_path / name, {**settings, "compute": {"parallel": "fsdp2"}}, source)
        assert done.returncode == 0, done.stderr[-3000:]
        first = json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[0])
        assert max(abs(first["rewards/chosen"]), abs(first["rewards/rejected"])) < 2e-3  # of one model in one precision
        weights = load_file(tmp_path / name / "model" / "model.safetensors")
        assert {value.dtype for value in weights.values()} == {torch.bfloat16}
        assert weights.keys() == load_file(source / "model.safetensors").keys()
        told = (tmp_path / name / "model" / "config.json").read_text()
        assert json.loads(told)["dtype"] == "bfloat16"
        assert "float32" not in told
        reloaded = AutoModelForImageTextToText.from_pretrained(tmp_path / name / "model")
        assert reloaded.dtype == torch.bfloat16
