"""What all commands share: how they end, and what of other people's text may reach a terminal."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from mmpr.errors import MmprError

INTERRUPTED = 130
RULE_HELP = "an answer rule of your own: function(answer, truth, choices) -> True, False, or None where it cannot tell"
RUNNERS = ("ray", "local")
RUNNER_HELP = "local: one engine in this process, without Ray, to debug with (default: ray)"
NEEDED = ("_ctypes", "_sqlite3", "_bz2", "_lzma")
"""Modules that mmpr's packages import, and that a Python built from source lacks where their libraries were missing."""
KEPT = "stopped; what is finished is kept, and the same command goes on"


def run_command(work: Callable[[], int | None], stopped: str = KEPT) -> int:
    """Do a command's work; returns the exit status: what it returns (None: 0), an error's own, or 130 when stopped.

    What cannot be printed does not end the work: the reader has gone, as `head` does, or the disk behind it is full.
    """
    _open_streams()
    end_politely()
    try:
        os.getcwd()
    except OSError as error:
        print(f"error: the working directory: {error.strerror}; change to one that is there", file=sys.stderr)
        return 1
    if lacking := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        print(f"error: this Python was built without {', '.join(lacking)}; use another one", file=sys.stderr)
        return 1
    try:
        return work() or 0
    except MmprError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        return INTERRUPTED


def end_politely() -> None:
    """Let SIGTERM, and a terminal that is closed, end like Ctrl-C: what is finished stays, Ray and the engines go.

    A shell may have ignored Ctrl-C, and `nohup` ignores the closing of the terminal, which stays so. Python lets only a
    process's main thread say so; elsewhere nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.default_int_handler)


class Forgiving(io.FileIO):
    """A file whose trouble ends nothing: what cannot be written is dropped, and said once on ``told``, if given."""

    told: TextIO | None = None

    def write(self, data: Any) -> int:
        """Write what can be written."""
        try:
            super().write(data)
        except OSError as error:
            told, self.told = self.told, None
            if told is not None and not isinstance(error, BrokenPipeError):
                print(f"warning: output is lost: {error.strerror}", file=told, flush=True)
        return len(data)


def _open_streams() -> None:
    """Make the standard streams of a process ones that can always be written to, be they closed or full."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: the next file that is opened would take its place
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is sys.__stderr__:  # and not what a test or a notebook has put there
        sys.stderr = _forgiving(2, sys.stderr)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _forgiving(1, sys.stdout, told=sys.stderr)


def _forgiving(descriptor: int, stream: TextIO | None, told: TextIO | None = None) -> TextIO:
    """A stream to a descriptor in the encoding of the one in use, if any; what it loses is said on ``told``."""
    file = Forgiving(descriptor, "w", closefd=False)
    file.told = told
    encoding = getattr(stream, "encoding", "utf-8")
    return io.TextIOWrapper(io.BufferedWriter(file), encoding, "backslashreplace", line_buffering=True)


def this_command() -> str:
    """How this very mmpr is called from the working directory: ``mmpr`` where that is it, else by its Python."""
    python = Path(sys.executable)
    found = shutil.which("mmpr")
    if found is not None and Path(found).parent == python.parent:
        return "mmpr"
    return f"{os.path.relpath(python) if python.is_relative_to(Path.cwd()) else python} -m mmpr"


def printable(text: str) -> str:
    """Text of a model or a data set, safe for a terminal: control and format characters but line breaks are spelled."""
    return "".join(
        char
        if char.isprintable() or char == "\n"
        else " "
        if char.isspace()
        else char.encode("unicode_escape").decode()
        for char in text
    )
