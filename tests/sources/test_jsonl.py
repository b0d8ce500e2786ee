"""JSONL: good rows of every form, bad rows of every kind, and files that are something else."""

import base64
import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpr.errors import RowError, SourceError
from mmpr.schema import Question, Reject, SourceRow
from mmpr.sources import jsonl
from tests.sources.source_helpers import CHINA, FLOWER, ingest, opened


def write(path: Path, *rows: Any) -> Path:
    """Rows as lines: bytes as they are, anything else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows) + b"\n")
    return path


def row_of(folder: Path, row: Any, **source: Any) -> SourceRow | Reject:
    write(folder / "x.jsonl", row)
    [found] = opened(folder, type="jsonl", path="x.jsonl", **source).rows()
    return found


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('"B"', "B"),
        ("3", "3"),
        ("3.0", "3.0"),
        ("3.10", "3.10"),
        ("-0", "-0"),
        ("1e400", "1e400"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("1" * 5000, "1" * 5000),
        ('"  "', None),
        ('""', None),
        ("null", None),
        ('"北京"', "北京"),
    ],
)
def test_answers_stay_as_written(tmp_path: Path, written: str, expected: str | None) -> None:
    row = row_of(tmp_path, f'{{"question": "q", "answer": {written}}}'.encode())
    assert isinstance(row, SourceRow)
    assert row.answer == expected
    assert type(row.answer) in (str, type(None))


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        (b'{"question": "q"', "bad_json", "delimiter"),
        (b'{"question": "q", "answer": NaN}', "wrong_type", "nan"),
        (b'{"question": "q", "answer": -Infinity}', "wrong_type", "inf"),
        (b'{"question": NaN}', "wrong_type", "nan"),
        (b'{"question": "q", "answer": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "bad_json", "deep"),
        (b'{"question": "\xff\xfe"}', "not_utf8", "byte 14"),
        (b'["question"]', "not_an_object", "list"),
        (b'"question"', "not_an_object", "str"),
        (b"null", "not_an_object", "NoneType"),
        (b"{}", "missing_field", "question"),
        (b'{"question": null}', "missing_field", "question"),
        (b'{"quesiton": "q"}', "missing_field", "quesiton"),
        (b'{"question": 3}', "wrong_type", "a number"),
        (b'{"question": ["q"]}', "wrong_type", "a list"),
        (b'{"question": {"text": "q"}}', "wrong_type", "a mapping"),
        (b'{"question": true}', "wrong_type", "true or false"),
        (b'{"question": ""}', "empty_question", "question"),
        (b'{"question": " \\n "}', "empty_question", "question"),
        (b'{"question": "q", "answer": [["a"]]}', "wrong_type", "a list"),
        (b'{"question": "q", "answer": [{"answer": "a"}]}', "wrong_type", "answer.answer"),
        (b'{"question": "q", "answer": [' + b'"a",' * 64 + b'"b"]}', "too_many_answers", "65 answers"),
        (b'{"question": "q", "answer": {}}', "wrong_type", "a mapping"),
        (b'{"question": "q", "image": 3}', "wrong_type", "a number"),
        (b'{"question": "q", "image": true}', "wrong_type", "true or false"),
        (b'{"question": "q", "image": ["a.png", ""]}', "wrong_type", "empty text"),
        (b'{"question": "q", "image": {"url": "a.png"}}', "wrong_type", "a mapping"),
        (b'{"question": "q", "image": {"path": 7}}', "wrong_type", "a number"),
        (b'{"question": "q", "image": [["a.png"]]}', "wrong_type", "a list"),
    ],
)
def test_a_bad_line_is_a_reject(tmp_path: Path, line: bytes, reason: str, detail: str) -> None:
    good = {"question": "good"}
    write(tmp_path / "x.jsonl", good, line, b"", good)
    first, bad, last = opened(tmp_path, type="jsonl", path="x.jsonl").rows()
    assert isinstance(bad, Reject)
    assert (bad.stage, bad.source, bad.id, bad.reason) == ("ingest", "s", "x.jsonl:2", reason)
    assert detail in bad.detail
    assert isinstance(first, SourceRow)
    assert isinstance(last, SourceRow)
    assert last.where == "x.jsonl:4"


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        (["cat", "dog"], ("cat", "dog")),
        ([1, 2.5], ("1", "2.5")),
        ({"A": "cat", "B": "dog"}, ("cat", "dog")),
        ({"B": "dog", "A": "cat"}, ("cat", "dog")),
        ({"A": "cat", "B": "dog", "C": None, "D": None}, ("cat", "dog")),
        ([], ()),
        (None, ()),
        (["cat", ""], None),
        (["cat", None], None),
        (["cat", True], ("cat", "true")),
        ("['cat', \"it's\"]", ("cat", "it's")),
        ('["cat", 2.50]', ("cat", "2.50")),
        ("['cat' 'dog']", None),
        ("[]", ()),
        ({"A": "cat", "C": "dog"}, None),
        ({"1": "cat"}, None),
        ("cat, dog", None),
        (7, None),
    ],
)
def test_choices(tmp_path: Path, choices: Any, expected: tuple[str, ...] | None) -> None:
    row = row_of(tmp_path, {"question": "q", "options": choices}, columns={"choices": "options"})
    assert (row.choices if isinstance(row, SourceRow) else None) == expected
    if isinstance(row, Reject):
        assert row.reason == "wrong_type"


TEXT64 = base64.b64encode(CHINA).decode()
LINES64 = "\n".join(TEXT64[at : at + 76] for at in range(0, len(TEXT64), 76))


@pytest.mark.parametrize(
    "cell",
    [
        "a.jpg",
        "./a.jpg",
        ["a.jpg"],
        {"path": "a.jpg"},
        {"bytes": None, "path": "a.jpg"},
        [{"bytes": "", "path": "a.jpg"}],
        TEXT64,
        LINES64,
        f"data:image/jpeg;base64,{TEXT64}",
        {"bytes": TEXT64, "path": "elsewhere.jpg"},
        [{"bytes": TEXT64}],
    ],
    ids=lambda cell: str(cell)[:40],
)
def test_every_way_to_give_a_picture(tmp_path: Path, cell: Any) -> None:
    (tmp_path / "a.jpg").write_bytes(CHINA)
    write(tmp_path / "x.jsonl", {"question": "before"}, {"question": "北京 q", "image": cell})
    _, question = ingest(tmp_path, type="jsonl", path="x.jsonl")
    assert isinstance(question, Question), question
    assert question.images == (CHINA,)
    assert question.question == "<image>\n北京 q"


@pytest.mark.parametrize("cell", [None, "", []])
def test_text_only(tmp_path: Path, cell: Any) -> None:
    write(tmp_path / "x.jsonl", {"question": "q", "image": cell})
    [question] = ingest(tmp_path, type="jsonl", path="x.jsonl")
    assert isinstance(question, Question)
    assert question.images == ()
    assert question.question == "q"


def test_several_pictures_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(CHINA)
    write(tmp_path / "x.jsonl", {"question": "q", "image": ["a.jpg", base64.b64encode(FLOWER).decode(), "a.jpg"]})
    [question] = ingest(tmp_path, type="jsonl", path="x.jsonl")
    assert isinstance(question, Question)
    assert question.images == (CHINA, FLOWER, CHINA)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("data:image/png;base64,####", "image_broken"),
        ({"bytes": "no base64 at all!"}, "image_broken"),
        ({"bytes": base64.b64encode(b"no picture").decode()}, "image_not_a_picture"),
        (base64.b64encode(CHINA[:500]).decode(), "image_truncated"),
        ("nowhere.png", "image_missing"),
        ("https://example.org/a.png", "image_remote"),
    ],
)
def test_pictures_that_cannot_be_had(tmp_path: Path, cell: Any, reason: str) -> None:
    write(tmp_path / "x.jsonl", {"question": "q", "image": cell}, {"question": "good"})
    bad, good = ingest(tmp_path, type="jsonl", path="x.jsonl")
    assert isinstance(bad, Reject)
    assert (bad.reason, bad.id) == (reason, "x.jsonl:1")
    assert isinstance(good, Question)


def test_column_map(tmp_path: Path) -> None:
    row = {"extra": {"q": "asked", "gt": 4}, "pics": [], "uid": 17, "a.b": "literal", "a": {"b": "nested"}}
    columns = {"question": "extra.q", "answer": "extra.gt", "images": "pics", "id": "uid", "kind": "a.b"}
    found = row_of(tmp_path, row, columns=columns)
    assert found == SourceRow("x.jsonl:1", "asked", "4", key="17", kind="literal")


def test_one_question_for_rows_without_one(tmp_path: Path) -> None:
    write(tmp_path / "x.jsonl", {"image": "a.jpg"}, {"image": "a.jpg", "question": "own"})
    found = list(opened(tmp_path, type="jsonl", path="x.jsonl", question="Describe.").rows())
    assert [row.question for row in found if isinstance(row, SourceRow)] == ["Describe.", "own"]


def test_files_of_a_folder_or_a_glob(tmp_path: Path) -> None:
    for name in ("b/2", "a/1", "c"):
        write(tmp_path / "d" / f"{name}.jsonl", {"question": name, "image": "p/x.jpg"})
    write(tmp_path / "d/.hidden/x.jsonl", {"question": "hidden"})
    (tmp_path / "d/a/p").mkdir()
    (tmp_path / "d/a/p/x.jpg").write_bytes(CHINA)
    source = opened(tmp_path, type="jsonl", path="d")
    rows = [row for row in source.rows() if isinstance(row, SourceRow)]
    assert [(row.where, row.question, row.images) for row in rows] == [
        ("a/1.jsonl:1", "a/1", ("a/p/x.jpg",)),
        ("b/2.jsonl:1", "b/2", ("b/p/x.jpg",)),
        ("c.jsonl:1", "c", ("p/x.jpg",)),
    ]
    assert source.load("a/p/x.jpg") == CHINA
    by_glob = [
        row.where for row in opened(tmp_path, type="jsonl", path="d/*/*.jsonl").rows() if isinstance(row, SourceRow)
    ]
    assert by_glob == ["a/1.jsonl:1", "b/2.jsonl:1"]
    rooted = opened(tmp_path, type="jsonl", path="d/b/2.jsonl", images_root="d/a")
    [row] = rooted.rows()
    assert isinstance(row, SourceRow)
    assert rooted.load(row.images[0]) == CHINA


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PAR1....", "parquet"),
        (b"PK\x03\x04", "unpack"),
        (b"\x1f\x8b\x08\0", "cannot be read"),
        (b"image,question,answer\na.png,q,red\n", "type: csv"),
        (b"image\tquestion\tanswer\n", "type: tsv"),
        (b'{\n  "question": "q"\n}', "one object a line"),
        (b'{"problem": "q", "picture": "a"}', "it has: picture, problem"),
    ],
)
def test_another_layout(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "x.jsonl").write_bytes(data)
    with pytest.raises(SourceError, match=message) as caught:
        opened(tmp_path, type="jsonl", path="x.jsonl")
    assert "x.jsonl" in str(caught.value)


def test_a_wrong_column_map_is_no_silence(tmp_path: Path) -> None:
    write(tmp_path / "x.jsonl", {"question": "q", "solution": "3"}, {"question": "r", "solution": "4"})
    with pytest.raises(SourceError, match=r"no column 'soluton' \(columns.answer\); it has: question, solution"):
        opened(tmp_path, type="jsonl", path="x.jsonl", columns={"answer": "soluton"})


@pytest.mark.parametrize("path", ["nowhere.jsonl", "empty", "*.nothing"])
def test_missing_files(tmp_path: Path, path: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=path.replace("*", r"\*")):
        opened(tmp_path, type="jsonl", path=path)


def test_a_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'\xef\xbb\xbf{"question": "a"}\r\n\r\n{"question": "b"}')
    found = list(opened(tmp_path, type="jsonl", path="x.jsonl").rows())
    assert [(row.where, row.question) for row in found if isinstance(row, SourceRow)] == [
        ("x.jsonl:1", "a"),
        ("x.jsonl:3", "b"),
    ]


def test_a_line_without_end_does_not_fill_memory(tmp_path: Path) -> None:
    """A line of 100 MB, read by a process that may use 64 MB more than Python and its imports."""
    with (tmp_path / "x.jsonl").open("wb") as file:
        file.write(b'{"question": "good"}\n{"question": "')
        file.truncate(100 << 20)
        file.seek(0, 2)
        file.write(b'\n{"question": "good"}\n')
    program = f"""
import resource
from pathlib import Path
from mmpr.sources import jsonl
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
for where, _, found in jsonl.read_records(Path({str(tmp_path / "x.jsonl")!r}), "x"):
    print(where, getattr(found, "reason", "good"))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, text=True)
    assert run.stdout.splitlines() == ["x:1 good", "x:2 line_too_long", "x:3 good"], run.stderr


def test_surrogates_and_nul_are_refused_later(tmp_path: Path) -> None:
    rows = [b'{"question": "\\ud800"}', b'{"question": "a\\u0000b"}', b'{"question": "q", "answer": "\\udfff"}']
    write(tmp_path / "x.jsonl", *rows, {"question": "\U0001f600"})
    *bad, good = ingest(tmp_path, type="jsonl", path="x.jsonl")
    assert [reject.reason for reject in bad if isinstance(reject, Reject)] == ["bad_text"] * 3
    assert isinstance(good, Question)
    assert good.question == "\U0001f600"


def test_same_rows_twice_and_after_a_copy(tmp_path: Path) -> None:
    lines = [{"question": f"q{place}", "image": TEXT64} for place in range(5)]
    write(tmp_path / "one/x.jsonl", *lines)
    write(tmp_path / "two/x.jsonl", *lines)
    source = opened(tmp_path, type="jsonl", path="one/x.jsonl")
    first = list(source.rows())
    assert first == list(source.rows()) == list(opened(tmp_path, type="jsonl", path="two/x.jsonl").rows())
    assert len(first) == 5


@given(st.binary(max_size=300))
def test_any_line(line: bytes) -> None:
    with contextlib.suppress(RowError):
        assert isinstance(jsonl.parse_object(line), dict)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("a \n\0é<", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["bytes", "path", "A", "B"]), inner),
    max_leaves=5,
)


@given(row=st.fixed_dictionaries({}, optional=dict.fromkeys(["question", "answer", "image", "choices", "id"], JSON)))
def test_any_row(row: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    write(folder / "x.jsonl", row, {"question": "q", "choices": [], "id": 1})
    found = ingest(folder, type="jsonl", path="x.jsonl", columns={"choices": "choices", "id": "id"})
    assert len(found) == 2
    assert all(isinstance(item, Reject) or item.question.strip() for item in found)
