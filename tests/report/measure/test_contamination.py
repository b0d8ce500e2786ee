"""Training questions that are elsewhere are found there, however they were written down."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmpr.errors import SourceError
from mmpr.report.contents import MatchMethod, Report
from mmpr.report.load.fingerprints import fingerprint
from mmpr.report.make import make_report
from mmpr.report.measure.contamination import QuestionSet, read_question_set, text_key
from mmpr.schema import IndexedRow
from mmpr.storage.tables import read_rows
from tests.report.planted import Fault, make_build, picture

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_build(tmp_path_factory.mktemp("build"), Fault(numbers=4, others=1))


def hits(report: Report, against: str) -> dict[MatchMethod, int]:
    return {one.method: one.hits for one in report.contamination.overlaps if one.against == against and one.hits}


def first_rows(build: Path, count: int) -> list[dict[str, object]]:
    """The first questions of the source, with their pictures as bytes."""
    lines = (build.parent / "numbers.jsonl").read_text().splitlines()[:count]
    rows = [json.loads(line) for line in lines]
    return [{**row, "image": {"bytes": (build.parent / row["image"]).read_bytes(), "path": None}} for row in rows]


def test_the_held_out_split_of_a_clean_build_is_not_trained_on(build: Path) -> None:
    report = make_report(build)
    assert not hits(report, "held-out split")
    assert not report.contamination.hits


@pytest.mark.parametrize("form", ["parquet", "jsonl", "build", "imagefolder", "metadata", "datasets"])
def test_any_form_of_a_benchmark_is_read(form: str, build: Path, tmp_path: Path) -> None:
    bench = tmp_path / "bench"
    bench.mkdir()
    rows = first_rows(build, 3)
    expected: dict[MatchMethod, int] = {"question": 3, "image": 3, "text": 3}
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), bench / "test.parquet")
    elif form == "build":
        # the same sources make the same questions, and all of them
        bench = make_build(bench, Fault(numbers=4, others=1))
        expected = dict.fromkeys(("question", "image", "text"), 10)
    elif form == "datasets":
        from datasets import Dataset

        Dataset.from_list(rows).save_to_disk(str(bench))
    else:
        lines = []
        for number, row in enumerate(rows):
            (bench / f"{number}.png").write_bytes(row["image"]["bytes"])  # type: ignore[index]
            key = "file_name" if form == "metadata" else "image"
            lines.append(json.dumps({"question": row["question"], key: f"{number}.png"}))
        if form == "imagefolder":
            expected = {"image": 3}
        else:
            (bench / ("metadata.jsonl" if form == "metadata" else "test.jsonl")).write_text("\n".join(lines) + "\n")
    assert hits(make_report(build, against=[bench]), bench.name) == expected


def test_hits_name_both_sides(build: Path, tmp_path: Path) -> None:
    bench = tmp_path / "bench.parquet"
    pq.write_table(pa.Table.from_pylist(first_rows(build, 2)), bench)
    report = make_report(build, against=[bench])
    [finding] = [finding for finding in report.findings if finding.key == "against_bench.parquet"]
    assert (finding.level, finding.number) == ("bad", 1.0)
    units = sorted((build / "index" / "train").glob("*.parquet"))
    ids = [row.id for path in units for row in read_rows(path, IndexedRow)][:2]
    found = [hit for hit in report.contamination.hits if hit.method == "question"]
    assert [(hit.id, hit.where) for hit in found] == [(ids[0], "bench.parquet[0]"), (ids[1], "bench.parquet[1]")]


def test_two_benchmarks_of_one_name_are_told_apart(build: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "one" / "test.parquet", tmp_path / "two" / "test.parquet"]
    for count, path in enumerate(paths, start=1):
        path.parent.mkdir()
        pq.write_table(pa.Table.from_pylist(first_rows(build, count)), path)
    report = make_report(build, against=paths)
    assert hits(report, "test.parquet")["question"] == 1
    assert hits(report, str(paths[1]))["question"] == 2


def test_rows_that_cannot_be_read_are_counted(build: Path, tmp_path: Path) -> None:
    bench = tmp_path / "bench.jsonl"
    rows = ['{"question": "Where?", "image": "none.png"}', "{broken", '{"question": "Who?"}']
    bench.write_text("\n".join(rows) + "\n")
    report = make_report(build, against=[bench])
    assert report.contamination.rejected == (("bench.jsonl", 2),)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"one": 1, "two": 2}\n', "no column looks like a question"),
        ("a.jsonl", "[1]\n", "no JSON object"),
        ("a.parquet", "not parquet", "Parquet"),
        ("none", None, "no such file"),
        ("a.jsonl", '{"question": "Where?", "image": "none.png"}\n', "no question or picture that can be read"),
    ],
)
def test_what_cannot_be_compared_says_why(name: str, text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match=message):
        read_question_set(tmp_path / name)


def photograph() -> Image.Image:
    from sklearn.datasets import load_sample_image

    return Image.fromarray(load_sample_image("china.jpg"))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("change", "method"),
    [
        (lambda p: encoded(p, "PNG"), "image"),
        (lambda p: encoded(p, "JPEG", quality=60), "perceptual"),
        (lambda p: encoded(p.resize((320, 213)), "JPEG", quality=85), "perceptual"),
        (lambda p: encoded(p.resize((320, 213)), "PNG"), "perceptual"),
        (lambda p: encoded(p.rotate(90, expand=True), "PNG"), None),
        (lambda p: encoded(Image.merge("RGB", p.split()[::-1]), "PNG"), None),  # other colours
        (lambda p: encoded(p.crop((200, 100, 500, 400)), "PNG"), None),
    ],
)
def test_a_picture_is_known_again(change: object, method: str | None) -> None:
    others = QuestionSet("bench")
    others.add("row 1", "What is it?", [fingerprint(encoded(photograph(), "PNG"))])
    found = others.match(text_key("What is it, then?"), [fingerprint(change(photograph()))])  # type: ignore[operator]
    assert [*found] == ([method] if method else [])


def test_text_alone_is_the_same_question_only_without_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 1)
    prints = [fingerprint((tmp_path / "a.png").read_bytes())]
    others = QuestionSet("bench")
    others.add("row 1", "How many?", prints)
    others.add("row 2", "What is 2 + 2?", [])
    assert [*others.match(text_key("how many"), [])] == ["text"]
    assert {*others.match(text_key("what is 2+2"), [])} == {"text", "question"}
    assert {*others.match(text_key("How many?"), prints)} == {"image", "question", "text"}
