"""TSV as pandas writes it, cells of megabytes, and files made to hurt."""

from __future__ import annotations

import base64
import csv
import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpr.config import ImagesSpec
from mmpr.errors import RowError, SourceError
from mmpr.evaluate.benchmarks.readers import Broken, Record
from mmpr.evaluate.benchmarks.tsv import TsvRows
from mmpr.sources.delimited import MAX_TEXT_BYTES
from tests.evaluate.benchmarks.bench_helpers import in_base64, pictures, write_tsv

HEAD = "index\tquestion\timage\n"
LONG = "x" * 80


def reader(path: Path, limits: ImagesSpec | None = None) -> TsvRows:
    return TsvRows(path, path.parent, "image", limits or ImagesSpec())


def read(folder: Path, text: str) -> list[Record | Broken]:
    path = folder / "t.tsv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return list(reader(path).records())


# No lone \r: csv writes it bare and then takes it for the end of a row.
CELL = st.text(st.sampled_from(list("ab\t\n\"',é ")), max_size=8)


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=6), st.sampled_from(["\n", "\r\n"]), st.booleans())
@settings(max_examples=300)
def test_any_cells_are_read_as_the_csv_module_reads_them(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], line: str, closed: bool
) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter="\t", lineterminator=line)
    writer.writerow(["index", "question", "image", "hint"])
    writer.writerows([str(place), question, LONG, hint] for place, (question, hint) in enumerate(rows))
    text = file.getvalue() if closed else file.getvalue().removesuffix(line)
    oracle = list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t"))
    path = tmp_path_factory.getbasetemp() / "any.tsv"
    path.write_bytes(text.encode())
    found = list(reader(path).records())
    assert [one.cells for one in found if isinstance(one, Record)] == [
        {name: row[name] or None for name in ("index", "question", "hint")} for row in oracle
    ]


def test_pictures_are_base64_or_the_index_of_another_row(tmp_path: Path) -> None:
    images = [in_base64(pictures()[0]), "2", in_base64(pictures()[1]), "0"]
    rows = [{"index": place, "question": "?", "image": image} for place, image in enumerate(images)]
    opened = reader(write_tsv(tmp_path / "t.tsv", rows))
    found = [opened.load(one.images[0]) for one in opened.records() if isinstance(one, Record)]
    assert found == [pictures()[place] for place in (0, 1, 1, 0)]


BROKEN = [
    ("0\tq\t{long}\n1\tq\n2\tq\t{long}\n", ["ok", "bad_tsv", "ok"]),
    ("0\tq\t{long}\tmore\n1\tq\t{long}\n", ["bad_tsv", "ok"]),
    ('0\t"never closed\t{long}\n1\tq\t{long}\n', ["bad_tsv", "ok"]),
    ('0\t"a"b\t{long}\n1\tq\t{long}\n', ["bad_tsv", "ok"]),
    ("0\tq\t\n1\tq\t{long}\n", ["image_missing", "ok"]),
    ("0\tq\t5\n1\tq\t{long}\n", ["image_missing", "ok"]),
    ("0\tq\t1\n1\tq\t0\n", ["image_missing", "image_missing"]),  # in a circle
    ("0\tq\t0\n", ["image_missing"]),
    ("0\tq\t['{long}', '{long}']\n1\tq\t{long}\n", ["wrong_type", "ok"]),
    ("0\t\udcff\t{long}\n1\tq\t{long}\n", ["not_utf8", "ok"]),
    ("0\t{huge}\t{long}\n1\tq\t{long}\n", ["cell_too_long", "ok"]),
    ("\n\n0\tq\t{long}\n\n", ["ok"]),
    ("0\tq\t{long}", ["ok"]),
    ("\t" * 5000 + "\n0\tq\t{long}", ["bad_tsv", "ok"]),
    ("", []),
]


@pytest.mark.parametrize(("text", "reasons"), BROKEN)
def test_a_row_that_is_wrong_spoils_no_other(tmp_path: Path, text: str, reasons: list[str]) -> None:
    filled = text.replace("{long}", LONG).replace("{huge}", "h" * (MAX_TEXT_BYTES + 1))
    found = read(tmp_path, HEAD + filled)
    assert [one.error.reason if isinstance(one, Broken) else "ok" for one in found] == reasons


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as TSV"),
        ("index\tquestion\n", "no column 'image'; it has: index, question"),
        ('"index\tquestion', "its first line: a quote is never closed"),
        ("\t" * 2000, "its first line: more than 1000 cells"),
    ],
)
def test_a_file_that_is_no_such_table(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(tmp_path, text)


def test_cells_of_megabytes_cost_memory_only_when_their_picture_is_loaded(tmp_path: Path) -> None:
    cell = base64.b64encode(pictures()[0] + bytes(12 << 20)).decode()
    path = tmp_path / "t.tsv"
    path.write_text(HEAD + "".join(f"{place}\tWhat is it?\t{cell}\n" for place in range(4)))
    opened = reader(path)
    tracemalloc.start()
    found = [one for one in opened.records() if isinstance(one, Record)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 4
    assert peak < 1 << 20
    assert opened.load(found[3].images[0]).startswith(pictures()[0])


def test_a_picture_over_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text(f"{HEAD}0\tq\t{'A' * 4_000_000}\n")
    opened = reader(path, ImagesSpec(max_bytes=1_000_000))
    [row] = opened.records()
    assert isinstance(row, Record)
    with pytest.raises(RowError, match="image_too_large"):
        opened.load(row.images[0])


def test_many_open_quotes_take_no_longer_than_the_file_is_long(tmp_path: Path) -> None:
    rows = read(tmp_path, HEAD + '0\t"""open\tx\n' * 20_000)
    assert rows
    assert all(isinstance(one, Broken) for one in rows)
