"""Parquet and saved datasets: the forms of pictures, columns that are read, broken files."""

import base64
import io
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmpr.errors import SourceError
from mmpr.schema import Question, Reject, SourceRow
from tests.sources.source_helpers import CHINA, FLOWER, ingest, opened

TEXT64 = base64.b64encode(CHINA).decode()
IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})

# One column of four rows: China from the cell itself or from china.jpg, nothing, and (in lists) China and the flower.
CELLS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "path": (pa.string(), ["china.jpg", None]),
    "large path": (pa.large_string(), ["china.jpg", None]),
    "dictionary": (pa.dictionary(pa.int32(), pa.string()), ["china.jpg", None]),
    "base64": (pa.string(), [TEXT64, ""]),
    "binary": (pa.binary(), [CHINA, None]),
    "large binary": (pa.large_binary(), [CHINA, b""]),
    "struct of bytes": (IMAGE, [{"bytes": CHINA, "path": "elsewhere.jpg"}, None]),
    "struct of path": (IMAGE, [{"bytes": None, "path": "china.jpg"}, None]),
    "struct of bytes alone": (pa.struct({"bytes": pa.binary()}), [{"bytes": CHINA}, None]),
    "struct of path alone": (pa.struct({"path": pa.string()}), [{"path": "china.jpg"}, None]),
    "list of paths": (pa.list_(pa.string()), [["china.jpg"], None, [], ["china.jpg", "flower.png"]]),
    "list of binary": (pa.list_(pa.binary()), [[CHINA], None, [], [CHINA, FLOWER]]),
    "list of structs": (
        pa.list_(IMAGE),
        [
            [{"bytes": CHINA, "path": None}],
            None,
            [],
            [{"bytes": None, "path": "china.jpg"}, {"bytes": FLOWER, "path": "x"}],
        ],
    ),
    "list of paths in structs": (
        pa.list_(pa.struct({"path": pa.string()})),
        [[{"path": "china.jpg"}], None, [], [{"path": "china.jpg"}, {"path": "flower.png"}]],
    ),
}
COLUMNS = {"question": "extra_info.question", "answer": "reward_model.ground_truth", "images": "images"}


def pictures(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "china.jpg").write_bytes(CHINA)
    (folder / "flower.png").write_bytes(FLOWER)
    return folder


def table(kind: pa.DataType, cells: list[Any]) -> pa.Table:
    """In the layout of MMPR-Tiny."""
    rows = range(len(cells))
    return pa.table(
        {
            "images": pa.array(cells, kind),
            "extra_info": [{"question": f"q{row}", "index": row} for row in rows],
            "reward_model": [{"ground_truth": str(row), "style": "rule"} for row in rows],
        }
    )


def save(rows: pa.Table, folder: Path, layout: str) -> dict[str, Any]:
    """The table as a source of that layout."""
    if layout == "parquet":
        pq.write_table(rows, folder / "x.parquet", row_group_size=3)
        return {"type": "parquet", "path": "x.parquet"}
    datasets.disable_progress_bars()
    datasets.Dataset(rows).save_to_disk(folder / "x")
    return {"type": "datasets", "path": "x", "images_root": "."}


@pytest.mark.parametrize("layout", ["parquet", "datasets"])
@pytest.mark.parametrize("form", CELLS)
def test_every_form_of_picture(tmp_path: Path, form: str, layout: str) -> None:
    source = save(table(*CELLS[form]), pictures(tmp_path), layout)
    found = ingest(tmp_path, **source, columns=COLUMNS)
    expected = [(CHINA,), (), (), (CHINA, FLOWER)][: len(CELLS[form][1])]
    assert [question.images if isinstance(question, Question) else question for question in found] == expected
    assert [question.answer for question in found if isinstance(question, Question)] == list("0123")[: len(expected)]


def test_where_and_order_over_groups_and_files(tmp_path: Path) -> None:
    for name, start in [("b", 0), ("a", 10)]:
        rows = pa.table({"question": [f"q{start + row}" for row in range(7)]})
        pq.write_table(rows, tmp_path / f"{name}.parquet", row_group_size=3)
    source = opened(tmp_path, type="parquet", path=".")
    rows = [row for row in source.rows() if isinstance(row, SourceRow)]
    assert [(row.where, row.question) for row in rows] == [
        *((f"a.parquet[{row}]", f"q{10 + row}") for row in range(7)),
        *((f"b.parquet[{row}]", f"q{row}") for row in range(7)),
    ]
    assert rows == list(source.rows())


def numbered(number: int) -> bytes:
    return b"\x89PNG" + number.to_bytes(4, "big") + bytes(2000)


def test_pictures_in_any_order(tmp_path: Path) -> None:
    """More rows than a batch, in more than one group, forwards, backwards and at random."""
    rows = pa.table({"question": ["q"] * 200, "image": [{"bytes": numbered(row), "path": "x"} for row in range(200)]})
    for layout in ("parquet", "datasets"):
        if layout == "parquet":
            pq.write_table(rows, tmp_path / "x.parquet", row_group_size=90)
            source = opened(tmp_path, type="parquet", path="x.parquet")
        else:
            source = opened(tmp_path, **save(rows, tmp_path, layout))
        refs = [row.images[0] for row in source.rows() if isinstance(row, SourceRow)]
        assert len(set(refs)) == 200
        shuffled = np.random.default_rng(0).permutation(200).tolist()
        for number in [*range(200), *reversed(range(200)), *shuffled, 5, 5]:
            assert source.load(refs[number]) == numbered(number)


class Watched(io.FileIO):
    """A file that counts what is read of it."""

    read_bytes = 0

    def readinto(self, buffer: Any) -> int:
        size = super().readinto(buffer)
        Watched.read_bytes += size
        return size

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        Watched.read_bytes += len(data)
        return data


def test_rows_do_not_read_the_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).bytes
    cells = [{"bytes": noise(100_000), "path": "x"} for _ in range(100)]
    pq.write_table(pa.table({"question": ["q"] * 100, "image": pa.array(cells, IMAGE)}), tmp_path / "x.parquet")
    source = opened(tmp_path, type="parquet", path="x.parquet")
    open_parquet = pq.ParquetFile
    monkeypatch.setattr(pq, "ParquetFile", lambda path, **options: open_parquet(Watched(path), **options))
    rows = [row for row in source.rows() if isinstance(row, SourceRow)]
    text_bytes, Watched.read_bytes = Watched.read_bytes, 0
    assert len(rows) == 100
    assert 0 < text_bytes < 1_000_000  # footers; the file has 10 MB
    assert source.load(rows[99].images[0]) == cells[99]["bytes"]
    assert Watched.read_bytes > 5_000_000


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([3, -1]), ["3", "-1"]),
        (pa.array([3.0, 0.1]), ["3.0", "0.1"]),
        (pa.array([3.0, 0.1], pa.float32()), ["3.0", "0.1"]),
        (pa.array([3, None]), ["3", None]),
        (pa.array(["B", ""]), ["B", None]),
        (pa.array([b"\xff", b"ok"], pa.binary()), ["wrong_type", "wrong_type"]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array([float("nan"), 2.5]), ["wrong_type", "2.5"]),
        (pa.array([float("inf"), 2.5], pa.float32()), ["wrong_type", "2.5"]),
        (pa.array([["a"], None]), ["a", None]),
        (pa.array([1, 2], pa.timestamp("s")), ["1970-01-01T00:00:01", "1970-01-01T00:00:02"]),
        (pa.array([1, 2], pa.date32()), ["1970-01-02", "1970-01-03"]),
        (pa.array([1, 2], pa.duration("s")), ["wrong_type", "wrong_type"]),
        (pa.array(["1.50", "2.00"]).cast(pa.decimal128(5, 2)), ["1.50", "2.00"]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
@pytest.mark.parametrize("layout", ["parquet", "datasets"])
def test_answers(tmp_path: Path, layout: str, values: pa.Array, expected: list[str | None]) -> None:
    source = save(pa.table({"question": ["a", "b"], "answer": values}), tmp_path, layout)
    found = list(opened(tmp_path, **source).rows())
    assert [row.reason if isinstance(row, Reject) else row.answer for row in found] == expected


def test_choices_as_lists_and_structs(tmp_path: Path) -> None:
    cells = [{"A": "x", "B": "y", "C": None}, None]
    pq.write_table(pa.table({"question": ["a", "b"], "c": cells, "l": [["x", "y"], []]}), tmp_path / "x.parquet")
    for name in ("c", "l"):
        rows = list(opened(tmp_path, type="parquet", path="x.parquet", columns={"choices": name}).rows())
        assert [row.choices for row in rows if isinstance(row, SourceRow)] == [("x", "y"), ()]


def test_invalid_text_spoils_its_own_row_only(tmp_path: Path) -> None:
    bad = pa.array([b"fine", b"\xff\xfe", b"also fine"]).view(pa.string())
    pq.write_table(pa.table({"question": bad}), tmp_path / "x.parquet")
    found = list(opened(tmp_path, type="parquet", path="x.parquet").rows())
    assert [row.reason if isinstance(row, Reject) else row.question for row in found] == [
        "fine",
        "bad_value",
        "also fine",
    ]
    assert isinstance(found[1], Reject)
    assert found[1].id == "x.parquet[1]"


def test_a_broken_group_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    rows = pa.table({"question": [f"question number {row}" for row in range(300)]})
    pq.write_table(rows, path, row_group_size=100, compression="gzip", use_dictionary=False)
    place = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    at = place.data_page_offset + place.total_compressed_size // 2
    data[at : at + 40] = bytes(40)
    path.write_bytes(data)
    found = list(opened(tmp_path, type="parquet", path="x.parquet").rows())
    rejects = [row for row in found if isinstance(row, Reject)]
    assert [(reject.id, reject.reason) for reject in rejects] == [("x.parquet[100:200]", "file_unreadable")]
    assert len(found) == 201


def test_a_picture_that_is_gone_is_a_row_error(tmp_path: Path) -> None:
    pq.write_table(pa.table({"question": ["q", "r"], "image": [FLOWER[:99], b"text"]}), tmp_path / "x.parquet")
    found = ingest(tmp_path, type="parquet", path="x.parquet")
    assert [item.reason for item in found if isinstance(item, Reject)] == ["image_truncated", "image_not_a_picture"]
    limits = {"images": {"max_bytes": 50}}
    found = ingest(tmp_path, limits, type="parquet", path="x.parquet")
    assert [item.reason for item in found if isinstance(item, Reject)] == ["image_too_large", "image_not_a_picture"]


def test_a_file_of_pandas(tmp_path: Path) -> None:
    rows = pd.DataFrame({"question": ["a", "b"], "answer": [1.5, None], "image": [FLOWER, None]})
    rows.to_parquet(tmp_path / "x.parquet")
    first, second = ingest(tmp_path, type="parquet", path="x.parquet")
    assert isinstance(first, Question)
    assert isinstance(second, Question)
    assert (first.answer, first.images) == ("1.5", (FLOWER,))
    assert (second.answer, second.images) == (None, ())


def test_a_dataset_of_datasets_with_its_image_feature(tmp_path: Path) -> None:
    pictures(tmp_path)
    datasets.disable_progress_bars()
    made = datasets.Dataset.from_dict({"question": ["a", "b"], "image": [str(tmp_path / "china.jpg"), None]})
    made = made.cast_column("image", datasets.Image()).filter(lambda row: row["question"] == "a")
    made.save_to_disk(tmp_path / "saved")
    made.to_parquet(tmp_path / "x.parquet")
    for source in ({"type": "datasets", "path": "saved"}, {"type": "parquet", "path": "x.parquet"}):
        [question] = ingest(tmp_path, **source)
        assert isinstance(question, Question)
        assert question.images == (CHINA,)


def test_a_question_for_every_row(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [FLOWER] * 40}), tmp_path / "x.parquet")
    found = list(opened(tmp_path, type="parquet", path="x.parquet", question="Describe.").rows())
    assert len(found) == 40
    assert {row.question for row in found if isinstance(row, SourceRow)} == {"Describe."}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, r"no column 'question' \(columns.question\); it has: a, prompt"),
        ({"question": "prompt", "answer": "a.y"}, r"no column 'a.y' \(columns.answer\)"),
        ({"question": "prompt", "images": "pic"}, r"no column 'pic' \(columns.images\)"),
        ({"question": None}, "a question is needed"),
    ],
)
@pytest.mark.parametrize("layout", ["parquet", "datasets"])
def test_a_wrong_column_map(tmp_path: Path, layout: str, columns: dict[str, Any], message: str) -> None:
    source = save(pa.table({"prompt": ["q"], "a": [{"x": "1"}]}), tmp_path, layout)
    with pytest.raises(SourceError, match=message):
        opened(tmp_path, **source, columns=columns)


def test_other_layouts(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no more than that")
    with pytest.raises(SourceError, match=r"x.parquet: cannot be read as Parquet"):
        opened(tmp_path, type="parquet", path="x.parquet")
    with pytest.raises(SourceError, match=r"no readable state.json"):
        opened(tmp_path, type="datasets", path=".")
    with pytest.raises(SourceError, match="no such folder"):
        opened(tmp_path, type="datasets", path="nowhere")
    datasets.disable_progress_bars()
    one = datasets.Dataset.from_dict({"question": ["a"]})
    datasets.DatasetDict({"train": one, "test": one}).save_to_disk(tmp_path / "splits")
    with pytest.raises(SourceError, match=r"several splits \(test, train\); name one, as in splits/train"):
        opened(tmp_path, type="datasets", path="splits")
    assert len(list(opened(tmp_path, type="datasets", path="splits/train").rows())) == 1
    (tmp_path / "splits/train/state.json").write_text('{"_data_files": [{"filename": "../test/x.arrow"}]}')
    with pytest.raises(SourceError, match="not in the folder"):
        opened(tmp_path, type="datasets", path="splits/train")


def test_mutated_files_are_errors_and_nothing_else(tmp_path: Path) -> None:
    """Bytes of a Parquet and of an Arrow file are changed at random: rows, rejects and SourceErrors, no crash."""
    random = np.random.default_rng(7)
    rows = table(*CELLS["list of structs"])
    for layout in ("parquet", "datasets"):
        folder = pictures(tmp_path / layout)
        source = save(rows, folder, layout)
        path = folder / "x.parquet" if layout == "parquet" else next((folder / "x").glob("*.arrow"))
        data = path.read_bytes()
        for _ in range(150):
            mutated = bytearray(data)
            for at in random.integers(0, len(data), 6):
                mutated[at] = random.integers(0, 256)
            path.unlink()
            path.write_bytes(mutated[: random.integers(1, len(data))] if random.random() < 0.1 else mutated)
            try:
                found = ingest(folder, **source, columns=COLUMNS)
            except SourceError as error:
                assert path.name in str(error)  # noqa: PT017
                continue
            assert all(isinstance(item, Question | Reject) for item in found)
