"""The private names of other libraries that training relies on: they exist, and stand in one file."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import accelerate
import pytest
import torch
import transformers
from transformers.modeling_layers import GradientCheckpointingLayer

import mmpr.train
from mmpr.train.private_names import PRIVATE_NAMES, attention_of, checkpoints_reentrantly, uncompiled, use_one_gpu
from tests.helpers import known
from tests.train.tiny import tiny_arguments, tiny_model

PACKAGE = Path(mmpr.train.__file__).parent


def private_names_of(path: Path) -> set[str]:
    """Private attributes that a module asks of something that is not its own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")) and node.attr not in defined
    }


@pytest.mark.parametrize("name", PRIVATE_NAMES["transformers.Trainer"])
def test_the_trainer_has_and_calls_them(name: str) -> None:
    assert callable(getattr(transformers.Trainer, name))
    assert f"self.{name}(" in inspect.getsource(known(inspect.getmodule(transformers.Trainer)))


def test_the_rest_exists(tmp_path: Path) -> None:
    assert "_is_accelerate_prepared" in inspect.getsource(accelerate.Accelerator.prepare_model)
    arguments = tiny_arguments(tmp_path)
    use_one_gpu(arguments)
    assert arguments.n_gpu == arguments._n_gpu == 0
    assert attention_of(tiny_model()) == "sdpa"
    assert uncompiled(torch.compile(model := torch.nn.Linear(1, 1))) is model
    assert uncompiled(model) is model


@pytest.mark.parametrize("reentrant", [True, False])
def test_layers_say_how_they_are_checkpointed(reentrant: bool) -> None:
    model = tiny_model().train()
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    assert not any(map(checkpoints_reentrantly, layers))
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    assert all("_gradient_checkpointing_func" in vars(layer) for layer in layers)
    assert all(checkpoints_reentrantly(layer) == reentrant for layer in layers)
    assert not any(map(checkpoints_reentrantly, model.eval().modules()))


def test_they_stand_in_one_file() -> None:
    listed = {name for names in PRIVATE_NAMES.values() for name in names}
    for path in sorted(PACKAGE.rglob("*.py")):
        used = private_names_of(path)
        assert used <= (listed if path.name == "private_names.py" else set()), path
