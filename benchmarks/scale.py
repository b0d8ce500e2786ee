"""What the driver of a build sustains at the paper's size: 3,000,000 questions x 32 responses, 16 to 1,024 engines.

    python -m benchmarks.scale --json scale.json            everything; see docs/scale.md for how long it takes
    python -m benchmarks.scale --only tail resume           some parts
    python -m benchmarks.scale --small                      the same in a minute, figures for nobody

The planning, the graph, the writers and the resume logic are the product's. The engine is the replay engine, a fake, or
a model of an engine in simulated time; no part samples from a model.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import scale_driver, scale_tail

QUESTIONS, SAMPLES = 3_000_000, 32
# (actors, unit_questions, units_in_flight): the recipe's own 256 and 2, coarser ones, finer ones for many engines.
TAILS = (
    (16, 256, 2), (64, 256, 2), (64, 1024, 2), (256, 256, 2), (256, 64, 2), (256, 64, 8),
    (1024, 256, 2), (1024, 128, 4), (1024, 64, 8), (1024, 32, 16),
)  # fmt: skip
SIMULATED_UNITS = 6.5
"""The last units of an engine that are simulated; all of them when it has fewer."""
PARTS = ("tail", "plan", "resume", "finish", "graph", "rate")
Figures = list[dict[str, Any]]


def tail(folder: Path, small: bool) -> Figures:
    """Idle engines at the end of a build, in simulated time."""
    units, engine = (4, scale_tail.EngineModel(sequences=32)) if small else (12, scale_tail.EngineModel())
    difference = scale_tail.compare_with_turns(units, 64, 8, engine)
    rows: Figures = [{"difference_from_turns": difference, **engine._asdict(), **scale_tail.Lengths()._asdict()}]
    for actors, unit_questions, in_flight in ((4, 16, 2),) if small else TAILS:
        last = int(SIMULATED_UNITS * actors * unit_questions)
        made = scale_tail.simulate(QUESTIONS, SAMPLES, actors, unit_questions, in_flight, simulated=last)
        rows.append(dataclasses.asdict(made))
        _say(rows[-1])
    return rows


def plan(folder: Path, small: bool) -> Figures:
    """Memory of planning, indexing and finding what is left to do."""
    return [
        _measured("index", folder, questions)
        for questions in ((300, 3_000) if small else (10_000, 100_000, 1_000_000, QUESTIONS))
    ]


def graph(folder: Path, small: bool) -> Figures:
    """Memory of the driver while units go through the graph, one question and one sample a unit."""
    return [_measured("graph", folder, units) for units in ((40, 80) if small else (500, 2_000, 6_000))]


def resume(folder: Path, small: bool) -> Figures:
    """Going on with a build of which ten units in eleven are finished."""
    units = 1_100 if small else 110_000
    return [_on_finished_units("resume", folder, units, 10 / 11)]


def finish(folder: Path, small: bool) -> Figures:
    """Card and manifest at the end of a build."""
    return [_on_finished_units("finish", folder, units, 1.0) for units in ((50, 100) if small else (2_000, 10_000))]


def rate(folder: Path, small: bool) -> Figures:
    """Responses a second that go through the graph, judged and not."""
    questions = 1_024 if small else 8_192
    return [_measured("rate", folder, questions, judged=judged) for judged in (False, True)]


def _measured(name: str, folder: Path, size: int, **more: Any) -> dict[str, Any]:
    data, out = folder / "questions.jsonl", folder / "out"
    scale_driver.write_questions(data, size)
    row = {"size": size, **more, **scale_driver.measured(name, data=str(data), out=str(out), **more)}
    _say(row)
    shutil.rmtree(out)
    return row


def _on_finished_units(name: str, folder: Path, units: int, share: float) -> dict[str, Any]:
    data, out = folder / "questions.jsonl", folder / "out"
    scale_driver.write_questions(data, 1)
    scale_driver.finished_units(data, out, units, share)
    row = {"size": units, **scale_driver.measured(name, data=str(data), out=str(out))}
    _say(row)
    shutil.rmtree(out)
    return row


def _say(row: dict[str, Any]) -> None:
    print(json.dumps(row), file=sys.stderr, flush=True)


def slope_bytes(rows: Figures) -> float:
    """Bytes of peak memory for one more of ``size``, between the smallest and the largest."""
    first, last = rows[0], rows[-1]
    return float((last["peak_mib"] - first["peak_mib"]) * 2**20 / (last["size"] - first["size"]))


_MEASURE: dict[str, Callable[[Path, bool], Figures]] = {
    "tail": tail,
    "plan": plan,
    "resume": resume,
    "finish": finish,
    "graph": graph,
    "rate": rate,
}


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to measure")
    parser.add_argument("--small", action="store_true", help="sizes that take a minute, to see that it works")
    parser.add_argument("--json", type=Path, help="where the figures go")
    args = parser.parse_args(argv)
    found: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}",
        "load_before": round(os.getloadavg()[0], 1),
    }
    with tempfile.TemporaryDirectory(prefix="mmpr-scale-") as folder:
        for part in args.only:
            print(part, file=sys.stderr)
            found[part] = _MEASURE[part](Path(folder), args.small)
            if part in ("plan", "graph", "finish"):
                found[f"{part}_slope_bytes"] = round(slope_bytes(found[part]), 1)
    text = json.dumps(found, indent=2) + "\n"
    print(text, end="")
    if args.json:
        args.json.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
