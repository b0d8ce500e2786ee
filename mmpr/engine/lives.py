"""What engines were doing when they died: the record by which a question that kills engines is found.

Every engine writes a line when it is up, when a request goes in and when it comes out (``OUT/attempts/NAME.log``).
Every unit has a list of the engines that it was with (``OUT/attempts/UNIT.log``). A unit that is begun again finds
there which of its requests were in engines that died: once may be the machine's fault, more often makes a suspect.
Nothing of this is needed but while the build runs.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mmpr.engine.request import Request
from mmpr.errors import EngineError, EngineStartError
from mmpr.schema import content_id
from mmpr.storage.shards import ATTEMPTS, Unit, writing

MOST_ATTEMPTS = 20
"""Engines that a unit may outlive, besides those that died over one request alone; then the build gives up."""

MOST_STARTS = 3
"""Engines in a row that may die before they are up; then the build gives up."""

DEATHS_OF_SUSPECTS = 2
"""Engines that died with a request in them, among others, before it is asked alone.

One death is a node that was taken away as a rule, and asking alone all that was in it would cost its engine an hour.
"""

MOST_DEATHS_ALONE = 3
"""Engines that may die over one request with nothing else in them; then it is given up.

A machine may fail once or twice while a request happens to be alone.
"""

LOG_LINES_SHOWN = 25


class Life:
    """The record of one engine, from its start to its death; ``name`` is that of its log in ``OUT/logs``."""

    def __init__(self, out: Path, name: str) -> None:
        self.name = name
        self._path = path = _record(out, name)
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def up(self) -> None:
        """The engine has started."""
        self._write("up")

    def asks(self, request: Request) -> None:
        """A request goes in; a request to be careful with goes in alone."""
        self._write(f"{'alone' if request.caution else 'asked'} {request_key(request)}")

    def ended(self, request: Request) -> None:
        """A request has come out, whatever became of it."""
        self._write(f"ended {request_key(request)}")

    def _write(self, line: str) -> None:
        with writing(self._path):
            os.write(self._file, f"{line}\n".encode())


@dataclass(slots=True)
class History:
    """What is known of a unit's requests from engines that died with them: by key, how many, among others and alone."""

    together: Counter[str] = field(default_factory=Counter)
    alone: Counter[str] = field(default_factory=Counter)

    def deaths_alone(self, request: Request) -> int | None:
        """How many engines died over this request alone; None when it is no suspect."""
        key = request_key(request)
        suspect = self.alone[key] or self.together[key] >= DEATHS_OF_SUSPECTS
        return self.alone[key] if suspect else None


def request_key(request: Request) -> str:
    """What names a request in the records; its seed follows from the question's id."""
    return content_id("request", request.said, request.prefix, str(request.seed))


def begin_unit(out: Path, unit: Unit, engine: str) -> History:
    """Note that a unit is with an engine now; returns what the engines before have left.

    Raises:
        EngineStartError: the engines before never came up.
        EngineError: too many died.
    """
    path = _engines_of(out, unit)
    before = [name for name in _lines(path) if name != engine]
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{engine}\n")
    history = History()
    deaths = starts = 0
    for name in before:
        end = _end_of(out, name, history)
        starts = 0 if end.up else starts + 1
        deaths += not end.alone
    last = out / "logs" / before[-1] if before else out
    if starts >= MOST_STARTS:
        raise EngineStartError(f"{starts} engines in a row died before they were up{last_words(last)}")
    deaths += sum(alone >= MOST_DEATHS_ALONE for alone in history.alone.values())
    if deaths > MOST_ATTEMPTS:
        raise EngineError(
            f"unit {unit.number} of {unit.of} was begun {len(before)} times and its engine died every time. "
            f"What is finished is kept, and the same command goes on{last_words(last)}"
        )
    return history


def end_unit(out: Path, unit: Unit) -> None:
    """Forget the engines of a unit that is finished."""
    path = _engines_of(out, unit)
    with writing(path):
        path.unlink(missing_ok=True)


def last_words(log: Path) -> str:
    """The end of an engine's log, to be put behind an error; nothing when there is no log."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    shown = "\n".join(f"    {line}" for line in lines[-LOG_LINES_SHOWN:])
    return f"\n  its last words ({log}):\n{shown}" if shown else f"; the engines' logs are in {log.parent}"


@dataclass(frozen=True, slots=True)
class _End:
    """How an engine's record ends: whether it was up, and whether a request was in it alone."""

    up: bool
    alone: bool


def _end_of(out: Path, name: str, history: History) -> _End:
    """Go through an engine's record: who came out of it is cleared, who was in it at its end is counted."""
    up, inside = False, {}
    for line in _lines(_record(out, name)):
        what, _, key = line.partition(" ")
        up = up or what == "up"
        if what in ("asked", "alone"):
            inside[key] = what
        elif what == "ended":
            for deaths in (inside, history.together, history.alone):
                deaths.pop(key, None)
    for key, way in inside.items():
        (history.alone if way == "alone" else history.together)[key] += 1
    return _End(up, "alone" in inside.values())


def _lines(path: Path) -> Iterator[str]:
    """The whole lines of a record; a killed writer may have left half of one."""
    if path.exists():
        yield from (line[:-1] for line in path.open(encoding="utf-8", errors="replace") if line.endswith("\n"))


def _record(out: Path, name: str) -> Path:
    return out / ATTEMPTS / name


def _engines_of(out: Path, unit: Unit) -> Path:
    return out / ATTEMPTS / f"{unit.file}.log"
