"""What is checked. Each check returns figures, and raises AssertionError where something is wrong."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from mmpr.train.check_gpu.shapes import Size, make_model, make_part
from mmpr.train.rows import StepPart
from mmpr.train.shared_prefix import attention, logprobs
from mmpr.train.shared_prefix.attention import Block, KeysValues, Layout
from mmpr.train.shared_prefix.compute import Compute

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Machine:
    """The device, and the sizes of models that are checked on it."""

    device: torch.device
    small: Size
    middle: Size
    large: Size
    pairs: tuple[int, ...] = (1, 4, 15)
    peak_flops: float = 989e12

    @property
    def half(self) -> torch.dtype:
        """The precision in which attention is fused."""
        return torch.bfloat16


def check_attention(machine: Machine) -> Figures:
    """By blocks as this device runs it, block by block, and with one dense mask: the same, forward and backward."""
    found: Figures = {}
    for responses in (1, 4, 30):
        for remembered in (False, True):
            wanted = _dense(machine, responses)
            for path, run in (("as run", attention.attend), ("block by block", _one_by_one)):
                got = _by_blocks(machine, responses, remembered, run)
                for name, one, other in zip(("out", "query", "key", "value"), got, wanted, strict=True):
                    error = float((one.float() - other).norm() / other.norm())
                    assert error < 0.03, f"{path}, {responses} responses, {remembered=}: {name} differs by {error:.3g}"
                    found["worst"] = max(found.get("worst", 0.0), error)
    query = torch.zeros(1, 4, 1, 64, device=machine.device, dtype=machine.half)
    return {**found, "fused": attention.is_fused(query)}


_PROMPT, _ANSWER = 48, 16


def _inputs(machine: Machine, responses: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(responses)
    tokens = _PROMPT + responses * _ANSWER
    made = [torch.randn(1, heads, tokens, 64, generator=generator) for heads in (8, 2, 2)]
    return [each.to(machine.half).to(machine.device).requires_grad_() for each in made]


def _gradients(result: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    weights = torch.linspace(-1, 1, result.numel(), device=result.device).view_as(result)
    return [result.detach(), *torch.autograd.grad((result.float() * weights).sum(), inputs)]


def _by_blocks(machine: Machine, responses: int, remembered: bool, run: Callable[..., Any]) -> list[Tensor]:
    inputs = _inputs(machine, responses)
    layer: Any = SimpleNamespace(layer_idx=0)
    answers = [(_PROMPT + i * _ANSWER, _PROMPT + (i + 1) * _ANSWER) for i in range(responses)]
    if not remembered:
        blocks = (Block(0, _PROMPT), *(Block(start, stop, 0, _PROMPT) for start, stop in answers))
        return _gradients(run(layer, *inputs, None, prompt_layout=Layout(blocks))[0], inputs)
    kept: dict[int, KeysValues] = {}
    first = Layout((Block(0, _PROMPT),), kept=kept)
    prompt, _ = run(layer, *(each[:, :, :_PROMPT] for each in inputs), None, prompt_layout=first)
    second = Layout(tuple(Block(start - _PROMPT, stop - _PROMPT) for start, stop in answers), remembered=kept)
    rest, _ = run(layer, *(each[:, :, _PROMPT:] for each in inputs), None, prompt_layout=second)
    return _gradients(torch.cat([prompt, rest], 1), inputs)


def _one_by_one(*args: Any, **settings: Any) -> Any:
    with _patched(attention, "is_fused", lambda query: False):
        return attention.attend(*args, **settings)


def _dense(machine: Machine, responses: int) -> list[Tensor]:
    inputs = _inputs(machine, responses)
    tokens = inputs[0].shape[2]
    owner = torch.cat([torch.zeros(_PROMPT), torch.arange(responses).repeat_interleave(_ANSWER) + 1])
    allowed = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    allowed &= (owner[:, None] == owner[None]) | (owner[None] == 0)
    query, key, value = (each.float() for each in inputs)
    mask = allowed.to(machine.device)
    result = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)
    return [each.float() for each in _gradients(result.transpose(1, 2), inputs)]


def check_tiles(machine: Machine) -> Figures:
    """Log-probabilities of the middle size's vocabulary in tiles of several sizes: seconds, number of tiles, peak."""
    size, found = machine.middle, {}
    tokens = 64 if size.vocabulary < 1000 else 8192
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(tokens, size.width, generator=generator).to(machine.half).to(machine.device)
    weight = torch.randn(size.vocabulary, size.width, generator=generator).to(machine.half).to(machine.device)
    targets = torch.randint(0, size.vocabulary, (tokens,), generator=generator).to(machine.device)
    hidden.requires_grad_(), weight.requires_grad_()
    first: Tensor | None = None
    for mebibytes in (12, 64, 512, 1024):
        limit = mebibytes * 2**20
        with _patched(logprobs, "GPU_SCRATCH_BYTES", limit), _patched(logprobs, "SCRATCH_BYTES", limit):
            many = logprobs.count_tiles(hidden, weight)

            def step() -> Tensor:
                hidden.grad = weight.grad = None
                result = logprobs.token_logprobs(hidden, weight, targets)
                result.sum().backward()
                return result.detach()

            step()
            seconds, peak, result = measured(machine, step)
        first = result if first is None else first
        assert torch.allclose(result, first, atol=1e-3), f"tiles of {mebibytes} MiB give other log-probabilities"
        found[f"{mebibytes} MiB"] = {"seconds": seconds, "tiles": many, "peak_gb": peak}
    return found


def check_sharing(machine: Machine) -> Figures:
    """Shared, unshared and grouped computation give the same scores and gradients, in every precision."""
    found: Figures = {}
    parts = [make_part(machine.small, 4, seed=1), make_part(machine.small, 1, seed=2, tiles=0)]
    exact: tuple[Tensor, Tensor] | None = None
    for precision in ("float32", "autocast", "bfloat16"):
        for checkpointing in (False, True):
            for way, settings in (
                ("shared", {"max_pack_tokens": 10**6}),
                ("grouped", {"max_pack_tokens": 64}),
                ("unshared", {"sharing": "off"}),
            ):
                got = _scores_and_gradient(machine, parts, precision, checkpointing, settings)
                exact = got if exact is None else exact
                errors = [float((one - other).norm() / other.norm()) for one, other in zip(got, exact, strict=True)]
                limits = (1e-4, 2e-3) if precision == "float32" else (0.05, 0.3)
                name = f"{way}, {precision}{', checkpointed' if checkpointing else ''}"
                assert all(map(lambda e, m: e < m, errors, limits)), f"{name}: scores and gradient differ by {errors}"
                found[name] = errors
    return found


def _scores_and_gradient(
    machine: Machine, parts: list[StepPart], precision: str, checkpointing: bool, settings: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    model = make_model(machine.small, machine.device, layers=min(machine.small.layers, 4))
    if precision == "bfloat16":
        for parameter in model.parameters():
            parameter.data = parameter.data.to(torch.bfloat16)
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    with _autocast(machine, precision == "autocast"):
        scores = Compute(model, **settings).backward(_cast(parts, precision), _loss_of)
    gradient = torch.cat([p.grad.float().flatten().cpu() for p in model.parameters() if p.grad is not None])
    return torch.cat(scores).float().cpu(), gradient


def check_kernel(machine: Machine) -> Figures:
    """Which attention a pass takes under autocast; on a GPU it must be the fused one in every layer."""
    calls = {"fused": 0, "block by block": 0}

    def counted(name: str, run: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*args: Any) -> Tensor:
            calls[name] += 1
            return run(*args)

        return call

    model = make_model(machine.small, machine.device, layers=2)
    with (
        _patched(attention, "all_at_once", counted("fused", attention.all_at_once)),
        _patched(attention, "block_by_block", counted("block by block", attention.block_by_block)),
        _autocast(machine, True),
    ):
        Compute(model).backward([make_part(machine.small, 2)], _loss_of)
    on_gpu = machine.device.type == "cuda"
    assert bool(calls["fused"]) == on_gpu, f"attention ran {calls}"
    assert not (on_gpu and calls["block by block"]), f"attention ran {calls}"
    return dict(calls)


def check_step(machine: Machine) -> Figures:
    """Forward and backward of one question, shared and unshared: seconds, peak memory, and the share of both."""
    found: Figures = {}
    model = make_model(machine.middle, machine.device)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    for pairs in machine.pairs:
        part = make_part(machine.middle, pairs)
        times = {}
        for way in ("auto", "off"):
            compute = Compute(model, sharing=way, max_pack_tokens=16384)

            def step(compute: Compute = compute, part: StepPart = part) -> None:
                model.zero_grad()
                with _autocast(machine, True):
                    compute.backward([part], _loss_of)

            step()
            seconds, peak, _ = measured(machine, step)
            times[way] = seconds
            found[f"{pairs} pairs, {'shared' if way == 'auto' else 'unshared'}"] = {"seconds": seconds, "peak_gb": peak}
        found[f"{pairs} pairs, shared / unshared"] = times["auto"] / times["off"]
    return found


def check_adapters(machine: Machine) -> Figures:
    """Adapters on the large size in bfloat16, 15 pairs: tokens a second, the share of the card's operations, peak."""
    from peft import LoraConfig, get_peft_model

    base = make_model(machine.large, machine.device, torch.bfloat16)
    numbers = sum(p.numel() for p in base.parameters())
    targets = [n for n, m in base.named_modules() if isinstance(m, nn.Linear) and "language_model" in n]
    model: Any = get_peft_model(base, LoraConfig(r=8, lora_alpha=16, target_modules=targets))
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
    compute = Compute(model, max_pack_tokens=8192)
    part = make_part(machine.large, machine.pairs[-1])

    def step() -> None:
        model.zero_grad()
        compute.counts.reset()
        with _autocast(machine, True):
            compute.backward([part], _loss_of)

    step()
    seconds, peak, _ = measured(machine, step)
    moved = [p for p in model.parameters() if p.requires_grad and p.grad is not None and bool(p.grad.ne(0).any())]
    assert moved, "no adapter has a gradient"
    rate = compute.counts.tokens / seconds
    mfu = 4 * numbers * rate / machine.peak_flops  # forward, and backward through frozen weights
    return {"seconds": seconds, "tokens_per_second": rate, "mfu": mfu, "peak_gb": peak}


def check_repeat(machine: Machine) -> Figures:
    """Two equal steps, each with AdamW: bit by bit the same weights."""
    ends = []
    for _ in range(2):
        model = make_model(machine.small, machine.device, layers=2)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=machine.device.type == "cuda")
        for seed in (1, 2):
            with _autocast(machine, True):
                Compute(model).backward([make_part(machine.small, 4, seed=seed)], _loss_of)
            optimizer.step()
            optimizer.zero_grad()
        ends.append([p.detach().cpu() for p in model.parameters()])
    differ = sum(not torch.equal(one, other) for one, other in zip(*ends, strict=True))
    return {"bitwise": not differ, "parameters_that_differ": differ}


CHECKS: dict[str, Callable[[Machine], Figures]] = {
    "attention": check_attention,
    "kernel": check_kernel,
    "tiles": check_tiles,
    "sharing": check_sharing,
    "repeat": check_repeat,
    "step": check_step,
    "adapters": check_adapters,
}
"""By name, in the order in which they run: what must be right first, what is dear last."""


def measured(machine: Machine, step: Callable[[], Any]) -> tuple[float, float | None, Any]:
    """Seconds of a step, the peak of its memory in GB (None where that is not known), and what it returns."""
    on_gpu = machine.device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    started_s = time.perf_counter()
    result = step()
    if on_gpu:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started_s
    return seconds, torch.cuda.max_memory_allocated() / 1e9 if on_gpu else None, result


def _loss_of(part: StepPart, policy: Tensor) -> Tensor:
    place = {position: i for i, position in enumerate(part.used)}
    chosen, rejected = (policy[[place[pair[side]] for pair in part.pairs]] for side in (0, 1))
    return (-F.logsigmoid(0.1 * (chosen - rejected)) - 0.01 * chosen).sum()


def _cast(parts: list[StepPart], precision: str) -> list[StepPart]:
    if precision != "bfloat16":
        return parts
    return [
        replace(part, row=replace(part.row, extras={n: v.to(torch.bfloat16) for n, v in part.row.extras.items()}))
        for part in parts
    ]


def _autocast(machine: Machine, wanted: bool) -> Any:
    return torch.autocast(machine.device.type, torch.bfloat16, enabled=wanted)


@contextlib.contextmanager
def _patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    """A context in which an attribute of a module is another one."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
