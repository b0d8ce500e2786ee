"""Attention for a prompt that several responses share, through transformers' public ``AttentionInterface``.

    one pass    [prompt][y1]…[yn][next prompt][y1]…     a prompt sees itself; each response sees its prompt and itself
    two passes  [prompt], whose keys are kept;  then [y1]…[yk] on top of them, as often as needed

A row is a list of blocks, and there is no mask over the whole row. The blocks reach the attention as a keyword of the
model's ``forward``, so that they are there again when a checkpointed layer is recomputed.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from transformers import AttentionInterface

from mmpr.errors import MmprError
from mmpr.train.private_names import attention_of, restore_attention

NAME = "mmpr_shared_prompt"
OLDEST_TORCH = "2.11"
"""The first one whose fused attention takes a scale and a window; from 2.12 on it groups heads by itself."""
KEYWORD = "prompt_layout"

KeysValues = tuple[Tensor, Tensor]
"""A layer's keys and values, ``[1, heads, tokens, size]`` each."""


@dataclass(frozen=True, slots=True)
class Block:
    """Tokens ``start`` to ``stop`` of a row; each sees the earlier ones and the prompt ``prompt_start:prompt_stop``.

    The block of a prompt has no prompt before it: both are 0.
    """

    start: int
    stop: int
    prompt_start: int = 0
    prompt_stop: int = 0


class Layout:
    """The blocks of a row, and keys and values that go from one pass to another.

    This is no dataclass: wrappers that cast or move a layer's inputs (FSDP2) copy those, and what a layer stores in
    ``kept`` would be lost.

    Attributes:
        blocks: they cover the row, in order.
        remembered: by layer, keys and values of a prompt of an earlier pass; every block sees them.
        kept: by layer, keys and values of this pass, for a later one; None where they are not needed.
        layers: the layers that have attended with this layout.
    """

    def __init__(
        self,
        blocks: tuple[Block, ...],
        *,
        remembered: dict[int, KeysValues] | None = None,
        kept: dict[int, KeysValues] | None = None,
    ) -> None:
        self.blocks = blocks
        self.remembered = remembered
        self.kept = kept
        self.layers: set[int] = set()
        self._masks: dict[tuple[int, int], Tensor] = {}
        self._gathers: Gather | None = None

    def mask(self, queries: int, keys: int, device: torch.device) -> Tensor:
        """Bool ``[queries, keys]``: the last query sees all keys, the one before it all but the last, and so on."""
        if (queries, keys) not in self._masks:
            whole = torch.ones(queries, keys, dtype=torch.bool, device=device)
            self._masks[queries, keys] = whole.tril(keys - queries)
        return self._masks[queries, keys]

    def gather(self, remembered: int, device: torch.device) -> Gather:
        """`Gather` for this layout, made once."""
        if self._gathers is None:
            self._gathers = Gather.of(self.blocks, remembered, device)
        return self._gathers


@dataclass(frozen=True, slots=True)
class Gather:
    """A layout for kernels that take sequences of different lengths, one after the other.

    ``index`` says where the keys of each block lie in (remembered keys, keys of the row); the bounds say where the
    queries and the keys of each block begin and end.
    """

    index: Tensor
    query_bounds: Tensor
    key_bounds: Tensor
    longest_query: int
    longest_key: int

    @classmethod
    def of(cls, blocks: tuple[Block, ...], remembered: int, device: torch.device) -> Gather:
        """For blocks of a row that come after ``remembered`` tokens of an earlier pass."""
        spans = []
        for block in blocks:
            own = torch.arange(block.start, block.stop) + remembered
            before = torch.arange(remembered) if remembered else torch.arange(block.prompt_start, block.prompt_stop)
            spans.append(torch.cat([before, own]))
        queries = torch.tensor([0, *(block.stop - block.start for block in blocks)])
        keys = torch.tensor([0, *(len(span) for span in spans)])
        return cls(
            torch.cat(spans).to(device),
            queries.cumsum(0).to(device, torch.int32),
            keys.cumsum(0).to(device, torch.int32),
            int(queries.max()),
            int(keys.max()),
        )


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    prompt_layout: Layout | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attend by blocks; transformers calls this in each layer of the decoder.

    Args:
        module: the layer's attention, with its ``layer_idx``.
        query: ``[1, heads, tokens, size]``; ``key`` and ``value`` alike, with as many or fewer heads.
        attention_mask: None; the blocks replace it.
        prompt_layout: the blocks.

    Returns:
        ``[1, tokens, heads, size]``, and None for the weights.

    Raises:
        MmprError: the model asks for what is not implemented here (a window, a cap, sinks, dropout).
    """
    asked = [name for name in ("sliding_window", "softcap", "s_aux", "position_bias") if others.get(name) is not None]
    asked += ["dropout"] * bool(dropout) + ["attention_mask"] * (attention_mask is not None)
    if asked or prompt_layout is None:
        wants = ", ".join(asked) or "a pass without blocks"
        raise MmprError(f"a prompt cannot be shared with {wants} in attention; set compute.sharing=off")
    layer: Any = module.layer_idx
    prompt_layout.layers.add(layer)
    # Under autocast rotary positions leave queries and keys in float32, while values have the type that the layer
    # computes in; the fused kernel takes one 16-bit type for all three.
    query, key = query.to(value.dtype), key.to(value.dtype)
    # A checkpointed layer is computed twice; the later passes use the keys of the first computation and its graph.
    if prompt_layout.kept is not None and layer not in prompt_layout.kept:
        prompt_layout.kept[layer] = (key, value)
    remembered = None if prompt_layout.remembered is None else prompt_layout.remembered[layer]
    run = _all_at_once if is_fused(query) else _block_by_block
    return run(query, key, value, remembered, prompt_layout, scaling), None


def is_fused(query: Tensor) -> bool:
    """Whether all blocks are attended to by one call of the fused kernel, which is on GPUs and in 16 bits alone."""
    return query.device.type == "cuda" and query.dtype in (torch.float16, torch.bfloat16)


def check_kernel() -> None:
    """Check that this torch has the fused kernel with all that is asked of it.

    Raises:
        MmprError: it has not; the text names the version.
    """
    missing = [name for name in ("scale", "window_size") if name not in _varlen_parameters()]
    if missing:
        raise MmprError(
            f"torch {torch.__version__}: its variable-length attention does not take {' and '.join(missing)}; install "
            f"torch {OLDEST_TORCH} or newer, or set compute.sharing=off"
        )


@functools.cache
def _varlen_parameters() -> frozenset[str]:
    """The parameters of torch's ``varlen_attn``; none where torch has no such function."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return frozenset()
    return frozenset(inspect.signature(varlen_attn).parameters)


def _block_by_block(
    query: Tensor, key: Tensor, value: Tensor, remembered: KeysValues | None, layout: Layout, scaling: float | None
) -> Tensor:
    shared_heads = key.shape[1] < query.shape[1]
    results = []
    for block in layout.blocks:
        keys, values = key[:, :, block.start : block.stop], value[:, :, block.start : block.stop]
        before = remembered if remembered is not None else (_prompt_of(key, block), _prompt_of(value, block))
        mask = None
        if before[0].shape[2]:
            keys, values = torch.cat([before[0], keys], 2), torch.cat([before[1], values], 2)
            mask = layout.mask(block.stop - block.start, keys.shape[2], query.device)
        results.append(
            F.scaled_dot_product_attention(
                query[:, :, block.start : block.stop],
                keys,
                values,
                attn_mask=mask,
                is_causal=mask is None,
                scale=scaling,
                enable_gqa=shared_heads,
            )
        )
    return torch.cat(results, 2).transpose(1, 2)


def _prompt_of(tensor: Tensor, block: Block) -> Tensor:
    return tensor[:, :, block.prompt_start : block.prompt_stop]


def _all_at_once(
    query: Tensor, key: Tensor, value: Tensor, remembered: KeysValues | None, layout: Layout, scaling: float | None
) -> Tensor:
    """Flash attention over sequences of different lengths; the last query of each sees all of its keys."""
    from torch.nn.attention.varlen import varlen_attn

    if remembered is not None:
        key, value = torch.cat([remembered[0], key], 2), torch.cat([remembered[1], value], 2)
    gather = layout.gather(0 if remembered is None else remembered[0].shape[2], query.device)
    grouped = {"enable_gqa": key.shape[1] < query.shape[1]}
    if "enable_gqa" not in _varlen_parameters():  # torch 2.11: each head of keys once for each head of queries
        heads = query.shape[1] // key.shape[1]
        key, value = (tensor.repeat_interleave(heads, 1) for tensor in (key, value))
        grouped = {}
    result = varlen_attn(
        query[0].transpose(0, 1),
        key[0].index_select(1, gather.index).transpose(0, 1),
        value[0].index_select(1, gather.index).transpose(0, 1),
        gather.query_bounds,
        gather.key_bounds,
        gather.longest_query,
        gather.longest_key,
        scale=scaling,
        window_size=(-1, 0),
        **grouped,
    )
    assert isinstance(result, Tensor)
    return result[None]


# There is no entry in the AttentionMaskInterface, so transformers makes no mask.
AttentionInterface.register(NAME, attend)


@contextlib.contextmanager
def blocks_in(decoder: Any) -> Iterator[None]:
    """A context in which a decoder (``PreTrainedModel``) attends by blocks; backward passes belong inside it too."""
    before = attention_of(decoder)
    decoder.set_attn_implementation(NAME)
    try:
        yield
    finally:
        restore_attention(decoder, before)


def check_used(layout: Layout, decoder: Any) -> None:
    """Check that every layer of a pass has attended by blocks.

    Raises:
        MmprError: one has not; its attention (such as stock flash attention) would have ignored the prompt silently.
    """
    layers = int(decoder.config.num_hidden_layers)
    if layout.layers != set(range(layers)):
        raise MmprError(
            f"{len(layout.layers)} of {layers} layers attended by blocks; the others ran "
            f"{attention_of(decoder)!r}, which does not know shared prompts and would drop them "
            "silently; set compute.sharing=off"
        )
