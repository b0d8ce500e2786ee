"""The folder of an evaluation: questions once, and a run for each model and way of asking.

    R/data/NAME-FINGERPRINT/     questions/ (their pictures with them), rejects/, data.json
    R/runs/NAME-FINGERPRINT/MODEL-REVISION/STYLE-WAY/
                                 rollouts/, verdicts/, rejects/, logs/, run.json, metrics.json
    R/report.json, R/index.html  what follows from all finished runs

Every shard is whole or absent, and what lies here is never asked twice: the same command goes on, and other models,
questions or ways of asking lie beside.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from mmpr.config import Recipe
from mmpr.errors import OutputError, SourceError
from mmpr.evaluate.data import Data, fingerprint_of, read_questions, with_instruction
from mmpr.schema import Question, Reject
from mmpr.storage.shards import Unit, Units, is_done, shard, write_json, write_shard

UNIT_QUESTIONS = 64
OURS = {".lock", "data", "runs", "logs", "report.json", "index.html"}
"""What may lie in the folder of an evaluation."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Questions that lie in the folder of an evaluation, in ``units`` units; ``left_out`` counts by reason."""

    folder: Path
    name: str
    origin: str
    fingerprint: str
    questions: int
    units: int
    left_out: dict[str, int]

    def all_units(self) -> Units:
        """The units of work."""
        return Units("train", self.units)


def check_folder(root: Path) -> None:
    """See that a folder is empty or holds an evaluation.

    Raises:
        OutputError: it holds something else.
    """
    strangers = sorted(path.name for path in root.iterdir() if path.name not in OURS and not path.name.startswith("."))
    if strangers:
        raise OutputError(f"{root}: is not empty and holds no evaluation ({strangers[0]}); use another --out")


def store_questions(data: Data, recipe: Recipe, root: Path, say: Callable[[str], None]) -> Stored:
    """The questions of ``data`` as they lie in the folder, read and put there unless they are.

    Raises:
        SourceError: there is nothing that can be asked.
    """
    name = recipe.sources[0].name if not data.is_build else data.name
    sha = fingerprint_of(data, recipe)
    folder = root / "data" / f"{name}-{sha[:8]}"
    if (folder / "data.json").exists():
        return read_stored(folder)
    say(f"reading {data.origin}")
    shutil.rmtree(folder, ignore_errors=True)
    rejects: list[Reject] = []

    def usable() -> Iterator[Question]:
        for item in read_questions(data, recipe):
            if isinstance(item, Reject):
                rejects.append(item)
            else:
                yield with_instruction(item)

    questions, making = usable(), folder / "making"
    units = total = 0
    while part := list(islice(questions, UNIT_QUESTIONS)):
        write_shard(making / f"{units:05d}.parquet", Question, part, {f"{name}/questions": len(part)})
        units, total = units + 1, total + len(part)
    left_out = dict(sorted(Counter(reject.reason for reject in rejects).items()))
    if rejects:
        write_shard(folder / "rejects" / "questions.parquet", Reject, rejects, {})
    if not units:
        why = ", ".join(f"{by:,} {reason.replace('_', ' ')}" for reason, by in left_out.items()) or "it is empty"
        raise SourceError(f"{data.origin}: holds no question that can be asked and judged ({why})")
    for number in range(units):
        path = shard(folder, "ingest", Unit("train", number, units))
        path.parent.mkdir(exist_ok=True)
        (making / f"{number:05d}.parquet").rename(path)
    making.rmdir()
    about = {"name": name, "origin": data.origin, "fingerprint": sha, "questions": total, "units": units}
    write_json(folder / "data.json", {**about, "left_out": left_out})
    return read_stored(folder)


def read_stored(folder: Path) -> Stored:
    """Questions that were stored.

    Raises:
        OutputError: ``data.json`` is damaged.
    """
    return Stored(folder=folder, **_read_json(folder / "data.json", ("units", "fingerprint", "left_out")))


@dataclass(frozen=True, slots=True)
class Run:
    """A model, a set of questions and a way of asking them. ``about`` is ``run.json``; see ``claim``."""

    folder: Path
    stored: Stored
    about: dict[str, Any]

    def is_finished(self) -> bool:
        """Whether every response is there and judged."""
        return all(is_done(self.folder, "verify", unit) for unit in self.stored.all_units())


def claim(run: Run) -> None:
    """Write down what a run is, or see that it is what lies there.

    ``about["settings"]`` is what its responses follow from. Runs are numbered in the order of their being claimed; the
    model's name is the one that it was last given.

    Raises:
        OutputError: the folder holds a run with other settings; the text names them and the remedy.
    """
    path = run.folder / "run.json"
    if not path.exists():
        others = run.folder.parents[2].glob("*/*/*/run.json")
        write_json(path, {**run.about, "number": 1 + max((read_run(other)["number"] for other in others), default=0)})
        return
    there = read_run(path)
    before, now = dict(_leaves("", there["settings"])), dict(_leaves("", run.about["settings"]))
    changed = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    if changed:
        told = "; ".join(f"{name} was {before.get(name, 'not set')}, is {now.get(name, 'not set')}" for name in changed)
        raise OutputError(f"{run.folder}: was evaluated with other settings ({told}); use another --out, or delete it")
    if there["model"] != run.about["model"]:
        write_json(path, {**there, "model": run.about["model"]})


def read_run(path: Path) -> dict[str, Any]:
    """A ``run.json``.

    Raises:
        OutputError: it is damaged.
    """
    return _read_json(path, ("settings", "model", "model_path", "revision", "style", "way", "template", "number"))


def finished_runs(root: Path) -> list[Run]:
    """Every finished run of a folder, in the order in which they were claimed."""
    runs = []
    for path in sorted(root.glob("runs/*/*/*/run.json")):
        data = root / "data" / path.parents[2].name
        if (data / "data.json").exists():
            run = Run(path.parent, read_stored(data), read_run(path))
            if run.is_finished():
                runs.append(run)
    return sorted(runs, key=lambda run: int(run.about["number"]))


def _read_json(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(tree, dict) and all(key in tree for key in keys):
            return tree
        reason = "it is of another format"
    except (OSError, ValueError) as error:
        reason = str(error)
    raise OutputError(f"{path}: cannot be read ({reason}); delete {path.parent} and run again")


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(f"{name}.{key}" if name else str(key), part)
    else:
        yield name, json.dumps(value, ensure_ascii=False)
