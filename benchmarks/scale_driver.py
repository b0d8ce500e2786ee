"""The driver of a build under load, a process for each measurement: its memory, going on, responses a second.

The questions are text, the engine is the replay engine (a fake, for load only) with answers as long as the paper's; all
else is what ``mmpr.build`` runs.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from mmpr import build as build_module
from mmpr.config import Recipe, parse_recipe
from mmpr.pipeline.job import UNADJUDICATED, Job
from mmpr.pipeline.plan import Build, Plan, make_plan, write_build, write_index
from mmpr.pipeline.work import WORK, Left, what_is_left
from mmpr.schema import Completions, IndexedRow, PreferenceRow, Question, Rollout, Verdicts
from mmpr.storage.shards import Unit, Units, shard, write_shard

MEAN_TOKENS = 325  # between the paper's 300.0 (chosen) and 350.5 (rejected)
QUESTION_WORDS = 60  # about its 79.5 tokens
_NOUNS = {"ingest": Question, "sample": Rollout, "complete": Completions, "verify": Verdicts, "pair": PreferenceRow}


def measured(name: str, **arguments: Any) -> dict[str, Any]:
    """Run one of the functions of this module in a process of its own; its figures, and that process's peak memory."""
    command = [sys.executable, "-m", __name__, name, json.dumps(arguments)]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=root)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def write_questions(path: Path, questions: int) -> None:
    """A JSONL of that many different questions, with answers from 0 to 9."""
    dice = random.Random(0)
    words = ["".join(dice.choices("bdklmnrsaeio", k=dice.randrange(2, 8))) for _ in range(5_000)]
    with path.open("w", encoding="utf-8") as file:
        for number in range(questions):
            asked = f"Question {number}: {' '.join(dice.choices(words, k=QUESTION_WORDS))}?"
            file.write(json.dumps({"question": asked, "answer": str(number % 10)}) + "\n")


def recipe_of(data: str, samples: int = 32, unit_questions: int = 256, actors: int = 2) -> Recipe:
    """The recipe of all measurements: one source, the replay engine."""
    engine = {"type": "replay", "actors": actors, "cpus_per_actor": 0.5, "units_in_flight": 2}
    return parse_recipe(
        {
            "name": "scale",
            "model": {"path": "none"},
            "engine": {**engine, "args": {"mean_tokens": MEAN_TOKENS}},
            "sampling": {"samples": samples},
            "unit_questions": unit_questions,
            "sources": [{"name": "generated", "type": "jsonl", "path": data}],
        }
    )


def index(data: str, out: str) -> dict[str, Any]:
    """Plan a build, index its questions, and look at what is left to do, which is all of it."""
    start = time.perf_counter()
    plan = make_plan(recipe_of(data), "scale")
    state = write_index(Path(out), plan)
    left = what_is_left(Path(out), state.of("train"), state.of("heldout"), state.work)
    return {"questions": left.totals["questions"], "units": len(left.to_sample), "wall_s": time.perf_counter() - start}


def graph(data: str, out: str) -> dict[str, Any]:
    """A whole graph on Ray with one question, one sample a unit: what the driver keeps of a unit."""
    plan = make_plan(recipe_of(data, samples=1, unit_questions=1), "scale")
    state = write_index(Path(out), plan)
    start, cpu = time.perf_counter(), time.process_time()
    build_module.run_stages(plan, Path(out), state)
    return {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}


def finish(data: str, out: str) -> dict[str, Any]:
    """Card and manifest of a build whose shards are all there."""
    plan, state = _finished(data, Path(out), 1.0)
    start, cpu = time.perf_counter(), time.process_time()
    build_module._finish(plan, Path(out), state)
    return {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}


class _ReachedError(Exception):
    """The build has come to where it would start Ray and sample."""


def resume(data: str, out: str) -> dict[str, Any]:
    """The build command itself on a directory with finished units, to the point where it would start Ray."""
    from mmpr.runners import ray_session

    start, cpu = time.perf_counter(), time.process_time()
    with mock.patch.object(ray_session, "session", side_effect=_ReachedError):
        try:
            build_module.build(make_plan(recipe_of(data), "scale"), Path(out), growth="as-it-was")
        except _ReachedError:
            return {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}
    raise AssertionError("there was nothing left to do")


def finished_units(data: Path, out: Path, units: int, share: float) -> None:
    """A build of so many units, of which a share is finished in all stages: small real shards, linked many times.

    What looks at names and footers cannot tell them from others. A file takes 65,000 links on most file systems, so
    there is a new one every 30,000.
    """
    plan = make_plan(recipe_of(str(data)), "scale")
    work = {name: array("I", [1]) * units for name in WORK}
    out.mkdir(parents=True)
    write_build(out, plan, Build({"train": units, "heldout": 0}, plan.fingerprints, {}, work))
    for number in range(units):
        unit = Unit("train", number, units)
        places: list[tuple[Path, type]] = [(out / "index" / "train" / unit.file, IndexedRow)]
        if number < share * units:
            places += [(shard(out, stage, unit), _NOUNS[stage]) for stage in UNADJUDICATED]
        for path, noun in places:
            first = path.with_name(Unit("train", number - number % 30_000, units).file)
            if path == first:
                write_shard(path, noun, [], {"generated/questions": 1})
            else:
                os.link(first, path)


def _finished(data: str, out: Path, share: float) -> tuple[Plan, Build]:
    from mmpr.pipeline.plan import read_build

    state = read_build(out)
    assert state is not None
    return make_plan(recipe_of(data), "scale"), state


def rate(data: str, out: str, judged: bool) -> dict[str, Any]:
    """Responses a second from the index to shards on disk, from the first unit that is through to the last."""
    from mmpr.runners import ray_graph, ray_session

    plan = make_plan(recipe_of(data), "scale")
    to = Path(out)
    state = write_index(to, plan)
    job, units = Job(plan.recipe, to, plan.model.revision, plan.templates), state.of("train")
    ends: list[float] = []
    begin = time.perf_counter()
    with ray_session.session(to / "logs" / "ray.log"):
        meter = ray_graph.start_meter()
        if judged:
            left = Left(units, Units("train", len(units), ()), Units("heldout", 0), {})
            ray_graph.run(job, "none", left, meter, lambda _: ends.append(time.perf_counter()))
        else:
            for row in ray_graph.sample(job, "none", units, "complete", meter).iter_rows():
                if row["error"]:
                    raise SystemExit(row["error"])
                ends.append(time.perf_counter())
    responses = (len(units) - 1) * plan.recipe.unit_questions * plan.recipe.sampling.samples
    return {
        "units": len(units),
        "responses_per_s": responses / (ends[-1] - ends[0]),
        "wall_s": ends[-1] - begin,
        "folders": {path.name: _size(path) for path in sorted(to.iterdir()) if path.is_dir()},
    }


def _size(path: Path) -> dict[str, int]:
    files = [file.stat().st_size for file in path.rglob("*.parquet")]
    return {"files": len(files), "bytes": sum(files)}


def _peak_mib() -> float:
    """Of this process alone; ``getrusage`` would also count the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


_MEASUREMENTS: dict[str, Callable[..., dict[str, Any]]] = {
    function.__name__: function for function in (index, graph, finish, resume, rate)
}

if __name__ == "__main__":
    figures = _MEASUREMENTS[sys.argv[1]](**json.loads(sys.argv[2]))
    figures["peak_mib"] = _peak_mib()
    print(json.dumps(figures))
