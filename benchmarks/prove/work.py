"""Runs jobs, a few at a time, in processes of their own, and says how far it is and how long it will take."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean

from benchmarks.prove.jobs import Job
from mmpr.errors import MmprError

_POLL_S = 0.5
_LOG_LINES_SHOWN = 15


def run_all(jobs: Sequence[Job], at_once: int, say: Callable[[str], None], prefix: Sequence[str] = ()) -> None:
    """Run all jobs that are not done, ``at_once`` at a time, in their order as far as their needs allow.

    ``prefix`` is what a command begins with, ``python -m`` by default. When one fails those that run are waited for,
    and no other is begun.

    Raises:
        MmprError: a job has failed; with the end of its log.
        KeyboardInterrupt: stopped; the running jobs were stopped too.
    """
    done = {job.name for job in jobs if job.is_done()}
    waiting = [job for job in jobs if job.name not in done]
    clock = _Clock(len(jobs), waiting, at_once)
    running: dict[Job, subprocess.Popen[bytes]] = {}
    failed: list[str] = []
    try:
        while running or (waiting and not failed):
            while len(running) < at_once and not failed:
                job = next((job for job in waiting if done.issuperset(job.needs)), None)
                if job is None:
                    break
                waiting.remove(job)
                running[job] = _start(job, at_once, prefix or (sys.executable, "-m"))
                clock.start(job)
            time.sleep(_POLL_S)
            for job in [job for job, process in running.items() if process.poll() is not None]:
                status = running.pop(job).returncode
                if status == 0 and job.is_done():
                    done.add(job.name)
                    say(clock.end(job))
                else:
                    failed.append(f"{job.name}: ended with status {status}; {job.log} ends with\n{_end_of(job.log)}")
                    say(f"{job.name}: failed")
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()
    if failed:
        raise MmprError("\n".join(failed))


class _Clock:
    """How long jobs take, and so those that are left."""

    def __init__(self, all_jobs: int, waiting: Sequence[Job], at_once: int) -> None:
        self._jobs, self._at_once = all_jobs, at_once
        self._left = {job.name: job for job in waiting}
        self._begun_s: dict[str, float] = {}
        self._took_s: dict[str, list[float]] = {}

    def start(self, job: Job) -> None:
        self._begun_s[job.name] = time.monotonic()

    def end(self, job: Job) -> str:
        """A job has ended: the line that says so."""
        took_s = time.monotonic() - self._begun_s.pop(job.name)
        self._took_s.setdefault(job.kind, []).append(took_s)
        del self._left[job.name]
        done = self._jobs - len(self._left)
        return f"{done:>3}/{self._jobs}  {job.name}: {took_s:.0f} s  {self._left_s() / 60:.0f} min left"

    def _left_s(self) -> float:
        """By the mean of the jobs of a kind so far, or of all where there was none of it yet."""
        so_far = mean(seconds for kind in self._took_s.values() for seconds in kind)
        usual = {kind: mean(seconds) for kind, seconds in self._took_s.items()}
        now_s = time.monotonic()
        return sum(
            max(0.0, usual.get(job.kind, so_far) - (now_s - self._begun_s.get(name, now_s)))
            for name, job in self._left.items()
        ) / min(self._at_once, max(1, len(self._left)))


def _start(job: Job, at_once: int, prefix: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a job with its share of the cores, apart from the terminal's Ctrl-C, which is passed on in order."""
    threads = max(1, (os.cpu_count() or 1) // at_once)
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open("ab") as log:
        return subprocess.Popen(
            [*prefix, *job.words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            start_new_session=True,
        )


def _end_of(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-_LOG_LINES_SHOWN:])
