"""Small files that unpack to gigabytes: a sentence each, within 1 GiB, measured on the command itself."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmpr.storage.memory import bounded_memory

GIB = 1 << 30
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(60_000_000)
TEXT = "q" * 60_000_000
ROWS = 2_000

DRY_RUN = """
import sys
from pathlib import Path
from mmpr.build import main
status = main([sys.argv[1], "--dry-run"])
[peak] = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(peak)
sys.exit(status)
"""
"""The command, which also prints the most memory that it held, in KiB."""

pytestmark = pytest.mark.slow


def _columns(many: int, **columns: pa.Array) -> pa.Table:
    plain = {"question": [f"q{i}" for i in range(many)], "answer": ["5"] * many}
    return pa.table({**plain, **columns})


def _repeated(value: Any, many: int) -> pa.Array:
    return pa.array([value]).dictionary_encode().take(pa.array([0] * many))


def _parquet(to: Path, tables: Iterator[pa.Table] | list[pa.Table], **options: Any) -> None:
    """One row group of all tables, so that no more than one of them is in memory here."""
    writer = None
    for rows in tables:
        writer = writer or pq.ParquetWriter(to, rows.schema, compression="zstd", **options)
        [batch] = rows.combine_chunks().to_batches()
        writer.write_batch(batch)
    assert writer is not None
    writer.close()


def page(to: Path) -> None:
    """One page of 24 pictures."""
    rows = (_columns(1, image=pa.array([PICTURE])) for _ in range(24))
    _parquet(to / "a.parquet", rows, use_dictionary=False, data_page_size=GIB * 2 - 1)


def prefixes(to: Path) -> None:
    """Pictures that each repeat the one before: a few bytes a row."""
    rows = (_columns(1, image=pa.array([PICTURE])) for _ in range(40))
    _parquet(to / "a.parquet", rows, use_dictionary=False, column_encoding={"image": "DELTA_BYTE_ARRAY"})


def dictionary(to: Path) -> None:
    """One picture, said to be that of every row; Arrow's schema tells that it is a dictionary."""
    pq.write_table(_columns(ROWS, image=_repeated(PICTURE, ROWS)), to / "a.parquet", compression="zstd")


def dictionary_alone(to: Path) -> None:
    """The same, where nothing tells it."""
    rows = _columns(64, image=_repeated(PICTURE, 64))
    pq.write_table(rows, to / "a.parquet", compression="zstd", store_schema=False)


def long_questions(to: Path) -> None:
    """One question of 60 million characters in every row."""
    rows = _columns(64, image=pa.nulls(64, pa.binary())).set_column(0, "question", _repeated(TEXT, 64))
    pq.write_table(rows, to / "a.parquet", compression="zstd", store_schema=False)


def long_lists(to: Path) -> None:
    """A row with a thousand pictures."""
    pictures = _repeated(PICTURE, 1_000)
    lists = pa.ListArray.from_arrays(pa.array([0, 1_000], pa.int32()), pictures)
    pq.write_table(_columns(1, image=lists), to / "a.parquet", compression="zstd", store_schema=False)


def stream(to: Path) -> None:
    """An Arrow stream whose buffers are compressed."""
    (to / "state.json").write_text(json.dumps({"_data_files": [{"filename": "a.arrow"}]}))
    rows = _columns(24, image=pa.array([PICTURE] * 24))
    with pa.ipc.new_stream(str(to / "a.arrow"), rows.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as out:
        out.write_table(rows)


def lines(to: Path) -> None:
    """Lines of 16 MB that are ten times as large as objects."""
    for what in ("[],", "1,", '{"a":[]},'):
        line = '{"question": "q", "answer": [' + what * ((16 << 20) // len(what) - 20) + "0]}\n"
        with (to / "a.jsonl").open("a") as file:
            file.write('{"question": "good", "answer": "5"}\n' + line)


def packed_line(to: Path) -> None:
    """A line of 3 GB in 3 MB."""
    with gzip.open(to / "a.jsonl", "wb", compresslevel=1) as file:
        file.write(b'{"question": "good", "answer": "5"}\n{"question": "')
        for _ in range(3_000):
            file.write(bytes(1_000_000))


def packed_rows(to: Path) -> None:
    """A list with an item of 5 MB that is ten times as large as an object, and one of 400 MB."""
    with gzip.open(to / "a.llava", "wb", compresslevel=1) as file:
        turns = b'[{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]'
        file.write(b'[{"conversations": ' + turns + b"}")
        for many in (5_000_000, 400_000_000):
            file.write(b', {"conversations": ' + turns + b', "x": [')
            for _ in range(many // 500_000):
                file.write(b"[[]]," * 100_000)
            file.write(b"0]}")
        file.write(b"]")


def cells(to: Path) -> None:
    """Cells of 100 MB and of 300 MB, within quotes and without, and a quote that is never closed."""
    with (to / "a.csv").open("w") as file:
        file.write("image,question,answer\n,good,5\n")
        for many, quote in ((100, '"'), (100, ""), (300, '"'), (300, "")):
            file.write(quote)
            for _ in range(many):
                file.write("iVBORw0KGgoAAAAN" * 62_500)
            file.write(f"{quote},q{many}{quote and 'q'},5\n")
        file.write('"open,q,5\n' + ("x" * 100 + "\n") * 2_000_000)


def samples(to: Path) -> None:
    """Samples whose JSON is ten times as large as an object, or said to have terabytes."""
    with tarfile.open(to / "a.webdataset", "w") as archive:
        for name in ("1.json", "2.json"):
            content = b'{"question": "q", "answer": [' + b"[]," * 5_000_000 + b"0]}"
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        info = tarfile.TarInfo("3.json")
        info.size = 1 << 42
        archive.addfile(info)


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (page, "parquet", ""),
        (prefixes, "parquet", ""),
        (dictionary, "parquet", ""),
        (dictionary_alone, "parquet", ""),
        (long_questions, "parquet", ""),
        (long_lists, "parquet", "rows_too_large"),
        (stream, "datasets", "rows_too_large"),
        (lines, "jsonl", "too_many_answers"),
        (packed_line, "jsonl", "line_too_long"),
        (packed_rows, "llava", "line_too_long"),
        (cells, "csv", "bad_row"),
        (samples, "webdataset", "too_many_answers"),
    ],
)
def test_peak_memory(tmp_path: Path, make: Any, kind: str, said: str) -> None:
    make(tmp_path)
    most = 1_100 if make is cells else 100
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < most << 20
    path = "." if kind == "datasets" else f"a.{kind}"
    recipe = {
        "name": "bomb",
        "model": {"path": "none"},
        "engine": {"type": "replay"},
        "sources": [{"name": "s", "type": kind, "path": path}],
    }
    (tmp_path / "bomb.yaml").write_text(json.dumps(recipe))
    done = subprocess.run(
        [sys.executable, "-c", DRY_RUN, str(tmp_path / "bomb.yaml")], capture_output=True, text=True, timeout=300
    )
    # Status 1 where nothing is left to ask, or no picture that was looked at can be read.
    assert done.returncode == int("\nproblem" in done.stdout), done.stderr
    assert said in done.stdout
    assert "Traceback" not in done.stderr
    assert int(done.stdout.split()[-1]) * 1024 < GIB


def test_the_bound_is_lifted_and_counts_what_arrow_holds() -> None:
    held = pa.allocate_buffer(600 << 20)
    with pytest.raises(MemoryError), bounded_memory(700 << 20):
        bytearray(200 << 20)
    del held
    with bounded_memory(700 << 20):
        bytearray(200 << 20)
    bytearray(900 << 20)
