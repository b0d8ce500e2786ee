"""A tiny language model and steps of random pairs, for tests of what goes on around the steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, TrainingArguments

from mmpr.train.recipe import TrainRecipe, parse_train_recipe
from mmpr.train.rows import EncodedRow, StepBatch, StepPart

VOCABULARY = 40


def tiny_model(dropout: float = 0.0, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        attention_dropout=dropout,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config)


def tiny_row(seed: int, responses: int = 4, reference: bool = True) -> EncodedRow:
    dice = torch.Generator().manual_seed(seed)

    def ids(length: int) -> torch.Tensor:
        return torch.randint(1, VOCABULARY, (length,), generator=dice)

    lengths = torch.randint(2, 9, (responses,), generator=dice).tolist()
    return EncodedRow(
        id=f"row{seed}",
        source="tiny",
        prompt_ids=ids(5 + seed % 4),
        response_ids=tuple(map(ids, lengths)),
        reference=-3.5 * torch.tensor(lengths) + torch.randn(responses, generator=dice) if reference else None,
    )


PAIRS = ((0, 1), (2, 1), (0, 3), (2, 3))


def tiny_steps(steps: int, rows_a_step: int = 3, rank: int = 0, world: int = 1, **row: Any) -> list[StepBatch]:
    """Steps of ``rows_a_step`` rows with 1 to 4 pairs each; ranks share them unevenly."""
    batches = []
    for step in range(steps):
        parts = []
        for i in range(rows_a_step):
            many = 1 + (step + i) % len(PAIRS)
            weights = tuple(1.0 + (i % 2) for _ in range(many))
            parts.append(StepPart(tiny_row(100 * step + i, **row), PAIRS[:many], weights))
        mine = [part for i, part in enumerate(parts) if world == 1 or (i == 0) == (rank == 0)]
        batches.append(StepBatch(tuple(mine), sum(len(part.pairs) for part in parts)))
    return batches


def tiny_recipe(*overrides: str, **settings: Any) -> TrainRecipe:
    tree = {"name": "tiny", "optimizer": {"learning_rate": 0.01}, "compute": {"precision": "float32"}, **settings}
    return parse_train_recipe(tree, overrides)


def tiny_arguments(folder: Path, **settings: Any) -> TrainingArguments:
    options = {
        "output_dir": str(folder / "writing"),
        "use_cpu": True,
        "disable_tqdm": True,
        "report_to": "none",
        "per_device_train_batch_size": 1,
        "num_train_epochs": 1,
        "optim": "adamw_torch",
        "learning_rate": 0.01,
        "weight_decay": 0.05,
        "save_strategy": "no",
        "logging_steps": 1,
        "seed": 3,
        "dataloader_pin_memory": False,
    }
    return TrainingArguments(**{**options, **settings})


def weights_of(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def furthest(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    """The largest difference between two models' weights."""
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def merged(steps: Sequence[StepBatch]) -> list[StepPart]:
    return [part for step in steps for part in step.parts]
