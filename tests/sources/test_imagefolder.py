"""Folders of pictures, with metadata and without."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmpr.errors import SourceError
from mmpr.schema import Question, Reject, SourceRow
from mmpr.sources import open_source
from mmpr.sources.selection import select_rows
from tests.sources.source_helpers import CHINA, FLOWER, ingest, opened, recipe_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "b").mkdir(parents=True)
    (folder / "b/2.JPG").write_bytes(CHINA)
    (folder / "b/1.png").write_bytes(FLOWER)
    (folder / "a.jpeg").write_bytes(CHINA)
    (folder / "c.heic").write_bytes(b"\0\0\0\x1cftypheic")
    (folder / "notes.txt").write_text("no picture")
    (folder / "._a.jpeg").write_bytes(b"a leaving of macOS")
    (folder / ".thumbnails").mkdir()
    (folder / ".thumbnails/a.png").write_bytes(FLOWER)
    return folder


def test_one_question_for_every_picture(folder: Path) -> None:
    a, heic, first, second = ingest(folder.parent, type="imagefolder", path="pictures", question="Describe it.")
    assert isinstance(heic, Reject)
    assert (heic.id, heic.reason) == ("c.heic", "image_format")
    for found, images in ((a, (CHINA,)), (first, (FLOWER,)), (second, (CHINA,))):
        assert isinstance(found, Question)
        assert (found.question, found.images, found.answer) == ("<image>\nDescribe it.", images, None)
    source = opened(folder.parent, type="imagefolder", path="pictures", question="Describe it.")
    rows = list(source.rows())
    assert [row.where for row in rows if isinstance(row, SourceRow)] == ["a.jpeg", "c.heic", "b/1.png", "b/2.JPG"]
    assert rows == list(source.rows())


def test_metadata(folder: Path) -> None:
    lines = [
        {"file_name": "1.png", "question": "What?", "answer": "a flower"},
        {"file_name": "../a.jpeg", "question": "What?"},
        {"file_name": ["1.png", "2.JPG"], "question": "Which?", "answer": 2},
    ]
    (folder / "b/metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "metadata.jsonl").write_text(json.dumps({"file_name": "a.jpeg"}))
    found = ingest(folder.parent, type="imagefolder", path="pictures", question="Describe it.")
    first, outside, both, last = found
    assert isinstance(first, Question)
    assert (first.answer, first.images, first.where) == ("a flower", (FLOWER,), "b/metadata.jsonl:1")
    assert isinstance(outside, Reject)
    assert outside.reason == "image_outside_root"
    assert isinstance(both, Question)
    assert (both.answer, both.images) == ("2", (FLOWER, CHINA))
    assert isinstance(last, Question)
    assert (last.question, last.images) == ("<image>\nDescribe it.", (CHINA,))


def test_metadata_with_a_column_map(folder: Path) -> None:
    (folder / "metadata.jsonl").write_text(json.dumps({"pic": "a.jpeg", "ask": "What?"}))
    columns = {"images": "pic", "question": "ask"}
    [question] = ingest(folder.parent, type="imagefolder", path="pictures", columns=columns)
    assert isinstance(question, Question)
    assert question.images == (CHINA,)


def test_metadata_as_csv_and_parquet(folder: Path) -> None:
    (folder / "metadata.csv").write_text("file_name,question,answer\na.jpeg,What?,a temple\nb/1.png,And this?,3\n")
    first, second = ingest(folder.parent, type="imagefolder", path="pictures")
    assert isinstance(first, Question)
    assert isinstance(second, Question)
    assert (first.answer, first.images, second.answer, second.images) == ("a temple", (CHINA,), "3", (FLOWER,))
    (folder / "metadata.csv").unlink()
    rows = {"file_name": ["b/1.png"], "question": ["Which?"], "answer": [["x", "y"]]}
    pq.write_table(pa.table(rows), folder / "metadata.parquet")
    [question] = ingest(folder.parent, type="imagefolder", path="pictures")
    assert isinstance(question, Question)
    assert (question.answers, question.images) == (("x", "y"), (FLOWER,))


def test_the_folder_of_a_picture_is_its_class(folder: Path) -> None:
    (folder / "b").rename(folder / "golden_gate")
    source = {"type": "imagefolder", "path": "pictures", "question": "What is it?"}
    found = ingest(folder.parent, **source, columns={"answer": "label"})
    assert [item.answer for item in found if isinstance(item, Question)] == ["golden gate", "golden gate"]
    assert [(item.id, item.reason) for item in found if isinstance(item, Reject)] == [
        ("a.jpeg", "missing_field"),
        ("c.heic", "missing_field"),
    ]
    recipe = recipe_of(folder.parent, **source)
    selection = select_rows(open_source(recipe.sources[0], recipe), recipe.sources[0], 0)
    assert len(list(selection)) == 4
    assert "look like one: label" in (selection.note() or "")


def test_what_is_missing_is_said(folder: Path) -> None:
    with pytest.raises(SourceError, match="needs a question"):
        opened(folder.parent, type="imagefolder", path="pictures")
    with pytest.raises(SourceError, match="no such folder"):
        opened(folder.parent, type="imagefolder", path="nowhere", question="q")
    with pytest.raises(SourceError, match="no such folder"):
        opened(folder.parent, type="imagefolder", path="pictures/a.jpeg", question="q")
    (folder / "metadata.jsonl").write_text(json.dumps({"file": "a.jpeg", "question": "q"}))
    with pytest.raises(SourceError, match=r"no column 'file_name' \(columns.images\); it has: file, question"):
        opened(folder.parent, type="imagefolder", path="pictures")
