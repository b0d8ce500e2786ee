"""Worker processes that prove expressions equal: persistent, bounded in time and memory, killed when they are late.

A worker is a plain subprocess that talks over pipes (no signals, no fork, no import of the parent's ``__main__``), so
this works in any thread and any kind of process. A worker ends when its parent does. Starting one takes as long as
importing sympy, so ``match`` starts one in the background when it sees the first formula.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections import OrderedDict

from mmpr.answers.formula.tree import Tree

LIMIT_S = 0.9
START_LIMIT_S = 30.0
MAX_WORKERS = 2
_PATIENCE = 4  # times LIMIT_S: the longest wait for a worker that gets too little of a busy processor
_CACHE_SIZE = 8192


class SymbolicTimeoutError(Exception):
    """A proof took longer than it may; its worker was killed."""


class SymbolicCrashError(Exception):
    """The worker died or ran out of memory over this proof."""


class _Worker:
    """One process; used by one thread at a time."""

    def __init__(self) -> None:
        environment = {
            "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
            "PATH": os.environ.get("PATH", ""),
            "MMPR_PARENT": str(os.getpid()),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from mmpr.answers.prover.worker import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        self.started = False
        self.buffer = b""

    def ask(self, request: bytes, limit_s: float) -> str:
        """The answer to one request line; raises SymbolicTimeoutError or SymbolicCrashError."""
        if not self.started:
            if self._line(START_LIMIT_S) != "ready":
                raise SymbolicCrashError("the symbolic worker did not start")
            self.started = True
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(request)
            self.process.stdin.flush()
        except OSError as error:
            raise SymbolicCrashError("the symbolic worker had died") from error
        return self._line(limit_s)

    def _line(self, limit_s: float) -> str:
        assert self.process.stdout is not None
        pipe = self.process.stdout.fileno()
        poll = select.poll()
        poll.register(pipe, select.POLLIN | select.POLLHUP)
        used = self.cpu_s()
        start = time.monotonic()
        end = start + limit_s
        while b"\n" not in self.buffer:
            left = end - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                worked = self.cpu_s() - used
                if used and worked < limit_s / 2 and end < start + _PATIENCE * min(limit_s, LIMIT_S):
                    end += limit_s / 2  # a busy machine gave it less than half of its time
                    continue
                raise SymbolicTimeoutError(f"no proof within {LIMIT_S} s")
            data = os.read(pipe, 4096)
            if not data:
                raise SymbolicCrashError("the symbolic worker died")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode()

    def cpu_s(self) -> float:
        """Processor seconds used so far (read from /proc; 0 where there is none)."""
        with contextlib.suppress(OSError), open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0

    def kill(self) -> None:
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        self.process.wait()


class _Pool:
    """At most ``MAX_WORKERS`` workers of this process, and a cache of what they have shown."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.idle: list[_Worker] = []
        self.all: set[_Worker] = set()
        self.free = threading.Semaphore(MAX_WORKERS)
        self.lock = threading.Lock()
        self.known: OrderedDict[bytes, bool] = OrderedDict()

    def warm(self) -> None:
        with self.lock:
            if not self.all:
                self.idle.append(self._new())

    def _new(self) -> _Worker:
        worker = _Worker()
        self.all.add(worker)
        return worker

    def prove(self, request: bytes, limit_s: float) -> bool:
        with self.lock:
            if request in self.known:
                self.known.move_to_end(request)
                return self.known[request]
        with self.free:
            for attempt in (1, 2):
                with self.lock:
                    worker = self.idle.pop() if self.idle else self._new()
                try:
                    answer = worker.ask(request, limit_s)
                except SymbolicTimeoutError:
                    self._drop(worker)
                    raise
                except SymbolicCrashError:
                    self._drop(worker)
                    if attempt == 1:
                        continue  # it may have died between two proofs, not over this one
                    raise
                if answer not in ("yes", "no"):
                    self._drop(worker)
                    raise SymbolicCrashError("the symbolic worker ran out of memory")
                with self.lock:
                    self.idle.append(worker)
                    self.known[request] = answer == "yes"
                    if len(self.known) > _CACHE_SIZE:
                        self.known.popitem(last=False)
                return answer == "yes"
        raise SymbolicCrashError("the symbolic worker died twice")

    def _drop(self, worker: _Worker) -> None:
        worker.kill()
        with self.lock:
            self.all.discard(worker)

    def close(self) -> None:
        with self.lock:
            for worker in self.all:
                worker.kill()
            self.all.clear()
            self.idle.clear()


_pool: _Pool | None = None
_pool_lock = threading.Lock()


def warm() -> None:
    """Start a worker in the background when there is none; returns at once."""
    _current().warm()


def prove_equal(left: Tree, right: Tree, limit_s: float = LIMIT_S) -> bool:
    """Whether two expressions are shown to be equal; raises SymbolicTimeoutError or SymbolicCrashError."""
    request = json.dumps([left, right], separators=(",", ":")).encode() + b"\n"
    return _current().prove(request, limit_s)


def cpu_s() -> float:
    """Processor seconds that the living workers have used."""
    return sum(worker.cpu_s() for worker in _current().all)


def close() -> None:
    """End all workers of this process; the next proof starts new ones."""
    if _pool is not None and _pool.pid == os.getpid():
        _pool.close()


def _current() -> _Pool:
    global _pool
    with _pool_lock:
        if _pool is None or _pool.pid != os.getpid():  # a forked child shares no pipe with its parent's workers
            _pool = _Pool()
        return _pool


atexit.register(close)
