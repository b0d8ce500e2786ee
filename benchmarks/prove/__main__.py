"""``python -m benchmarks.prove``: train every arm with every seed, measure each, and write what came out.

Can be stopped and killed at any moment; the same command goes on, and what is finished is kept.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.prove.arms import ARMS, BASE
from benchmarks.prove.claims import measure
from benchmarks.prove.jobs import Setup, plan
from benchmarks.prove.page import claims_table, plot, tables
from benchmarks.prove.results import averages, differences, read, row
from benchmarks.prove.work import run_all
from mmpr.cli.command import run_command
from mmpr.errors import MmprError
from mmpr.storage.shards import locked, write_json, write_text

COMPARED = (
    *((arm.name, BASE) for arm in ARMS),
    *(("mpo", arm.name) for arm in ARMS if arm.name not in ("mpo", "mpo-2")),
    ("mpo-2", "mpo"),
)
BY_KIND = (("mpo", BASE), ("mpo", "sft"))


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status: 0 done, 1 failed, 130 stopped."""
    args = _arguments().parse_args(argv)
    setup = Setup(args.data, args.model, args.training, args.building, args.out)
    return run_command(lambda: prove(setup, range(args.seeds), args.at_once, args.results))


def prove(setup: Setup, seeds: range, at_once: int, results: Path) -> None:
    """Do what is not done yet, and write what came out.

    Raises:
        MmprError: there is no build, or a job has failed.
    """
    if not (setup.data / "manifest.json").exists():
        raise MmprError(f"{setup.data}: is no finished build; make it with `make build-mmpr`")
    with locked(setup.out):
        run_all(plan(ARMS, seeds, setup), at_once, lambda line: print(line, flush=True))
        measured = read(ARMS, seeds, setup)
    means = averages(measured, {BASE: "before training", **{arm.name: arm.title for arm in ARMS}})
    compared = [one for arm, against in COMPARED for one in differences(measured, arm, against)]
    found = measure(setup.data)
    text = f"{tables(means, compared, BY_KIND)}\n{claims_table(found)}"
    write_json(results / "prove.json", [row(one) for one in measured])
    write_json(results / "averages.json", [asdict(one) for one in means])
    write_json(results / "differences.json", [asdict(one) for one in compared])
    write_json(results / "dropout.json", [asdict(one) for one in found])
    write_text(results / "tables.md", text)
    plot(measured, means, results / "prove.png")
    print(f"\n{text}\nwritten to {results}")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.prove",
        description="Train the quickstart's model in several ways, measure each on held-out pictures, compare.",
        epilog="Run the same command again to go on after a stop.",
    )
    parser.add_argument("--data", type=Path, default=Path("builds/quickstart"), help="a finished build")
    parser.add_argument("--model", type=Path, default=Path("data/demo_model"), help="the model that built it")
    parser.add_argument("--training", type=Path, default=Path("pipelines/train/quickstart.yaml"), help="a recipe")
    parser.add_argument(
        "--building", type=Path, default=Path("pipelines/quickstart.yaml"), help="the recipe of the second round's data"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/prove"), help="where runs and evaluations go")
    parser.add_argument("--results", type=Path, default=Path("docs/results"), help="where tables and plot go")
    parser.add_argument("--seeds", type=int, default=3, help="training seeds of each arm")
    parser.add_argument("--at-once", type=int, default=2, help="commands at a time, with a share of the cores each")
    return parser


if __name__ == "__main__":
    sys.exit(main())
