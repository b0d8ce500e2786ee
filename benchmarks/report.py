"""How long the report takes and how much memory, on a build that is generated here.

    python benchmarks/report.py --questions 100000 --out big --json report.json

The build is text only, 10 pairs a question: 1,000,000 pairs by default. It is written with the project's own
writers (and kept, so that a second run only reports); questions, responses and verdicts are random words. The report is
made in a process of its own, whose peak memory is what the operating system says of it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from mmpr.config import parse_recipe
from mmpr.schema import (
    Completions,
    IndexedRow,
    Pair,
    PairedResponse,
    PreferenceRow,
    Question,
    Response,
    Rollout,
    SourceRow,
    Verdict,
    Verdicts,
    content_id,
)
from mmpr.storage.manifest import write_manifest
from mmpr.storage.shards import Unit, index_shard, shard, write_json, write_shard

UNIT_QUESTIONS = 64
PAIRS = 10
MEAN_WORDS = 90  # about 120 tokens
_SYLLABLES = [c + v for c in "bdklmnrs" for v in "aeio"]


def generate(out: Path, questions: int, samples: int, mean_words: int = MEAN_WORDS, seed: int = 0) -> None:
    """Write a finished build of that many questions, with ten pairs each (fewer when there are fewer samples)."""
    dice = random.Random(seed)
    words = ["".join(dice.choices(_SYLLABLES, k=dice.randrange(1, 4))) for _ in range(5_000)]
    sources = [{"name": name, "type": "jsonl", "path": f"{name}.jsonl"} for name in ("first", "second", "third")]
    recipe = parse_recipe(
        {"name": "generated", "model": {"path": "none"}, "sampling": {"samples": samples}, "sources": sources}
    )
    units = [
        Unit("train", number, -(-questions // UNIT_QUESTIONS)) for number in range(-(-questions // UNIT_QUESTIONS))
    ]
    counts: dict[str, Counter[str]] = {
        stage: Counter() for stage in ("index", "heldout", "ingest", "sample", "complete", "verify", "pair")
    }
    for unit in units:
        first = unit.number * UNIT_QUESTIONS
        numbers = range(first, min(first + UNIT_QUESTIONS, questions))
        made = [_question(number, samples, mean_words, words, dice) for number in numbers]
        for question, rollout, verdicts, row in made:
            source = question.source
            counts["index"][f"{source}/selected"] += 1
            counts["ingest"][f"{source}/questions"] += 1
            counts["sample"][f"{source}/responses"] += samples
            counts["sample"][f"{source}/tokens"] += sum(response.tokens for response in rollout.responses)
            counts["sample"][f"{source}/finish/stop"] += samples
            for verdict in verdicts.verdicts:
                counts["verify"][f"{source}/{verdict.status}"] += 1
            counts["pair"][f"{source}/questions/paired"] += 1
            counts["pair"][f"{source}/pairs/correctness"] += len(row.pairs)
            possible = (samples // 2) * (samples - samples // 2)
            counts["pair"][f"{source}/skipped/capped"] += possible - len(row.pairs)
        indexed = [IndexedRow(q.id, q.source, SourceRow(q.where, q.question, q.answer)) for q, *_ in made]
        write_shard(index_shard(out, unit), IndexedRow, indexed, {})
        write_shard(shard(out, "ingest", unit), Question, [item[0] for item in made], {})
        write_shard(shard(out, "sample", unit), Rollout, [item[1] for item in made], {})
        write_shard(shard(out, "complete", unit), Completions, [], {})
        write_shard(shard(out, "verify", unit), Verdicts, [item[2] for item in made], {})
        write_shard(shard(out, "pair", unit), PreferenceRow, [item[3] for item in made], {})
    about = {
        "mmpr": "generated",
        "recipe": recipe.as_json(),
        "model_revision": "none",
        "prompts": {},
        "fingerprints": {},
    }
    write_json(out / "build.json", {"units": {"train": len(units), "heldout": 0}, "fingerprints": {}, "counts": {}})
    write_manifest(out, about, {stage: dict(found) for stage, found in counts.items()})


def _question(
    number: int, samples: int, mean_words: int, words: list[str], dice: random.Random
) -> tuple[Question, Rollout, Verdicts, PreferenceRow]:
    id, source = content_id("generated", str(number)), ("first", "second", "third")[number % 3]
    truth = str(dice.randrange(1_000))
    asked = f"Question {number}: {' '.join(dice.choices(words, k=15))}?"
    question = Question(id, source, asked, truth, where=f"row {number}")
    responses, verdicts = [], []
    for sample in range(samples):
        right = sample % 2 == 0
        answer = truth if right else str(int(truth) + 1 + sample)
        said = dice.choices(words, k=dice.randrange(mean_words // 2, mean_words * 3 // 2))
        responses.append(Response(f"{' '.join(said)}.\nFinal answer: {answer}", sample, "stop", len(said) * 4 // 3))
        verdicts.append(Verdict("correct" if right else "incorrect", answer, "number", "the same number" * right))
    stored = tuple(
        PairedResponse(r.text, r.tokens, r.finish_reason, r.seed, at, status=v.status, answer=v.answer)
        for at, (r, v) in enumerate(zip(responses, verdicts, strict=True))
    )
    possible = [(c, r) for c in range(0, samples, 2) for r in range(1, samples, 2)]
    pairs = tuple(
        Pair(c, r, "correctness", "right against wrong") for c, r in dice.sample(possible, min(PAIRS, len(possible)))
    )
    rollout = Rollout(id, source, f"Answer.\n\n{asked}", "plain", "", "none", "", len(asked.split()), tuple(responses))
    row = PreferenceRow(id, source, "", (), asked, rollout.prompt, truth, 0.5, stored, pairs)
    return question, rollout, Verdicts(id, source, 0.5, tuple(verdicts)), row


_MEASURED = """
import json, resource, sys, time
from pathlib import Path
from mmpr.report.make import make_report, write_report
start = time.perf_counter()
report = make_report(Path(sys.argv[1]))
page = write_report(report, Path(sys.argv[1]) / "report")
wall = time.perf_counter() - start
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "pairs": int(next(f.number for f in report.findings if f.key == "few_pairs")),
    "disagreeing": sum(not check.agrees for check in report.flow.checks),
    "wall_s": round(wall, 1),
    "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
    "peak_mib": usage.ru_maxrss >> 10,
    "report_mib": round(sum(p.stat().st_size for p in page.parent.rglob("*") if p.is_file()) / 2**20, 2),
}))
"""


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--questions", type=int, default=100_000, help="of ten pairs each (default 100,000)")
    parser.add_argument("--samples", type=int, default=16, help="responses a question (default 16)")
    parser.add_argument("--out", type=Path, default=Path("builds/generated"), help="where the build goes")
    parser.add_argument("--json", type=Path, help="where the figures go")
    args = parser.parse_args()
    if not (args.out / "manifest.json").exists():
        start = time.perf_counter()
        generate(args.out, args.questions, args.samples)
        print(f"generated in {time.perf_counter() - start:.0f} s", file=sys.stderr)
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(args.out)], env=os.environ, stdout=subprocess.PIPE, text=True, check=True
    )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(figures, indent=2))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
