"""More questions over the held-out pictures than a build holds out, for what a kind of question gains or loses.

    python -m benchmarks.prove.questions builds/more-heldout.parquet
    python -m mmpr.evaluate --model base=data/demo_model --model mpo-0=runs/prove/seed-0/mpo/training/model … \\
        --data builds/more-heldout.parquet --out evaluations/more-heldout data.columns.images=images \\
        data.columns.choices=choices data.columns.kind=kind engine.args.dtype=bfloat16 engine.args.enforce_eager=true \\
        engine.args.max_model_len=512 engine.args.kv_cache_memory_bytes=1000000000 sampling.max_tokens=160

The report has the differences by kind. Questions are drawn with a seed of their own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmpr.io.shards import whole_or_absent
from mmpr.sources.digits import Digits
from mmpr.sources.easy_vqa import EasyVqa

SEED = 2_000_003
DIGITS, SHAPES = 2400, 1600


def main(path: Path) -> None:
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


if __name__ == "__main__":
    main(Path(sys.argv[1]))
