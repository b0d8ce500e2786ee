"""Processes that work for this one, bounded in time and memory, and killed when they are late.

A process is a plain subprocess that talks over pipes (no signals, no fork, no import of the parent's ``__main__``), so
this works in any thread and any kind of process. It gets requests, one line each, and answers each by one or more
lines. It ends when its parent does.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import resource
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator

START_LIMIT_S = 30.0
_PATIENCE = 4
"""Times the limit: the longest wait for a process that gets too little of a busy processor."""


class LateError(Exception):
    """An answer took longer than it may; the process was killed."""


class DiedError(Exception):
    """The process died over a request, or did not start."""


class Process:
    """One subprocess; used by one thread at a time.

    Args:
        module: the module whose ``serve()`` the process runs (see ``serve`` below).
    """

    def __init__(self, module: str) -> None:
        environment = {
            "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
            "PATH": os.environ.get("PATH", ""),
            "MMPR_PARENT": str(os.getpid()),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", f"from {module} import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self._in, False)
        self._started = False
        self._buffer = b""

    def send(self, request: bytes) -> None:
        """Write one request, a line without its end; raises LateError or DiedError."""
        if not self._started:
            if self.receive(START_LIMIT_S) != "ready":
                raise DiedError("a process did not start")
            self._started = True
        left = memoryview(request + b"\n")
        poll = select.poll()
        poll.register(self._in, select.POLLOUT)
        while left:
            if not poll.poll(START_LIMIT_S * 1000):
                raise LateError(f"a process took nothing for {START_LIMIT_S:g} s")
            try:
                left = left[os.write(self._in, left) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise DiedError("a process had died") from error

    def receive(self, limit_s: float, longest_s: float = 0.0) -> str:
        """The next line of an answer, within ``limit_s``; raises LateError or DiedError.

        When a busy machine gave the process less than half of the time it is waited for longer: up to four times the
        limit, or ``longest_s``.
        """
        if b"\n" not in self._buffer:
            self._wait(limit_s, longest_s)
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def _wait(self, limit_s: float, longest_s: float) -> None:
        poll = select.poll()
        poll.register(self._out, select.POLLIN | select.POLLHUP)
        used = self.cpu_s()
        start = time.monotonic()
        end = start + limit_s
        longest = start + (longest_s or _PATIENCE * limit_s)
        while b"\n" not in self._buffer:
            left = end - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                worked = self.cpu_s() - used
                if used and worked < limit_s / 2 and end < longest:
                    end += limit_s / 2
                    continue
                raise LateError(f"no answer within {limit_s:g} s")
            data = os.read(self._out, 1 << 16)
            if not data:
                raise DiedError("a process died")
            self._buffer += data

    def cpu_s(self) -> float:
        """Processor seconds used so far (read from /proc; 0 where there is none)."""
        with contextlib.suppress(OSError), open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        self.process.wait()


class Processes:
    """At most ``most`` processes of one kind, started when they are needed and kept for the next request.

    A forked child starts its own: it shares no pipe with its parent's.
    """

    def __init__(self, module: str, most: int) -> None:
        self._module = module
        self._most = most
        self._begin()
        atexit.register(self.close)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._free = threading.Semaphore(self._most)
        self._idle: list[Process] = []
        self._all: set[Process] = set()

    def warm(self) -> None:
        """Start one in the background when there is none; returns at once."""
        self._own()
        with self._lock:
            if not self._all:
                self._idle.append(self._new())

    @contextlib.contextmanager
    def lend(self) -> Iterator[Process]:
        """A process that nobody else uses meanwhile; it is killed when the block raises."""
        self._own()
        with self._free:
            with self._lock:
                process = self._idle.pop() if self._idle else self._new()
            try:
                yield process
            except BaseException:
                process.kill()
                with self._lock:
                    self._all.discard(process)
                raise
            with self._lock:
                self._idle.append(process)

    def pids(self) -> list[int]:
        """The living processes."""
        self._own()
        return [process.process.pid for process in self._all]

    def cpu_s(self) -> float:
        """Processor seconds that the living processes have used."""
        self._own()
        return sum(process.cpu_s() for process in self._all)

    def close(self) -> None:
        """End them all; the next request starts new ones."""
        self._own()
        with self._lock:
            for process in self._all:
                process.kill()
            self._all.clear()
            self._idle.clear()

    def _own(self) -> None:
        if self._pid != os.getpid():
            self._begin()

    def _new(self) -> Process:
        process = Process(self._module)
        self._all.add(process)
        return process


def serve(answer: Callable[[str], Iterable[str]], *, memory_bytes: int, cpu_s: int) -> None:
    """In the process: answer requests by lines until standard input ends or the parent is gone.

    Args:
        answer: the lines for one request, an empty one to send what there is; what it raises ends the process.
        memory_bytes: of address space, beyond which Python raises MemoryError.
        cpu_s: processor seconds for one request, after which the system ends the process: a backstop that holds when
            the parent, which kills sooner, is gone.
    """
    threading.Thread(target=_leave_with_parent, args=(int(os.environ["MMPR_PARENT"]),), daemon=True).start()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _limit(resource.RLIMIT_AS, memory_bytes, memory_bytes)
    _limit(resource.RLIMIT_CORE, 0, 0)
    print("ready", file=answers, flush=True)
    for request in sys.stdin:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        _limit(resource.RLIMIT_CPU, int(usage.ru_utime + usage.ru_stime) + cpu_s + 1, resource.RLIM_INFINITY)
        for line in answer(request):
            if line:
                print(line, file=answers)
            else:
                answers.flush()
        answers.flush()


def _leave_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def _limit(kind: int, soft: int, hard: int) -> None:
    with contextlib.suppress(ValueError, OSError):  # a system that has no such limit (macOS: address space)
        resource.setrlimit(kind, (soft, hard))
