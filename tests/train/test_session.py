"""What a recipe becomes for transformers, and what a run sees before its first step."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from mmpr.train import distributed
from mmpr.train.data.prepare import reference_mode
from mmpr.train.session import training_arguments
from tests.train.tiny import tiny_model, tiny_recipe

pytestmark = pytest.mark.slow


def test_files_of_tensorboard_stay_in_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "")
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR")
    training_arguments(tiny_recipe(), tmp_path)
    assert "TENSORBOARD_LOGGING_DIR" not in os.environ
    recipe = tiny_recipe("report_to=[tensorboard]").model_copy(update={"report_to": ("tensorboard",)})
    monkeypatch.setattr("mmpr.train.session.TrainingArguments", lambda **settings: _Settings(settings))
    training_arguments(recipe, tmp_path)
    assert os.environ["TENSORBOARD_LOGGING_DIR"] == str(tmp_path / "tensorboard")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "/mine")  # a user's own choice
    training_arguments(recipe, tmp_path)
    assert os.environ["TENSORBOARD_LOGGING_DIR"] == "/mine"


class _Settings:
    """In place of transformers' arguments, which ask what is installed and which devices there are."""

    n_gpu = 0

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings


@pytest.mark.parametrize(("on_gpu", "name"), [(True, "adamw_torch_fused"), (False, "adamw_torch")])
def test_the_optimizer_is_fused_on_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_gpu: bool, name: str
) -> None:
    monkeypatch.setattr("mmpr.train.session.TrainingArguments", lambda **settings: _Settings(settings))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: on_gpu)
    arguments: Any = training_arguments(tiny_recipe(), tmp_path)
    assert arguments.settings["optim"] == name


@pytest.mark.parametrize(
    ("settings", "mode"),
    [
        (["compute.precision=float32", "compute.parallel=fsdp2"], "float32"),
        (["compute.precision=bfloat16"], "bfloat16"),
        (["compute.precision=bfloat16", "compute.parallel=fsdp2"], "bfloat16 weights"),
        (["compute.precision=bfloat16", "lora={rank: 2}"], "bfloat16 base"),
        (["compute.precision=bfloat16", "lora={rank: 2}", "compute.parallel=fsdp2"], "bfloat16 weights"),
    ],
)
def test_references_are_kept_by_the_way_in_which_the_policy_computes(settings: list[str], mode: str) -> None:
    assert reference_mode(tiny_recipe(*settings)) == mode


def test_only_parameters_are_cast_as_sharding_casts_them() -> None:
    model = tiny_model()
    buffers = {name: value.dtype for name, value in model.named_buffers()}
    distributed.cast_parameters(model, torch.bfloat16)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert buffers
    assert {name: value.dtype for name, value in model.named_buffers()} == buffers
