"""Truths as data sets give them: lists, numbers of options, classes, nested numbers; and none at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmpr.errors import RecipeError
from mmpr.schema import Question, Reject, SourceRow, question_id
from mmpr.sources import open_source
from mmpr.sources.selection import select_rows
from tests.sources.source_helpers import CHINA, FLOWER, ingest, opened, recipe_of


def lines(path: Path, *rows: Any) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def one(folder: Path, row: dict[str, Any], **source: Any) -> Question | Reject:
    lines(folder / "x.jsonl", {"question": "q", **row})
    [found] = ingest(folder, type="jsonl", path="x.jsonl", **source)
    return found


@pytest.mark.parametrize(
    ("cell", "answer", "answers"),
    [
        (["stop", "STOP sign"], "stop", ("stop", "STOP sign")),
        (["net", "racket", "net", None, " "], "net", ("net", "racket", "net")),
        (["racket", "net", "net"], "net", ("racket", "net", "net")),
        (["one"], "one", ()),
        ([3, 3.50], "3", ("3", "3.5")),
        ([True], "true", ()),
        ([], None, ()),
        ([None, ""], None, ()),
        ("['nokia', 'Nokia 3310']", "nokia", ("nokia", "Nokia 3310")),
        ("[1, 2]", "[1, 2]", ()),  # an interval, or a vector
        ("['open", "['open", ()),
    ],
)
def test_lists_of_answers(tmp_path: Path, cell: Any, answer: str | None, answers: tuple[str, ...]) -> None:
    found = one(tmp_path, {"answers": cell}, columns={"answer": "answers"})
    assert isinstance(found, Question), found
    assert (found.answer, found.answers) == (answer, answers)
    assert found.truths == (answers or (() if answer is None else (answer,)))


@pytest.mark.parametrize("layout", ["jsonl", "parquet", "sequence"])
def test_the_words_of_annotators(tmp_path: Path, layout: str) -> None:
    """VQAv2's ``answers``: a list of mappings, or what older versions of ``datasets`` make of one."""
    words = [{"answer": word, "answer_id": number} for number, word in enumerate(("net", "net", "racket"))]
    if layout == "jsonl":
        lines(tmp_path / "x.jsonl", {"question": "q", "answers": words})
    else:
        cell = words if layout == "parquet" else {"answer": ["net", "net", "racket"], "answer_id": [0, 1, 2]}
        pq.write_table(pa.table({"question": ["q"], "answers": [cell]}), tmp_path / "x.parquet")
    kind = "jsonl" if layout == "jsonl" else "parquet"
    columns = {"answer": "answers.answer"}
    [found] = ingest(tmp_path, type=kind, path=f"x.{kind}", columns=columns, rule="vqa")
    assert isinstance(found, Question), found
    assert (found.answer, found.answers) == ("net", ("net", "net", "racket"))


def test_ids_tell_lists_apart_and_stay_as_they_were() -> None:
    plain = SourceRow("w", "q", "a")
    assert question_id("s", plain) == "42ffe51d0128a4f58fbacf7595b9cf58"  # of the first version
    ids = {question_id("s", SourceRow("w", "q", "a", answers=answers)) for answers in ((), ("a", "b"), ("b", "a"))}
    assert len(ids) == 3


OPTIONS = ["stone", "apple", "chair"]
NUMBERED = {"choices": "choices"}


@pytest.mark.parametrize(
    ("answer", "index", "expected"),
    [
        (1, None, "answer_index: 0"),
        ("1", None, "answer_index: 1"),
        (0, 0, "A"),
        (2, 0, "C"),
        ("1", 0, "B"),
        (1.0, 0, "B"),
        (1, 1, "A"),
        ([0, 2], 0, "A"),
        (3, 0, "none of the 3 options"),
        (0, 1, "none of the 3 options"),
        (-1, 0, "none of the 3 options"),
        ("apple", 0, "none of the 3 options"),
        (None, 0, None),
        ("B", None, "B"),
        ("(b)", None, "(b)"),
        ("B. apple", None, "B. apple"),
        ("Apple", None, "Apple"),
        ("A, C", None, "A, C"),
        ("D", None, "neither a letter nor an option"),
        ("pear", None, "neither a letter nor an option"),
        (["apple", "pear"], None, "'pear' is neither"),
    ],
)
def test_the_number_of_an_option(tmp_path: Path, answer: Any, index: int | None, expected: str | None) -> None:
    setting = {} if index is None else {"answer_index": index}
    found = one(tmp_path, {"choices": OPTIONS, "answer": answer}, columns=NUMBERED, **setting)
    if isinstance(found, Reject):
        assert found.reason in ("answer_not_an_option", "answer_index")
        assert expected is not None
        assert expected in found.detail
    else:
        assert found.answer == expected


def test_options_that_are_numbers_are_options(tmp_path: Path) -> None:
    found = one(tmp_path, {"choices": ["3", "4"], "answer": 4}, columns=NUMBERED)
    assert isinstance(found, Question)
    assert found.answer == "4"


@pytest.mark.parametrize(("rule", "taken"), [("multiple_choice", False), ("default", True), ("anls", True)])
def test_without_options_the_rule_decides(tmp_path: Path, rule: str, taken: bool) -> None:
    found = one(tmp_path, {"answer": "pear"}, rule=rule)
    assert isinstance(found, Question) == taken
    if isinstance(found, Reject):
        assert "columns.choices" in found.detail


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"answer_index": "auto", "columns": NUMBERED}, "answer_index"),
        ({"answer_index": 2, "columns": NUMBERED}, "answer_index"),
        ({"answer_index": 0}, "columns.choices"),
    ],
)
def test_numbers_of_options_are_never_guessed(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_of(tmp_path, type="jsonl", path="x.jsonl", **settings)


def test_nested_numbers_are_as_written(tmp_path: Path) -> None:
    """0.1 in 32 bits, in a struct, a list, a list of structs, and half of that."""
    table = pa.table(
        {
            "question": ["q"],
            "reward_model": pa.array([{"ground_truth": 0.1}], pa.struct({"ground_truth": pa.float32()})),
            "options": pa.array([[0.1, 0.2]], pa.list_(pa.float32())),
            "half": pa.array([[{"x": 0.1}, None]], pa.list_(pa.struct({"x": pa.float16()}))),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    columns = {"answer": "reward_model.ground_truth", "choices": "options"}
    [row] = opened(tmp_path, type="parquet", path="x.parquet", columns=columns).rows()
    assert isinstance(row, SourceRow)
    assert (row.answer, row.choices) == ("0.1", ("0.1", "0.2"))
    [row] = opened(tmp_path, type="parquet", path="x.parquet", columns={"answer": "half.x"}).rows()
    assert isinstance(row, SourceRow)
    assert row.answer == "0.1"


@pytest.mark.parametrize("layout", ["parquet", "datasets"])
def test_classes_have_names(tmp_path: Path, layout: str) -> None:
    datasets.disable_progress_bars()
    label = datasets.ClassLabel(names=["cat", "dog"])
    features = datasets.Features({"question": datasets.Value("string"), "label": label, "all": datasets.List(label)})
    rows = {"question": ["a", "b", "c"], "label": [1, 0, -1], "all": [[1, 0], [0], []]}
    made = datasets.Dataset.from_dict(rows, features)
    if layout == "parquet":
        made.to_parquet(tmp_path / "x.parquet")
        source = {"type": "parquet", "path": "x.parquet"}
    else:
        made.save_to_disk(tmp_path / "x")
        source = {"type": "datasets", "path": "x"}
    found = list(opened(tmp_path, **source, columns={"answer": "label"}).rows())
    assert [row.answer for row in found if isinstance(row, SourceRow)] == ["dog", "cat", None]
    found = list(opened(tmp_path, **source, columns={"answer": "all"}).rows())
    assert [row.answers or row.answer for row in found if isinstance(row, SourceRow)] == [("dog", "cat"), "cat", None]


def test_options_in_columns(tmp_path: Path) -> None:
    columns = {"choices": ["A", "B", "C", "D"]}
    found = one(tmp_path, {"A": "x", "B": 2, "C": None, "D": "", "answer": "B"}, columns=columns)
    assert isinstance(found, Question), found
    assert found.choices == ("x", "2")
    found = one(tmp_path, {"A": "x", "B": None, "C": "z", "D": None, "answer": "A"}, columns=columns)
    assert isinstance(found, Reject)
    assert "'B' is empty" in found.detail


PICTURES = {"images": ["image_1", "image_2", "image_3"]}


@pytest.mark.parametrize(
    ("question", "row", "expected", "text"),
    [
        ("<image 1> or <image 2>?", {"image_1": "a", "image_2": "b"}, (CHINA, FLOWER), "<image> or <image>?"),
        ("<image 2> or <image 1>?", {"image_1": "a", "image_2": "b"}, (FLOWER, CHINA), "<image> or <image>?"),
        ("<image 2>?", {"image_2": "b"}, (FLOWER,), "<image>?"),
        ("<image_1>, <image1>?", {"image_1": "a"}, (CHINA, CHINA), "<image>, <image>?"),
        ("q <image 2>", {"image_1": "a", "image_2": "b"}, (CHINA, FLOWER), "<image>\nq <image>"),
        ("q", {"image_1": "a", "image_3": "b"}, (CHINA, FLOWER), "<image>\n<image>\nq"),
        ("<image 3>?", {"image_1": "a"}, None, "names picture 3, the row has pictures 1"),
        ("<image 1>?", {}, None, "names picture 1, the row has no picture"),
        ("<image> <image 1>?", {"image_1": "a"}, None, "both"),
    ],
)
def test_numbered_pictures(tmp_path: Path, question: str, row: dict[str, str], expected: Any, text: str) -> None:
    (tmp_path / "a").write_bytes(CHINA)
    (tmp_path / "b").write_bytes(FLOWER)
    cells = dict.fromkeys(PICTURES["images"]) | row
    listed = [cells[name] for name in PICTURES["images"]]
    for columns, record in ((PICTURES, cells), ({"images": "all"}, {"all": listed})):
        found = one(tmp_path, {"question": question, **record}, columns=columns)
        if expected is None:
            assert isinstance(found, Reject)
            assert found.reason == "image_marks"
            assert text in found.detail
        else:
            assert isinstance(found, Question), found
            assert (found.images, found.question) == (expected, text)


def test_picture_columns_of_a_table(tmp_path: Path) -> None:
    """MMMU's: a struct a column, of which all but the paths are left unread until they are loaded."""
    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    first, second = {"bytes": CHINA, "path": "1"}, {"bytes": FLOWER, "path": "2"}
    columns = {
        "question": ["<image 2>, <image 1>?", "<image 1>?"],
        "options": ["['left', \"the 'right'\"]", "[]"],
        "answer": ["B", "3"],
        "image_1": pa.array([first, second], image),
        "image_2": pa.array([second, None], image),
        "image_3": pa.array([None, None], image),
    }
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    both, single = ingest(tmp_path, type="parquet", path="x.parquet", columns={**PICTURES, "choices": "options"})
    assert isinstance(both, Question), both
    assert (both.images, both.choices) == ((FLOWER, CHINA), ("left", "the 'right'"))
    assert isinstance(single, Question), single
    assert single.images == (FLOWER,)


def test_a_picture_among_the_options_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CHINA)
    row = {"image_1": "a", "image_2": None, "image_3": None, "choices": ["<image 1>", "x"], "answer": "A"}
    found = one(tmp_path, row, columns={**PICTURES, **NUMBERED})
    assert isinstance(found, Reject)
    assert found.reason == "image_marks"


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        ([{"answers": ["a"]}], {}, "look like one: answers"),
        ([{"label": 3, "x": {"ground_truth": 1}}], {}, "look like one: label, x.ground_truth"),
        ([{"hint": "x"}], {}, "its columns are hint, question"),
        ([{"answer": None, "gt": 1}], {}, "in 'answer'"),
        ([{"answers": ["a"]}], {"answer": None}, None),
        ([{"answer": "a"}, {"answer": None}], {}, None),
    ],
)
def test_no_answer_in_any_row_is_said(
    tmp_path: Path, rows: list[dict[str, Any]], columns: dict[str, Any], expected: str | None
) -> None:
    lines(tmp_path / "x.jsonl", *({"question": f"q{at}", **row} for at, row in enumerate(rows)))
    recipe = recipe_of(tmp_path, type="jsonl", path="x.jsonl", columns=columns)
    [spec] = recipe.sources
    selection = select_rows(open_source(spec, recipe), spec, 0)
    assert len(list(selection)) == len(rows)
    note = selection.note()
    assert (note is None) == (expected is None)
    if expected is not None:
        assert note is not None
        assert expected in note
        assert "columns.answer: null" in note
