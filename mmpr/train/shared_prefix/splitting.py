"""A question's answers in groups, each with a backward pass of its own, and the exact gradient of them all.

plan_groups   which answers go together
run_groups    forward and backward group by group, though pairs may link answers of different groups
Prompt        what lies between the prompt's pass and the answers' passes
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
"""From positions of responses to their summed log-probabilities."""


@dataclass(frozen=True, slots=True)
class Groups:
    """A big row's responses, in passes.

    Attributes:
        members: the responses of each pass; each response is in one.
        early: those whose log-probability an earlier pass needs (the two are a pair), in passes too.
    """

    members: tuple[tuple[int, ...], ...]
    early: tuple[tuple[int, ...], ...]


def plan_groups(pairs: Sequence[Pair], size: Callable[[int], int], room: int) -> Groups:
    """Divide the responses of ``pairs`` into passes of at most ``room`` tokens.

    Responses that pairs link stay together where they fit, and a pair that stands alone always does. What is linked
    and does not fit is cut: first responses of which no two are a pair, at last those that all pairs have a side in
    (a small vertex cover). So few are needed before their turn; those alone are computed once more, without gradient.
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
    """Pairs that share responses, directly or by way of others, in the order of their first pair."""
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
    """Few responses of which each pair has at least one: always the one that most of the remaining pairs have."""
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
    return cover


def in_chunks(items: Sequence[int], size: Callable[[int], int], room: int) -> tuple[tuple[int, ...], ...]:
    """Items in order, as many at a time as fit ``room`` (at least one)."""
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
    """What a prompt's pass leaves for its answers: keys and values by layer, and its last hidden state ``[1, D]``."""

    layers: dict[int, KeysValues]
    last: Tensor

    def tensors(self) -> list[Tensor]:
        """All of it, in a fixed order."""
        return [self.last, *(tensor for layer in sorted(self.layers) for tensor in self.layers[layer])]

    def leaves(self) -> Prompt:
        """The same cut from the graph, gathering gradients of its own."""
        layers = {layer: (_leaf(key), _leaf(value)) for layer, (key, value) in self.layers.items()}
        return Prompt(layers, _leaf(self.last))

    def backward(self, leaves: Prompt, scale: Tensor, backward: Backward) -> None:
        """Carry on what the answers' backward passes left at ``leaves``, through the prompt and its pictures."""
        both = zip(self.tensors(), leaves.tensors(), strict=True)
        pairs = [(tensor, leaf.grad) for tensor, leaf in both if tensor.requires_grad and leaf.grad is not None]
        if pairs:
            backward(_Carry.apply(scale, [grad for _, grad in pairs], *(tensor for tensor, _ in pairs)))


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_()


class _Carry(torch.autograd.Function):  # type: ignore[misc]
    """A loss of 0 whose gradient at some tensors is given; given ones were scaled by ``scale`` already."""

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
    """Forward and backward group by group; returns the scores, and by how much ``backward`` scales a loss.

    A pair's loss is asked for when the first of its sides has its turn. The other side's score is known by then
    (``early``), and the loss's derivative there is owed until that side has its own turn.

    Args:
        part: whose responses ``groups`` divides.
        score: makes the summed log-probabilities of some responses, in the graph.
        loss_of: from a part and its scores to a sum over the part's pairs.
        backward: runs a loss backward, scaled perhaps.
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
    """Run a loss backward, and find by how much ``backward`` scales it."""
    unit = torch.ones((), dtype=loss.dtype, device=loss.device, requires_grad=True)
    backward(loss + (unit - unit.detach()))
    return torch.ones_like(unit) if unit.grad is None else unit.grad
