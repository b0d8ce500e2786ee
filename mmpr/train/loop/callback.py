"""What happens around each step: metrics, the watch, greedy answers, progress, checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from mmpr.errors import MmprError
from mmpr.train import distributed
from mmpr.train.loop.checkpoints import keep_last, publish
from mmpr.train.loop.step_log import StepLog, read_steps
from mmpr.train.loop.watch import Answers, Finding, Watch
from mmpr.train.losses import Weights, loss_at_start
from mmpr.train.progress import TrainProgress
from mmpr.train.run_folder import CHECKPOINTS, METRICS, SAMPLES, WRITING, is_writer

FATAL = ("non_finite", "all_padding")
STATE = "mmpr_state.json"


class RunCallback(TrainerCallback):  # type: ignore[misc]  # the library has no types
    """Called at every step on every rank; only the writer writes.

    Args:
        run: the run's folder.
        done: the number of steps before this start, of ``steps`` in all.
        keep: how many checkpoints are kept.
        about: written into each checkpoint beside the reward shift.

    Attributes:
        shift: the trainer's `RewardShift`, set before training starts.
        weights: those of the losses, from which the loss at the start is told.
        answers: all greedy answers so far, in the order of steps (on the writer).
    """

    def __init__(self, run: Path, *, done: int, steps: int, keep: int, about: Mapping[str, Any]) -> None:
        self.run = run
        self.watch = Watch()
        self.shift: Any = None
        self.weights: Weights | None = None
        self.answers: list[Answers] = []
        self._done, self._steps, self._keep, self._about = done, steps, keep, dict(about)
        self._line: dict[str, Any] | None = None
        self._answer: Callable[[int], Answers | None] | None = None
        self._answer_every = 0
        self._samples: StepLog | None = None
        for line in read_steps(run / METRICS, done):  # so that the watch finds what an unbroken run would find
            self.watch.see_step(line)
        distributed.barrier()  # all ranks have read the file before the writer cuts it
        self._metrics = StepLog(run / METRICS, done) if is_writer() else None
        self._progress = TrainProgress("train", "steps", steps, done) if is_writer() else None

    def answer_every(self, every: int, answer: Callable[[int], Answers | None]) -> None:
        """Have questions answered before the first step, every so many steps and after the last.

        ``answer(step)`` is called on all ranks; it returns None on those that do not write.
        """
        self._answer, self._answer_every = answer, every
        if is_writer():
            for line in read_steps(self.run / SAMPLES, self._done):
                self._keep_answers(
                    Answers(line["step"], tuple(line["texts"]), tuple(line["tokens"]), tuple(line["right"]))
                )
            self._samples = StepLog(self.run / SAMPLES, self._done)
        if self._done == 0:
            self._answer_now(0)

    def see_step(self, line: dict[str, Any]) -> None:
        """Record a step's metrics, before the optimizer moves.

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
        if line["step"] == 1:
            self._tell_start(line)
        self._line = line

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Show progress and have the questions answered, after the optimizer has moved."""
        step, line = state.global_step, self._line
        if self._progress is not None and line is not None:
            details = (
                f"loss {line['loss']:.3f}  margin {line['rewards/margins']:.2f}  "
                f"accuracy {line['rewards/accuracies']:.2f}  {line['tokens_per_second']:,.0f} tokens/s"
            )
            self._progress.update(step, details, last=step == self._steps)
        if self._answer is not None and (step % self._answer_every == 0 or step == self._steps):
            self._answer_now(step)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Complete and publish the checkpoint that the Trainer has written to ``RUN/writing``."""
        name = f"checkpoint-{state.global_step}"
        distributed.barrier()
        if self._metrics is not None:
            self._metrics.sync()
            written = self.run / WRITING / name
            tree = {**self._about, "step": state.global_step, "reward_shift": self.shift.state_dict()}
            (written / STATE).write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")
            publish(written, self.run / CHECKPOINTS / name)
            keep_last(self.run, self._keep)
        distributed.barrier()

    def close(self) -> None:
        """Close files and the progress line, however the run has ended."""
        for opened in (self._metrics, self._samples, self._progress):
            if opened is not None:
                opened.close()

    def tell(self, findings: Sequence[Finding]) -> None:
        """Show findings beside the progress."""
        if self._progress is not None:
            for finding in findings:
                self._progress.say(f"watch: {finding}")

    def _tell_start(self, line: Mapping[str, Any]) -> None:
        """Say what the first loss consists of, and what it is by hand."""
        if self._progress is not None and self.weights is not None:
            start = loss_at_start(self.weights, 0.0)
            self._progress.say(
                f"step 1: loss {line['loss']:.3f}; by hand {start + self.weights.generation * line['loss/sft']:.3f} = "
                f"{start:.3f} (policy = reference) + {self.weights.generation:g} x {line['loss/sft']:.3f} (negative "
                "log-probability of chosen, a token)"
            )

    def _answer_now(self, step: int) -> None:
        assert self._answer is not None
        answers = self._answer(step)
        if answers is not None and self._samples is not None:
            self._samples.write(asdict(answers))
            self.tell(self._keep_answers(answers))

    def _keep_answers(self, answers: Answers) -> list[Finding]:
        self.answers.append(answers)
        return self.watch.see_answers(answers)


def read_state(checkpoint: Path) -> dict[str, Any]:
    """What `RunCallback` has added to a checkpoint.

    Raises:
        MmprError: it is missing or damaged.
    """
    try:
        return dict(json.loads((checkpoint / STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise MmprError(f"{checkpoint}: cannot be read ({error}); delete it to go on from the one before") from None
