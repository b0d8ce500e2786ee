from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmpr.config import ImagesSpec
from mmpr.errors import RowError, SourceError
from mmpr.evaluate.benchmarks.readers import Broken, JsonRows, ParquetRows, Record, find_benchmark_files, path_ref
from tests.evaluate.benchmarks.bench_helpers import pictures

PATHS = [
    ("images/test/0.png", "./images/test/0.png"),
    ("./images/test/0.png", "./images/test/0.png"),
    ("./Geo170K/images/test/0.png", "./images/test/0.png"),
    ("test/0.png", "./sets/test/0.png"),  # the file's own folder first
    ("other/0.png", "./other/0.png"),  # not there: left as it is
    ("../secret.png", "../secret.png"),
    ("/etc/passwd", "/etc/passwd"),
    ("a/../../x", "a/../../x"),
    ("https://e.org/x.png", "https://e.org/x.png"),
]


@pytest.mark.parametrize(("written", "ref"), PATHS)
def test_where_a_path_leads(tmp_path: Path, written: str, ref: str) -> None:
    for name in ("images/test/0.png", "sets/test/0.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x")
    assert path_ref(tmp_path, tmp_path / "sets", written) == ref


def test_of_a_folder_the_files_of_the_first_pattern(tmp_path: Path) -> None:
    for name in ("data/Val-0.parquet", "data/val-1.parquet", "test-0.parquet", "val.tsv", ".cache/val-2.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    base, found = find_benchmark_files(tmp_path, ("none*", "val*.parquet", "*.tsv"))
    assert base == tmp_path
    assert [path.name for path in found] == ["Val-0.parquet", "val-1.parquet"]
    assert find_benchmark_files(tmp_path / "val.tsv", ("none*",)) == (tmp_path, [tmp_path / "val.tsv"])
    with pytest.raises(SourceError, match="no file is named a or b"):
        find_benchmark_files(tmp_path, ("a", "b"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2", "is no JSON list"),
        ('[1], "x": [2]', "something follows it"),
        ("[" * 100_000, "nested too deeply"),
        ("[nan]", "Expecting value"),
    ],
)
def test_what_is_no_json_list(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "val.json"
    path.write_text(text)
    with pytest.raises(SourceError, match=message):
        JsonRows(path, tmp_path, "images", ImagesSpec())


def test_entries_of_a_json_list_that_are_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "val.json"
    path.write_text('\ufeff [1, {"images": [], "problem": 3.10}, null, NaN]')
    found = list(JsonRows(path, tmp_path, "images", ImagesSpec()).records())
    assert [one.error.reason if isinstance(one, Broken) else one.cells["problem"] for one in found] == [
        "not_an_object",
        "3.10",
        "not_an_object",
        "not_an_object",
    ]


def test_parquet_without_the_pictures_column(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"question": ["?"]}), path)
    with pytest.raises(SourceError, match="no column 'image'"):
        ParquetRows(path, tmp_path, "image", ImagesSpec())
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(SourceError, match="cannot be read as Parquet"):
        ParquetRows(path, tmp_path, "image", ImagesSpec())


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.binary()), pa.list_(pa.struct({"bytes": pa.binary(), "path": pa.string()}))]
)
def test_parquet_with_lists_of_pictures(tmp_path: Path, kind: pa.DataType) -> None:
    one, two = pictures(2)
    cells: list[Any] = [[one, two], [], None, [two]]
    if pa.types.is_struct(kind.value_type):
        cells = [None if cell is None else [{"bytes": data, "path": None} for data in cell] for cell in cells]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": list(range(4)), "image": pa.array(cells, kind)}), path, row_group_size=3)
    opened = ParquetRows(path, tmp_path, "image", ImagesSpec())
    found = [row for row in opened.records() if isinstance(row, Record)]
    assert [row.cells for row in found] == [{"n": place} for place in range(4)]
    assert [[opened.load(ref) for ref in row.images] for row in found] == [[one, two], [], [], [two]]


def test_parquet_with_an_empty_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": [1], "image": pa.array([None], pa.string())}), path)
    opened = ParquetRows(path, tmp_path, "image", ImagesSpec())
    [row] = opened.records()
    assert isinstance(row, Record)
    with pytest.raises(RowError, match="image_missing"):
        opened.load(row.images[0])
