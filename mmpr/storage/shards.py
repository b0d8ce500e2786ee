"""Shards: where they are, and how they are written whole or not at all.

    OUT/build.json               the plan: recipe, fingerprints, number of units; written once the index is complete
    OUT/index/{train,heldout}/   source rows a unit, text only
    OUT/templates/               the prompt templates
    OUT/questions/  heldout/     checked questions with their pictures
    OUT/rollouts/   completions/ what the model wrote (GPU time)
    OUT/verdicts/   pairs/       what follows from it (minutes of CPU)
    OUT/adjudications/           a verifier model's words on unsure verdicts, where the recipe asks for them (GPU time)
    OUT/judgements/              what people say of verdicts, as the pairs know it; from audit.jsonl
    OUT/rejects/                 what was dropped
    OUT/manifest.json            what the build is made of; written last

Every directory holds one file for each unit of work, ``part-00007-of-00120.parquet``. A file that exists is complete.
``earlier/rollouts/`` and ``earlier/completions/`` hold what was sampled of units that are done again for more samples.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import itertools
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, overload

from mmpr.errors import OutputError
from mmpr.schema import Reject
from mmpr.storage.tables import Row, read_counts, write_parquet

Stage = Literal["ingest", "sample", "complete", "verify", "adjudicate", "pair"]
Split = Literal["train", "heldout"]

STAGES: tuple[Stage, ...] = ("ingest", "sample", "complete", "verify", "adjudicate", "pair")
_FOLDERS = {
    "ingest": "questions",
    "sample": "rollouts",
    "complete": "completions",
    "verify": "verdicts",
    "adjudicate": "adjudications",
    "pair": "pairs",
}
VERDICTS_BEFORE = "verdicts.before"
"""The folder of an earlier judge's verdicts, kept beside ``verdicts/`` until they have been compared."""

TEMPLATES = "templates"
"""The folder of the prompt templates that a build was asked with."""

JUDGEMENTS = "judgements"
"""The folder of what people say of verdicts, as the pairs know it."""

EARLIER = "earlier"
"""The folder of shards that a unit is done again from, when its questions get more samples."""

ATTEMPTS = "attempts"
"""The folder of records of which engines had a unit, and what each engine was asked (``mmpr.engine.lives``)."""

MANIFEST, PLAN = "manifest.json", "build.json"
"""Files at the top of a build: what it is made of, written last, and its plan, written once the index is complete."""

_PREFIX = "part-"
_TEMPORARY = ".tmp"
_serial = itertools.count()
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""What a file system without locks answers, such as Lustre that is mounted without ``flock``."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of work: the ``number``-th of ``of`` parts of a split."""

    split: Split
    number: int
    of: int

    @property
    def file(self) -> str:
        """The name of this unit's shard in every directory."""
        return f"{_PREFIX}{self.number:05d}{_suffix(self.of)}"


class Units(Sequence[Unit]):
    """Some units of a split, in order. A unit is made when it is asked for, so that millions take no memory.

    ``numbers`` is a range, or an array of 4 bytes a unit. ``earlier`` are the numbers of units that the split had
    before it grew, each time: a unit's file is named after the number at its time.
    """

    def __init__(
        self, split: Split, of: int, numbers: Sequence[int] | None = None, *, earlier: Sequence[int] = ()
    ) -> None:
        self.split, self.of, self.earlier = split, of, tuple(earlier)
        self.numbers: Sequence[int] = range(of) if numbers is None else numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> Unit: ...
    @overload
    def __getitem__(self, place: slice) -> Units: ...
    def __getitem__(self, place: int | slice) -> Unit | Units:
        if isinstance(place, slice):
            return Units(self.split, self.of, self.numbers[place], earlier=self.earlier)
        return self.unit(self.numbers[place])

    def unit(self, number: int) -> Unit:
        """The unit of this number, be it among ``numbers`` or not."""
        return Unit(self.split, number, next((of for of in self.earlier if number < of), self.of))

    def where(self, wanted: Sequence[object]) -> Units:
        """The units whose number has a true value in ``wanted``."""
        chosen = array.array("I", (n for n in self.numbers if wanted[n]))
        return Units(self.split, self.of, chosen, earlier=self.earlier)


def folder(out: Path, stage: Stage, split: Split = "train") -> Path:
    """The folder of a stage's shards."""
    return out / ("heldout" if split == "heldout" else _FOLDERS[stage])


def shard(out: Path, stage: Stage, unit: Unit) -> Path:
    """The shard that a stage writes for a unit."""
    return folder(out, stage, unit.split) / unit.file


def earlier_shard(out: Path, stage: Stage, unit: Unit) -> Path:
    """What a stage wrote of a unit before its questions were given more samples."""
    return out / EARLIER / _FOLDERS[stage] / unit.file


def set_aside(out: Path, stage: Stage) -> None:
    """Make what a stage wrote the earlier shards of its units, so that the stage runs again from them."""
    to = out / EARLIER / _FOLDERS[stage]
    with writing(to):
        to.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder(out, stage).glob(f"{_PREFIX}*")):
            path.replace(to / path.name)
        sync(to)
    for path in (out / "rejects").glob(f"{stage}-*.parquet"):
        path.unlink(missing_ok=True)


def index_shard(out: Path, unit: Unit) -> Path:
    """The shard of a unit's source rows."""
    return out / "index" / unit.split / unit.file


def rejects_shard(out: Path, stage: str, unit: Unit) -> Path:
    """The shard of what a stage dropped of a unit."""
    return out / "rejects" / f"{stage}-{unit.split}-{unit.file}"


def judgements_shard(out: Path, unit: Unit) -> Path:
    """The shard of what people say of a unit's verdicts; most units have none."""
    return out / JUDGEMENTS / unit.file


def is_done(out: Path, stage: Stage, unit: Unit) -> bool:
    """Whether a stage has finished a unit."""
    return shard(out, stage, unit).exists()


def done(out: Path, stage: Stage, units: Units) -> bytearray:
    """A byte for every unit of a split: 1 if a stage has finished it, else 0. Lists the folder once."""
    found = bytearray(units.of)
    with contextlib.suppress(FileNotFoundError), os.scandir(folder(out, stage, units.split)) as entries:
        for entry in entries:
            number = entry.name.removeprefix(_PREFIX).partition("-")[0]
            if number.isdecimal() and int(number) < units.of and entry.name == units.unit(int(number)).file:
                found[int(number)] = 1
    return found


def write_shard(path: Path, noun: type[Row], rows: Iterable[Row], counts: dict[str, int]) -> None:
    """Write a shard whole or not at all; ``counts`` go into its footer.

    Raises:
        OutputError: the disk is full or cannot be written.
    """
    with whole_or_absent(path) as temporary:
        write_parquet(temporary, noun, rows, counts)


def write_rejects(out: Path, stage: str, unit: Unit, rejects: list[Reject]) -> None:
    """Write what a stage dropped. Call it before writing the stage's shard, which says that both are complete."""
    path = rejects_shard(out, stage, unit)
    if rejects:
        write_shard(path, Reject, rejects, {})
    else:
        path.unlink(missing_ok=True)


def json_text(value: object) -> str:
    """JSON as ``write_json`` writes it."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def write_json(path: Path, value: object) -> None:
    """Write JSON whole or not at all."""
    write_text(path, json_text(value))


def write_text(path: Path, text: str) -> None:
    """Write text whole or not at all."""
    with whole_or_absent(path) as temporary:
        temporary.write_bytes(encoded(text))


def encoded(text: str) -> bytes:
    """Text as ``write_text`` writes it: UTF-8, with unpaired surrogates escaped."""
    return text.encode("utf-8", errors="backslashreplace")


def add_counts(total: dict[str, int], more: dict[str, int]) -> None:
    """Add ``more`` to ``total``, name by name."""
    for name, count in more.items():
        total[name] = total.get(name, 0) + count


def stage_counts(out: Path, stage: Stage, units: Iterable[Unit]) -> dict[str, int]:
    """The sum of a stage's counts over the units it has finished."""
    total: dict[str, int] = {}
    for unit in units:
        path = shard(out, stage, unit)
        if path.exists():
            add_counts(total, read_counts(path))
    return total


def remove_stage(out: Path, stage: Stage) -> None:
    """Delete what a stage wrote, so that it runs again."""
    shutil.rmtree(folder(out, stage), ignore_errors=True)
    for path in (out / "rejects").glob(f"{stage}-*.parquet"):
        path.unlink(missing_ok=True)


def remove_temporaries(out: Path) -> None:
    """Delete the temporary files of writers that were killed."""
    for folder, _, names in os.walk(out):
        for name in names:
            if name.startswith(".") and name.endswith(_TEMPORARY):
                Path(folder, name).unlink(missing_ok=True)


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Lock an output directory for this process; the operating system unlocks it however the process ends.

    Some file systems have no locks: that is said, and the directory is used without one.

    Raises:
        OutputError: another process builds there, or the directory cannot be made.
    """
    file = _open_lock(out)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise OutputError(f"{out}: another build is running there; wait for it, or use another --out") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            file.close()
            raise OutputError(f"{out}: cannot be locked: {error.strerror}; use another file system for --out") from None
        print(
            f"warning: {out}: its file system has no locks ({error.strerror}), so nothing keeps a second process away: "
            "start one at a time there. Every file is still written whole or not at all",
            file=sys.stderr,
        )
    try:
        yield
    finally:
        file.close()


def _open_lock(out: Path) -> IO[bytes]:
    for place in (out, *out.parents):
        if place.is_symlink() and not place.exists():
            raise OutputError(f"{place}: is a link to nowhere ({os.readlink(place)}); mend it, or use another --out")
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        return (out / ".lock").open("ab")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise an OSError inside as an OutputError that names the path."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def whole_or_absent(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``: at the end it is flushed to disk and renamed, on an error removed.

    Raises:
        OutputError: the disk is full or cannot be written.
    """
    temporary = path.parent / f".{path.name}-{os.uname().nodename}-{os.getpid()}-{next(_serial)}{_TEMPORARY}"
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
    finally:
        with contextlib.suppress(OSError):  # whatever prevents it was raised above
            temporary.unlink(missing_ok=True)


def _suffix(of: int) -> str:
    return f"-of-{of:05d}.parquet"


def sync(path: Path) -> None:
    """Let what a file or a folder holds reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
