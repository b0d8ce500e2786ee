"""``python -m benchmarks.torture``: builds on a cluster that is killed, cut off, starved and filled up, and the proof.

Exit status 0: nothing lost, nothing repeated, no complaint; 1: something was; 2: it cannot be run here.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.torture.faults import CLUSTER, REAL, SHORT
from benchmarks.torture.ground import Ground, GroundError, ground, missing
from benchmarks.torture.run import (
    GROWING,
    REAL_PATIENCE_S,
    REAL_RECIPE,
    RECIPE,
    SHARES,
    SHORT_SHARES,
    Deck,
    Result,
    growing_recipe,
    other_rows,
    prove,
    same_bytes,
    torture,
    undisturbed,
)

QUESTIONS, SHORT_QUESTIONS, REAL_QUESTIONS = 150, 25, 96
"""The first are 90 units: more than are let in at once, so that the task that lets them in runs, and can be killed."""
FAULTS_A_BUILD = 15
DISK_MIB = 96


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torture", description=__doc__)
    parser.add_argument("--faults", type=int, default=200, help="stop after the build in which so many are reached")
    parser.add_argument("--seed", type=int, default=0, help="which faults, when and where")
    parser.add_argument("--minutes", type=float, default=60, help="begin no other build after so many")
    parser.add_argument("--short", action="store_true", help="one small build with six quick kinds of faults, no model")
    parser.add_argument("--growth", action="store_true", help="with --short: one small build that grows, too")
    parser.add_argument("--no-model", action="store_true", help="leave out the build with the demo model on vLLM")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    args = parser.parse_args(argv)
    if why := missing():
        print(f"error: {why}", file=sys.stderr)
        return 2
    # A shell starts what runs behind it with SIGINT ignored, and the drivers would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # the ground is cleared then, too
    teller = Teller(args.faults)
    results: list[Result] = []
    problems: list[str] = []
    folder = Path(tempfile.mkdtemp(prefix="torture-", dir="/var/tmp")) / "ground"
    with ground(folder, workers=1 if args.short else 2, disk_mib=DISK_MIB) as made:
        teller.say("the cluster is up")
        try:
            for result in _builds(made, args, teller):
                results.append(result)
        except KeyboardInterrupt:
            teller.say("stopped; what was proven until then counts")
        except GroundError as error:
            problems.append(f"the bench itself had to stop: {error}")
    folder.parent.rmdir()
    rows = table(results)
    print(as_markdown(rows))
    problems += [problem for result in results for problem in result.problems]
    for problem in problems:
        print(f"problem: {problem}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 1 if problems or any(row["lost"] or row["repeated"] for row in rows) else 0


class Teller:
    """Prints what happens, how much there is to come, and about how long that takes."""

    def __init__(self, faults: int) -> None:
        self._begun_s, self._faults, self.done = time.monotonic(), faults, 0  # done: in builds that are through

    def say(self, what: str) -> None:
        """Print a line."""
        print(f"{time.monotonic() - self._begun_s:6,.0f} s  {what}", file=sys.stderr, flush=True)

    def fault(self, name: str, here: int) -> None:
        """Print that a fault has happened, the last of so many in a build."""
        reached, passed = self.done + here, time.monotonic() - self._begun_s
        left = passed * max(self._faults - reached, 0) / reached
        self.say(f"{reached:4,} of {self._faults:,}  {name:<50} {left:,.0f} s left")

    def build(self, name: str, result: Result, proven: str) -> Result:
        """Print how a build ended, and count its faults; returns its result."""
        self.done += result.faults.total()
        verdict = f"{len(result.problems)} problems" if result.problems else f"proven whole, {proven}"
        self.say(f"{name}: {result.faults.total()} faults, {verdict}")
        for problem in result.problems[:20]:
            self.say(f"  {problem}")
        return result

    def passed_min(self) -> float:
        """Minutes since the start."""
        return (time.monotonic() - self._begun_s) / 60


def _builds(made: Ground, args: argparse.Namespace, teller: Teller) -> Iterator[Result]:
    yield from _replayed(made, args, teller)
    if not (args.short or args.no_model) and teller.passed_min() < args.minutes:
        yield _real(made, args.seed, teller)


def _replayed(made: Ground, args: argparse.Namespace, teller: Teller) -> Iterator[Result]:
    """Builds with the replay engine, until enough has been done to them."""
    questions = SHORT_QUESTIONS if args.short else QUESTIONS
    recipe = _write(made, "replay.yaml", RECIPE, questions)
    peaceful = made.folder / "peaceful"
    undisturbed(made, recipe, peaceful)
    teller.say("the undisturbed build is done")
    dice = random.Random(args.seed)
    builds = 0
    weights = dict.fromkeys(SHORT, 1) if args.short else {name: weight for name, (_, weight) in CLUSTER.items()}
    deck = Deck(weights, dice)
    deeds = {name: deed for name, (deed, _) in CLUSTER.items()}
    shares = SHORT_SHARES if args.short else SHARES
    most = len(SHORT) if args.short else min(args.faults, FAULTS_A_BUILD)
    while teller.done < args.faults and teller.passed_min() < args.minutes:
        out = made.disk / f"build-{builds}"
        result = torture(made, recipe, out, deck, deeds, dice, most, teller.fault, shares)
        prove(out, peaceful, result)
        if (out / "manifest.json").exists():
            result.problems += [f"{name}: differs from the undisturbed build" for name in same_bytes(out, peaceful)]
        builds += 1
        yield teller.build(f"build {builds}", result, "the same bytes")
        grows = args.growth or not args.short
        if grows and teller.done < args.faults and teller.passed_min() < args.minutes:
            result = _grown(
                made,
                questions,
                made.disk / f"grown-{builds}",
                lambda first, out, rest: torture(
                    made, first, out, deck, deeds, dice, most, teller.fault, shares, growing=rest
                ),
            )
            yield teller.build(f"build {builds}, which grew", result, "the same rows")
        if args.short:
            break


def _grown(made: Ground, questions: int, out: Path, tortured: Callable[[Path, Path, Sequence[Path]], Result]) -> Result:
    """A build that grows under the faults, beside one that was made at once in peace."""
    recipes = []
    for at, step in enumerate(GROWING):
        recipes.append(made.folder / f"growing-{at}.yaml")
        recipes[-1].write_text(growing_recipe(questions, step))
    peaceful = made.folder / "peaceful-grown"
    if not peaceful.exists():
        undisturbed(made, recipes[-1], peaceful)
    result = tortured(recipes[0], out, recipes[1:])
    prove(out, peaceful, result)
    if (out / "manifest.json").exists():
        folders = other_rows(out, peaceful)
        result.problems += [f"{folder}/: other rows than in the build made at once" for folder in folders]
    return result


def _real(made: Ground, seed: int, teller: Teller) -> Result:
    """One build with the demo model on vLLM, whose engine is killed and stopped."""
    recipe = _write(made, "real.yaml", REAL_RECIPE, REAL_QUESTIONS)
    peaceful, out, dice = made.folder / "peaceful-real", made.disk / "real", random.Random(seed)
    undisturbed(made, recipe, peaceful)
    teller.say("the undisturbed build with vLLM is done")
    deck = Deck({name: weight for name, (_, weight) in REAL.items()}, dice)
    deeds = {name: deed for name, (deed, _) in REAL.items()}
    most = sum(weight for _, weight in REAL.values())
    result = torture(made, recipe, out, deck, deeds, dice, most, teller.fault, {}, REAL_PATIENCE_S)
    prove(out, peaceful, result)
    teller.say(f"the build with vLLM: {result.faults.total()} faults, {len(result.problems)} problems")
    for problem in result.problems[:20]:
        teller.say(f"  {problem}")
    return result


def _write(made: Ground, name: str, recipe: str, questions: int) -> Path:
    path = made.folder / name
    path.write_text(recipe.replace("QUESTIONS", str(questions)).replace("OPEN", str(questions // 5)))
    return path


def table(results: list[Result]) -> list[dict[str, Any]]:
    """A row a fault: how often, in how many builds, and what those builds have lost and repeated."""
    names = [*CLUSTER, *sorted({name for result in results for name in result.faults} - {*CLUSTER})]
    rows: list[dict[str, Any]] = []
    for name in names:
        hit = [result for result in results if result.faults[name]]
        sums: Counter[str] = Counter()
        for result in hit:
            sums.update(injected=result.faults[name], builds=1, lost=result.lost, repeated=result.repeated)
        if hit:
            rows.append({"fault": name, **{key: sums[key] for key in ("injected", "builds", "lost", "repeated")}})
    return rows


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table, with their sum."""
    lines = ["| fault | injected | builds | lost | repeated |", "|---|---:|---:|---:|---:|"]
    lines += ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in rows]
    lines.append(f"| **all** | **{sum(row['injected'] for row in rows)}** | | | |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
