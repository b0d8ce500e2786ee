"""kill -9 at any moment, the same call again: the same weights to the last bit, and nothing half-written is read."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from mmpr.errors import MmprError
from mmpr.train.loop.callback import RunCallback, read_state
from mmpr.train.loop.checkpoints import forget_half_written, last_checkpoint, publish, step_of
from mmpr.train.loop.step_log import read_steps
from mmpr.train.loop.trainer import MpoTrainer
from mmpr.train.run_folder import CHECKPOINTS, WRITING
from tests.train.tiny import furthest, tiny_arguments, tiny_model, tiny_recipe, tiny_steps, weights_of

pytestmark = pytest.mark.slow

STEPS, EVERY = 9, 3


class Killer(TrainerCallback):
    """Ends the process without a word: at a step, before or after the optimizer has moved."""

    def __init__(self, step: int, when: str) -> None:
        self.step, self.when = step, when

    def _maybe(self, state: Any, when: str, step: int) -> None:
        if when == self.when and step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._maybe(state, "before", state.global_step + 1)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._maybe(state, "after", state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._maybe(state, "written", state.global_step)


class Published(Killer):
    """Comes after the callback."""


def train(run: Path, killers: tuple[Killer, ...] = ()) -> None:
    """A run with dropout, so that random numbers count; from its last checkpoint if there is one."""
    torch.set_num_threads(1)  # the last bits of a sum depend on it
    forget_half_written(run)
    checkpoint = last_checkpoint(run)
    done = step_of(checkpoint) if checkpoint else 0
    model = tiny_model(dropout=0.2)
    if checkpoint:
        model = type(model).from_pretrained(checkpoint)
    callback = RunCallback(run, done=done, steps=STEPS, keep=2, about={"what": "tiny"})
    before = [killer for killer in killers if not isinstance(killer, Published)]
    after = [killer for killer in killers if isinstance(killer, Published)]
    trainer = MpoTrainer(
        model,
        tiny_arguments(run, save_strategy="steps", save_steps=EVERY),
        tiny_steps(STEPS),
        tiny_recipe("compute.sharing=off"),
        callbacks=[*before, callback, *after],
        see_step=callback.see_step,
    )
    callback.shift = trainer.shift
    if checkpoint:
        trainer.shift.load_state_dict(read_state(checkpoint)["reward_shift"])
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    callback.close()
    torch.save(weights_of(model), run / "end.pt")
    (run / "end.json").write_text(json.dumps(trainer.shift.state_dict()))


def killed(run: Path, *killers: Killer) -> None:
    """The run in a process of its own, which is killed."""
    # Not forked from this process: torch's threads do not survive that.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=train, args=(run, killers))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("undisturbed")
    train(run)
    return run


def same_end(run: Path, undisturbed: Path) -> None:
    assert furthest(torch.load(run / "end.pt"), torch.load(undisturbed / "end.pt")) == 0.0
    assert (run / "end.json").read_text() == (undisturbed / "end.json").read_text()
    lines, expected = read_steps(run / "metrics.jsonl"), read_steps(undisturbed / "metrics.jsonl")
    timing = {"tokens_per_second"}
    assert [{k: v for k, v in line.items() if k not in timing} for line in lines] == [
        {k: v for k, v in line.items() if k not in timing} for line in expected
    ]


@pytest.mark.parametrize(
    "killers",
    [
        (Killer(1, "after"),),
        (Killer(5, "before"),),
        (Killer(6, "after"),),
        (Killer(6, "written"),),
        (Published(6, "written"),),
        (Published(9, "written"),),
        (Killer(4, "after"), Killer(8, "before")),
    ],
    ids=["no checkpoint yet", "mid", "before the save", "half saved", "saved", "at the end", "twice"],
)
def test_a_killed_run_ends_as_if_undisturbed(tmp_path: Path, undisturbed: Path, killers: tuple[Killer, ...]) -> None:
    for killer in killers:
        killed(tmp_path, killer)
    train(tmp_path)
    same_end(tmp_path, undisturbed)


def test_without_the_shift_the_end_is_another(tmp_path: Path, undisturbed: Path) -> None:
    """The tests above can fail: δ matters."""
    killed(tmp_path, Killer(5, "after"))
    state = tmp_path / CHECKPOINTS / "checkpoint-3" / "mmpr_state.json"
    tree = json.loads(state.read_text())
    tree["reward_shift"] = {"sum": 5.0, "count": 10}
    state.write_text(json.dumps(tree))
    train(tmp_path)
    assert furthest(torch.load(tmp_path / "end.pt"), torch.load(undisturbed / "end.pt")) > 0


class Poison(Killer):
    """Makes one weight infinite before step 5."""

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if state.global_step == 4:
            with torch.no_grad():
                model.lm_head.weight[0, 0] = float("inf")


def test_what_is_not_finite_stops_the_run_and_the_checkpoint_is_good(tmp_path: Path) -> None:
    with pytest.raises(MmprError, match="non_finite") as raised:
        train(tmp_path, (Poison(0, ""),))
    assert "learning_rate" in str(raised.value)
    checkpoint = last_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.name == "checkpoint-3"
    assert all(p.isfinite().all() for p in type(tiny_model()).from_pretrained(checkpoint).parameters())
    assert [line["step"] for line in read_steps(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4, 5]


def test_only_the_last_checkpoints_stay_and_nothing_half_written(undisturbed: Path) -> None:
    assert sorted(path.name for path in (undisturbed / CHECKPOINTS).iterdir()) == ["checkpoint-6", "checkpoint-9"]
    assert not list((undisturbed / WRITING).glob("checkpoint-*"))


def test_a_half_written_checkpoint_is_never_read(tmp_path: Path) -> None:
    half = tmp_path / WRITING / "checkpoint-7"
    half.mkdir(parents=True)
    (half / "model.safetensors").write_bytes(b"half")
    assert last_checkpoint(tmp_path) is None
    forget_half_written(tmp_path)
    assert not half.exists()


def test_a_checkpoint_appears_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the flush fails, the old one is still there and the new one is not."""
    written = tmp_path / WRITING / "checkpoint-2"
    written.mkdir(parents=True)
    (written / "a").write_text("new")
    place = tmp_path / CHECKPOINTS / "checkpoint-2"
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(Exception, match="No space"):
        publish(written, place)
    assert not place.exists()
    monkeypatch.undo()
    publish(written, place)
    assert (place / "a").read_text() == "new"
    assert last_checkpoint(tmp_path) == place
