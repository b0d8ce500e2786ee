"""What goes on around the steps: progress, metrics, the watch, greedy samples, checkpoints."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from mmpr.errors import MmprError
from mmpr.train import distributed
from mmpr.train.loop.checkpoints import CHECKPOINTS, WRITING, keep_last, publish
from mmpr.train.loop.metrics import MetricsFile, read_metrics
from mmpr.train.loop.watch import Answers, Finding, Watch
from mmpr.train.progress import TrainProgress

FATAL = ("non_finite", "all_padding")
STATE = "mmpr_state.json"


class Keeper(TrainerCallback):  # type: ignore[misc]  # the library has no types
    """Sees every step on every rank; only rank 0 writes.

    Args:
        run: the run's folder.
        done: how many steps count already.
        steps: how many there are.
        keep: how many checkpoints stay.
        shift: the trainer's `RewardShift`, set before training starts.
        about: written into each checkpoint beside the shift.
    """

    def __init__(self, run: Path, *, done: int, steps: int, keep: int, about: Mapping[str, Any]) -> None:
        self.run = run
        self.watch = Watch()
        self.shift: Any = None
        self._keep = keep
        self._about = dict(about)
        self._line: dict[str, Any] | None = None
        self._asking: tuple[int, int, Callable[[int], Answers]] | None = None
        earlier = [line for line in read_metrics(run / "metrics.jsonl") if line["step"] <= done]
        for line in earlier:  # so that the watch knows what it knew
            self.watch.see_step(line)
        distributed.barrier()
        self._writes = distributed.rank() == 0
        self._metrics = MetricsFile(run / "metrics.jsonl", done) if self._writes else None
        self._progress = TrainProgress(done, steps, sys.stderr) if self._writes else None

    def ask_every(self, every: int, last: int, ask: Callable[[int], Answers], earlier: Sequence[Answers]) -> None:
        """Look at greedy answers every so many steps, and after the last; ``ask(step)`` is called on all ranks."""
        for answers in earlier:
            self.watch.see_answers(answers)
        self._asking = (every, last, ask)

    def see(self, line: dict[str, Any]) -> None:
        """A step's gradient is there, the optimizer has not moved.

        Raises:
            MmprError: the step must not be taken; the last checkpoint is whole.
        """
        findings = self.watch.see_step(line)
        self.tell(findings)
        if self._metrics is not None:
            self._metrics.write({name: value for name, value in line.items() if not name.startswith("_")})
        for finding in findings:
            if finding.name in FATAL:
                raise MmprError(f"the run is stopped: {finding}")
        self._line = line

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The optimizer has moved."""
        if self._progress is not None and self._line is not None:
            self._progress.step(self._line)
        if self._asking is not None:
            every, last, ask = self._asking
            if state.global_step % every == 0 or state.global_step == last:
                self.tell(self.watch.see_answers(ask(state.global_step)))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The Trainer has written a checkpoint where nobody reads it: complete it, and publish it."""
        name = f"checkpoint-{state.global_step}"
        distributed.barrier()
        if self._writes:
            assert self._metrics is not None
            self._metrics.sync()
            written = self.run / WRITING / name
            tree = {**self._about, "step": state.global_step, "reward_shift": self.shift.state_dict()}
            (written / STATE).write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")
            publish(written, self.run / CHECKPOINTS / name)
            keep_last(self.run, self._keep)
        distributed.barrier()

    def close(self) -> None:
        """The run has ended, however."""
        if self._metrics is not None:
            self._metrics.close()
        if self._progress is not None:
            self._progress.close()

    def tell(self, findings: Sequence[Finding]) -> None:
        """Show findings to who is looking."""
        if self._progress is not None:
            for finding in findings:
                self._progress.say(f"watch: {finding}")


def read_state(checkpoint: Path) -> dict[str, Any]:
    """What `Keeper` has added to a checkpoint.

    Raises:
        MmprError: it is not there.
    """
    try:
        return dict(json.loads((checkpoint / STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise MmprError(f"{checkpoint}: cannot be read ({error}); delete it to go on from the one before") from None
