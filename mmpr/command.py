"""What all commands share: how they end, and what of other people's text may reach a terminal."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from mmpr.errors import MmprError

INTERRUPTED = 130
RULE_HELP = "an answer rule of your own: function(answer, truth, choices) -> True, False, or None where it cannot tell"
KEPT = "stopped; what is finished is kept, and the same command goes on"


def run_command(work: Callable[[], int | None], stopped: str = KEPT) -> int:
    """Do a command's work; returns the exit status: what it returns (None: 0), an error's own, or 130 when stopped."""
    end_politely()
    try:
        return work() or 0
    except MmprError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        return INTERRUPTED


def end_politely() -> None:
    """Let SIGTERM end like Ctrl-C (which a shell may have ignored): what is finished stays, Ray and the engines go.

    Python lets only a process's main thread say so; elsewhere nothing is changed.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


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
