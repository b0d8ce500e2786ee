"""``mmpr merge A B … --out DIR``: builds put together, of one model or several."""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmpr.cli.command import run_command
from mmpr.errors import OutputError

if TYPE_CHECKING:
    from mmpr.derive.columns import Stored
    from mmpr.derive.copying import Given
    from mmpr.schema import Question
    from mmpr.sources.ids import Seen

_LONGEST_NAME = 100


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status: 0 done, 1 failed, 130 stopped."""
    args = _arguments().parse_args(argv)

    def work() -> None:
        from mmpr.build import tell_build

        manifest = merge(args.builds, args.out)
        told = {what: manifest["lineage"][what] for what in ("repeated", "held_out")}
        if told["repeated"]:
            print(f"merged    {told['repeated']:,} questions are in two builds with the same content, and here once")
        if told["held_out"]:
            print(f"left out  {told['held_out']:,} questions, since a build holds out their pictures or their text")
        tell_build(args.out, manifest)

    return run_command(work, stopped="stopped; nothing was made")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmpr merge",
        description="Make a build of all that finished builds hold.",
        epilog="A question that two builds have in the same form is there once; in different forms it is refused.",
    )
    parser.add_argument("builds", type=Path, nargs="+", metavar="BUILD", help="two finished builds or more")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    return parser


def merge(folders: Sequence[Path], out: Path) -> dict[str, Any]:
    """Make a build in ``out`` of several others; returns its manifest without ``files``.

    Held-out questions are those of all builds. A training question with a picture of theirs, or without pictures and
    with the letters of one of theirs, is left out.

    Raises:
        OutputError: a build is not finished or damaged, the builds do not go together, or ``out`` is there already.
    """
    from mmpr.derive.copying import copy_heldout, copy_unit, finish, lineage, making, open_given
    from mmpr.derive.holding_out import marks_of
    from mmpr.pipeline.progress import Steps
    from mmpr.sources.ids import Contents, Seen
    from mmpr.storage.shards import Split

    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        raise OutputError("name two different builds or more")
    givens = [open_given(folder) for folder in folders]
    about = _about(givens)
    contents, held_out = Contents(), Seen()
    told = {"repeated": 0, "held_out": 0}

    def is_new(owner: int, question: Question, parts: Mapping[str, str]) -> bool:
        found = contents.put(question.id, owner, parts)
        if found is None:
            return True
        before, differ = found
        if differ:
            raise OutputError(
                f"question {question.id} of source {question.source!r} is in {folders[before]} and in "
                f"{folders[owner]} with different {' and '.join(differ)}; leave it out of one of them: mmpr select "
                f"{folders[owner]} --where \"id != '{question.id}'\" (or source != …), or give the sources other names"
            )
        told["repeated"] += 1
        return False

    def keep_of(owner: int) -> Callable[[Stored], Sequence[int] | None]:
        def keep(stored: Stored) -> Sequence[int] | None:
            if any(mark in held_out for mark in marks_of(stored.question)):
                told["held_out"] += 1
                return None
            if not is_new(owner, stored.question, _parts(stored)):
                return None
            return range(len(stored.row.pairs) if stored.row else 0)

        return keep

    both: tuple[Split, ...] = ("train", "heldout")
    units = {split: sum(len(given.plan.of(split)) for given in givens) for split in both}
    with making(out, units, givens) as made, Steps(sys.stderr) as steps:
        steps.begin("units", sum(units.values()))
        number = 0
        for owner, given in enumerate(givens):
            for unit in given.plan.of("heldout"):
                copy_heldout(given, unit, made, number, _held_out_is_new(owner, is_new, held_out))
                number += 1
                steps.advance()
        number = 0
        for owner, given in enumerate(givens):
            for unit in given.plan.of("train"):
                copy_unit(given, unit, made, number, keep_of(owner))
                number += 1
                steps.advance()
        of = [lineage(given) for given in givens]
        return finish(made, {**about, "lineage": {"by": "merge", "of": of, **told}})


def _held_out_is_new(
    owner: int, is_new: Callable[[int, Question, Mapping[str, str]], bool], held_out: Seen
) -> Callable[[Question], bool]:
    """What takes a held-out question of a build and remembers its pictures."""
    from mmpr.derive.holding_out import marks_of

    def take(question: Question) -> bool:
        for mark in marks_of(question):
            held_out.add(mark)
        return is_new(owner, question, {"content": _hash(question, "images", "where"), "use": "held out"})

    return take


def _parts(stored: Stored) -> dict[str, str]:
    """Hashes of what a build says of a question. Where its row stood does not count."""
    from mmpr.schema import content_id

    return {
        "content": _hash(stored.question, "images", "where"),
        "pictures": content_id(*stored.question.images),
        "responses": _hash(stored.rollout),
        "continuations": _hash(stored.completions),
        "verdicts": _hash(stored.verdicts),
        "words of a verifier": _hash(stored.adjudications),
        "judgements of people": _hash(stored.judgements),
        "pairs": _hash(stored.row, "images"),
        "use": "to train",
    }


def _hash(value: Any, *without: str) -> str:
    from mmpr.schema import content_id
    from mmpr.storage.trees import as_json

    return content_id(json.dumps(as_json(value, without)))


def _about(givens: Sequence[Given]) -> dict[str, Any]:
    """What identifies the new build: the first one's recipe with the sources of all, and the recipe of each.

    Raises:
        OutputError: the builds do not go together; with every reason.
    """
    import mmpr

    parts = [part for given in givens for part in _parts_of(given)]
    problems = _conflicts([(given.folder, part["recipe"]) for given in givens for part in _parts_of(given)])
    if problems:
        raise OutputError("these builds do not go together:" + "".join(f"\n  - {problem}" for problem in problems))
    recipe = copy.deepcopy(parts[0]["recipe"])
    recipe["name"] = "-".join(dict.fromkeys(str(part["recipe"]["name"]) for part in parts))[:_LONGEST_NAME]
    for split in ("sources", "heldout"):
        specs: dict[str, dict[str, Any]] = {}
        for part in parts:
            for spec in part["recipe"][split]:
                samples = spec["samples"] or part["recipe"]["sampling"]["samples"]
                specs.setdefault(str(spec["name"]), {**spec, "samples": samples})
        recipe[split] = list(specs.values())
    prompts: dict[str, str] = {}
    rules: dict[str, str] = {}
    for given in givens:
        for name, sha in given.build.manifest["prompts"].items():
            prompts[name if prompts.get(name, sha) == sha else f"{name} ({sha[:12]})"] = sha
        rules |= given.build.manifest.get("extensions", {}).get("rules", {})
    verifier = next((given.build.manifest["adjudicate"] for given in givens if given.is_adjudicated), None)
    return {
        "mmpr": mmpr.__version__,
        **({"adjudicate": verifier} if verifier else {}),
        "recipe": recipe,
        **({"extensions": {"rules": rules}} if rules else {}),
        "model_revision": parts[0]["model_revision"],
        "prompts": dict(sorted(prompts.items())),
        "fingerprints": {},
        "parts": parts,
    }


def _parts_of(given: Given) -> list[dict[str, Any]]:
    """The recipe and model of a build, or of each that it was merged of."""
    manifest = given.build.manifest
    own = {"recipe": manifest["recipe"], "model_revision": manifest["model_revision"]}
    return list(manifest.get("parts") or [own])


def _conflicts(recipes: Sequence[tuple[Path, Mapping[str, Any]]]) -> list[str]:
    """Why builds with these recipes cannot be one, a line each."""
    problems = []
    first, base = recipes[0]
    used: dict[tuple[str, str], tuple[Path, Any]] = {}
    for folder, recipe in recipes:
        if (recipe.get("chat") or {}) != (base.get("chat") or {}):
            problems.append(
                f"{folder}: asked with other settings of chat than {first}; training could not tell them apart"
            )
        if (recipe.get("adjudicate") or {}) != (base.get("adjudicate") or {}):
            problems.append(f"{folder}: has another verifier (adjudicate) than {first}")
        if recipe["pairing"]["format_pairs"] != base["pairing"]["format_pairs"]:
            problems.append(f"{folder}: pairing.format_pairs is not that of {first}; run it again with --from pair")
        for split in ("sources", "heldout"):
            for spec in recipe[split]:
                told = {
                    "split": split,
                    "seed": recipe["seed"],
                    "samples": spec["samples"] or recipe["sampling"]["samples"],
                    "rule": spec["rule"],
                    "processor": spec["processor"],
                }
                for what, value in told.items():
                    where, other = used.setdefault((str(spec["name"]), what), (folder, value))
                    if other != value:
                        problems.append(
                            f"source {spec['name']!r}: {what} is {other!r} in {where} and {value!r} in {folder}; "
                            "give it another name in one of them and build again"
                        )
    return problems


if __name__ == "__main__":
    sys.exit(main())
