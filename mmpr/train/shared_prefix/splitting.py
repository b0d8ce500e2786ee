"""A question that is too big for one pass: its responses in groups, and still the exact gradient.

plan_groups   which responses are computed in one pass
run_groups    forward and backward group by group; the two responses of a pair may be in different groups
Prompt        keys and values of the prompt's pass, and the gradients that the responses' passes send back to it
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmpr.train.rows import StepPart
from mmpr.train.shared_prefix.attention import KeysValues

Pair = tuple[int, int]
LossOf = Callable[[StepPart, Tensor], Tensor]
Backward = Callable[[Tensor], None]
Score = Callable[[tuple[int, ...]], Tensor]
"""From positions of responses to their summed log-probabilities, float32 ``[positions]``."""


@dataclass(frozen=True, slots=True)
class Groups:
    """The responses of a row, divided into passes.

    Attributes:
        members: the responses of each pass; each response is in one pass.
        early: responses whose partner in a pair comes in an earlier pass, divided into passes without gradient.
    """

    members: tuple[tuple[int, ...], ...]
    early: tuple[tuple[int, ...], ...]


def plan_groups(pairs: Sequence[Pair], size: Callable[[int], int], room: int) -> Groups:
    """Divide the responses of ``pairs`` into passes of at most ``room`` tokens.

    Responses that are linked by pairs stay in one pass where they fit; the two of a pair without other links always do.
    Linked responses that do not fit are cut: a small vertex cover of their pairs (responses of which every pair has at
    least one) comes last, all others before it. Then only the cover is needed early, and computed twice.
    """
    units: list[tuple[int, ...]] = []
    for linked in _components(pairs):
        members = sorted({i for pair in linked for i in pair})
        if len(members) == 2 or sum(map(size, members)) <= room:
            units.append(tuple(members))
        else:
            cover = _cover(linked)
            units += [(i,) for i in members if i not in cover]
            units += [(i,) for i in cover]
    groups: list[list[int]] = []
    filled = 0
    for unit in units:
        need = sum(map(size, unit))
        if not groups or filled + need > room:
            groups.append([])
            filled = 0
        groups[-1] += unit
        filled += need
    turn = {i: number for number, members in enumerate(groups) for i in members}
    early = {max(pair, key=turn.__getitem__) for pair in pairs if turn[pair[0]] != turn[pair[1]]}
    return Groups(tuple(tuple(sorted(members)) for members in groups), in_chunks(sorted(early), size, room))


def _components(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """The connected components of pairs that share responses, in the order of their first pairs."""
    components: list[tuple[set[int], list[Pair]]] = []
    for pair in pairs:
        touching = [c for c in components if not c[0].isdisjoint(pair)]
        first = touching[0] if touching else (set(), [])
        if not touching:
            components.append(first)
        for other in touching[1:]:
            first[0].update(other[0])
            first[1].extend(other[1])
            components.remove(other)
        first[0].update(pair)
        first[1].append(pair)
    return [linked for _, linked in components]


def _cover(pairs: Sequence[Pair]) -> list[int]:
    """A small vertex cover of pairs: the smallest of three.

    One takes the response that most of the remaining pairs have, again and again; the others are all chosen responses,
    and all rejected ones.
    """
    remaining = set(pairs)
    cover: list[int] = []
    while remaining:
        counts: dict[int, int] = {}
        for pair in remaining:
            for i in set(pair):
                counts[i] = counts.get(i, 0) + 1
        best = min(counts, key=lambda i: (-counts[i], i))
        cover.append(best)
        remaining = {pair for pair in remaining if best not in pair}
    sides = (sorted(set(side)) for side in zip(*pairs, strict=True))
    return min(cover, *sides, key=len)


def in_chunks(items: Sequence[int], size: Callable[[int], int], room: int) -> tuple[tuple[int, ...], ...]:
    """Items in order, in chunks of at least one item and at most ``room`` in size where one fits."""
    chunks: list[list[int]] = []
    filled = 0
    for item in items:
        if not chunks or filled + size(item) > room:
            chunks.append([])
            filled = 0
        chunks[-1].append(item)
        filled += size(item)
    return tuple(map(tuple, chunks))


@dataclass(frozen=True, slots=True)
class Prompt:
    """Results of a prompt's pass for its responses: keys and values by layer, and the last hidden state ``[1, D]``."""

    layers: dict[int, KeysValues]
    last: Tensor

    def tensors(self) -> list[Tensor]:
        """All tensors, in a fixed order."""
        return [self.last, *(tensor for layer in sorted(self.layers) for tensor in self.layers[layer])]

    def leaves(self) -> Prompt:
        """The same values, detached, so that they collect gradients of their own."""
        layers = {layer: (_leaf(key), _leaf(value)) for layer, (key, value) in self.layers.items()}
        return Prompt(layers, _leaf(self.last))

    def backward(self, leaves: Prompt, scale: Tensor, backward: Backward) -> None:
        """Send the gradients that the responses' backward passes left at ``leaves`` on through the prompt's pass.

        ``scale`` is the factor by which ``backward`` has scaled them.
        """
        both = zip(self.tensors(), leaves.tensors(), strict=True)
        pairs = [(tensor, leaf.grad) for tensor, leaf in both if tensor.requires_grad and leaf.grad is not None]
        if pairs:
            backward(_Carry.apply(scale, [grad for _, grad in pairs], *(tensor for tensor, _ in pairs)))


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_()


class _Carry(torch.autograd.Function):  # type: ignore[misc]
    """A loss of 0 with given gradients at some tensors; they contain the factor ``scale`` already."""

    @staticmethod
    def forward(ctx: Any, scale: Tensor, grads: list[Tensor], *tensors: Tensor) -> Tensor:
        ctx.scale, ctx.grads = scale, grads
        return torch.zeros_like(scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        factor = grad / ctx.scale
        return None, None, *(given * factor.to(given.dtype) for given in ctx.grads)


def run_groups(
    part: StepPart, groups: Groups, score: Score, loss_of: LossOf, backward: Backward
) -> tuple[Tensor, Tensor]:
    """Run forward and backward passes group by group.

    The loss of a pair is computed with the first of its responses. The score of the other one is known by then
    (``early``); the derivative of the loss by it is kept until that response has its own pass.

    Args:
        part: whose responses ``groups`` divides.
        score: gives the scores of some responses, in the graph.
        loss_of: from a part and its scores to the summed loss of its pairs.
        backward: runs a loss backward; it may scale it.

    Returns:
        The scores of ``part.used``, detached, and the factor by which ``backward`` scales a loss.
    """
    known: dict[int, Tensor] = {}
    owed: dict[int, Tensor] = {}
    waiting = list(zip(part.pairs, part.weights, strict=True))
    with torch.no_grad():
        for members in groups.early:
            known.update(zip(members, score(members), strict=True))
    for members in groups.members:
        scores = dict(zip(members, score(members), strict=True))
        turn = [entry for entry in waiting if scores.keys() & set(entry[0])]
        waiting = [entry for entry in waiting if not scores.keys() & set(entry[0])]
        loss = torch.stack([owed.get(i, 0) * value for i, value in scores.items()]).sum()
        later: dict[int, Tensor] = {}
        if turn:
            sub = StepPart(part.row, tuple(pair for pair, _ in turn), tuple(weight for _, weight in turn))
            later = {i: known[i].clone().requires_grad_() for i in sub.used if i not in scores}
            loss = loss + loss_of(sub, torch.stack([scores[i] if i in scores else later[i] for i in sub.used]))
        scale = _backward_scale(loss, backward)
        for i, leaf in later.items():
            if leaf.grad is not None:
                owed[i] = owed.get(i, 0) + leaf.grad / scale
        known.update((i, value.detach()) for i, value in scores.items())
        del scores, loss  # and with them the graph
    return torch.stack([known[i] for i in part.used]), scale


def _backward_scale(loss: Tensor, backward: Backward) -> Tensor:
    """Run a loss backward; returns the factor by which ``backward`` has scaled it."""
    unit = torch.ones((), dtype=loss.dtype, device=loss.device, requires_grad=True)
    backward(loss + (unit - unit.detach()))
    return torch.ones_like(unit) if unit.grad is None else unit.grad
