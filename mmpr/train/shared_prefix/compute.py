"""Summed log-probabilities of responses and their gradient, each prompt and picture computed once.

    small questions   several in one pass: [prompt][y1]…[yn][next prompt]…
    big questions     a pass for the prompt, whose keys and values are kept; then a forward and a backward pass for each
                      group of responses on top of them; then their gradient goes back through the prompt's pass
    other families    each response as a sequence of its own (see ``families``)

All three give the same numbers. Dropout and drop path, where a model has them, are drawn once for a shared prompt
instead of once for each response; `Compute.scores` drops nothing.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmpr.errors import MmprError
from mmpr.train.estimate import GPU_PACK_TOKENS
from mmpr.train.private_names import checkpoints_reentrantly
from mmpr.train.recipe import ComputeSpec
from mmpr.train.rows import EncodedRow, StepPart
from mmpr.train.shared_prefix.attention import KEYWORD, KeysValues, Layout, blocks_in, check_used
from mmpr.train.shared_prefix.families import (
    TOKEN_TYPES,
    family_of,
    positions_of,
    refuse_prompt_learning,
    token_types,
    unwrap,
)
from mmpr.train.shared_prefix.logprobs import token_logprobs
from mmpr.train.shared_prefix.packing import Batch, Piece, make_batch, pack, tokens_of, unshared_tokens_of
from mmpr.train.shared_prefix.splitting import Backward, LossOf, Prompt, Score, in_chunks, plan_groups, run_groups

logger = logging.getLogger(__name__)

CPU_PACK_TOKENS = 1024
TWICE_FROM = 3
"""A big question's prompt is computed twice if its responses have so many times the tokens of the prompt and of a pass.

First without a graph, for its keys; again with one when all responses are done. Then its graph and those of the groups
are never in memory together, for at most 1/12 more computation.
"""

HeadFunction = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""From hidden states ``[1, T, D]``, the output matrix ``[V, D]`` and its bias to what replaces the logits."""


@dataclass
class Counts:
    """Tokens since the start or the last `reset`.

    Attributes:
        tokens: that the model computed, with padding.
        unshared: that it would have computed with a sequence for each response of each pair.
        padding: of ``tokens``.
    """

    tokens: int = 0
    unshared: int = 0
    padding: int = 0

    def reset(self) -> None:
        """Set all to 0."""
        self.tokens = self.unshared = self.padding = 0


class Compute:
    """Scores and gradients of the parts of a step.

    Args:
        model: a causal model of transformers; a wrapper around it is called, not the model inside. Ranks run different
            numbers of passes, so no pass may wait for other ranks.
        max_pack_tokens: tokens of prompts and responses in one pass; None: 1,024 on a CPU and 16,384 on a GPU. The
            responses of a bigger question are divided into groups; a group has what the prompt leaves of that number,
            at least half of it, and at least one pair.
        sharing: ``auto``, or ``off`` for a sequence of its own for each response.

    Raises:
        MmprError: adapters of a kind that is not supported.
    """

    def __init__(self, model: nn.Module, *, max_pack_tokens: int | None = None, sharing: str = "auto") -> None:
        refuse_prompt_learning(model)
        self.model = model
        self.counts = Counts()
        self._inner = unwrap(model)
        self._family, reason = family_of(self._inner)
        self._device = next(model.parameters()).device
        usual = CPU_PACK_TOKENS if self._device.type == "cpu" else GPU_PACK_TOKENS
        self._budget = usual if max_pack_tokens is None else max_pack_tokens
        self._told: set[str] = set()
        if self._family is None:
            self._tell(
                f"prompts are not shared: {reason}; each response is computed as a sequence of its own, with logits"
            )
        elif sharing == "off":
            self._tell("prompts are not shared: sharing is off; each response is computed as a sequence of its own")
        self._sharing = self._family is not None and sharing != "off"

    @classmethod
    def of(cls, model: nn.Module, spec: ComputeSpec) -> Compute:
        """With the settings of a recipe."""
        return cls(model, max_pack_tokens=spec.max_pack_tokens, sharing=spec.sharing)

    def scores(self, parts: Sequence[StepPart]) -> list[Tensor]:
        """Summed log-probabilities, without gradient or dropout: for each part float32 ``[len(part.used)]``."""
        results: dict[int, Tensor] = {}
        packs, big, alone = self._divide(parts)
        with torch.no_grad(), _evaluating(self.model):
            with self._blocks():
                for members in packs:
                    results.update(zip(members, self._score_pack([parts[i] for i in members]), strict=True))
                for index in big:
                    prompt = self._prompt(parts[index].row)
                    results[index] = self._score_chunks(parts[index], self._answering(parts[index].row, prompt))
            for index in alone:
                results[index] = self._score_chunks(parts[index], self._sequencing(parts[index].row))
        return [results[index] for index in range(len(parts))]

    def backward(
        self, parts: Sequence[StepPart], loss_of: LossOf, backward: Backward = Tensor.backward
    ) -> list[Tensor]:
        """Add the gradient of the parts' summed losses to the parameters' ``.grad``.

        Args:
            parts: each with at least one pair.
            loss_of: from a part and its scores (``[len(part.used)]``, in the graph) to the summed loss of its pairs.
                A big part is given in pieces: parts of the same row with some of its pairs each.
            backward: runs a loss backward, several times in all; it may scale it (accumulation, 16-bit floats).

        Returns:
            The scores, detached, as from `scores`.
        """
        results: dict[int, Tensor] = {}
        packs, big, alone = self._divide(parts)
        with self._blocks():
            for members in packs:
                scores = self._score_pack([parts[i] for i in members])
                losses = [loss_of(parts[i], score) for i, score in zip(members, scores, strict=True)]
                backward(torch.stack(losses).sum())
                results.update((i, score.detach()) for i, score in zip(members, scores, strict=True))
                del scores, losses  # and with them the graph
            for index in big:
                results[index] = self._backward_big(parts[index], loss_of, backward)
        for index in alone:
            part = parts[index]
            groups = plan_groups(part.pairs, *self._room(part.row))
            results[index], _ = run_groups(part, groups, self._sequencing(part.row), loss_of, backward)
        return [results[index] for index in range(len(parts))]

    # How parts are divided.

    def _divide(self, parts: Sequence[StepPart]) -> tuple[list[list[int]], list[int], list[int]]:
        """Indexes of parts: packs of small ones, big ones, and those whose responses are sequences of their own."""
        self.counts.unshared += sum(map(unshared_tokens_of, parts))
        sharing = [i for i, part in enumerate(parts) if self._shares(part.row)]
        small = [i for i in sharing if tokens_of(parts[i]) <= self._budget]
        packs = pack(parts, small, self._budget, self._family.pictures) if self._family else []
        return packs, [i for i in sharing if i not in small], [i for i in range(len(parts)) if i not in sharing]

    def _shares(self, row: EncodedRow) -> bool:
        if not self._sharing or self._family is None:
            return False
        unknown = sorted(row.extras.keys() - self._family.pictures.keys() - {TOKEN_TYPES})
        if unknown:
            self._tell(
                f"prompts with {', '.join(unknown)} are not shared: this was not shown to be right for "
                f"{self._inner.config.model_type!r}; their responses are computed as sequences of their own"
            )
        return not unknown

    def _room(self, row: EncodedRow) -> tuple[Callable[[int], int], int]:
        """The size of a response in a group, as a function of its position, and the size that a group may have."""
        prompt = len(row.prompt_ids)
        if not self._shares(row):
            return lambda i: prompt + len(row.response_ids[i]), self._budget
        return lambda i: len(row.response_ids[i]), max(self._budget - prompt, self._budget // 2)

    # Parts too big for one pass.

    def _score_chunks(self, part: StepPart, score: Score) -> Tensor:
        return torch.cat([score(chunk) for chunk in in_chunks(part.used, *self._room(part.row))])

    def _backward_big(self, part: StepPart, loss_of: LossOf, backward: Backward) -> Tensor:
        self._check_checkpointing()
        answers = tokens_of(part) - len(part.row.prompt_ids)
        twice = answers >= TWICE_FROM * max(len(part.row.prompt_ids), self._budget)
        random_state = _RandomState(self._device)
        with torch.set_grad_enabled(not twice):
            prompt = self._prompt(part.row)
        torch.clear_autocast_cache()  # torch before 2.12 would use weights again that were cast without a graph
        leaves = prompt.leaves()
        groups = plan_groups(part.pairs, *self._room(part.row))
        scores, scale = run_groups(part, groups, self._answering(part.row, leaves), loss_of, backward)
        if twice:
            with random_state.again():
                prompt = self._prompt(part.row)
        prompt.backward(leaves, scale, backward)
        return scores

    def _check_checkpointing(self) -> None:
        """Refuse checkpointing whose first computation has no graph: the prompt's keys would have none."""
        if any(map(checkpoints_reentrantly, self._inner.modules())):
            raise MmprError(
                "big questions need gradient checkpointing with gradient_checkpointing_kwargs={'use_reentrant': False}"
            )

    # Passes.

    def _score_pack(self, parts: Sequence[StepPart]) -> list[Tensor]:
        scores = self._pass([Piece(part.row, part.used, self._positions(part.row)) for part in parts])
        return list(scores.split([len(part.used) for part in parts]))

    def _prompt(self, row: EncodedRow) -> Prompt:
        batch = self._batch([Piece(row, (), self._positions(row))])
        kept: dict[int, KeysValues] = {}
        last = self._run(batch, Layout(batch.blocks, kept=kept), lambda hidden, _, __: hidden[0, -1:].clone())
        return Prompt(kept, last)

    def _answering(self, row: EncodedRow, prompt: Prompt) -> Score:
        """A function that scores responses on top of a prompt of an earlier pass."""
        positions = self._positions(row)
        return lambda responses: self._pass([Piece(row, responses, positions, prompt=False)], prompt)

    def _pass(self, pieces: Sequence[Piece], prompt: Prompt | None = None) -> Tensor:
        """The summed log-probability of each response of the pieces, float32 ``[responses]``."""
        batch = self._batch(pieces)
        layout = Layout(batch.blocks, remembered=None if prompt is None else prompt.layers)

        def score(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            states = hidden[0] if prompt is None else torch.cat([prompt.last.to(hidden), hidden[0]])
            logprobs = token_logprobs(states.index_select(0, batch.sources), weight, batch.targets, bias=bias)
            return _sums(logprobs, batch.lengths)

        return self._run(batch, layout, score)

    def _run(self, batch: Batch, layout: Layout, head: HeadFunction) -> Tensor:
        self.counts.tokens += batch.ids.numel()
        self.counts.padding += batch.ids.numel() - sum(block.stop - block.start for block in batch.blocks)
        with _head_gives(self._inner, head):
            result: Tensor = self.model(
                input_ids=batch.ids,
                position_ids=batch.positions,
                use_cache=False,
                **batch.pictures,
                **{KEYWORD: layout},
            ).logits
        check_used(layout, self._inner.get_decoder())
        return result

    def _sequencing(self, row: EncodedRow) -> Score:
        """A function that scores responses, each as a sequence of its own."""
        return lambda responses: torch.stack([self._sequence(row, row.response_ids[i]) for i in responses])

    def _sequence(self, row: EncodedRow, response: Tensor) -> Tensor:
        start = len(row.prompt_ids)
        ids = torch.cat([row.prompt_ids, response]).to(self._device)
        extras: dict[str, Tensor] = {name: value.to(self._device) for name, value in row.extras.items()}
        if self._family and self._family.three_part and "image_grid_thw" in extras:
            extras[TOKEN_TYPES] = token_types(self._inner, row, len(response)).to(self._device)[None]
        elif TOKEN_TYPES in extras:
            extras[TOKEN_TYPES] = nn.functional.pad(extras[TOKEN_TYPES], (0, len(response)))
        self.counts.tokens += len(ids)

        def score(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            return token_logprobs(hidden[0, start - 1 : -1], weight, ids[start:], bias=bias).sum()

        with _head_gives(self._inner, score) if self._family else contextlib.nullcontext():
            result: Tensor = self.model(input_ids=ids[None], use_cache=False, **extras).logits
        if self._family:
            return result
        logprobs = torch.log_softmax(result[0, start - 1 : -1].float(), -1)
        return logprobs.gather(1, ids[start:, None]).sum()

    def _batch(self, pieces: Sequence[Piece]) -> Batch:
        assert self._family is not None
        return make_batch(pieces, self._family.pictures).to(self._device)

    def _positions(self, row: EncodedRow) -> Tensor:
        assert self._family is not None
        return positions_of(self._inner, self._family, row, max(map(len, row.response_ids), default=0))

    def _blocks(self) -> contextlib.AbstractContextManager[None]:
        return blocks_in(self._inner.get_decoder()) if self._sharing else contextlib.nullcontext()

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            logger.warning(line)


@contextlib.contextmanager
def _head_gives(model: Any, function: HeadFunction) -> Iterator[None]:
    """A context in which the output layer returns ``function(hidden, weight, bias)`` instead of logits.

    The function runs inside the model's forward pass, where a wrapper that shards the output matrix has gathered it.
    """
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


class _RandomState:
    """The state of the random generators, to draw the same numbers again."""

    def __init__(self, device: torch.device) -> None:
        self._cpu = torch.get_rng_state()
        self._devices = [device] if device.type == "cuda" else []
        self._states = [torch.cuda.get_rng_state(each) for each in self._devices]

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """A context that draws the same numbers; the generators are unchanged after it."""
        with torch.random.fork_rng(self._devices):
            torch.set_rng_state(self._cpu)
            for device, state in zip(self._devices, self._states, strict=True):
                torch.cuda.set_rng_state(state, device)
            yield


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """A context in which the model is in evaluation mode; afterwards each module has its old mode."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _sums(logprobs: Tensor, lengths: Sequence[int]) -> Tensor:
    return torch.stack([part.sum() for part in logprobs.split(list(lengths))])
