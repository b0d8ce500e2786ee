"""Log-probabilities of responses and their gradient, each prompt and picture computed once.

parts of a step ─▶ scores (no gradient) | backward (gradients accumulate in the parameters)
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmpr.train.logprobs import token_logprobs
from mmpr.train.nouns import StepPart

logger = logging.getLogger(__name__)


@dataclass
class Counts:
    """Tokens that went through the model, since the start or the last `reset`.

    Attributes:
        tokens: computed, padding included.
        unshared: what sequences of their own for both sides of every pair would have taken.
        padding: those among ``tokens`` that stand for nothing.
    """

    tokens: int = 0
    unshared: int = 0
    padding: int = 0

    def reset(self) -> None:
        """Start again from zero."""
        self.tokens = self.unshared = self.padding = 0


class Compute:
    """The model's summed log-probability of each response, and its gradient."""

    def __init__(self, model: nn.Module, *, max_pack_tokens: int | None = None, sharing: str = "auto") -> None:
        self.model = model
        self.counts = Counts()

    def scores(self, parts: Sequence[StepPart]) -> list[Tensor]:
        """For each part float32 ``[len(part.used)]``, in the order of ``part.used``; no gradient, no dropout."""
        with torch.no_grad(), _evaluating(self.model):
            return [self._unshared(part) for part in parts]

    def backward(
        self,
        parts: Sequence[StepPart],
        loss_of: Callable[[StepPart, Tensor], Tensor],
        backward: Callable[[Tensor], None] = Tensor.backward,
    ) -> list[Tensor]:
        """Add the gradient of the parts' summed losses to the parameters' ``.grad``; returns the scores, detached."""
        scores = []
        for part in parts:
            policy = self._unshared(part)
            backward(loss_of(part, policy))
            scores.append(policy.detach())
        return scores

    def _unshared(self, part: StepPart) -> Tensor:
        return torch.stack([self._sequence(part, position) for position in part.used])

    def _sequence(self, part: StepPart, position: int) -> Tensor:
        device = next(self.model.parameters()).device
        prompt, response = part.row.prompt_ids, part.row.response_ids[position]
        ids = torch.cat([prompt, response]).to(device)
        extras: dict[str, Any] = {name: value.to(device) for name, value in part.row.extras.items()}
        if "mm_token_type_ids" in extras:
            zeros = torch.zeros_like(response)[None].to(extras["mm_token_type_ids"])
            extras["mm_token_type_ids"] = torch.cat([extras["mm_token_type_ids"], zeros], 1)
        with _head_gives(
            self.model,
            lambda hidden, weight, bias: token_logprobs(
                hidden[0, len(prompt) - 1 : -1], weight, ids[len(prompt) :], bias=bias
            ),
        ):
            return self.model(input_ids=ids[None], use_cache=False, **extras).logits.sum()


@contextlib.contextmanager
def _head_gives(model: Any, function: Callable[[Tensor, Tensor, Tensor | None], Tensor]) -> Iterator[None]:
    """Within, the output layer gives ``function(hidden, weight, bias)`` in place of logits."""
    while hasattr(model, "module"):
        model = model.module
    head = model.get_output_embeddings()
    kept: list[Tensor] = []

    def before(_: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        kept.append(args[0])
        return (args[0][:, :0],)

    def after(module: Any, _: object, __: object) -> Tensor:
        return function(kept.pop(), module.weight, module.bias)

    hooks = [head.register_forward_pre_hook(before), head.register_forward_hook(after, prepend=True)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Within, nothing is dropped out; afterwards each module is as it was."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
