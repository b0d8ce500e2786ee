"""All that relies on private names of transformers, accelerate and torch, so that an upgrade is checked in one place.

`PRIVATE_NAMES` lists them; ``tests/train/test_private_names.py`` fails when one of them is gone, or used elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from mmpr.errors import MmprError
from mmpr.train import distributed

PRIVATE_NAMES = {
    "transformers.Trainer": (
        "_get_learning_rate",
        "_load_from_checkpoint",
        "_load_optimizer_and_scheduler",
        "_save",
        "_save_optimizer_and_scheduler",
    ),
    "transformers.TrainingArguments": ("_n_gpu",),
    "transformers.PretrainedConfig": ("_attn_implementation",),
    "transformers.modeling_layers.GradientCheckpointingLayer": ("_gradient_checkpointing_func",),
    "accelerate.Accelerator": ("_is_accelerate_prepared",),
    "torch.compile": ("_orig_mod",),
}


class UnwrappedTrainer(Trainer):  # type: ignore[misc]  # the library has no types
    """`transformers.Trainer` that neither wraps nor moves its model, with checkpoints of whole and of sharded models.

    Raises:
        MmprError: accelerate is set to shard the model by itself.
    """

    def __init__(
        self,
        model: Any,
        args: TrainingArguments,
        collate: Any,
        steps: Dataset[Any],
        processor: Any,
        callbacks: list[TrainerCallback] | None,
    ) -> None:
        model._is_accelerate_prepared = True  # accelerate takes it as wrapped already, whatever the number of ranks
        super().__init__(model, args, collate, steps, processing_class=processor, callbacks=callbacks)
        self.remove_callback(PrinterCallback)
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise MmprError(
                "accelerate is set to FSDP or DeepSpeed, which would wait for other ranks inside a pass; start with "
                "torchrun and set compute.parallel=fsdp2"
            )

    @property
    def learning_rate(self) -> float:
        """Of the coming optimizer step."""
        return float(self._get_learning_rate())

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the weights, gathered from all ranks, and the processor; all ranks call it."""
        if not distributed.is_sharded(self.model):
            super().save_model(output_dir, _internal_call)
            return
        weights = distributed.whole_weights(self.model)
        if self.args.should_save:
            self._save(output_dir, state_dict=weights)
        distributed.barrier()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Do nothing: the model was made with the checkpoint's weights. The Trainer restores all else."""

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not distributed.is_sharded(self.model):
            super()._save_optimizer_and_scheduler(output_dir)
            return
        state = distributed.whole_optimizer(self.model, self.optimizer.optimizer)
        if self.args.should_save:
            torch.save(state, Path(output_dir) / "optimizer.pt")
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / "scheduler.pt")
        distributed.barrier()

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not distributed.is_sharded(self.model):
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        state = torch.load(Path(checkpoint) / "optimizer.pt", map_location="cpu", weights_only=True)
        distributed.load_optimizer(self.model, self.optimizer.optimizer, state)
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / "scheduler.pt", weights_only=True))


def use_one_gpu(arguments: TrainingArguments) -> None:
    """Keep the Trainer from splitting batches over all GPUs that it sees: there is one process a GPU."""
    arguments._n_gpu = min(1, arguments.n_gpu)


def attention_of(model: Any) -> str | None:
    """The name of the attention that a ``PreTrainedModel`` runs."""
    name: str | None = model.config._attn_implementation
    return name


def restore_attention(model: Any, name: str | None) -> None:
    """Give a model the attention back that `attention_of` told, without the checks of ``set_attn_implementation``."""
    model.config._attn_implementation = name


def checkpoints_reentrantly(module: nn.Module) -> bool:
    """Whether a layer is recomputed in backward after a forward pass without a graph (``use_reentrant=True``)."""
    run = getattr(module, "_gradient_checkpointing_func", None)
    used = run is not None and bool(getattr(module, "gradient_checkpointing", False)) and module.training
    return used and bool(getattr(run, "keywords", {}).get("use_reentrant", True))


def uncompiled(model: Any) -> Any:
    """The module inside one that ``torch.compile`` made; any other as it is."""
    return getattr(model, "_orig_mod", model)
