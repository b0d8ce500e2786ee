"""Several processes: who holds which parameters, and one exchange of gradients in each optimizer step.

Ranks run different numbers of forward and backward passes, because they pack their pairs differently. A pass that waits
for other ranks would wait for ever, or exchange the wrong layers. So parameters are whole on every rank during a step,
and gradients are summed once, when all ranks have done their passes.

    data     every rank keeps everything; gradients are summed by all-reduce
    fsdp2    parameters, gradients and optimizer state are sharded between steps (``fully_shard``: DTensors); a step
             gathers the parameters once and reduce-scatters the gradients once
"""

from __future__ import annotations

import contextlib
import datetime
import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from mmpr.errors import MmprError

STEP_LIMIT_S = 30 * 60
"""For a collective of a step. A rank that is stuck ends the run then, and does not hold up the others for ever."""

_BUCKET_BYTES = 128 << 20
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def world() -> int:
    """The number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def barrier() -> None:
    """Wait for all ranks, for days if need be: while one of them reads the data, computes references, saves."""
    if world() > 1:
        dist.barrier(_patient())


@functools.cache
def _patient() -> Any:
    """A group of all ranks beside that of the steps, whose collectives end with an error after `STEP_LIMIT_S`."""
    return dist.new_group(backend="gloo", timeout=datetime.timedelta(days=7))


def leave() -> None:
    """Wait for all ranks, then leave the group: a process that ends inside it may be killed by its own threads."""
    if dist.is_initialized():
        barrier()
        _patient.cache_clear()
        dist.destroy_process_group()


def total(values: Sequence[float], device: torch.device) -> list[float]:
    """Each number summed over ranks, in float64."""
    sums = torch.tensor(list(values), dtype=torch.float64, device=device)
    if world() > 1:
        dist.all_reduce(sums)
    return [float(value) for value in sums.tolist()]


def collect(mine: Sequence[Any]) -> list[Any]:
    """Values of all ranks, of which rank r of W gives those at r, r + W, r + 2W, …; it waits as `barrier` does."""
    if world() == 1:
        return list(mine)
    shares: list[Any] = [None] * world()
    dist.all_gather_object(shares, list(mine), _patient())
    return [shares[i % world()][i // world()] for i in range(sum(map(len, shares)))]


def largest(value: float, device: torch.device) -> float:
    """The largest of a number over ranks, in float64."""
    most = torch.tensor(value, dtype=torch.float64, device=device)
    if world() > 1:
        dist.all_reduce(most, dist.ReduceOp.MAX)
    return float(most)


def shard(model: nn.Module, device: torch.device, precision: torch.dtype) -> None:
    """Shard a model over all ranks, layer by layer, in place; passes are computed in ``precision``.

    Raises:
        MmprError: there is only one process, or a parameter was not sharded.
    """
    if not dist.is_initialized():
        raise MmprError("compute.parallel=fsdp2 needs several processes: start with torchrun, or set it to data")
    mesh = init_device_mesh(device.type, (world(),))
    # Inputs are not cast: FSDP2 would also copy those that are no tensors, and a `Layout` must not be copied.
    policy = MixedPrecisionPolicy(param_dtype=precision, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for module in list(model.modules()):
        if isinstance(module, nn.ModuleList) and len(module) > 1:
            for layer in module:
                if any(True for _ in layer.parameters()):
                    fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    for module in _sharded_modules(model):
        module.set_gradient_divide_factor(1.0)  # the loss is divided by the pairs of all ranks already
        module.set_force_sum_reduction_for_comms(True)
    assert isinstance(model, FSDPModule)
    model.set_reshard_after_forward(False)
    model.set_reshard_after_backward(False)
    model.settle = lambda x: x * 1.0
    register_fsdp_forward_method(model, "settle")
    with torch.no_grad():  # FSDP2 requires that the root is called first, and generation calls the vision tower first
        model.settle(torch.zeros((), device=device))
    model.reshard()
    check_sharded(model)


def check_sharded(model: nn.Module) -> None:
    """Raise MmprError if a parameter is not a DTensor: the model would be data-parallel without a word."""
    whole = [name for name, parameter in model.named_parameters() if not isinstance(parameter, DTensor)]
    if whole:
        raise MmprError(f"{len(whole)} parameters are not sharded ({', '.join(whole[:3])}, ...): this is not FSDP2")


def cast_parameters(model: nn.Module, precision: torch.dtype) -> None:
    """Cast parameters, and no buffers, as passes of a sharded model see them."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(precision)


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard` has sharded this model."""
    return isinstance(model, FSDPModule)


def broadcast(model: nn.Module) -> None:
    """Give all ranks the parameters of rank 0."""
    if world() > 1:
        with torch.no_grad():
            for parameter in model.parameters():
                dist.broadcast(parameter.data, src=0)


@contextlib.contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """A context in which a sharded model's parameters are whole on this rank, for any number of passes.

    All ranks enter and leave it together. It does nothing for a model that is not sharded.
    """
    if not is_sharded(model):
        yield
        return
    assert isinstance(model, FSDPModule)
    model.set_requires_gradient_sync(False)
    for module in _sharded_modules(model):
        module.unshard()
    try:
        yield
    finally:
        for module in _sharded_modules(model):
            module.reshard()


def sum_gradients(model: nn.Module, device: torch.device) -> None:
    """Sum every gradient over ranks, after all passes of a step; all ranks call it, inside `gathered`.

    A parameter that no rank has used has no gradient afterwards, so the optimizer skips it, as in a single process.
    """
    if is_sharded(model):
        _reduce_scatter(model, device)
    elif world() > 1:
        _all_reduce([p for p in model.parameters() if p.requires_grad], device)


def _all_reduce(parameters: Sequence[nn.Parameter], device: torch.device) -> None:
    used = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32, device=device)
    dist.all_reduce(used)
    gradients = []
    for parameter, count in zip(parameters, used.tolist(), strict=True):
        if count:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
    for bucket in _buckets(gradients):
        flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
        dist.all_reduce(flat)
        for gradient, part in zip(bucket, flat.split([g.numel() for g in bucket]), strict=True):
            gradient.copy_(part.view_as(gradient))


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Gradients of one type, in order, about `_BUCKET_BYTES` at a time."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        size = sum(g.nbytes for g in bucket)
        if bucket and (bucket[0].dtype != gradient.dtype or size + gradient.nbytes > _BUCKET_BYTES):
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket


def _reduce_scatter(model: Any, device: torch.device) -> None:
    """Have FSDP2 reduce all gradients: it does so at the end of a backward pass, here of one through the root alone.

    That pass runs through no layer, so its order is the same on all ranks. A first one reduces nothing: at its end
    FSDP2 casts kept gradients to float32. The gradients of parameters that this rank did not use (a vision tower, for
    questions without pictures) must be among them, because a group's gradients are reduced together, in one type.
    """
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.grad is None:
            parameter.grad = parameter.new_zeros(()).expand_as(parameter)  # of one number, until it is cast
    model.settle(torch.zeros((), device=device, requires_grad=True)).backward()
    model.set_requires_gradient_sync(True)
    model.settle(torch.zeros((), device=device, requires_grad=True)).backward()
    model.set_requires_gradient_sync(False)
    for module in _sharded_modules(model):
        module.reshard()  # now the shards have the gradients
    parameters = [p for p in model.parameters() if p.requires_grad]
    used = torch.stack([_local(p.grad).ne(0).any() if p.grad is not None else torch.tensor(False) for p in parameters])
    used = used.to(device, torch.int32)
    dist.all_reduce(used)
    for parameter, count in zip(parameters, used.tolist(), strict=True):
        if not count:
            parameter.grad = None


def gradient_norm(model: nn.Module) -> float:
    """The norm of the summed gradient, over all parameters (and shards)."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    if not gradients:
        return 0.0
    norm: Any = nn.utils.get_total_norm(gradients)
    return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)


def whole_weights(model: nn.Module) -> dict[str, Any]:
    """A sharded model's weights, gathered on the CPU of rank 0, each tied weight once; all ranks call it.

    Of a model with adapters, which is saved as these alone, the frozen weights are left out.
    """
    options = replace(_WHOLE, ignore_frozen_params=hasattr(model, "peft_config"))
    once = {name for name, _ in model.named_parameters()}
    tied = {name for name, _ in model.named_parameters(remove_duplicate=False)} - once
    return {name: value for name, value in get_model_state_dict(model, options=options).items() if name not in tied}


def whole_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """A sharded optimizer's state, gathered on the CPU of rank 0; all ranks call it."""
    return dict(get_optimizer_state_dict(model, optimizer, options=_WHOLE))


def load_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a gathered state into a sharded optimizer; every rank passes all of it."""
    set_optimizer_state_dict(model, optimizer, state, options=StateDictOptions(full_state_dict=True))


def _sharded_modules(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, FSDPModule)]


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
