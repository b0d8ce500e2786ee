"""The folder of an evaluation: its questions, and a run for each model and style.

    R/data/NAME-FINGERPRINT/     questions/ (their pictures with them), rejects/, data.json
    R/runs/NAME-FINGERPRINT/MODEL-REVISION/STYLE-WAY/
                                 rollouts/, verdicts/, rejects/, logs/, run.json, metrics.json
    R/report.json, R/index.html  the results of all finished runs

Every shard is whole or absent, and nothing is asked twice: the same command continues, and other models, questions or
styles are added to the folder.
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
from mmpr.evaluate.questions import QuestionSource, fingerprint_of, read_questions, with_instruction
from mmpr.schema import Question, Reject
from mmpr.storage.shards import Unit, Units, done, shard, write_json, write_shard
from mmpr.storage.trees import differing_settings, read_object

UNIT_QUESTIONS = 64
OURS = {".lock", "data", "runs", "logs", "report.json", "index.html"}
"""What may lie in the folder of an evaluation."""


@dataclass(frozen=True, slots=True)
class StoredQuestions:
    """Questions stored in the folder of an evaluation; ``left_out`` counts unusable rows by reason."""

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
    """Check that a folder is empty or holds an evaluation.

    Raises:
        OutputError: it holds something else.
    """
    strangers = sorted(path.name for path in root.iterdir() if path.name not in OURS and not path.name.startswith("."))
    if strangers:
        raise OutputError(f"{root}: is not empty and holds no evaluation ({strangers[0]}); use another --out")


def store_questions(data: QuestionSource, recipe: Recipe, root: Path, say: Callable[[str], None]) -> StoredQuestions:
    """Store the questions of ``data`` in the folder, unless they are there.

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


def read_stored(folder: Path) -> StoredQuestions:
    """Questions that were stored earlier.

    Raises:
        OutputError: ``data.json`` is damaged.
    """
    return StoredQuestions(folder=folder, **_read_json(folder / "data.json", ("units", "fingerprint", "left_out")))


@dataclass(frozen=True, slots=True)
class Run:
    """A model, a set of questions and how they are asked; ``about`` is the content of ``run.json``."""

    folder: Path
    stored: StoredQuestions
    about: dict[str, Any]

    def is_finished(self) -> bool:
        """Whether every response was sampled and judged."""
        return all(done(self.folder, "verify", self.stored.all_units()))


def claim(run: Run) -> None:
    """Write ``run.json``, or check that the one in the folder has the same settings.

    ``about["settings"]`` is everything that the responses depend on. Runs are numbered in the order in which they were
    claimed. A new name of the model replaces the old one.

    Raises:
        OutputError: the folder holds a run with other settings; the message names them and the remedy.
    """
    path = run.folder / "run.json"
    if not path.exists():
        others = run.folder.parents[2].glob("*/*/*/run.json")
        write_json(path, {**run.about, "number": 1 + max((read_run(other)["number"] for other in others), default=0)})
        return
    there = read_run(path)
    changed = [
        f"{name} was {before or 'not set'}, is {now or 'not set'}"
        for name, before, now in differing_settings(there["settings"], run.about["settings"], _as_text)
    ]
    if changed:
        told = "; ".join(changed)
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
    """The finished runs of a folder, in the order in which they were claimed."""
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
        return read_object(path, keys)
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read ({error}); delete {path.parent} and run again") from None


def _as_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
