"""The command: watch the bounded processes, count, keep what failed (see the package)."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.table import Table

from benchmarks.fuzz.targets import TARGETS, Target, input_of
from mmpr.pipeline.progress import PLAIN_EVERY_S, print_tables
from mmpr.storage.shards import write_json

REPOSITORY = Path(__file__).resolve().parent.parent.parent
_START_S = 300  # a worker makes its seeds first
_LAST_WORDS = 4_000


class Line(NamedTuple):
    """What became of one input; ``detail`` is a traceback or the last words of a process that died."""

    number: int
    outcome: str
    seconds: float
    peak_mib: int
    detail: str


@dataclasses.dataclass(slots=True)
class Row:
    """A target's figures: CPU seconds of the slowest input, peak resident size of its process and how much of that
    was there before the first input."""

    target: str
    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    crashes: int = 0
    hangs: int = 0
    slowest_s: float = 0.0
    peak_mib: int = 0
    start_mib: int = 0


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status: 0 nothing failed, 1 something did."""
    args = _arguments().parse_args(argv)
    names = args.target or list(TARGETS)
    if args.replay is not None:
        name = args.target[0] if args.target else args.replay.name.partition("-")[0]
        if name not in TARGETS:
            print(f"error: {args.replay}: name the target with --target, one of {', '.join(TARGETS)}", file=sys.stderr)
            return 2
        [line] = run_worker(TARGETS[name], 0, 0, 1, args, args.replay)
        print(f"{line.outcome} in {line.seconds:.3f} s, peak {line.peak_mib} MiB\n{line.detail}")
        return line.outcome in ("crashed", "hung")
    whole = sum(TARGETS[name].share for name in names)
    told = _Told(args.inputs)
    rows = [fuzz(TARGETS[name], max(1, round(args.inputs * TARGETS[name].share / whole)), args, told) for name in names]
    _show(rows)
    if args.json:
        write_json(args.json, [dataclasses.asdict(row) for row in rows])
    return int(any(row.crashes or row.hangs for row in rows))


def fuzz(target: Target, inputs: int, args: argparse.Namespace, told: _Told) -> Row:
    """All inputs of one target; a worker that dies or hangs is replaced after the input that did it."""
    row = Row(target.name)
    number = 0
    while number < inputs:
        for line in run_worker(target, args.seed, number, inputs, args):
            row.peak_mib = max(row.peak_mib, line.peak_mib)
            if line.outcome == "ready":
                row.start_mib = max(row.start_mib, line.peak_mib)
                continue
            number = line.number + 1
            row.inputs += 1
            row.slowest_s = round(max(row.slowest_s, line.seconds), 3)
            count = {"accepted": "accepted", "refused": "refused", "hung": "hangs"}.get(line.outcome, "crashes")
            setattr(row, count, getattr(row, count) + 1)
            if count in ("hangs", "crashes"):
                _keep(target, args, line)
            told.advance(target.name, row)
    return row


def run_worker(
    target: Target, seed: int, start: int, stop: int, args: argparse.Namespace, replay: Path | None = None
) -> Iterator[Line]:
    """Lines of one worker, up to the end or to the input at which it died or had to be killed."""
    words = [target.name, seed, start, stop, args.limit_mib, *([replay.absolute()] if replay else [])]
    command = [sys.executable, "-m", "benchmarks.fuzz.worker", *map(str, words)]
    worker = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY, start_new_session=True
    )
    last = Line(start - 1, "ready", 0, 0, "")
    heard = Heard(worker)
    try:
        limit_s = float(_START_S)
        while (text := heard.line(limit_s)) is not None:
            said = Line(*json.loads(text))
            limit_s = args.limit_s
            last = said if said.outcome != "ready" else last
            if said.outcome != "ready" or replay is None:
                yield said
        if heard.silent:
            yield Line(last.number + 1, "hung", limit_s, 0, f"nothing for {limit_s:.0f} s")
        elif worker.wait() != 0:
            yield Line(last.number + 1, "crashed", 0, 0, f"exit status {worker.returncode}\n{heard.last_words()}")
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        for pipe in (worker.stdout, worker.stderr):
            if pipe is not None:
                pipe.close()


class Heard:
    """What a process says on standard output, line by line with a limit of time; the end of its standard error."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._out, self._error = process.stdout.fileno(), process.stderr.fileno()
        self._open = {self._out, self._error}
        self._lines, self._words = b"", b""
        self.silent = False

    def line(self, limit_s: float) -> bytes | None:
        """The next line; None at the end, or when none came in time (``silent``)."""
        until_s = time.monotonic() + limit_s
        while b"\n" not in self._lines:
            if self._out not in self._open:
                return None
            ready, _, _ = select.select(self._open, [], [], max(0, until_s - time.monotonic()))
            if not ready:
                self.silent = True
                return None
            for pipe in ready:
                self._read(pipe)
        line, _, self._lines = self._lines.partition(b"\n")
        return line

    def last_words(self) -> str:
        """The end of what it said on standard error."""
        while self._error in self._open:
            self._read(self._error)
        return self._words.decode("utf-8", "replace")

    def _read(self, pipe: int) -> None:
        data = os.read(pipe, 1 << 16)
        if not data:
            self._open.discard(pipe)
        elif pipe == self._out:
            self._lines += data
        else:
            self._words = (self._words + data)[-_LAST_WORDS:]


class _Told:
    """A line every ten seconds: how far, how fast, how long it will take."""

    def __init__(self, inputs: int) -> None:
        self._inputs, self._done = inputs, 0
        self._started_s = self._told_s = 0.0

    def advance(self, name: str, row: Row) -> None:
        self._done += 1
        now_s = time.monotonic()
        if not self._started_s:
            self._started_s = self._told_s = now_s  # the first worker's start is no part of the rate
        if now_s - self._told_s >= PLAIN_EVERY_S:
            self._told_s = now_s
            rate = self._done / (now_s - self._started_s)
            print(
                f"{self._done:,}/{self._inputs:,} inputs  {name}: {row.crashes} crashes, {row.hangs} hangs  "
                f"{rate:,.0f} inputs/s  {max(0, self._inputs - self._done) / rate:,.0f} s left",
                file=sys.stderr,
                flush=True,
            )


def _keep(target: Target, args: argparse.Namespace, line: Line) -> None:
    """Leave an input that failed, and how it did, where ``--replay`` finds it."""
    path = args.keep / f"{target.name}-{args.seed}-{line.number}.bin"
    args.keep.mkdir(parents=True, exist_ok=True)
    path.write_bytes(input_of(target, list(target.fixed()), args.seed, line.number))
    path.with_suffix(".txt").write_text(line.detail, encoding="utf-8")
    print(
        f"{line.outcome}  {path}  {(line.detail.strip().splitlines() or [''])[-1][:200]!a}", file=sys.stderr, flush=True
    )


def _show(rows: list[Row]) -> None:
    table = Table(title="hostile input", title_justify="left", box=box.SIMPLE)
    for field in dataclasses.fields(Row):
        table.add_column(field.name, justify="left" if field.name == "target" else "right")
    for row in rows:
        values: list[Any] = list(dataclasses.astuple(row))
        table.add_row(values[0], *(f"{value:,}" for value in values[1:]))
    print_tables(table)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fuzz", description="Feed hostile input to everything that reads from outside."
    )
    parser.add_argument("--inputs", type=int, default=120_000, metavar="N", help="over all targets (default 120,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--target", nargs="+", choices=list(TARGETS), metavar="T", help=f"some of: {', '.join(TARGETS)}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the table goes")
    parser.add_argument("--keep", type=Path, default=Path("builds/fuzz"), metavar="DIR", help="where failures are kept")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="feed one kept file again and say what happens")
    parser.add_argument(
        "--limit-s", type=float, default=120.0, help="an input that takes longer hangs (default 120; wall time)"
    )
    parser.add_argument("--limit-mib", type=int, default=1_536, help="memory above what a process begins with")
    return parser


if __name__ == "__main__":
    sys.exit(main())
