"""Tiled log-probabilities against torch.log_softmax: values, gradients, precision and memory."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmpr.train.shared_prefix import logprobs
from mmpr.train.shared_prefix.logprobs import token_logprobs

SHAPES = [(1, 3, 2), (7, 8, 5), (33, 16, 100), (40, 4, 257)]


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of 3 tokens and a few columns, so that small shapes have many, and ragged last ones."""
    monkeypatch.setattr(logprobs, "_MAX_TILE_TOKENS", 3)
    monkeypatch.setattr(logprobs, "SCRATCH_BYTES", 2000)


def problem(tokens, size, vocabulary, dtype=torch.float64, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden = (scale * torch.randn(tokens, size, generator=generator, dtype=torch.float64)).to(dtype)
    weight = torch.randn(vocabulary, size, generator=generator, dtype=torch.float64).to(dtype)
    bias = torch.randn(vocabulary, generator=generator, dtype=torch.float64).to(dtype)
    targets = torch.randint(0, vocabulary, (tokens,), generator=generator)
    return hidden, weight, targets, bias


def plain(hidden, weight, targets, bias=None):
    logits = hidden @ weight.T if bias is None else hidden @ weight.T + bias
    return logits.log_softmax(-1).gather(1, targets.unsqueeze(1)).squeeze(1)


def gradients(function, hidden, weight, targets, bias=None, upstream=None):
    inputs = [x.detach().clone().requires_grad_() for x in (hidden, weight, bias) if x is not None]
    result = function(inputs[0], inputs[1], targets, **({"bias": inputs[2]} if bias is not None else {}))
    result.backward(torch.linspace(-1, 2, len(targets), dtype=result.dtype) if upstream is None else upstream)
    return [result.detach(), *(x.grad for x in inputs)]


def relative(a, b):
    return ((a.double() - b.double()).abs().max() / b.double().abs().max()).item()


@pytest.mark.parametrize("tiles", ["whole", "small"])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-5)])
def test_values_and_gradients_equal_log_softmax(request, tiles, with_bias, shape, dtype, tolerance):
    if tiles == "small":
        request.getfixturevalue("small_tiles")
    hidden, weight, targets, bias = problem(*shape)
    bias = bias if with_bias else None
    expected = gradients(plain, hidden, weight, targets, bias)
    cast = [x if x is None else x.to(dtype) for x in (hidden, weight, bias)]
    got = gradients(token_logprobs, cast[0], cast[1], targets, cast[2])
    assert got[0].dtype == dtype
    for a, b in zip(got, expected, strict=True):
        assert relative(a, b) < tolerance


def test_many_full_size_tiles_equal_log_softmax():
    hidden, weight, targets, _ = problem(1100, 8, 20_000, torch.float32)
    for a, b in zip(
        gradients(token_logprobs, hidden, weight, targets), gradients(plain, hidden, weight, targets), strict=True
    ):
        assert relative(a, b) < 1e-5


@pytest.mark.parametrize("shape", [(4, 3, 7), (7, 2, 11)])
def test_gradcheck(small_tiles, shape):
    hidden, weight, targets, bias = problem(*shape)
    inputs = [x.requires_grad_() for x in (hidden, weight, bias)]
    assert torch.autograd.gradcheck(lambda h, w, b: token_logprobs(h, w, targets, bias=b), inputs)


def test_a_frozen_weight_or_hidden_state_gets_no_gradient():
    hidden, weight, targets, _ = problem(5, 4, 9)
    token_logprobs(hidden.requires_grad_(), weight, targets).sum().backward()
    assert weight.grad is None
    full = gradients(plain, hidden, weight, targets, upstream=torch.ones(5, dtype=torch.float64))
    assert relative(hidden.grad, full[1]) < 1e-13
    token_logprobs(hidden.detach(), weight.requires_grad_(), targets).sum().backward()
    assert relative(weight.grad, full[2]) < 1e-13


def test_large_logits_do_not_overflow(small_tiles):
    hidden, weight, targets, _ = problem(6, 8, 300, torch.float32, scale=1e4)
    got = gradients(token_logprobs, hidden, weight, targets)
    assert all(torch.isfinite(x).all() for x in got)
    assert relative(got[0], plain(hidden.double(), weight.double(), targets)) < 1e-6


@pytest.mark.parametrize("tiles", ["whole", "small"])
@pytest.mark.parametrize(
    "dtypes", [(torch.bfloat16, torch.bfloat16), (torch.float32, torch.bfloat16), (torch.bfloat16, torch.float32)]
)
def test_16_bit_inputs_are_summed_in_float32(request, tiles, dtypes):
    """Against float64 on the same rounded inputs: values as exact as float32, gradients as their own type allows."""
    if tiles == "small":
        request.getfixturevalue("small_tiles")
    hidden, weight, targets, _ = problem(20, 16, 150)
    hidden, weight = hidden.to(dtypes[0]), weight.to(dtypes[1])
    got = gradients(token_logprobs, hidden, weight, targets)
    expected = gradients(plain, hidden.double(), weight.double(), targets)
    assert got[0].dtype == torch.float32
    assert relative(got[0], expected[0]) < 2e-6
    for grad, exact, dtype in zip(got[1:], expected[1:], dtypes, strict=True):
        assert grad.dtype == dtype
        assert relative(grad, exact) < (1e-5 if dtype == torch.float32 else 1e-2)


def test_autocast_on_cpu_keeps_float32():
    hidden, weight, targets, _ = problem(20, 16, 150, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = gradients(token_logprobs, hidden, weight, targets)
    assert got[0].dtype == torch.float32
    assert relative(got[0], plain(hidden, weight, targets)) < 2e-6


@pytest.fixture
def mixed_products(monkeypatch):
    """Products of 16-bit numbers with 32-bit sums, which torch has on a GPU alone, on the CPU."""
    made = []

    def on_cpu(function):
        def product(*args, out_dtype=None, **kwargs):
            if out_dtype is not None:
                made.append(function)
                *total, left, right = args
                assert left.dtype == right.dtype == torch.bfloat16
                args = (*total, left.float(), right.float())
            return function(*args, **kwargs)

        return product

    for name in ("mm", "addmm"):
        monkeypatch.setattr(torch, name, on_cpu(getattr(torch, name)))
    monkeypatch.setattr(logprobs, "_MIXES_PRECISIONS", {"cpu"})
    return made


@pytest.mark.parametrize(
    ("dtypes", "autocast"),
    [
        ((torch.bfloat16, torch.bfloat16), False),
        ((torch.float32, torch.float32), True),  # parameters in float32, computed in 16 bits
        ((torch.bfloat16, torch.float32), True),
    ],
)
def test_a_gpu_multiplies_in_16_bits_and_adds_in_32(mixed_products, small_tiles, dtypes, autocast):
    """The way that a GPU takes, with its products made by the CPU."""
    hidden, weight, targets, _ = problem(20, 16, 150)
    hidden, weight = hidden.bfloat16().to(dtypes[0]), weight.bfloat16().to(dtypes[1])
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        got = gradients(token_logprobs, hidden, weight, targets)
    assert mixed_products
    expected = gradients(plain, hidden.double(), weight.double(), targets)
    assert got[0].dtype == torch.float32
    assert relative(got[0], expected[0]) < 2e-6  # the inputs are exact in 16 bits, and sums are made in 32
    for grad, exact, dtype in zip(got[1:], expected[1:], dtypes, strict=True):
        assert grad.dtype == dtype
        assert relative(grad, exact) < 1e-2  # the logits' gradient is rounded to 16 bits


def test_no_token_no_log_probability():
    hidden, weight, _, _ = problem(3, 4, 5)
    got = gradients(token_logprobs, hidden[:0], weight, torch.empty(0, dtype=torch.int64))
    assert got[0].shape == (0,)
    assert got[1].shape == (0, 4)
    assert not got[2].any()


@pytest.mark.parametrize("target", [-100, -1, 5])
def test_a_target_outside_the_vocabulary_is_refused(target):
    hidden, weight, _, _ = problem(1, 4, 5)
    with pytest.raises(IndexError, match="vocabulary of 5"):
        token_logprobs(hidden, weight, torch.tensor([target]))


class Allocations(TorchDispatchMode):
    """Counts the bytes of the storages that operations make while it is on, and how many live at a time at most."""

    def __init__(self):
        super().__init__()
        self.alive = self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        known = {x.untyped_storage().data_ptr() for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().data_ptr() not in known:
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage):
        size = storage.nbytes()
        self.alive += size
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._drop, size)

    def _drop(self, size):
        self.alive -= size


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("tokens", "size", "vocabulary"), [(300, 32, 50_000), (3000, 32, 5_000), (2000, 2048, 500), (40, 8, 400_000)]
)
def test_scratch_is_bounded_whatever_the_shape(tokens, size, vocabulary, dtype):
    hidden, weight, targets, _ = problem(tokens, size, vocabulary, dtype)
    hidden.requires_grad_(), weight.requires_grad_()
    with Allocations() as forward:
        result = token_logprobs(hidden, weight, targets)
    upstream = torch.ones_like(result)
    with Allocations() as backward:
        result.backward(upstream)
    grads = hidden.grad.nbytes + weight.grad.nbytes
    if dtype == torch.bfloat16:
        grads += 4 * weight.numel()  # the matrix's gradient is summed in float32
    assert forward.peak < 16e6
    assert backward.peak - grads < 16e6


def test_the_gradient_of_a_16_bit_matrix_is_rounded_once(monkeypatch):
    """However many tiles add to it: no entry is further from the exact sum than one rounding."""
    monkeypatch.setattr(logprobs, "_MAX_TILE_TOKENS", 2)
    hidden, weight, targets, bias = (x if x.dtype == torch.int64 else x.bfloat16() for x in problem(600, 4, 9))
    got = gradients(token_logprobs, hidden, weight, targets, bias)
    exact = gradients(token_logprobs, hidden.double(), weight.double(), targets, bias.double())
    for mine, wanted in zip(got[2:], exact[2:], strict=True):
        assert mine.dtype == torch.bfloat16
        assert ((mine.double() - wanted).abs() <= 2**-8 * wanted.abs() + 1e-4).all()


def test_a_gpu_has_few_and_large_tiles():
    """152,000 entries and 16,384 tokens of 3,584: a few dozen tiles, each within the memory that is said."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        hidden = torch.empty(16384, 3584, dtype=torch.bfloat16, device="cuda")
        weight = torch.empty(152_000, 3584, dtype=torch.bfloat16, device="cuda")
        tiles = logprobs._Tiles.of(hidden, weight)
        on_cpu = logprobs._Tiles.of(hidden.to("cpu"), weight.to("cpu"))
    assert 20 <= len(list(tiles.rows())) * len(list(tiles.columns())) <= 60
    assert tiles.height * tiles.width * 6 <= logprobs.GPU_SCRATCH_BYTES  # float32, and a copy in bfloat16
    assert len(list(on_cpu.rows())) * len(list(on_cpu.columns())) > 1000
