"""Recipes of training runs: YAML, read into frozen and validated objects.

Defaults are the paper's (section 4: MPO, one epoch, batches of 256 pairs). Data, model and output folder are not in the
recipe but on the command line. Reading a recipe does not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, field_validator

from mmpr.config import Part, parse_settings, read_yaml
from mmpr.resources import PIPELINES, find_pipeline

Freezable = Literal["vision", "projector", "decoder"]


class ObjectiveSpec(Part):
    """The weights of the three losses and beta; DPO, DPO+, BCO+ and SFT are settings of these weights."""

    preference: float = Field(0.8, ge=0, description="weight of DPO")
    quality: float = Field(0.2, ge=0, description="weight of BCO with the reward shift")
    generation: float = Field(1.0, ge=0, description="weight of the chosen response's mean negative log-probability")
    beta: float = Field(0.1, gt=0, description="the factor β of rewards")
    shift: bool = Field(True, description="δ, the quality term's reward shift, moves; false: it stays 0")


class DataSpec(Part):
    """Which pairs are trained on, and how many of them in an optimizer step (over all processes)."""

    pairs_a_step: int = Field(256, ge=1, description="over all processes: the batch size")
    max_pairs_a_question: int | None = Field(None, ge=1, description="of one question, in one step")
    epochs: int = Field(1, ge=1, description="times that all pairs are seen")
    max_steps: int | None = Field(None, ge=1, description="end after so many steps")
    max_tokens: int = Field(8192, ge=8, description="prompt with pictures, and response; longer pairs are dropped")
    images_root: str | None = Field(
        None, description="where paths of pictures in tables start (default: the row's file, or the folder of --data)"
    )
    weights: tuple[float, ...] = Field(
        (), description="how often the pairs of each --data are seen in an epoch, in their order (default: 1 each)"
    )
    source_weights: dict[str, float] = Field(
        default_factory=dict, description="how often a source's pairs are seen in an epoch; 1 where not named"
    )
    kind_weights: dict[str, float] = Field(
        default_factory=dict, description="the same for a kind of question; a pair's weight is the product"
    )
    held_out_pairs: int = Field(
        0, ge=0, description="pairs that are not trained on but scored every watch.every_steps; whole questions"
    )
    processor: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="processor arguments by source, in place of those it was sampled with"
    )
    allow_prompt_mismatch: bool = Field(
        False, description="train even where a prompt is not the tokens that the model read in sampling"
    )


class ModelSettings(Part):
    """How the model is loaded and which parts of it are frozen."""

    freeze: tuple[Freezable, ...] = Field((), description="parts that are not trained")
    drop_path: float = Field(0.0, ge=0, lt=1, description="of the vision tower, where the family has it")
    attention: str | None = Field(None, description="attention of transformers for generation (default: the model's)")
    trust_remote_code: bool = Field(False, description="code that comes with the model may run")
    gradient_checkpointing: bool = Field(False, description="less memory, more time")


class LoraSpec(Part):
    """Low-rank adapters (PEFT); the base weights are the reference."""

    rank: int = Field(64, ge=1)
    alpha: float = Field(128, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: str | tuple[str, ...] = Field("all-linear", description="names of modules, or all-linear (decoder only)")


class OptimizerSpec(Part):
    """AdamW, with a warm-up and a schedule."""

    learning_rate: float = Field(5e-6, gt=0, description="the highest, after the warm-up")
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(0.05, ge=0)
    warmup: float = Field(0.03, ge=0, lt=1, description="share of all steps")
    schedule: str = Field("cosine", description="a schedule of transformers")
    max_grad_norm: float = Field(1.0, ge=0, description="0: never clipped")


class ComputeSpec(Part):
    """How a step is computed; the result is the same but for rounding."""

    precision: Literal["float32", "bfloat16"] = "bfloat16"
    max_pack_tokens: int | None = Field(
        None, ge=8, description="tokens computed in one pass (default: 1,024 on a CPU, 16,384 on a GPU)"
    )
    sharing: Literal["auto", "off"] = Field("auto", description="prompt and responses of a question computed once")
    workers: int = Field(0, ge=0, description="processes that encode pictures beside each one that trains")
    parallel: Literal["data", "fsdp2"] = Field("data", description="what several processes do; see docs/training.md")

    @field_validator("sharing", mode="before")
    @classmethod
    def _off_is_no_boolean(cls, value: object) -> object:
        """YAML reads ``off`` as false."""
        return "off" if value is False else value


class SaveSpec(Part):
    """When checkpoints are written, and how many are kept."""

    every_steps: int = Field(100, ge=1)
    keep: int = Field(2, ge=1, description="checkpoints")
    best: Literal["loss", "accuracies", "margins"] | None = Field(
        None, description="keep the model with the best held-out loss, reward accuracy or margin in RUN/best as well"
    )


class WatchSpec(Part):
    """Held-out questions that are answered greedily during the run."""

    questions: int = Field(16, ge=0, description="0: none")
    every_steps: int = Field(100, ge=1)
    max_new_tokens: int = Field(256, ge=1)


class TrainRecipe(Part):
    """All settings of a training run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    seed: int = Field(0, ge=0)
    objective: ObjectiveSpec = ObjectiveSpec()
    data: DataSpec = DataSpec()
    model: ModelSettings = ModelSettings()
    lora: LoraSpec | None = None
    optimizer: OptimizerSpec = OptimizerSpec()
    reference: Literal["cached", "on_the_fly"] = Field(
        "cached", description="log-probabilities of the starting model: kept beside the data, or computed in each step"
    )
    compute: ComputeSpec = ComputeSpec()
    save: SaveSpec = SaveSpec()
    watch: WatchSpec = WatchSpec()
    report_to: tuple[str, ...] = Field((), description="tensorboard, wandb, ... as transformers knows them")

    def as_json(self) -> dict[str, Any]:
        """Plain values, with the defaults."""
        return self.model_dump(mode="json")


def load_train_recipe(path: Path | None, overrides: Sequence[str] = ()) -> TrainRecipe:
    """Read, override (``optimizer.learning_rate=1e-6``) and check a recipe; without a path, the paper's settings.

    ``path`` is a file, or a recipe of ``pipelines/train`` by its bare name (``quickstart``).

    Raises:
        RecipeError: with every problem found.
    """
    path = path and find_pipeline(path, PIPELINES / "train")
    tree = {"name": "mpo"} if path is None else read_yaml(path)
    return parse_train_recipe(tree, overrides, where="settings" if path is None else str(path))


def parse_train_recipe(tree: object, overrides: Sequence[str] = (), *, where: str = "recipe") -> TrainRecipe:
    """Check a recipe that is already a tree of dictionaries and lists.

    Raises:
        RecipeError: with every problem found.
    """
    return parse_settings(TrainRecipe, tree, overrides, where=where, check=_problems)


def _problems(recipe: TrainRecipe) -> list[str]:
    """What no setting shows by itself."""
    problems = []
    objective = recipe.objective
    if not objective.preference + objective.quality + objective.generation:
        problems.append("objective: all weights are 0, there is nothing to learn")
    if any(weight < 0 for weight in recipe.data.weights):
        problems.append(f"data.weights: must be 0 or more (they are {', '.join(map(str, recipe.data.weights))})")
    for what in ("source_weights", "kind_weights"):
        for name, weight in getattr(recipe.data, what).items():
            if weight < 0:
                problems.append(f"data.{what}.{name}: must be 0 or more (it is {weight})")
    if recipe.save.best and not recipe.data.held_out_pairs:
        problems.append("save.best: there are no held-out pairs to tell the best model by; set data.held_out_pairs")
    if recipe.lora is None and set(recipe.model.freeze) == set(get_args(Freezable)):
        problems.append("model.freeze: all parts are frozen, there is nothing to train")
    return problems
