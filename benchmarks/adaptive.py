"""``python -m benchmarks.adaptive BUILD``: what adaptive sampling would have cost and given, read from a fixed build.

An adaptive build's responses are the first ones of the fixed build's, so nothing is sampled and nothing is guessed: the
rule of ``mmpr.pipeline.adaptive`` looks at the stored responses and verdicts, round after round, and the questions are
paired from those that it would have drawn. Training is not compared here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmpr.config import AdaptiveSpec
from mmpr.inputs.build import open_build, read_plan
from mmpr.pipeline.adaptive import enough_to_pair, next_round
from mmpr.pipeline.pairing import pair_by_correctness, sides_of
from mmpr.schema import Question, Rollout, Verdict, Verdicts
from mmpr.storage.shards import shard
from mmpr.storage.tables import read_rows

RULES = (
    AdaptiveSpec(),
    AdaptiveSpec(chance=0.0),
    AdaptiveSpec(chance=0.1),
    AdaptiveSpec(chance=0.3),
    AdaptiveSpec(chance=0.5),
    AdaptiveSpec(first=4, step=4),
    AdaptiveSpec(first=8, step=4),
    AdaptiveSpec(first=16, step=16),
    AdaptiveSpec(distinct=1),
    AdaptiveSpec(distinct=5),
    AdaptiveSpec(prior=1.0),
)
"""The default, and its neighbours."""
VARIETY = 3


@dataclass(frozen=True, slots=True)
class Judged:
    """A question with a truth: its options, and all responses of a fixed build with their verdicts."""

    question: Question
    rollout: Rollout
    verdicts: tuple[Verdict, ...]


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adaptive", description=__doc__)
    parser.add_argument("build", type=Path, help="a finished build without sampling.adaptive, best of 32 samples")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    args = parser.parse_args(argv)
    recipe = open_build(args.build).manifest["recipe"]
    most, pairs = int(recipe["sampling"]["samples"]), int(recipe["pairing"]["max_pairs"])
    if recipe["sampling"].get("adaptive"):
        print("error: this build is adaptive; name one that drew all its samples", file=sys.stderr)
        return 2
    questions = list(judged(args.build))
    fixed = measure(questions, None, most, pairs)
    rows = [{"mode": "fixed", "build": recipe["name"], "questions": len(questions), "most": most, **fixed}]
    for rule in RULES:
        seen = measure(questions, rule, most, pairs)
        share = {name: round(seen[name] / max(fixed[name], 1), 3) for name in ("tokens", "pairs", "varied")}
        shares = {f"{name}_share": value for name, value in share.items()}
        rows.append({"mode": "adaptive", **rule.model_dump(), "most": most, **seen, **shares})
    print(as_markdown(rows))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


def judged(build: Path) -> Iterator[Judged]:
    """The judged questions of a build, in order."""
    for unit in read_plan(build).of("train"):
        rollouts = {row.id: row for row in read_rows(shard(build, "sample", unit), Rollout)}
        verdicts = {row.id: row.verdicts for row in read_rows(shard(build, "verify", unit), Verdicts)}
        for question in read_rows(shard(build, "ingest", unit), Question, ("images",)):
            if question.id in verdicts:
                yield Judged(question, rollouts[question.id], verdicts[question.id])


def drawn(one: Judged, rule: AdaptiveSpec, most: int, pairs: int) -> int:
    """How many of a question's responses a rule would have drawn."""
    have = 0
    while have < most:
        have = next_round(rule, have, most)
        if enough_to_pair(rule, one.rollout.responses[:have], one.verdicts[:have], most, pairs, True):
            break
    return have


def measure(questions: list[Judged], rule: AdaptiveSpec | None, most: int, pairs: int) -> dict[str, Any]:
    """Tokens, pairs and stops of a rule; ``varied`` questions have ``VARIETY`` different responses on each side."""
    sums: Counter[str] = Counter(dict.fromkeys(("tokens", "responses", "pairs", "paired", "varied"), 0))
    for one in questions:
        have = most if rule is None else drawn(one, rule, most, pairs)
        responses, verdicts = one.rollout.responses[:have], one.verdicts[:have]
        rollout = replace(one.rollout, responses=responses)
        pairing = pair_by_correctness(rollout, verdicts, choices=one.question.choices, max_pairs=pairs)
        sides = sides_of(responses, verdicts, True)
        sums["tokens"] += sum(response.tokens for response in responses)
        sums["responses"] += have
        sums["pairs"] += len(pairing.pairs)
        sums["paired"] += bool(pairing.pairs)
        sums["varied"] += min(len(sides.chosen), len(sides.wrong) + len(sides.unclear)) >= VARIETY
    return {**sums, "tokens_a_pair": round(sums["tokens"] / max(sums["pairs"], 1), 1)}


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table."""
    names = ("first", "step", "distinct", "chance", "prior")
    titles = (*names, "tokens", "of fixed", "pairs", "of fixed", "tokens a pair", "with variety")
    lines = [f"| {' | '.join(titles)} |", f"|{'---:|' * len(titles)}"]
    for row in rows:
        rule = [str(row.get(name, "-")) for name in names]
        told = [f"{row[name]:,}" for name in ("tokens", "pairs")]
        shares = [f"{row.get(f'{name}_share', 1.0):.2f}" for name in ("tokens", "pairs", "varied")]
        cells = [*rule, told[0], shares[0], told[1], shares[1], str(row["tokens_a_pair"]), shares[2]]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
