"""Two gloo processes against one: the same losses, the same δ, the same weights; sharded means DTensors."""

from __future__ import annotations

import datetime
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing, nn
from torch.distributed.tensor import DTensor

from mmpr.errors import MmprError
from mmpr.train import distributed
from mmpr.train.loop.trainer import MpoTrainer
from mmpr.train.session import training_arguments
from mmpr.train.shared_prefix.compute import Compute
from tests.train.models import gradients, loss_of, make, parts_of
from tests.train.tiny import furthest, tiny_arguments, tiny_model, tiny_recipe, tiny_steps, weights_of

pytestmark = pytest.mark.slow

STEPS = 5


def train(folder: Path, rank: int, world: int, parallel: str, until: int | None = None, resume: bool = False) -> None:
    """One process of a run; leaves losses, shift and weights in ``folder``."""
    lines: list[dict[str, Any]] = []
    model = tiny_model()
    settings: dict[str, Any] = {"ddp_backend": "gloo"} if world > 1 else {}
    if until is not None:
        settings |= {"save_strategy": "steps", "save_steps": until}
    checkpoint = folder / "writing" / f"checkpoint-{until}"
    if resume:
        from safetensors.torch import load_file

        model.load_state_dict(load_file(checkpoint / "model.safetensors"), strict=False)
    arguments = tiny_arguments(folder, **settings)
    if parallel == "fsdp2":
        distributed.shard(model, torch.device("cpu"), torch.float32)
        assert all(isinstance(p, torch.distributed.tensor.DTensor) for p in model.parameters())
    trainer = MpoTrainer(
        model,
        arguments,
        tiny_steps(STEPS, rank=rank, world=world),
        tiny_recipe(),
        see_step=lines.append,
    )
    if resume:
        saved = json.loads((folder / "shift.json").read_text())
        trainer.shift.load_state_dict(saved)
        trainer.train(resume_from_checkpoint=str(checkpoint))
    else:
        trainer.train()
    if parallel == "fsdp2":
        distributed.check_sharded(model)
    weights = distributed.whole_weights(model) if parallel == "fsdp2" else weights_of(model)
    state = {"lines": lines, "shift": trainer.shift.state_dict()}
    (folder / f"{parallel}-{world}-{rank}.json").write_text(json.dumps(state))
    if rank == 0:
        torch.save(weights, folder / f"{parallel}-{world}.pt")


def _process(rank: int, folder: Path, port: int, parallel: str, options: dict[str, Any]) -> None:
    join(rank, port)
    train(folder, rank, 2, parallel, **options)
    dist.destroy_process_group()


def two(folder: Path, parallel: str, **options: Any) -> None:
    """The same run on two processes."""
    on_two(_process, folder, free_port(), parallel, options)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def on_two(function: Callable[..., None], *args: Any) -> None:
    """``function(rank, *args)`` in two processes."""
    # Not forked from this process: torch's threads do not survive that.
    multiprocessing.get_context("forkserver").set_forkserver_preload([__name__])
    multiprocessing.start_processes(function, args=args, nprocs=2, start_method="forkserver", join=True)


def join(rank: int, port: int) -> None:
    """Make this process one of two."""
    os.environ.update(
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2"
    )
    torch.set_num_threads(1)


def read(folder: Path, name: str) -> dict[str, Any]:
    return dict(json.loads((folder / f"{name}.json").read_text()))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    train(folder, 0, 1, "data")
    return folder


@pytest.mark.parametrize("parallel", ["data", "fsdp2"])
def test_two_processes_equal_one(tmp_path: Path, alone: Path, parallel: str) -> None:
    two(tmp_path, parallel)
    one = read(alone, "data-1-0")
    ranks_ = [read(tmp_path, f"{parallel}-2-{rank}") for rank in (0, 1)]
    assert ranks_[0]["shift"] == ranks_[1]["shift"]
    assert ranks_[0]["shift"]["count"] == one["shift"]["count"]
    assert ranks_[0]["shift"]["sum"] == pytest.approx(one["shift"]["sum"], rel=1e-5)
    for i in range(STEPS):
        for name in ("loss", "rewards/chosen", "rewards/rejected", "logps/chosen", "delta", "grad_norm"):
            expected = one["lines"][i][name]
            for rank in ranks_:
                assert rank["lines"][i][name] == pytest.approx(expected, rel=2e-5, abs=2e-6), (i, name)
        assert ranks_[0]["lines"][i]["pairs"] == one["lines"][i]["pairs"]
    whole = torch.load(alone / "data-1.pt")
    assert furthest(torch.load(tmp_path / f"{parallel}-2.pt"), whole) < 2e-5


def test_a_sharded_run_goes_on_from_its_checkpoint(tmp_path: Path, alone: Path) -> None:
    """Optimizer state is gathered, written, read and sharded again; the end is the same."""
    two(tmp_path, "fsdp2", until=3)
    first = torch.load(tmp_path / "fsdp2-2.pt")
    lines = read(tmp_path, "fsdp2-2-0")["lines"]
    rewards = [(line["rewards/chosen"] + line["rewards/rejected"]) * line["pairs"] for line in lines[:3]]
    count = 2 * sum(line["pairs"] for line in lines[:3])
    (tmp_path / "shift.json").write_text(json.dumps({"sum": sum(rewards), "count": count}))
    two(tmp_path, "fsdp2", until=3, resume=True)
    assert [line["step"] for line in read(tmp_path, "fsdp2-2-0")["lines"]] == [4, 5]
    assert furthest(torch.load(tmp_path / "fsdp2-2.pt"), first) < 1e-7


SHARES = {"text alone": (slice(0, 2), slice(2, 3)), "nothing": (slice(0, 3), slice(0, 0))}
"""Which of the three parts of a step each of two ranks has; the second has pictures in none of its own."""


def _gradients_of_shares(rank: int, folder: Path, port: int) -> None:
    join(rank, port)
    dist.init_process_group("gloo")
    found = {}
    for name in SHARING:
        for case, shares in SHARES.items():
            model = make(name).train()
            distributed.shard(model, torch.device("cpu"), torch.bfloat16)
            with distributed.gathered(model):
                Compute(model).backward(parts_of(name)[shares[rank]], loss_of)
                distributed.sum_gradients(model, torch.device("cpu"))
            found[name, case] = {
                n: p.grad.full_tensor() for n, p in model.named_parameters() if isinstance(p.grad, DTensor)
            }
    if rank == 0:
        torch.save(found, folder / "gradients.pt")
    dist.destroy_process_group()


SHARING = ("llama", "internvl", "llava", "idefics3", "smolvlm", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "glm4v")


def test_a_rank_without_pictures_takes_part_in_a_sharded_step(tmp_path: Path) -> None:
    """In bfloat16: gradients of two ranks are reduced in float32, and as near to the exact ones as those of one."""
    on_two(_gradients_of_shares, tmp_path, free_port())
    found = torch.load(tmp_path / "gradients.pt")
    for name in SHARING:
        exact, rounded = (_flat(_gradients_alone(name, dtype)) for dtype in (torch.float32, torch.bfloat16))
        for case in SHARES:
            assert all(gradient.dtype == torch.float32 for gradient in found[name, case].values())
            two_ranks = _flat(found[name, case])
            assert two_ranks.shape == exact.shape
            assert (two_ranks - exact).norm() < 1.3 * (rounded - exact).norm(), (name, case)


def _gradients_alone(name: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    model = make(name).to(dtype).train()
    for part in parts_of(name):
        Compute(model).backward([part], loss_of)
    return gradients(model)


def _flat(found: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([found[name].float().flatten() for name in sorted(found)])


def _one_is_late(rank: int, folder: Path, port: int) -> None:
    join(rank, port)
    dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=2))
    distributed.barrier()
    time.sleep(4 * (1 - rank))
    distributed.barrier()  # has no limit
    if rank:
        try:
            distributed.total([1.0], torch.device("cpu"))
        except RuntimeError as error:
            (folder / "ended.txt").write_text(str(error))
    else:
        time.sleep(4)
    os._exit(0)  # the group is broken


def test_a_stuck_rank_ends_a_step_but_not_a_wait(tmp_path: Path) -> None:
    on_two(_one_is_late, tmp_path, free_port())
    assert "imed out" in (tmp_path / "ended.txt").read_text()
    arguments = training_arguments(tiny_recipe(), tmp_path)
    assert arguments.ddp_timeout == distributed.STEP_LIMIT_S == 1800


def test_one_process_is_not_called_sharded() -> None:
    with pytest.raises(MmprError, match="torchrun"):
        distributed.shard(nn.Linear(2, 2), torch.device("cpu"), torch.float32)


def test_data_parallel_in_disguise_is_refused() -> None:
    with pytest.raises(MmprError, match="weight"):
        distributed.check_sharded(nn.Linear(2, 2))
