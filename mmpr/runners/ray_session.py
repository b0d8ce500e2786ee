"""Ray for a while: a connection to a cluster, or a cluster of this process's own.

What Ray reads of the environment is set in ``mmpr.runners``, which is imported first.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import ray
import ray.data

from mmpr.cli.command import Forgiving, end_politely
from mmpr.errors import MmprError
from mmpr.runners.limits import check_address_space, check_open_files
from mmpr.storage.shards import writing

_LONGEST_SOCKET = 107  # bytes
MORE_MEMORY = "give it more memory, or lower engine.actors or unit_questions"
_NOTES = {
    "running low on memory": f"Ray ends processes, since memory runs low, and begins their work again; {MORE_MEMORY}",
    "worker died or was killed": "a process of Ray died, for want of memory perhaps, and its work is begun again",
}
"""What a person is told once of what Ray says in its log."""
_SOCKET = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"


@contextlib.contextmanager
def session(log: Path) -> Iterator[TextIO]:
    """Ray for a while: the cluster that ``RAY_ADDRESS`` names, or one on this machine alone, which ends with it.

    A process that has Ray already keeps it.

    Yields where to speak to the person. Ray tells of every actor that it ends and of every task that it begins again,
    on this process's standard streams: that, and what it says while it starts, goes to ``log``.

    Raises:
        MmprError: no connection, or a limit of this process is too low for a Ray of its own.
        OutputError: the log cannot be written.
    """
    terminal = sys.stderr
    ours = not ray.is_initialized()  # a notebook may have Ray already, and goes on with it afterwards
    local = {}
    if ours and address() == "local":
        check_open_files("Ray")
        check_address_space()
        local = {"include_dashboard": False, "_temp_dir": _temp_dir()}
    with SideLog(log, terminal) as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        try:
            with _stderr_to(file):
                if ours:
                    _connect(log, local)
            end_politely()  # Ray has put its own way of ending in place
            with _ray_data_to(file):
                yield terminal
        finally:
            if ours:
                ray.shutdown()


class SideLog(io.TextIOWrapper):
    """A log of what Ray says; of some of that the person is told, once.

    Its own trouble, such as a full disk, does not stand before the error that a build ends with.

    Raises:
        OutputError: it cannot be opened.
    """

    def __init__(self, path: Path, terminal: TextIO) -> None:
        with writing(path):
            path.parent.mkdir(exist_ok=True)
            super().__init__(io.BufferedWriter(Forgiving(path, "a")), encoding="utf-8")
        self._path, self._terminal, self._untold = path, terminal, dict(_NOTES)

    def write(self, text: str) -> int:
        """Write what Ray says, and pass on what the person should know."""
        for said in [said for said in self._untold if said in text]:
            print(f"note: {self._untold.pop(said)} ({self._path})", file=self._terminal, flush=True)
        return super().write(text)


def address() -> str:
    """The cluster that Ray is to be found at; ``local`` for one on this machine alone."""
    return os.environ.get("RAY_ADDRESS") or "local"


def _connect(log: Path, local: dict[str, Any]) -> None:
    where = address()
    try:
        ray.init(address=where, log_to_driver=False, logging_level="ERROR", **local)
    except Exception as error:  # noqa: BLE001 - Ray raises a bare one when its processes do not come up
        hint = "" if local else "; a cluster that wants a token wants RAY_AUTH_MODE=token here too (docs/cluster.md)"
        raise MmprError(f"Ray: cannot connect to {where!r}: {error}; its words are in {log}{hint}") from None


def _temp_dir() -> str | None:
    """Where Ray may keep its sockets and logs on this machine; None where its own choice does.

    Sockets have paths of at most 107 bytes, and Ray takes ASCII only.

    Raises:
        MmprError: there is no such place.
    """
    chosen = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    why = _unfit(chosen / "ray")
    if why is None:
        return None
    for place in (Path("/tmp/ray"), Path(f"/tmp/ray-{os.getuid()}"), Path("/dev/shm") / f"ray-{os.getuid()}"):
        if _unfit(place) is None:
            print(f"note: Ray's own files go to {place}, since {chosen} {why}", file=sys.stderr, flush=True)
            return str(place)
    raise MmprError(f"Ray: {chosen} {why}; set RAY_TMPDIR to a folder that can be written, with a short ASCII name")


def _unfit(place: Path) -> str | None:
    """Why Ray cannot keep its files in a folder, which is made if need be; None where it can."""
    text = str(place)
    if not text.isascii():
        return "is not ASCII"
    if len(text) > _LONGEST_SOCKET - len(_SOCKET):
        return "is too long for the names of sockets"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"cannot be written ({error.strerror})"
    return None if os.access(place, os.W_OK | os.X_OK) else f"has a folder {place.name!r} that cannot be written"


@contextlib.contextmanager
def _ray_data_to(file: TextIO) -> Iterator[None]:
    """Let Ray Data show no progress, and tell of errors in a file for a while, traces and all."""
    logger = logging.getLogger("ray.data")
    logger.setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # Not `setStream`: others (a test runner, a notebook) may have handlers of their own there, with streams they close.
    before = [each for each in logger.handlers if isinstance(each, logging.StreamHandler)]
    ours = logging.StreamHandler(file)
    ours.setFormatter(before[0].formatter if before else None)
    for handler in before:
        logger.removeHandler(handler)
    logger.addHandler(ours)
    try:
        yield
    finally:
        logger.removeHandler(ours)
        for handler in before:
            logger.addHandler(handler)


@contextlib.contextmanager
def _stderr_to(file: TextIO) -> Iterator[None]:
    """Point the standard error of this process (Ray's C++ parts write to it directly) at a file for a while."""
    kept = os.dup(2)
    try:
        os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
