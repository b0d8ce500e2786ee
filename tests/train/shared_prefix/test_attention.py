"""Attention by blocks: against one mask over the whole row, and the guards."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from mmpr.errors import MmprError
from mmpr.train.shared_prefix import attention
from mmpr.train.shared_prefix.attention import Block, Layout, attend, check_used

pytestmark = pytest.mark.slow

# [prompt of 4][3][1][prompt of 2][2]
BLOCKS = (Block(0, 4), Block(4, 7, 0, 4), Block(7, 8, 0, 4), Block(8, 10), Block(10, 12, 8, 10))
ALLOWED = torch.tensor(
    [
        [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1],
    ],
    dtype=torch.bool,
)
LAYER: Any = SimpleNamespace(layer_idx=1)


def inputs(tokens: int = 12) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(1, heads, tokens, 8, generator=generator, dtype=torch.float64).requires_grad_()
        for heads in (4, 2, 2)
    ]


def dense(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    weights = (query @ key.repeat_interleave(2, 1).mT * scale).masked_fill(~ALLOWED, -torch.inf).softmax(-1)
    return (weights @ value.repeat_interleave(2, 1)).transpose(1, 2)


def plain_varlen(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_bounds: Tensor,
    key_bounds: Tensor,
    longest_query: int,
    longest_key: int,
    *,
    scale: float,
    window_size: tuple[int, int],
    enable_gqa: bool,
) -> Tensor:
    """What the documentation of torch's ``varlen_attn`` says, written out; its causal mask ends where both end."""
    assert window_size == (-1, 0)
    assert enable_gqa
    assert query_bounds.dtype == key_bounds.dtype == torch.int32
    results = []
    for i in range(len(query_bounds) - 1):
        q = query[query_bounds[i] : query_bounds[i + 1]]
        k, v = (t[key_bounds[i] : key_bounds[i + 1]].repeat_interleave(2, 1) for t in (key, value))
        assert len(q) <= longest_query
        assert len(k) <= longest_key
        mask = torch.ones(len(q), len(k), dtype=torch.bool).tril(len(k) - len(q))
        weights = (torch.einsum("qhd,khd->hqk", q, k) * scale).masked_fill(~mask, -torch.inf).softmax(-1)
        results.append(torch.einsum("hqk,khd->qhd", weights, v))
    return torch.cat(results)


def older_varlen(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_bounds: Tensor,
    key_bounds: Tensor,
    longest_query: int,
    longest_key: int,
    *,
    scale: float,
    window_size: tuple[int, int],
) -> Tensor:
    """The function of torch 2.11: as many heads of keys as of queries, and no ``enable_gqa``."""
    assert key.shape[1] == value.shape[1] == query.shape[1]
    key, value = key[:, ::2], value[:, ::2]  # what is written above repeats them
    bounds = (query_bounds, key_bounds, longest_query, longest_key)
    return plain_varlen(query, key, value, *bounds, scale=scale, window_size=window_size, enable_gqa=True)


@pytest.fixture
def varlen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], None]]:
    """A function that takes another one for torch's ``varlen_attn``."""

    def take(function: Any) -> None:
        monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", function)
        attention._varlen_parameters.cache_clear()

    yield take
    attention._varlen_parameters.cache_clear()


@pytest.fixture(params=["block by block", "all at once", "all at once, torch 2.11"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, varlen: Callable[[Any], None]) -> None:
    if request.param != "block by block":  # the GPU's way, but for its kernel
        varlen(older_varlen if "2.11" in request.param else plain_varlen)
        monkeypatch.setattr(attention, "is_fused", lambda query: True)


def test_a_torch_without_the_kernel_is_named(varlen: Callable[[Any], None]) -> None:
    for enough in (plain_varlen, older_varlen):
        varlen(enough)
        attention.check_kernel()
    varlen(lambda query, key, value, is_causal: query)  # torch 2.10
    with pytest.raises(
        MmprError, match=r"torch 2\..* does not take scale and window_size; install torch 2\.11 or newer"
    ):
        attention.check_kernel()


@pytest.mark.parametrize("budget", [1000, 8], ids=["packs", "remembered prompts"])
def test_autocast_takes_the_fused_kernel_in_every_family(
    monkeypatch: pytest.MonkeyPatch, varlen: Callable[[Any], None], budget: int
) -> None:
    """As on a GPU, where queries, keys and values of one 16-bit type are fused and nothing else is."""
    from mmpr.train.shared_prefix.compute import Compute
    from tests.train.models import MODELS, loss_of, make, parts_of

    def in_bfloat16(query: Tensor, key: Tensor, value: Tensor, *args: Any, **settings: Any) -> Tensor:
        assert query.dtype == key.dtype == value.dtype == torch.bfloat16
        calls.append(name)
        return plain_varlen(query, key, value, *args, **{"scale": query.shape[2] ** -0.5, **settings})

    def not_fused(*_: Any) -> Tensor:
        raise AssertionError(f"{name}: attended block by block")

    in_bfloat16.__signature__ = inspect.signature(plain_varlen)  # type: ignore[attr-defined]
    varlen(in_bfloat16)
    monkeypatch.setattr(attention, "is_fused", lambda query: query.dtype == torch.bfloat16)
    monkeypatch.setattr(attention, "block_by_block", not_fused)
    calls: list[str] = []
    for name in MODELS:
        model = make(name)
        with torch.autocast("cpu", torch.bfloat16):
            Compute(model, max_pack_tokens=budget).backward(parts_of(name), loss_of)
        assert name in calls


def check(found: Tensor, tensors: list[Tensor], wanted: Tensor, originals: list[Tensor]) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    weights = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for one, other in zip(
        torch.autograd.grad((found * weights).sum(), tensors),
        torch.autograd.grad((wanted * weights).sum(), originals),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("kernel")
def test_blocks_are_what_a_mask_over_the_row_would_be() -> None:
    q, k, v = inputs()
    layout = Layout(BLOCKS)
    found, weights = attend(LAYER, q, k, v, None, scaling=0.3, prompt_layout=layout)
    assert weights is None
    check(found, [q, k, v], dense(q, k, v, 0.3), [q, k, v])
    assert layout.layers == {1}


@pytest.mark.usefixtures("kernel")
def test_a_prompt_may_come_from_an_earlier_pass() -> None:
    q, k, v = inputs()
    kept: dict[int, tuple[Tensor, Tensor]] = {}
    prompt, _ = attend(
        LAYER, q[:, :, :4], k[:, :, :4], v[:, :, :4], None, scaling=0.3, prompt_layout=Layout((Block(0, 4),), kept=kept)
    )
    answers, _ = attend(
        LAYER,
        q[:, :, 4:8],
        k[:, :, 4:8],
        v[:, :, 4:8],
        None,
        scaling=0.3,
        prompt_layout=Layout((Block(0, 3), Block(3, 4)), remembered=kept),
    )
    check(torch.cat([prompt, answers], 1), [q, k, v], dense(q, k, v, 0.3)[:, :8], [q, k, v])


def test_what_is_kept_is_of_the_first_pass() -> None:
    q, k, v = inputs(4)
    kept: dict[int, tuple[Tensor, Tensor]] = {}
    layout = Layout((Block(0, 4),), kept=kept)
    attend(LAYER, q, k, v, None, prompt_layout=layout)
    attend(LAYER, q, k * 2, v * 2, None, prompt_layout=layout)  # a checkpoint computes the layer anew
    assert kept[1][0] is k
    assert kept[1][1] is v


def test_wrappers_hand_the_layout_on_itself() -> None:
    from torch.distributed.utils import _apply_to_tensors  # what FSDP2 does to a layer's arguments

    layout = Layout(BLOCKS, kept={})
    assert _apply_to_tensors(lambda tensor: tensor, {"prompt_layout": layout})["prompt_layout"] is layout


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"sliding_window": 4}, "sliding_window"),
        ({"softcap": 30.0}, "softcap"),
        ({"s_aux": torch.zeros(4)}, "s_aux"),
        ({"dropout": 0.1}, "dropout"),
        ({"attention_mask": torch.ones(1, 1, 12, 12)}, "attention_mask"),
        ({"prompt_layout": None}, "without blocks"),
    ],
)
def test_what_blocks_do_not_do_is_refused(asked: dict[str, Any], named: str) -> None:
    settings: dict[str, Any] = {"attention_mask": None, "prompt_layout": Layout(BLOCKS), "sliding_window": None}
    with pytest.raises(MmprError, match=f"{named}.*sharing=off"):
        attend(LAYER, *inputs(), **(settings | asked))


def test_other_attention_is_refused() -> None:
    decoder = SimpleNamespace(config=SimpleNamespace(num_hidden_layers=2, _attn_implementation="flash_attention_2"))
    layout = Layout(BLOCKS)
    query, key, value = inputs()
    attend(LAYER, query, key, value, None, prompt_layout=layout)
    with pytest.raises(MmprError, match=r"1 of 2 layers.*'flash_attention_2'.*drop them silently.*sharing=off"):
        check_used(layout, decoder)
    layout.layers.add(0)
    check_used(layout, decoder)


def test_a_model_that_goes_around_the_interface_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import nullcontext

    from mmpr.train.shared_prefix import compute
    from tests.train.models import loss_of, make, parts_of

    monkeypatch.setattr(compute, "blocks_in", lambda _: nullcontext())
    with pytest.raises(MmprError, match=r"0 of 3 layers.*'sdpa'"):
        compute.Compute(make("llama")).backward(parts_of("llama"), loss_of)


def test_dense_oracle_knows_scaled_dot_product_attention() -> None:
    q, k, v = inputs()
    known = F.scaled_dot_product_attention(q, k, v, attn_mask=ALLOWED, scale=0.3, enable_gqa=True)
    torch.testing.assert_close(dense(q, k, v, 0.3), known.transpose(1, 2))
