"""Trains the quickstart's model with several seeds and measures each on the questions that its build holds out.

    python benchmarks/quickstart_training.py [--seeds 3] [--json FILE] [key.path=value ...]

Prints, as a Markdown table, greedy accuracy by kind before and after: the build's own engine, prompt and matcher, on
all held-out questions that have an answer. ``--tune`` asks other questions, for choosing settings: fresh ones over the
pictures of the training part, and none of the held-out ones.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmpr.answers import extract, match
from mmpr.config import Recipe, load_recipe
from mmpr.engine import Engine, Request, start_engine
from mmpr.errors import RowError
from mmpr.schema import Question
from mmpr.sources.digits import Digits
from mmpr.sources.easy_vqa_questions import EasyVqa
from mmpr.storage.tables import read_rows
from mmpr.templates import load_template

REPOSITORY = Path(__file__).resolve().parent.parent
BUILD_RECIPE = REPOSITORY / "pipelines" / "quickstart.yaml"
TUNE_SEED = 1_000_003
AT_ONCE = 256


def held_out(build: Path) -> list[Question]:
    """Every held-out question with an answer."""
    shards = sorted((build / "heldout").glob("*.parquet"))
    return [q for shard in shards for q in read_rows(shard, Question) if q.answer is not None]


def to_tune_on(most: int) -> list[Question]:
    """Questions over the training part's pictures, drawn with a seed of their own."""
    questions = []
    for name, source in (
        ("digits", Digits("train", most * 3 // 4, seed=TUNE_SEED)),
        ("easy-vqa", EasyVqa("train", most // 4, seed=TUNE_SEED)),
    ):
        for number, row in enumerate(source.rows()):
            images = tuple(source.load(image) for image in row.images)
            questions.append(
                Question(f"{name}-{number}", name, row.question, row.answer, row.choices, images, row.kind)
            )
    return questions


async def answer(engine: Engine, questions: Sequence[Question]) -> list[str]:
    """The greedy answer to each question, template ``en``; empty where the engine refuses."""
    template = load_template("en")
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(question: Question) -> str:
        request = Request(template.render(question.question), question.images, samples=1, seed=0)
        async with gate:
            try:
                return (await engine.generate(request)).responses[0].text
            except RowError:
                return ""

    return await asyncio.gather(*map(one, questions))


def score(recipe: Recipe, model: str, questions: Sequence[Question], log: Path) -> dict[str, list[int]]:
    """Right answers and questions, by source and kind, and of all."""

    async def run() -> list[str]:
        return await answer(start_engine(recipe, model, log), questions)

    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for question, text in zip(questions, asyncio.run(run()), strict=True):
        verdict = match(
            extract(text, "en") or "", str(question.answer), choices=question.choices or None, rule=question.rule
        )
        for name in (f"{question.source}: {question.kind}", f"{question.source}: all", "all"):
            counts[name][0] += verdict.status == "correct"
            counts[name][1] += 1
    return dict(counts)


def end_with_parent() -> None:
    """Have Linux kill this process when its parent ends, however the parent ends."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


if __name__ == "__mp_main__":  # vLLM's process, where it is spawned
    end_with_parent()


def score_apart(arguments: argparse.Namespace, model: Path, out: Path) -> dict[str, list[int]]:
    """`score` in a process of its own; the engine takes over its process's output."""
    command = [sys.executable, __file__, "--score", str(model), "--json", str(out), "--data", str(arguments.data)]
    command += ["--tune"] if arguments.tune else []
    command += ["--questions", str(arguments.questions)] if arguments.questions else []
    subprocess.run(command, check=True)
    counts: dict[str, list[int]] = json.loads(out.read_text(encoding="utf-8"))
    return counts


def train(arguments: argparse.Namespace, seed: int) -> tuple[Path, float]:
    """A run with a seed; returns its model and the seconds it took."""
    run = arguments.out / f"seed-{seed}"
    started_s = time.monotonic()
    words = [str(arguments.recipe), f"seed={seed}", *arguments.override]
    paths = ["--data", str(arguments.data), "--model", str(arguments.model), "--out", str(run)]
    subprocess.run([sys.executable, "-m", "mmpr.train", *words, *paths], check=True)
    return run / "model", time.monotonic() - started_s


def table(results: dict[str, dict[str, list[int]]]) -> str:
    """A line a kind, a column a model, per cent."""
    names = list(results)
    kinds = sorted(results[names[0]], key=lambda kind: (kind == "all", kind.endswith(": all"), kind))
    lines = [f"| kind | questions | {' | '.join(names)} |", "|" + "---|" * (len(names) + 2)]
    for kind in kinds:
        cells = [f"{100 * results[name][kind][0] / results[name][kind][1]:.1f}" for name in names]
        lines.append(f"| {kind} | {results[names[0]][kind][1]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Read the command line; train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("override", nargs="*", metavar="key.path=value", help="settings that replace the recipe's")
    parser.add_argument("--recipe", type=Path, default=REPOSITORY / "pipelines" / "train" / "quickstart.yaml")
    parser.add_argument("--data", type=Path, default=REPOSITORY / "builds" / "quickstart")
    parser.add_argument("--model", type=Path, default=REPOSITORY / "data" / "demo_model")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "runs" / "seeds")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--questions", type=int, help="ask the first so many only")
    parser.add_argument(
        "--tune", action="store_true", help="ask questions for choosing settings, not the held-out ones"
    )
    parser.add_argument("--json", type=Path, help="write the counts")
    parser.add_argument("--score", type=Path, help="only measure this model (used by the command itself)")
    arguments = parser.parse_intermixed_args()

    if arguments.score:
        os.register_at_fork(after_in_child=end_with_parent)  # vLLM's process, where it is forked
        recipe = load_recipe(BUILD_RECIPE, ["sampling.temperature=0.0", "sampling.samples=1"])
        questions = to_tune_on(arguments.questions or 1200) if arguments.tune else held_out(arguments.data)
        log = arguments.json.with_suffix(".log")
        counts = score(recipe, str(arguments.score.absolute()), questions[: arguments.questions], log)
        arguments.json.write_text(json.dumps(counts), encoding="utf-8")
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"base": score_apart(arguments, arguments.model, arguments.out / "base.json")}
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        model, seconds = train(arguments, seed)
        results[f"seed {seed}"] = score_apart(arguments, model, arguments.out / f"seed-{seed}.json")
        print(f"seed {seed}: trained in {seconds:.0f} s", flush=True)
    print(table(results))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
