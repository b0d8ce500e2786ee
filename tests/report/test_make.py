"""The command, the report's file, the comparison, and the memory it takes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmpr.report.__main__ import main
from mmpr.report.contents import Report
from mmpr.report.make import make_report, report_json
from tests.conftest import SmallBuild
from tests.helpers import build_without_ray, known, small_recipe

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(small_build: SmallBuild) -> Report:
    return make_report(small_build.out)


def test_a_report_is_a_function_of_build_and_seed(report: Report, small_build: SmallBuild) -> None:
    again, other = make_report(small_build.out), make_report(small_build.out, seed=1)
    assert report_json(again) == report_json(report)
    assert [item.key for item in other.audit] != [item.key for item in report.audit]
    assert other.findings[0].number == report.findings[0].number


def test_the_gallery_shows_what_is_stored(report: Report, small_build: SmallBuild) -> None:
    from mmpr.schema import PreferenceRow, Rollout
    from mmpr.storage.tables import read_rows

    out = small_build.out
    pairs = {row.id: row for path in (out / "pairs").glob("*.parquet") for row in read_rows(path, PreferenceRow)}
    rollouts = {row.id: row for path in (out / "rollouts").glob("*.parquet") for row in read_rows(path, Rollout)}
    assert {question.id for question in report.gallery} == set(rollouts)  # a small build is shown whole
    for question in report.gallery:
        sampled = [one for one in question.responses if not one.continued]
        assert [one.text for one in sampled] == [one.text for one in rollouts[question.id].responses]
        stored = pairs.get(question.id)
        told = [(question.responses[p.chosen].text, question.responses[p.rejected].text) for p in question.pairs]
        if stored is None:
            assert not told
            assert question.outcome != "paired"
            continue
        assert told == [(stored.responses[p.chosen].text, stored.responses[p.rejected].text) for p in stored.pairs]
        assert len(question.pictures) == len(stored.images)
        for one in question.responses:
            if one.continued:
                assert sampled[known(one.sample)].text[: one.prefix_chars] == one.text[: one.prefix_chars]
            if one.answer_start >= 0:
                assert one.text[one.answer_start : one.answer_end] == one.answer


def test_the_audit_has_each_comparator(report: Report) -> None:
    comparators = {item.response.comparator for item in report.audit}
    [counted] = [one for one in report.distributions if one.key == "comparators"]
    assert comparators == set(counted.labels)
    assert len({item.key for item in report.audit}) == len(report.audit)


def test_comparing_tells_what_moved(small_build: SmallBuild, tmp_path: Path) -> None:
    other = tmp_path / "other"
    build_without_ray(small_recipe(tmp_path, "pairing.max_pairs=2"), other)
    told = make_report(small_build.out, other=other).comparison
    assert told is not None
    assert ("pairing.max_pairs", "15", "2") in told.settings
    pairs = {line.title: (line.here, line.there) for line in told.moved if line.group == "pairs by method"}
    assert pairs["correctness"][0] > pairs["correctness"][1]  # type: ignore[operator]
    assert "dropout" not in pairs  # did not move
    assert {"few_pairs"} <= {line.key for line in told.findings}
    same = make_report(small_build.out, other=small_build.out).comparison
    assert same is not None
    assert (same.moved, same.findings, same.settings) == ((), (), ())


def test_the_command_leaves_a_report(
    small_build: SmallBuild, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(small_build.out, out, ignore=shutil.ignore_patterns("report"))
    assert main([str(out)]) == 0
    told = capsys.readouterr()
    assert "report/index.html" in told.out
    assert "Number of pairs" in told.out
    tree = json.loads((out / "report" / "report.json").read_text())
    assert [finding["key"] for finding in tree["findings"]]
    assert "<" not in (out / "report" / "report.json").read_text()
    assert sorted(path.name for path in out.iterdir() if path.name.startswith(".report")) == []
    first = (out / "report" / "report.json").read_bytes()
    assert main([str(out), "--compare", str(small_build.out), "--against", str(small_build.out)]) == 0
    second = json.loads((out / f"report-vs-{small_build.out.name}" / "report.json").read_text())
    assert second["comparison"] is not None
    assert first == (out / "report" / "report.json").read_bytes()  # the page of the build itself is kept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "holds no finished build"),
        (["{out}", "--compare", "none"], "holds no finished build"),
        (["{out}", "--against", "none"], "no such file"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], message: str, small_build: SmallBuild, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(small_build.out, out, ignore=shutil.ignore_patterns("report"))
    given = [str(out) if text == "{out}" else str(tmp_path / text) if text == "none" else text for text in arguments]
    assert main(given) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith("error: ")
    assert message in told[-1]
    assert not (out / "report").exists()


@pytest.mark.parametrize("folder", ["questions", "rollouts", "verdicts", "pairs", "completions"])
def test_a_damaged_shard_is_named(
    folder: str, small_build: SmallBuild, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(small_build.out, out, ignore=shutil.ignore_patterns("report"))
    path = sorted((out / folder).glob("*.parquet"))[0]
    path.write_bytes(path.read_bytes()[:-40])
    assert main([str(out)]) == 1
    assert str(path) in capsys.readouterr().err


def test_a_failure_leaves_the_earlier_report(
    small_build: SmallBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(small_build.out, out, ignore=shutil.ignore_patterns("report"))
    (out / "report").mkdir()
    (out / "report" / "index.html").write_text("earlier")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mmpr.report.show.page.write_page", fail)
    assert main([str(out)]) == 1
    assert (out / "report" / "index.html").read_text() == "earlier"
    assert [path for path in out.iterdir() if path.name.startswith(".report")] == []


def test_help_answers_at_once() -> None:
    code = (
        "import runpy, sys\nsys.argv = ['mmpr.report', '--help']\n"
        "try:\n    runpy.run_module('mmpr.report', run_name='__main__')\n"
        "except SystemExit:\n    print(sorted(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "--against" in done.stdout
    assert not {"'numpy'", "'pyarrow'", "'PIL'", "'pydantic'", "'rich'"} & set(done.stderr.strip("[]\n").split(", "))


def test_memory_does_not_grow_with_the_build(tmp_path: Path) -> None:
    """Six times the rows take hardly more: units are forgotten when they are counted."""
    peaks = []
    for number, questions in enumerate((250, 1_500)):
        code = (
            "from pathlib import Path\nfrom benchmarks.report import generate\n"
            f"out = Path({str(tmp_path / str(number))!r})\n"
            f"generate(out, questions={questions}, samples=6, mean_words=600)\n"
        )
        report = (
            "from pathlib import Path\nfrom mmpr.report.make import make_report\n"
            f"make_report(Path({str(tmp_path / str(number))!r}))\n"
            # Not ru_maxrss, which counts what the process that started this one had in use.
            "status = Path('/proc/self/status').read_text()\n"
            "print(status.split('VmHWM:')[1].split()[0])\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=300)
        done = subprocess.run([sys.executable, "-c", report], check=True, capture_output=True, text=True, timeout=300)
        peaks.append(int(done.stdout.split()[-1]) >> 10)
    assert peaks[1] < peaks[0] + 16, f"{peaks} MiB"
    assert peaks[1] < 400, f"{peaks} MiB"
