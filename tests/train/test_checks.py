"""What is checked before anything dear: each mistake is told without the data being read or weights being loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mmpr.errors import MmprError
from mmpr.train import checks
from mmpr.train.__main__ import main
from mmpr.train.model import empty_model, load_model
from mmpr.train.recipe import parse_train_recipe
from tests.train.digits_table import MODEL, SETTINGS

pytestmark = pytest.mark.slow


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command on data that cannot be read, with a model whose weights cannot be loaded."""
    model = tmp_path / "model"
    model.mkdir()
    for file in MODEL.iterdir():
        (model / file.name).write_bytes(file.read_bytes() if file.suffix != ".safetensors" else b"no weights")
    (tmp_path / "pairs.jsonl").write_text("no json\n")
    (tmp_path / "r.yaml").write_text(json.dumps(SETTINGS))
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    names = ["--data", str(tmp_path / "pairs.jsonl"), "--model", str(model), "--out", str(tmp_path / "run")]
    return [str(tmp_path / "r.yaml"), *names]


@pytest.mark.parametrize(
    ("setting", "status", "told"),
    [
        ("compute.parallel=fsdp2", 1, "compute.parallel=fsdp2 needs several processes: start with `torchrun"),
        ("report_to=[wandb]", 2, "report_to: 'wandb' is not installed"),
        ("report_to=[tensorbord]", 2, "report_to: transformers knows no 'tensorbord'; it knows:"),
        ("model.drop_path=0.1", 2, "model.drop_path: the vision tower of a idefics3 model has none"),
        ("lora={targets: [q_proj, qproj]}", 2, "lora.targets: this model has no layer 'qproj'; it has:"),
        ("lora={targets: '.*qproj'}", 2, "lora.targets: this model has no layer '.*qproj'"),
        ("lora={targets: '(q_proj'}", 2, "lora.targets: '(q_proj' is no pattern"),
    ],
)
def test_mistakes_are_told_first(
    words: list[str], setting: str, status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([words[0], setting, *words[1:]]) == status
    assert told in capsys.readouterr().err
    assert main(words) == 1  # the folder is free for other settings; now the data is read
    assert "pairs" in (error := capsys.readouterr().err)
    assert "holds another run" not in error


def test_a_part_that_the_model_lacks_is_told_first(tmp_path: Path) -> None:
    from tests.train.tiny import tiny_model

    tiny_model().config.save_pretrained(tmp_path)
    recipe = parse_train_recipe({"name": "x", "model": {"freeze": ["vision"]}})
    with pytest.raises(MmprError, match=r"model\.freeze: this model has no vision"):
        checks.check_run(recipe, str(tmp_path), tmp_path / "run")


def test_a_disk_without_room_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    free = 100_000_000
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    recipe = parse_train_recipe(SETTINGS)
    empty = empty_model(str(MODEL), recipe)
    numbers = sum(p.numel() for p in empty.parameters())
    wanted = checks.bytes_of_run(empty, recipe)
    assert wanted == (12 * 3 + 4) * numbers  # two checkpoints, a third one while it is written, and the result
    free = wanted - 1
    with pytest.raises(MmprError, match=r"its disk has 0\.1 GB free, .*lower save\.keep"):
        checks.check_run(recipe, str(MODEL), tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old").write_bytes(b"x")  # what the run itself has written counts as room
    checks.check_run(recipe, str(MODEL), tmp_path / "run")
    adapters = parse_train_recipe({**SETTINGS, "lora": {"rank": 2, "alpha": 4}})
    assert checks.bytes_of_run(empty_model(str(MODEL), adapters), adapters) < 5 * numbers


@pytest.mark.parametrize("settings", [{}, {"lora": {"rank": 2, "alpha": 4}}, {"model": {"freeze": ["vision"]}}])
def test_the_empty_model_is_the_model(settings: dict[str, Any]) -> None:
    recipe = parse_train_recipe({**SETTINGS, **settings})
    empty, model = empty_model(str(MODEL), recipe), load_model(str(MODEL), recipe)
    assert {p.device.type for p in empty.parameters()} == {"meta"}
    told, real = ([(n, p.shape, p.requires_grad) for n, p in m.named_parameters()] for m in (empty, model))
    assert told == real
    assert torch.get_default_device().type == "cpu"


@pytest.mark.parametrize("mark", ["manifest.json", "build.json"])
def test_a_run_inside_a_build_is_refused(words: list[str], mark: str, capsys: pytest.CaptureFixture[str]) -> None:
    build = Path(words[-1]).parent / "build"
    build.mkdir()
    (build / mark).write_text("{}")
    assert main([*words[:-1], str(build / "runs" / "one")]) == 1
    assert "lies inside the build" in capsys.readouterr().err
    assert [path.name for path in build.iterdir()] == [mark]


@pytest.mark.parametrize(
    ("model", "settings", "warned"),
    [
        ("OpenGVLab/InternVL2_5-8B-MPO", {}, "'MPO' in its name"),
        ("me/llava-dpo-v2", {}, "'dpo' in its name"),
        ("OpenGVLab/InternVL3-8B-hf", {}, "'InternVL3-8B' in its name"),
        ("OpenGVLab/InternVL3-8B-Instruct", {}, ""),
        ("Qwen/Qwen2.5-VL-7B-Instruct", {}, "'Qwen2.5-VL-7B-Instruct' in its name"),
        ("OpenGVLab/InternVL2-8B", {}, ""),
        ("me/compost", {}, ""),
        ("OpenGVLab/InternVL2_5-8B-MPO", {"optimizer": {"learning_rate": 2e-7}}, ""),
        ("OpenGVLab/InternVL2_5-8B-MPO", {"lora": {"rank": 8}}, ""),
        ("trained", {}, "was trained by mmpr before"),
    ],
)
def test_a_high_rate_for_a_trained_model_is_warned_of(
    model: str, settings: dict[str, Any], warned: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "mmpr.json").write_text("{}")
    warning = checks.warn_of_rate(parse_train_recipe({"name": "x", **settings}), model)
    assert (warned in warning) if warned else not warning
    assert not warned or "optimizer.learning_rate 5e-06 is for models that had none" in warning
