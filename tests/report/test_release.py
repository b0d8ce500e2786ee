"""The report of a release: the same page, made of what a release holds, and nothing made up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from mmpr.report.__main__ import main
from mmpr.report.contents import Report
from mmpr.report.make import make_report, report_json
from mmpr.report.show.page import write_page
from tests.report.measure.test_flow import assert_adds_up, parts
from tests.report.planted import Fault, make_build
from tests.report.releases import BROKEN, RELEASE_FAULTS, ReleaseFault, make_release, pair, write_release
from tests.report.reports import MARKUP

pytestmark = pytest.mark.slow

REASONS = Counter(reason for _, reason in BROKEN if reason)
NOT_KNOWN = {
    "rarely_right",
    "always_right",
    "no_truths",
    "truncated",
    "judge_timeouts",
    "unsure",
    "shared_images",
    "heldout_overlap",
}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return make_report(make_release(tmp_path_factory.mktemp("release") / "mmpr"))


def test_a_clean_release_shows_nothing(clean: Report) -> None:
    assert {finding.key: finding.level for finding in clean.findings} == dict.fromkeys(RELEASE_FAULTS, "ok")
    assert not [finding.key for finding in clean.findings if finding.number is None]
    assert clean.name == "mmpr"


@pytest.mark.parametrize("key", RELEASE_FAULTS)
def test_a_planted_fault_is_found(key: str, tmp_path: Path) -> None:
    fault, expected = RELEASE_FAULTS[key]
    report = make_report(make_release(tmp_path, fault))
    [found] = [finding for finding in report.findings if finding.key == key]
    assert found.level == expected, found
    if found.examples:
        shown = {question.id: question.findings for question in report.gallery}
        assert any(key in shown.get(id, ()) for id in found.examples)


def test_every_line_is_a_pair_or_a_reject(tmp_path: Path) -> None:
    good = [pair(f"<image>\nHow many? (no. {n})", "3", f"a{n}", f"b{n}", f"{n}.png") for n in range(5)]
    other = [pair("Say it.", None, "one two three", "one four", None)]
    path = write_release(tmp_path, {"first": [line for line, _ in BROKEN] + good, "second": other})
    report = make_report(path)
    assert_adds_up(report.flow)
    rows, pairs = report.flow.stages
    assert rows.total == len(BROKEN) + len(good) + len(other)
    assert parts(report.flow, "rows") == {"pairs": 7, **REASONS}
    assert {part.key: part.count for part in pairs.parts} == {"correctness": 6, "format": 0, "dropout": 1}
    assert [(line.name, line.questions, line.responses, line.pairs) for line in report.sources] == [
        ("first", 6, None, 6),
        ("second", 1, None, 1),
    ]
    assert {(line.source, line.reason) for line in report.dropped} == {("first", reason) for reason in REASONS}
    assert all(line.where.startswith("annotations/first.jsonl") for line in report.dropped)
    assert "/mnt/cluster" not in json.dumps(report_json(report))


def test_a_release_of_nothing_but_broken_lines(tmp_path: Path) -> None:
    report = make_report(write_release(tmp_path, {"only": ["{broken"]}))
    assert parts(report.flow, "rows") == {"pairs": 0, "bad_json": 1}
    assert not report.gallery
    write_page(report, tmp_path)


def test_what_a_release_does_not_tell_is_left_out(clean: Report, tmp_path: Path) -> None:
    assert not NOT_KNOWN & {finding.key for finding in clean.findings}
    assert not clean.audit
    keys = {one.key for one in clean.distributions}
    assert {"chosen_length", "margin_length", "image_side", "images_per_question", "pairs_per_question"} <= keys
    assert (
        not {
            "response_tokens",
            "question_tokens",
            "pass_rate",
            "statuses",
            "finish_reasons",
            "comparators",
            "prefix_end",
        }
        & keys
    )
    assert {one.unit for one in clean.distributions if one.key.endswith("_length")} == {"characters"}
    write_page(clean, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"index.html", "gallery.html"}
    text = (tmp_path / "index.html").read_text() + (tmp_path / "gallery.html").read_text()
    assert "This page therefore has no sampled responses" in text
    for word in ("audit.html", "0 tokens", "sample 0", "this build", "of the manifest"):
        assert word not in text


def test_the_gallery_shows_what_stands_in_the_lines(tmp_path: Path) -> None:
    lines = [
        pair("<image> <image>?", "3", "It is three.\nFinal answer: 3", "Final answer: 4", ["1.png", "2.png"]),
        pair("<image> <image>?", "3", "It is three.\nFinal answer: 3", "5", ["1.png", "2.png"]),
    ]
    [question] = make_report(write_release(tmp_path, {"only": lines})).gallery
    assert len(question.pictures) == 2
    assert [response.text for response in question.responses] == [lines[0]["chosen"], "Final answer: 4", "5"]
    assert [(one.chosen, one.rejected, one.method) for one in question.pairs] == [
        (0, 1, "correctness"),
        (0, 2, "correctness"),
    ]
    first = question.responses[0]
    assert (first.answer, first.text[first.answer_start : first.answer_end]) == ("3", "3")
    assert (first.tokens, first.sample, first.status, question.pass_rate) == (None, None, "", None)


def test_contamination_and_comparison(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", Fault(numbers=4, others=1))
    release = make_release(tmp_path / "release", ReleaseFault(numbers=4, others=4))
    shared = [{"question": "How much is it?", "image": "0.png"}]
    bench = tmp_path / "bench"
    bench.mkdir()
    (bench / "0.png").write_bytes((release.parent / "images/numbers/0.png").read_bytes())
    (bench / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in shared))
    report = make_report(release, against=[bench, release.parent], other=build)
    hits = {(one.against, one.method): one.hits for one in report.contamination.overlaps}
    assert (hits["bench", "image"], hits["bench", "question"]) == (1, 0)
    assert hits["release", "question"] == sum(line.questions for line in report.sources)
    [own] = [finding for finding in report.findings if finding.key == "against_release"]
    assert own.level == "bad"

    moved = report.comparison
    assert moved is not None
    assert not moved.settings
    assert "few_pairs" in {line.key for line in moved.findings}
    assert not {"length_bias", "longer_wins"} & {line.key for line in moved.findings}
    assert all(None not in (line.here, line.there) and line.unit != "tokens" for line in moved.moved)
    back = make_report(build, other=release).comparison
    assert back is not None
    assert {(line.title, line.here, line.there) for line in back.moved} == {
        (line.title, line.there, line.here) for line in moved.moved
    }
    again = make_report(release, other=release.parent).comparison
    assert again is not None
    assert (again.moved, again.findings, again.settings) == ((), (), ())


def test_the_command_keeps_out_of_the_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    release = make_release(tmp_path / "mmpr", ReleaseFault(numbers=2, others=2, broken=(MARKUP,)))
    before = sorted(path for path in release.parent.rglob("*"))
    monkeypatch.chdir(tmp_path)
    os.chmod(release.parent, 0o555)
    try:
        assert main([str(release.parent)]) == 0
        assert "reports/mmpr/index.html" in capsys.readouterr().out
        assert main([str(release), "--out", "elsewhere/deep"]) == 0
        assert "elsewhere/deep/index.html" in capsys.readouterr().out
    finally:
        os.chmod(release.parent, 0o755)
    assert sorted(path for path in release.parent.rglob("*")) == before
    first, second = ((tmp_path / name / "report.json").read_bytes() for name in ("reports/mmpr", "elsewhere/deep"))
    assert first == second
    assert json.loads(first)["kind"] == "release"


def test_a_folder_of_something_else_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release = make_release(tmp_path / "mmpr", ReleaseFault(numbers=1, others=1))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    assert main([str(release), "--out", str(tmp_path / "mine")]) == 1
    assert "holds something else than a report" in capsys.readouterr().err
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not MMPR's meta.json"),
        ('{"one": {"root": "/far", "annotation": "/far/none.jsonl"}}', "no file /far/none.jsonl"),
        ('{"one": {"annotation": "meta.json", "repeat_time": "often"}}', "repeat_time is not a number"),
    ],
)
def test_errors_are_told(text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "meta.json").write_text(text)
    assert main([str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_memory_does_not_grow_with_the_release(tmp_path: Path) -> None:
    """Four times the lines take hardly more: what is kept is a few words a pair and a sketch a chosen text."""
    peaks = []
    for number, questions in enumerate((1_000, 4_000)):
        code = (
            "import random\nfrom pathlib import Path\nfrom tests.report.planted import talk\n"
            "from tests.report.releases import pair, write_release\ndice = random.Random(0)\n"
            "lines = [pair(f'Say {n}.', '1', talk(dice, 400) + '\\nFinal answer: 1', talk(dice, 400))"
            f" for n in range({questions}) for _ in range(3)]\n"
            f"write_release(Path({str(tmp_path / str(number))!r}), {{'one': lines}})\n"
        )
        report = (
            "from pathlib import Path\nfrom mmpr.report.make import make_report\n"
            f"make_report(Path({str(tmp_path / str(number))!r}))\n"
            "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=300)
        done = subprocess.run([sys.executable, "-c", report], check=True, capture_output=True, text=True, timeout=300)
        peaks.append(int(done.stdout.split()[-1]) >> 10)
    assert peaks[1] < peaks[0] + 16, f"{peaks} MiB"
