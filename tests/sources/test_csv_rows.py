"""CSV and TSV: quotes, broken rows, VLMEvalKit's pictures of other rows."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import time
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpr.errors import SourceError
from mmpr.schema import Question, Reject, SourceRow
from tests.sources.source_helpers import CHINA, FLOWER, ingest, opened

CHINA64, FLOWER64 = (base64.b64encode(data).decode() for data in (CHINA, FLOWER))


def questions(folder: Path, **source: object) -> list[Question]:
    found = ingest(folder, **source)
    assert all(isinstance(item, Question) for item in found), found
    return [item for item in found if isinstance(item, Question)]


@pytest.mark.parametrize(("kind", "sign"), [("csv", ","), ("tsv", "\t")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_rows_of_python_s_writer(tmp_path: Path, kind: str, sign: str, encoding: str, ending: str) -> None:
    rows = [["a.png", 'What is "it",\nsay?', "red"], ["a.png", "图\t中?", "3.10"], ["", "2+2?", ""]]
    text = io.StringIO()
    csv.writer(text, delimiter=sign, lineterminator=ending).writerows([["image", "question", "answer"], *rows])
    (tmp_path / f"x.{kind}").write_bytes(text.getvalue().encode(encoding))
    (tmp_path / "a.png").write_bytes(FLOWER)
    first, second, third = questions(tmp_path, type=kind, path=f"x.{kind}")
    assert (first.question, first.answer, first.images) == ('<image>\nWhat is "it",\nsay?', "red", (FLOWER,))
    assert (second.question, second.answer) == ("<image>\n图\t中?", "3.10")
    assert (third.question, third.answer, third.images) == ("2+2?", None, ())
    assert [item.where for item in (first, second, third)] == [f"x.{kind}[{row}]" for row in range(3)]


def test_vlmevalkits_table(tmp_path: Path) -> None:
    """Base64, the picture of another row by its index, lists as text, options in columns."""
    frame = pd.DataFrame(
        {
            "index": [10, 11, 12, 13],
            "image": [CHINA64, "10", FLOWER64, str([CHINA64, FLOWER64])],
            "question": ["a", "b", "c", "d"],
            "A": ["x", "x", "3", "u"],
            "B": ["y", "y", "4", "v"],
            "C": [None, None, "5", None],
            "answer": ["A", "B", "C", "A"],
        }
    )
    frame.to_csv(tmp_path / "x.tsv", sep="\t", index=False)
    columns = {"choices": ["A", "B", "C"], "id": "index"}
    found = questions(tmp_path, type="tsv", path="x.tsv", columns=columns, rule="multiple_choice")
    assert [item.images for item in found] == [(CHINA,), (CHINA,), (FLOWER,), (CHINA, FLOWER)]
    assert [item.choices for item in found] == [("x", "y"), ("x", "y"), ("3", "4", "5"), ("u", "v")]
    (tmp_path / "x.tsv.gz").write_bytes(gzip.compress((tmp_path / "x.tsv").read_bytes()))
    packed = questions(tmp_path, type="tsv", path="x.tsv.gz", columns=columns, rule="multiple_choice")
    assert [item.images for item in packed] == [item.images for item in found]


def test_image_paths(tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics/7").write_bytes(CHINA)  # a name that looks like an index
    (tmp_path / "pics/b.png").write_bytes(FLOWER)
    (tmp_path / "x.tsv").write_text("index\timage_path\tquestion\tanswer\n1\t7\tq\ta\n2\t['7', 'b.png']\tr\tb\n")
    source = {"type": "tsv", "path": "x.tsv", "images_root": "pics", "columns": {"images": "image_path"}}
    one, both = questions(tmp_path, **source)
    assert (one.images, both.images) == ((CHINA,), (CHINA, FLOWER))


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        (b"a,b", "bad_row", "2 cells, the first line has 3"),
        (b"a,b,c,d", "bad_row", "4 cells"),
        (b'"a" b,q,c', "bad_row", "behind a closing quote"),
        (b"\xff,q,c", None, ""),  # in a column that nobody asked for
        (b"x,\xff,c", "not_utf8", "invalid start byte"),
        (b"x," + b"q" * (2 << 20) + b",c", "cell_too_long", "2097152"),
        (b"x,,c", "missing_field", "question"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_broken_row_spoils_itself_alone(tmp_path: Path, row: bytes, reason: str | None, detail: str) -> None:
    (tmp_path / "x.csv").write_bytes(b"extra,question,answer\nx,good,1\n\n" + row + b"\nx,last,2")
    first, found, last = opened(tmp_path, type="csv", path="x.csv").rows()
    assert isinstance(first, SourceRow)
    assert isinstance(last, SourceRow)
    assert (last.question, last.where) == ("last", "x.csv[2]")
    assert (found.reason if isinstance(found, Reject) else None) == reason
    assert detail in (found.detail if isinstance(found, Reject) else "")


def test_a_quote_that_is_never_closed(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('question,answer\n"open,1\nb,2\nc,3\n')
    broken, second, third = opened(tmp_path, type="csv", path="x.csv").rows()
    assert isinstance(broken, Reject)
    assert broken.reason == "bad_row"
    assert isinstance(second, SourceRow)
    assert isinstance(third, SourceRow)
    assert third.question == "c"


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("csv", "problem,answer\nq,a\n", "no column 'question'.*it has: answer, problem"),
        ("csv", "question\tanswer\nq\ta\n", "write type: tsv"),
        ("tsv", "question,answer\nq,a\n", "write type: csv"),
        ("csv", '{"question": "q"}\n', "write type: jsonl"),
        ("csv", "question,answer,answer\nq,a,b\n", "two columns have the name 'answer'"),
        ("csv", "", "no column 'question'"),
        ("csv", '"open', "a quote is never closed"),
    ],
)
def test_another_layout(tmp_path: Path, kind: str, text: str, message: str) -> None:
    (tmp_path / f"x.{kind}").write_text(text)
    with pytest.raises(SourceError, match=message):
        opened(tmp_path, type=kind, path=f"x.{kind}")


@pytest.mark.parametrize("line", ['"a', '""', '"""', 'x"', '"a""', '"a"b', ",", '"""",'])
def test_the_time_grows_with_the_size(tmp_path: Path, line: str) -> None:
    (tmp_path / "x.csv").write_text("question,answer\n" + f"{line}\n" * 60_000)
    start = time.monotonic()
    rows = sum(1 for _ in opened(tmp_path, type="csv", path="x.csv").rows())
    assert rows <= 60_000
    assert time.monotonic() - start < 20


@given(st.lists(st.tuples(st.text(min_size=1), st.text()), min_size=1, max_size=8))
def test_any_cells_that_python_writes(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    folder = tmp_path_factory.mktemp("csv")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([("question", "answer"), *rows])
    (folder / "x.csv").write_bytes(text.getvalue().encode("utf-8", "surrogatepass"))
    found = list(opened(folder, type="csv", path="x.csv").rows())
    assert len(found) == len(rows)
    for item, (question, answer) in zip(found, rows, strict=True):
        if isinstance(item, SourceRow):
            assert (item.question, item.answer) == (question, answer if answer.strip() else None)
        else:
            assert not question.strip() or any("\ud800" <= char < "\ue000" for char in question + answer)
