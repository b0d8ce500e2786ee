"""`MpoTrainer`: ``transformers.Trainer`` with a training step of its own; the loop around the step is the library's.

One call of ``training_step`` prepares one optimizer step: it computes the recipe's number of pairs (over all ranks) in
as many passes as they need, sums the gradients over ranks once, and updates δ once.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import TrainerCallback, TrainingArguments

from mmpr.errors import MmprError
from mmpr.train import distributed
from mmpr.train.loop.metrics import StepMetrics
from mmpr.train.losses import RewardShift, Weights, mpo_terms, rewards
from mmpr.train.private_names import UnwrappedTrainer
from mmpr.train.recipe import TrainRecipe
from mmpr.train.rows import StepBatch, StepPart
from mmpr.train.shared_prefix.compute import Compute

Line = dict[str, Any]


class MpoTrainer(UnwrappedTrainer):
    """Mixed Preference Optimization.

    Args:
        model: the policy, sharded (`distributed.shard`) or whole. It is never wrapped: `mmpr.train.distributed` does
            all that ranks exchange.
        args: of transformers; ``output_dir`` is where checkpoints are written before they are published.
        steps: what each optimizer step sees, in order.
        recipe: objective and compute settings.
        processor: saved beside the weights.
        reference: another model that is the reference; None where rows bring their reference log-probabilities
            (``EncodedRow.reference``), or the model has adapters that can be switched off.
        see_step: called with each step's line of metrics before the optimizer moves; it raises to stop the run.
    """

    def __init__(
        self,
        model: Any,
        args: TrainingArguments,
        steps: Dataset[StepBatch],
        recipe: TrainRecipe,
        *,
        processor: Any = None,
        reference: nn.Module | None = None,
        callbacks: list[TrainerCallback] | None = None,
        see_step: Callable[[Line], None] = lambda line: None,
    ) -> None:
        super().__init__(model, args, _named, steps, processor, callbacks)
        self.recipe = recipe
        self.shift = RewardShift()
        self.reference = reference
        self._see_step = see_step
        self.compute = Compute.of(model, recipe.compute)
        self._reference_compute = reference and Compute.of(reference, recipe.compute)
        objective = recipe.objective
        self.weights = Weights(objective.preference, objective.quality, objective.generation)
        self._step_ended_s: float | None = None
        self._unlogged: list[Line] = []

    def get_train_dataloader(self) -> DataLoader[StepBatch]:
        """One step after the other; each is this rank's share already."""
        return DataLoader(
            self.train_dataset, batch_size=1, collate_fn=_named, num_workers=self.args.dataloader_num_workers
        )

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Compute the gradient of one optimizer step, summed over ranks; returns its loss, the same on all ranks."""
        batch: StepBatch = inputs["step"]
        started_s = time.perf_counter()
        references = self._references(batch.parts)
        metrics = StepMetrics()
        self.compute.counts.reset()
        model.train()
        with distributed.gathered(model):
            with self._precision():
                self.compute.backward(
                    batch.parts, self._loss_of(batch.pairs, references, metrics), self.accelerator.backward
                )
            distributed.sum_gradients(model, self.args.device)
        line = self._line(batch, metrics, started_s)
        self._see_step(line)
        reward_sum = line.pop("_reward_sum")
        if self.recipe.objective.shift:
            self.shift.update(reward_sum, 2 * batch.pairs)
        self._unlogged.append(line)
        return torch.tensor(line["loss"], device=self.args.device)

    def _loss_of(
        self, pairs: int, references: dict[tuple[str, int], Tensor], metrics: StepMetrics
    ) -> Callable[[StepPart, Tensor], Tensor]:
        """A function that returns the loss of some pairs of one row; each pair weighs 1/``pairs``, however packed."""
        beta, delta = self.recipe.objective.beta, self.shift.value

        def loss_of(part: StepPart, policy: Tensor) -> Tensor:
            device = policy.device
            metrics.add_sampled(part, policy)
            place = {position: i for i, position in enumerate(part.used)}
            chosen, rejected = ([place[pair[side]] for pair in part.pairs] for side in (0, 1))
            lengths = torch.tensor([float(len(part.row.response_ids[i])) for i in part.used], device=device)
            reference = torch.stack([references[_key(part, i)] for i in part.used]).to(device)
            with torch.autocast(device.type, enabled=False):
                terms = mpo_terms(
                    policy[chosen], policy[rejected], reference[chosen], reference[rejected], lengths[chosen],
                    beta=beta, delta=delta,
                )  # fmt: skip
                losses = terms.weighted(self.weights) * torch.tensor(part.weights, device=device)
            got = rewards(policy.detach(), reference, beta=beta)
            metrics.add(
                losses,
                terms,
                (got[chosen], got[rejected]),
                (policy[chosen], policy[rejected]),
                (lengths[chosen], lengths[rejected]),
            )
            return losses.sum() / pairs

        return loss_of

    def _references(self, parts: Sequence[StepPart]) -> dict[tuple[str, int], Tensor]:
        """The reference's log-probability of every response of the pairs, by `_key`."""
        if all(part.row.reference is not None for part in parts) and self._reference_compute is None:
            return {_key(p, i): p.row.reference[i] for p in parts for i in p.used if p.row.reference is not None}
        if self._reference_compute is not None:
            compute, switched_off = self._reference_compute, contextlib.nullcontext()
        elif hasattr(self.model, "disable_adapter"):
            compute, switched_off = self.compute, self.model.disable_adapter()
        else:
            raise MmprError("rows without reference log-probabilities need a reference model")
        with distributed.gathered(compute.model), switched_off, self._precision():
            scores = compute.scores(parts)
        return {
            _key(part, i): score for part, row in zip(parts, scores, strict=True)
            for i, score in zip(part.used, row, strict=True)
        }  # fmt: skip

    def _precision(self) -> Any:
        """A context for bfloat16 passes over float32 parameters, where the recipe says so; FSDP2 casts by itself."""
        wanted = self.recipe.compute.precision == "bfloat16" and not distributed.is_sharded(self.model)
        return torch.autocast(self.args.device.type, torch.bfloat16, enabled=wanted)

    def _line(self, batch: StepBatch, metrics: StepMetrics, started_s: float) -> Line:
        """The step's line of metrics, the same on all ranks."""
        counts = self.compute.counts
        responses = sum(len(part.row.response_ids[i]) for part in batch.parts for i in part.used)
        sampled = metrics.sampled_differences()
        extra = {
            "sampled": float(len(sampled)),
            "sampled_difference": sum(sampled),
            "tokens": float(counts.tokens),
            "unshared": float(counts.unshared),
            "padding": float(counts.padding),
            "response_tokens": float(responses),
        }
        means, sums = metrics.mean(self.args.device, extra)
        norm = distributed.gradient_norm(self.model)
        first = {}
        if self.state.global_step == 0 and sums["sampled"]:
            first = {
                "sampled/difference": sums["sampled_difference"] / sums["sampled"],
                "sampled/worst": distributed.largest(max(sampled, default=0.0), self.args.device),
            }
        ended_s = time.perf_counter()
        took_s = ended_s - (self._step_ended_s or started_s)
        self._step_ended_s = ended_s
        tokens = max(sums["tokens"], 1.0)
        return {
            "step": self.state.global_step + 1,
            **means,
            **first,
            "delta": self.shift.value,
            "grad_norm": norm,
            "learning_rate": self.learning_rate,
            "pairs": int(sums["pairs"]),
            "response_tokens": int(sums["response_tokens"]),
            "tokens_per_second": sums["tokens"] / took_s,
            "padding_share": sums["padding"] / tokens,
            "saved_by_sharing": 1 - sums["tokens"] / max(sums["unshared"], 1.0),
            "_reward_sum": (means["rewards/chosen"] + means["rewards/rejected"]) * sums["pairs"],
        }

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the means of the steps since the last call to what is sent to TensorBoard, wandb and others."""
        if self._unlogged and "loss" in logs:
            names = [n for n, v in self._unlogged[0].items() if isinstance(v, float) and math.isfinite(v)]
            means = {n: sum(line[n] for line in self._unlogged) / len(self._unlogged) for n in names}
            logs = {**means, **logs}
            self._unlogged.clear()
        super().log(logs, start_time)

    def floating_point_ops(self, inputs: Any) -> int:
        """Six operations for each parameter and token, the usual estimate."""
        return 6 * self.compute.counts.tokens * sum(int(p.numel()) for p in self.model.parameters())


def _named(batch: Sequence[StepBatch]) -> dict[str, StepBatch]:
    """The inputs of ``training_step``: the one step of a batch under a name, as the library requires."""
    return {"step": batch[0]}


def _key(part: StepPart, position: int) -> tuple[str, int]:
    return part.row.id, position
