"""More questions over the held-out pictures than a build holds out, for what a kind of question gains or loses.

    python -m benchmarks.prove.questions builds/more-heldout.parquet
    python -m mmpr.evaluate --model base=data/demo_model --model mpo-0=runs/prove/seed-0/mpo/training/model ... \\
        --data builds/more-heldout.parquet --out evaluations/more-heldout data.columns.images=images \\
        data.columns.choices=choices data.columns.kind=kind engine.args.dtype=bfloat16 engine.args.enforce_eager=true \\
        engine.args.max_model_len=512 engine.args.kv_cache_memory_bytes=1000000000 sampling.max_tokens=160
    python -m benchmarks.prove.questions evaluations/more-heldout --json docs/results/more-heldout.json

The first writes the questions, drawn with a seed of their own; the last compares the mean of all other models with
``base``, kind by kind.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.prove.arms import BASE
from benchmarks.prove.results import bootstrap
from mmpr.evaluate.score import count_run
from mmpr.evaluate.store import finished_runs
from mmpr.sources.digits import Digits
from mmpr.sources.easy_vqa_questions import EasyVqa
from mmpr.storage.shards import whole_or_absent, write_json

SEED = 2_000_003
DIGITS, SHAPES = 2400, 1600


def write(path: Path) -> None:
    """Write the questions as a table with their pictures."""
    rows = [
        {
            "question": row.question,
            "answer": row.answer,
            "choices": list(row.choices) or None,
            "images": [{"bytes": source.load(image)} for image in row.images],
            "kind": f"{name}: {row.kind}",
        }
        for name, source in (
            ("digits", Digits("heldout", DIGITS, SEED)),
            ("easy-vqa", EasyVqa("heldout", SHAPES, SEED)),
        )
        for row in source.rows()
    ]
    with whole_or_absent(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows), temporary)


def compare(root: Path) -> list[dict[str, Any]]:
    """All questions and each kind: right before, right in the mean of the other models, and the difference."""
    right = {run.about["model"]: count_run(run) for run in finished_runs(root)}
    base = right.pop(BASE)
    found = []
    for by, _, kind, at in base.groups():
        if by != "source":
            before = base.column("correct")[at].astype(np.float64)
            after = np.stack([right[name].column("correct")[at] for name in sorted(right)]).astype(np.float64)
            change = bootstrap(after - before)
            found.append(
                {
                    "kind": kind or "all",
                    "questions": len(at),
                    "before": float(before.mean()),
                    "after": dict(zip(sorted(right), after.mean(axis=1).tolist(), strict=True)),
                    "difference": change.value,
                    "low": change.low,
                    "high": change.high,
                }
            )
    return found


def main() -> None:
    """Write the questions, or compare the models of an evaluation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="a table to write, or the folder of an evaluation")
    parser.add_argument("--json", type=Path, help="write the comparison")
    arguments = parser.parse_args()
    if not arguments.path.is_dir():
        write(arguments.path)
        return
    found = compare(arguments.path)
    for one in found:
        print(f"{one['kind']:24} {one['questions']:>5}  {100 * one['before']:5.1f}  {100 * one['difference']:+5.1f}")
    if arguments.json:
        write_json(arguments.json, found)


if __name__ == "__main__":
    main()
