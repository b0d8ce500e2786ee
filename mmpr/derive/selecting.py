"""``mmpr select BUILD --where CONDITION --out DIR``: a part of a build, as a build; ``--heldout`` keeps some aside."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmpr.cli.command import run_command
from mmpr.errors import RecipeError

if TYPE_CHECKING:
    from mmpr.derive.copying import Given


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status: 0 done, 1 failed, 2 wrong condition, 130 stopped."""
    args = _arguments().parse_args(argv)

    def work() -> None:
        from mmpr.build import tell_build

        if args.where is None and not args.heldout:
            raise RecipeError("select", ["say what: --where CONDITION, or --heldout SHARE, or both"])
        manifest = select(args.build, args.where or "", args.out, args.heldout)
        if args.heldout:
            told = manifest["lineage"]
            print(f"held out  {told['held_out']:,} questions; {told['left_out']:,} that share a picture are left out")
        tell_build(args.out, manifest)

    return run_command(work, stopped="stopped; nothing was made")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmpr select",
        description="Make a build of those questions, or pairs, of a build for which a condition holds.",
        epilog="mmpr select builds/mine --where 'pass_rate >= 0.1 and chosen_tokens < 400' --out builds/part; "
        "docs/builds.md lists the columns",
    )
    parser.add_argument("build", type=Path, metavar="BUILD", help="a finished build")
    parser.add_argument("--where", metavar="CONDITION", help="such as: source == 'charts' and pairs > 2")
    parser.add_argument(
        "--heldout",
        type=_share,
        default=0.0,
        metavar="SHARE",
        help="hold out the questions about this share of the pictures, such as 0.05, for evaluation",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    return parser


def _share(text: str) -> float:
    share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text} is no share between 0 and 1")
    return share


def select(folder: Path, where: str, out: Path, heldout: float = 0.0) -> dict[str, Any]:
    """Make a build in ``out`` of what a condition selects of another one; returns its manifest without ``files``.

    A condition that names a column of pairs keeps the pairs for which it holds, and the questions that have one. Any
    other keeps the questions for which it holds, with or without pairs; an empty one keeps all. Held-out questions are
    all kept. Of the pictures, the share ``heldout`` is held out (``mmpr.derive.holding_out``).

    Raises:
        RecipeError: the condition cannot be understood.
        OutputError: the build is not finished or damaged, ``out`` is there already, or nothing is selected.
    """
    from mmpr.derive.columns import COLUMNS, OF_PAIR, Looks, Stored, pair_columns, question_columns
    from mmpr.derive.copying import copy_heldout, copy_unit, finish, lineage, making, open_given
    from mmpr.derive.holding_out import draw, write_heldout
    from mmpr.derive.where import parse_condition
    from mmpr.pipeline.progress import Steps
    from mmpr.storage.shards import Split

    condition = parse_condition(where, COLUMNS) if where else None
    given = open_given(folder)
    by_pair = condition is not None and not condition.columns.isdisjoint(OF_PAIR)
    looks = Looks() if condition is not None and "near_duplicate" in condition.columns else None

    def selected(stored: Stored) -> Sequence[int] | None:
        pairs = stored.row.pairs if stored.row else ()
        if condition is None:
            return range(len(pairs))
        row = question_columns(stored, looks is not None and looks.repeats(stored.question))
        if not by_pair:
            return range(len(pairs)) if condition.holds(row) else None
        kept = [at for at, pair in enumerate(pairs) if condition.holds({**row, **pair_columns(stored, pair)})]
        return kept or None

    aside = draw(given, heldout, selected) if heldout else None
    looks = Looks() if looks is not None else None  # drawing has looked at all questions
    told = {"held_out": 0, "left_out": 0}

    def keep(stored: Stored) -> Sequence[int] | None:
        numbers = selected(stored)
        if numbers is None or aside is None or not aside.touches(stored.question):
            return numbers
        is_held = aside.is_drawn(stored.question)
        held.update({stored.question.id} if is_held else ())
        told["held_out" if is_held else "left_out"] += 1
        return None

    held: set[str] = set()  # of one unit
    train, before = given.plan.of("train"), given.plan.of("heldout")
    units: dict[Split, int] = {"train": len(train), "heldout": len(before) + (len(aside.units) if aside else 0)}
    with making(out, units, [given]) as made, Steps(sys.stderr) as steps:
        steps.begin("units", len(train) + len(before))
        for unit in before:
            copy_heldout(given, unit, made, unit.number, lambda question: True)
            steps.advance()
        number = len(before)
        for unit in train:
            held.clear()
            copy_unit(given, unit, made, unit.number, keep)
            if aside and unit in aside.units:
                write_heldout(given, made, unit, number, lambda question: question.id in held)
                number += 1
            steps.advance()
        about = _about(given)
        if aside:
            about = _with_heldout(about, aside.sources)
        how = {"where": where, **({"heldout": heldout, **told} if aside else {})}
        return finish(made, {**about, "lineage": {"by": "select", **how, "of": [lineage(given)]}})


def _with_heldout(about: Mapping[str, Any], sources: frozenset[str]) -> dict[str, Any]:
    """The same with what is held out of these sources in the recipe, and in that of each part."""
    from mmpr.derive.holding_out import specs_of

    def added(recipe: Mapping[str, Any]) -> dict[str, Any]:
        return {**recipe, "heldout": [*recipe["heldout"], *specs_of(recipe, sources)]}

    parts = [{**part, "recipe": added(part["recipe"])} for part in about.get("parts", ())]
    return {**about, "recipe": added(about["recipe"]), **({"parts": parts} if parts else {})}


def _about(given: Given) -> dict[str, Any]:
    """What identifies a build, as its own manifest has it."""
    names = ("mmpr", "recipe", "extensions", "model_revision", "prompts", "fingerprints", "parts", "adjudicate")
    return {name: given.build.manifest[name] for name in names if name in given.build.manifest}


if __name__ == "__main__":
    sys.exit(main())
