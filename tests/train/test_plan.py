"""What a run would take: formulas against what is measured at small size, and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from mmpr.errors import MmprError
from mmpr.train import estimate
from mmpr.train.__main__ import main
from mmpr.train.checks import check_memory
from mmpr.train.data.step_plan import plan_steps
from mmpr.train.estimate import Shape, Stack, shape_of
from mmpr.train.model import empty_model
from mmpr.train.plan import work_of
from mmpr.train.recipe import load_train_recipe, parse_train_recipe
from mmpr.train.rows import EncodedRow, StepPart
from mmpr.train.shared_prefix.compute import Compute
from tests.train.data.test_step_plan import columns
from tests.train.digits_table import MODEL, SETTINGS, digits_table
from tests.train.models import make

pytestmark = pytest.mark.slow

GPU = 80 * 2**30 * 0.97


def saved_bytes(tokens: int, *, precision: str, checkpointing: bool) -> int:
    """Bytes that a pass of so many tokens has kept for backward when its loss is there, without the parameters."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=128, intermediate_size=352, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2,
    )  # fmt: skip
    model = LlamaForCausalLM(config).train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    sizes = []

    def loss_of(part: StepPart, scores: torch.Tensor) -> torch.Tensor:
        sizes.append(sum(storage.nbytes() for storage in kept.values()))
        return -scores.sum()

    ids = [torch.randint(1, 64, (n,)) for n in (tokens // 2, tokens // 4, tokens // 4)]
    part = StepPart(EncodedRow("a", "b", ids[0], (ids[1], ids[2])), ((0, 1),), (1.0,))
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"),
    ):
        Compute(model, max_pack_tokens=10**6).backward([part], loss_of)
    return sizes[0]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("checkpointing", [True, False])
def test_the_formula_of_activations_is_what_is_measured(precision: str, checkpointing: bool) -> None:
    """By the tokens that come on top, which leaves out what a pass of any size has, such as cast weights."""
    recipe = parse_train_recipe(
        {"name": "x", "compute": {"precision": precision}, "model": {"gradient_checkpointing": checkpointing}}
    )
    many, few = (saved_bytes(n, precision=precision, checkpointing=checkpointing) for n in (512, 256))
    recipe = recipe.model_copy(update={"compute": recipe.compute.model_copy(update={"max_pack_tokens": 256})})
    shape = Shape(10**6, 10**6, 0, Stack(4, 128, 352))
    told = estimate.memory(shape, recipe, 1)["activations"]
    if checkpointing:  # the layer that is computed anew comes after the loss
        told -= 256 * (50 * 128 + 16 * 352 if precision == "float32" else 40 * 128 + 8 * 352)
    assert 0.75 < told / (many - few) < 1.35


def test_parts_are_those_of_the_documentation() -> None:
    """8 B parameters on eight GPUs: 16 GB of parameters and 32 GB of gradient in a step, beside 12 N / W of shards."""
    shape = Shape(8 * 10**9, 8 * 10**9, 10**8, Stack(28, 3584, 18944))
    recipe = load_train_recipe(Path("internvl3-8b"))
    parts = estimate.memory(shape, recipe, 8)
    assert parts["weights"] == 16e9 + 4e9
    assert parts["gradient"] == 32e9 + 4e9
    assert parts["optimizer"] == 8e9
    assert parts["casts"] == 0
    whole = estimate.memory(shape, parse_train_recipe({"name": "x"}), 8)
    assert (whole["weights"], whole["gradient"], whole["optimizer"], whole["casts"]) == (32e9, 32e9, 64e9, 16e9)
    adapters = estimate.with_adapters(shape, load_train_recipe(Path("lora-1gpu")).lora)  # type: ignore[arg-type]
    lora = estimate.memory(adapters, load_train_recipe(Path("lora-1gpu")), 1)
    assert lora["weights"] == 2 * 8e9 + 4 * adapters.trained
    assert lora["casts"] == 0
    assert sum(parts.values()) > GPU / 2


def test_adapters_are_counted_as_they_are_made() -> None:
    tree: dict[str, Any] = {**SETTINGS, "lora": {"rank": 4, "alpha": 8}}
    whole, recipe = shape_of(empty_model(str(MODEL), parse_train_recipe(SETTINGS))), parse_train_recipe(tree)
    real = shape_of(empty_model(str(MODEL), recipe))
    assert real.parameters - real.trained == whole.parameters
    assert recipe.lora is not None
    # Equal heads of queries and keys are assumed, as most adapters a layer can have.
    assert real.trained <= estimate.with_adapters(whole, recipe.lora).trained <= 1.3 * real.trained


@pytest.mark.parametrize("name", ["llama", "internvl", "qwen2_vl", "qwen2_5_vl", "idefics3", "llava", "glm4v"])
def test_the_shape_of_every_kind_of_model_is_found(name: str) -> None:
    shape = shape_of(make(name))
    assert shape.decoder == Stack(3, 32, 40)
    assert (
        shape.vision is None
        if name == "llama"
        else (shape.vision is not None and min(shape.vision.layers, shape.vision.width, shape.vision.inner) > 0)
    )


def test_work_counts_the_tokens_of_the_steps() -> None:
    plan = plan_steps(columns([2, 3, 4, 1] * 8), pairs_a_step=10, seed=1)
    steps = range(len(plan))
    one = work_of(plan, len(plan), 1, budget=10**9)
    tokens = [sum(plan.pairs.tokens(*part) for part in plan[step]) for step in steps]
    assert one.tokens == one.busiest == pytest.approx(sum(tokens) / len(tokens))
    assert one.passes == 1
    assert one.unshared > one.tokens
    two = work_of(plan, len(plan), 2, budget=10**9)
    assert two.tokens / 2 <= two.busiest <= two.tokens


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_table(tmp_path_factory.mktemp("data")) / "pairs.jsonl"


def test_the_command_plans_without_weights(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in MODEL.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "r.yaml").write_text(json.dumps(SETTINGS))
    words = [str(tmp_path / "r.yaml"), "--plan", "--data", str(data), "--model", str(tmp_path)]
    assert main([*words, "--gpus", "2", "data.epochs=2"]) == 0
    told = capsys.readouterr().out
    for line in (
        r"model     0.00 B parameters, 0.00 B of them trained",
        "GB on each of 2 GPUs (data): weights 0.0, gradient 0.0, optimizer 0.0",
        "steps     6 of 6 pairs (3 an epoch of 18 pairs), 1.0 passes a step on the busiest GPU",
        "x the mean;",
        "hours at 35% of 989 TFLOP/s",
    ):
        assert line in told
    assert main([*words, "--gpus", "1", "compute.parallel=fsdp2"]) == 1
    assert "needs several GPUs" in capsys.readouterr().err


def test_a_run_that_cannot_fit_is_refused_with_what_would(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the configuration alone: there is no data, and no weights of these 8 and 70 billion parameters."""
    big = {"vocab_size": 128_000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32}
    LlamaConfig(**big, num_attention_heads=32, num_key_value_heads=8).save_pretrained(tmp_path)
    words = ["--plan", "--data", "nowhere", "--model", str(tmp_path)]
    assert main(["optimizer.learning_rate=1e-6", *words]) == 1
    said = capsys.readouterr()
    assert "model     8.0" in said.out
    assert "the run does not fit: " in said.err
    assert "compute.parallel=fsdp2 on 8 GPUs" in said.err
    assert "lora={} with" in said.err
    huge = {**big, "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80}
    LlamaConfig(**huge, num_attention_heads=64, num_key_value_heads=8).save_pretrained(tmp_path)
    assert main(["internvl2-76b", *words, "--gpus", "64"]) == 1
    assert "no number of such GPUs is enough: " in capsys.readouterr().err


def test_what_would_fit_is_told_once_for_each_kind() -> None:
    shape = Shape(8 * 10**9, 8 * 10**9, 10**8, Stack(28, 3584, 18944))
    told = estimate.what_fits(shape, parse_train_recipe({"name": "x"}), 4, GPU)
    several = "model.gradient_checkpointing=true, compute.max_pack_tokens=4096, compute.parallel=fsdp2 on 8 GPUs"
    assert told == [several, "lora={} with model.gradient_checkpointing=true"]
    check_memory(shape, load_train_recipe(Path("lora-1gpu")).model_copy(update={"lora": None}), 200e9)
    with pytest.raises(MmprError, match=r"the run does not fit: .* it would fit with"):
        check_memory(shape, parse_train_recipe({"name": "x"}), GPU)


def test_a_run_needs_its_folder(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--data", "x", "--model", "y"])
    assert "--out" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--plan", "--data", "x", "--model", "y", "--gpus", "0"])
    assert "must be above 0" in capsys.readouterr().err
