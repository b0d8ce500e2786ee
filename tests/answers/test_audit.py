"""The audit command on a small build's shards."""

from __future__ import annotations

import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmpr.answers import audit, match

PAIRS = [
    ("7 apples", "7"),
    ("8", "7"),
    ("(B) 12 cm", "B"),
    ("red", "red"),
    ("not red", "red"),
    ("\x1b[31mred", "red"),
    ("=1+1", "7"),
]


@pytest.fixture
def build(tmp_path):
    for at, (answer, gold) in enumerate(PAIRS):
        verdict = match(answer, gold)
        said = {
            "status": verdict.status,
            "answer": verdict.answer,
            "comparator": verdict.comparator,
            "reason": verdict.reason,
        }
        responses = [{"text": f"I looked at it. Final answer: {answer}"}]
        for folder, row in (
            ("verdicts", {"id": f"q{at}", "source": "s", "verdicts": [said]}),
            ("rollouts", {"id": f"q{at}", "responses": responses}),
            ("questions", {"id": f"q{at}", "answer": gold}),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            pq.write_table(pa.Table.from_pylist([row]), tmp_path / folder / f"part-{at:05d}-of-00007.parquet")
    return tmp_path


def test_audit_shows_and_writes_every_verdict(build, capsys):
    assert audit.main([str(build), "--sample", "10"]) == 0
    printed = capsys.readouterr().out
    with (build / "audit.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(PAIRS)
    assert {row["gold"] for row in rows} == {"7", "B", "red"}
    assert "Final answer: 7 apples" in printed
    assert "\x1b" not in printed


def test_disagreements_come_first(build):
    lines = audit.compare(audit.sample(build, 10), lambda answer, gold: answer == "8")
    assert [line.answer for line in lines if line.disagrees] == [line.answer for line in lines][
        : sum(x.disagrees for x in lines)
    ]
    assert lines[0].disagrees
    assert any(line.answer == "8" and line.disagrees for line in lines)


def test_a_sample_is_bounded_and_the_same_for_its_seed(build):
    assert len(audit.sample(build, 3)) == 3
    assert audit.sample(build, 4, seed=1) == audit.sample(build, 4, seed=1)


def test_a_directory_without_verdicts_says_what_to_do(tmp_path, capsys):
    assert audit.main([str(tmp_path)]) == 1
    assert "verify stage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("red", "red"),
        (7, 7),
        ("-5", "-5"),
        ("+3.5%", "+3.5%"),
        ("=1+1", "'=1+1"),
        ("  =1+1", "'  =1+1"),
        ("\t=1+1", "'\t=1+1"),
        ('=HYPERLINK("http://x","y")', '\'=HYPERLINK("http://x","y")'),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3+cmd|' /C calc'!A0", "'-2+3+cmd|' /C calc'!A0"),
        ("+A1", "'+A1"),
        ("\uff1d1", "'\uff1d1"),
    ],
)
def test_no_cell_is_a_formula(value, cell):
    assert audit._cell(value) == cell


def test_hostile_text_reaches_neither_terminal_nor_spreadsheet(tmp_path, capsys):
    hostile = "=1+1\x1b]0;evil\x07\u202e\x9b2J"
    said = {"status": "incorrect", "answer": hostile, "comparator": f"\x1b{hostile}", "reason": hostile}
    responses = [{"text": hostile * 20_000}]
    for folder, row in (
        ("verdicts", {"id": hostile, "source": hostile, "verdicts": [said]}),
        ("rollouts", {"id": hostile, "responses": responses}),
        ("questions", {"id": hostile, "answer": hostile}),
    ):
        (tmp_path / folder).mkdir()
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / folder / "part-00000-of-00001.parquet")
    assert audit.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.replace("\n", "").isprintable()
    with (tmp_path / "audit.csv").open(encoding="utf-8", newline="") as file:
        [told] = csv.DictReader(file)
    assert not any(cell.startswith("=") for cell in told.values())
    assert all(cell.replace("\n", "").replace("\t", "").isprintable() for cell in told.values())


def test_a_csv_that_cannot_be_written_is_told(build, capsys):
    assert audit.main([str(build), "--csv", str(build / "none" / "x.csv")]) == 1
    assert "cannot be written" in capsys.readouterr().err
