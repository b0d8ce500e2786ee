"""``mmpr select BUILD --where CONDITION --out DIR``: a part of a build, as a build."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmpr.cli.command import run_command

if TYPE_CHECKING:
    from mmpr.derive.copying import Given


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status: 0 done, 1 failed, 2 wrong condition, 130 stopped."""
    args = _arguments().parse_args(argv)

    def work() -> None:
        from mmpr.build import tell_build

        tell_build(args.out, select(args.build, args.where, args.out))

    return run_command(work, stopped="stopped; nothing was made")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmpr select",
        description="Make a build of those questions, or pairs, of a build for which a condition holds.",
        epilog="mmpr select builds/mine --where 'pass_rate >= 0.1 and chosen_tokens < 400' --out builds/part; "
        "docs/builds.md lists the columns",
    )
    parser.add_argument("build", type=Path, metavar="BUILD", help="a finished build")
    parser.add_argument(
        "--where", required=True, metavar="CONDITION", help="such as: source == 'charts' and kind != ''"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    return parser


def select(folder: Path, where: str, out: Path) -> dict[str, Any]:
    """Make a build in ``out`` of what a condition selects of another one; returns its manifest without ``files``.

    A condition that names a column of pairs keeps the pairs for which it holds, and the questions that have one. Any
    other keeps the questions for which it holds, with or without pairs. Held-out questions are all kept.

    Raises:
        RecipeError: the condition cannot be understood.
        OutputError: the build is not finished or damaged, ``out`` is there already, or nothing is selected.
    """
    from mmpr.derive.columns import COLUMNS, OF_PAIR, Looks, Stored, pair_columns, question_columns
    from mmpr.derive.copying import copy_heldout, copy_unit, finish, lineage, making, open_given
    from mmpr.derive.where import parse_condition
    from mmpr.pipeline.progress import Steps

    condition = parse_condition(where, COLUMNS)
    given = open_given(folder)
    by_pair = not condition.columns.isdisjoint(OF_PAIR)
    looks = Looks() if "near_duplicate" in condition.columns else None

    def keep(stored: Stored) -> list[int] | None:
        row = question_columns(stored, looks is not None and looks.repeats(stored.question))
        pairs = stored.row.pairs if stored.row else ()
        if not by_pair:
            return list(range(len(pairs))) if condition.holds(row) else None
        kept = [at for at, pair in enumerate(pairs) if condition.holds({**row, **pair_columns(stored, pair)})]
        return kept or None

    train, heldout = given.plan.of("train"), given.plan.of("heldout")
    with making(out, {"train": len(train), "heldout": len(heldout)}) as made, Steps(sys.stderr) as steps:
        steps.begin("units", len(train) + len(heldout))
        for unit in train:
            copy_unit(given, unit, made, unit.number, keep)
            steps.advance()
        for unit in heldout:
            copy_heldout(given, unit, made, unit.number, lambda question: True)
            steps.advance()
        return finish(made, {**_about(given), "lineage": {"by": "select", "where": where, "of": [lineage(given)]}})


def _about(given: Given) -> dict[str, Any]:
    """What identifies a build, as its own manifest has it."""
    names = ("mmpr", "recipe", "extensions", "model_revision", "prompts", "fingerprints", "parts")
    return {name: given.build.manifest[name] for name in names if name in given.build.manifest}


if __name__ == "__main__":
    sys.exit(main())
