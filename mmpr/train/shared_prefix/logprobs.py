"""Log-probabilities of given tokens from hidden states, without the logits of a whole vocabulary for every token.

    log p(t) = z_t - log Σ_v exp(z_v),   z = W·h (+ b)

The logits are computed in tiles (some tokens × some of the vocabulary); each is added to a running log-sum-exp and
freed, and computed again in backward. Beside inputs, results and one number a token this takes about `SCRATCH_BYTES`
(`GPU_SCRATCH_BYTES`), independent of the number of tokens, the vocabulary and the hidden size. The gradient of a 16-bit
matrix is summed in float32, of which there is one copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SCRATCH_BYTES = 12 * 2**20
"""Memory of a tile of logits and of the casts that it needs; vectors of one number a token come on top."""

GPU_SCRATCH_BYTES = 512 * 2**20
"""The same on a GPU, where a tile is a dozen kernels and small ones leave it idle."""

_MAX_TILE_TOKENS, _GPU_TILE_TOKENS = 512, 2048
_MIXES_PRECISIONS = frozenset({"cuda"})  # devices that multiply 16-bit numbers into 32-bit sums


def token_logprobs(hidden: Tensor, weight: Tensor, targets: Tensor, *, bias: Tensor | None = None) -> Tensor:
    """The log-probability of each target token.

    Args:
        hidden: ``[T, D]``, the hidden state from which each target is predicted.
        weight: ``[V, D]``, the output matrix; it may be frozen.
        targets: int64 ``[T]``, in ``0 .. V-1``.
        bias: ``[V]``, where the output layer has one.

    Returns:
        float32 ``[T]`` (float64 for float64 inputs), differentiable once. Sums have that precision; 16-bit inputs, and
        all inputs under autocast, are multiplied in 16 bits on a GPU only.

    Raises:
        IndexError: a target lies outside the vocabulary.
    """
    if targets.numel() and (int(targets.min()) < 0 or int(targets.max()) >= len(weight)):
        raise IndexError(f"a target token lies outside the vocabulary of {len(weight)} entries")
    result: Tensor = _TokenLogprobs.apply(hidden, weight, targets, bias)
    return result


class _TokenLogprobs(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None) -> Tensor:
        tiles = _Tiles.of(hidden, weight)
        log_sums = hidden.new_empty(len(hidden), dtype=tiles.sums)
        picked = torch.zeros_like(log_sums)
        with torch.autocast(hidden.device.type, enabled=False):
            for rows in tiles.rows():
                _forward_rows(tiles, hidden[rows], weight, bias, targets[rows], (log_sums[rows], picked[rows]))
        ctx.save_for_backward(hidden, weight, targets, bias, log_sums)
        ctx.tiles = tiles
        return picked.sub_(log_sums)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, Tensor | None]:
        hidden, weight, _, bias, _ = ctx.saved_tensors
        to_hidden, to_weight, _, to_bias = ctx.needs_input_grad
        sums = ctx.tiles.sums
        grads = (
            torch.zeros_like(hidden) if to_hidden else None,
            torch.zeros_like(weight, dtype=sums) if to_weight else None,
            torch.zeros_like(bias, dtype=sums) if bias is not None and to_bias else None,
        )
        with torch.autocast(hidden.device.type, enabled=False):
            for rows in ctx.tiles.rows():
                _backward_rows(ctx.tiles, rows, ctx.saved_tensors, grad[rows], grads)
        return grads[0], _as(grads[1], weight), None, _as(grads[2], bias)


def _as(grad: Tensor | None, like: Tensor | None) -> Tensor | None:
    return grad if grad is None or like is None else grad.to(like.dtype)


def _forward_rows(
    tiles: _Tiles, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, results: tuple[Tensor, Tensor]
) -> None:
    """For the tokens of one row of tiles, write log Σ_v exp(z_v) to the first result and add z_t to the second."""
    log_sums, picked = results
    hidden = hidden.to(tiles.operand)
    highest = torch.full_like(log_sums, -torch.inf)
    total = torch.zeros_like(log_sums)
    for columns in tiles.columns():
        z = tiles.logits(hidden, weight, bias, columns)
        place, inside = _places(targets, columns)
        picked += torch.where(inside, z.gather(1, place).squeeze(1), 0)
        higher = torch.maximum(highest, z.amax(1))
        total = total * (highest - higher).exp_() + z.sub_(higher.unsqueeze(1)).exp_().sum(1)
        highest = higher
        del z  # before the next tile is made
    torch.add(highest, total.log_(), out=log_sums)


def _backward_rows(
    tiles: _Tiles,
    rows: slice,
    saved: tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor],
    grad: Tensor,
    grads: tuple[Tensor | None, Tensor | None, Tensor | None],
) -> None:
    """For the tokens of one row of tiles, add to the gradients of hidden states, matrix and bias, where wanted.

    dL/dz = grad·(1[target] - softmax(z)), with ``grad`` of these tokens' log-probabilities.
    """
    all_hidden, weight, targets, bias, log_sums = saved
    grad_hidden, grad_weight, grad_bias = (None if grads[0] is None else grads[0][rows]), grads[1], grads[2]
    hidden = all_hidden[rows].to(tiles.operand)
    exact = None if grad_hidden is None else grad_hidden.to(tiles.sums)  # the gradient itself where types agree
    for columns in tiles.columns():
        z = tiles.logits(hidden, weight, bias, columns)
        z.sub_(log_sums[rows].unsqueeze(1)).exp_().mul_(-grad.unsqueeze(1))
        place, inside = _places(targets[rows], columns)
        z.scatter_add_(1, place, torch.where(inside, grad, 0).unsqueeze(1))
        if grad_bias is not None:
            grad_bias[columns] += z.sum(0)
        z = z.to(tiles.operand)
        if exact is not None:
            _add_product(exact, z, weight[columns].to(tiles.operand))
        if grad_weight is not None:
            _add_product(grad_weight[columns], z.T, hidden)
        del z  # before the next tile is made
    if grad_hidden is not None and exact is not grad_hidden:
        grad_hidden.copy_(exact)


@dataclass(frozen=True, slots=True)
class _Tiles:
    """The tiles of the product of ``[T, D]`` with ``[V, D]``, ``height`` tokens × ``width`` entries of the vocabulary.

    ``operand`` is the type of the factors, ``sums`` that of the sums.
    """

    tokens: int
    vocabulary: int
    height: int
    width: int
    operand: torch.dtype
    sums: torch.dtype

    @classmethod
    def of(cls, hidden: Tensor, weight: Tensor) -> _Tiles:
        device = hidden.device.type
        operand = torch.promote_types(hidden.dtype, weight.dtype)
        if torch.is_autocast_enabled(device) and operand != torch.float64:
            operand = torch.get_autocast_dtype(device)
        sums = torch.promote_types(operand, torch.float32)
        if device not in _MIXES_PRECISIONS:
            operand = sums
        (tokens, size), vocabulary = hidden.shape, len(weight)
        # Bytes of a tile for each token, column and cell: copies in another type, the gradient of a hidden state before
        # it is rounded, logits.
        token = size * (operand.itemsize * (hidden.dtype != operand) + sums.itemsize * (hidden.dtype != sums))
        column = size * operand.itemsize * (weight.dtype != operand)
        cell = sums.itemsize + operand.itemsize * (operand != sums)
        on_gpu = device == "cuda"
        most, scratch = (_GPU_TILE_TOKENS, GPU_SCRATCH_BYTES) if on_gpu else (_MAX_TILE_TOKENS, SCRATCH_BYTES)
        height = max(1, min(tokens, most, scratch // 2 // max(1, token)))
        width = max(1, min(vocabulary, (scratch - height * token) // (column + height * cell)))
        return cls(tokens, vocabulary, height, width, operand, sums)

    def rows(self) -> Iterator[slice]:
        return (slice(i, min(i + self.height, self.tokens)) for i in range(0, self.tokens, self.height))

    def columns(self) -> Iterator[slice]:
        return (slice(i, min(i + self.width, self.vocabulary)) for i in range(0, self.vocabulary, self.width))

    def logits(self, hidden: Tensor, weight: Tensor, bias: Tensor | None, columns: slice) -> Tensor:
        """The logits of one tile, in the type of sums."""
        w = weight[columns].to(self.operand).T
        z = torch.mm(hidden, w) if self.operand == self.sums else torch.mm(hidden, w, out_dtype=self.sums)
        return z if bias is None else z.add_(bias[columns])


def _places(targets: Tensor, columns: slice) -> tuple[Tensor, Tensor]:
    """The column of each target in a tile, ``[t, 1]``, and whether the target lies in the tile, ``[t]``."""
    place = targets - columns.start
    inside = (place >= 0) & (place < columns.stop - columns.start)
    return torch.where(inside, place, 0).unsqueeze(1), inside


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """``total += left @ right`` in place, without the product beside it where the types allow."""
    if left.dtype == total.dtype:
        torch.addmm(total, left, right, out=total)
    elif total.dtype == torch.float32:
        torch.addmm(total, left, right, out_dtype=torch.float32, out=total)
    else:
        total += torch.mm(left, right)
