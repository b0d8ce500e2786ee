"""The command line: help at once, errors without a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmpr.evaluate.__main__ import main
from mmpr.evaluate.terminal import ends, points, share, show
from tests.conftest import SmallBuild
from tests.evaluate.evaluations import evaluate_here


def test_help_answers_at_once() -> None:
    code = (
        "import json, resource, runpy, sys\n"
        "sys.argv = ['mmpr.evaluate', '--help']\n"
        "try:\n    runpy.run_module('mmpr.evaluate', run_name='__main__')\n"
        "except SystemExit as end:\n    status = end.code\n"
        "usage = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(json.dumps({'status': status, 'cpu_s': usage.ru_utime + usage.ru_stime, 'modules': list(sys.modules)}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["status"] == 0
    heavy = {"pydantic", "ray", "vllm", "torch", "pyarrow", "scipy", "matplotlib", "PIL", "numpy", "rich", "jinja2"}
    assert not heavy & set(seen["modules"])
    assert seen["cpu_s"] < 0.5


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--data", "nowhere"], 1, "is neither a build"),
        (["--data", "BUILD", "sampling.samples=3"], 2, "use --samples"),
        (["--data", "BUILD", "--template", "nope"], 2, "template 'nope'"),
    ],
)
def test_errors_are_told_without_a_traceback(
    small_build: SmallBuild,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    status: int,
    said: str,
) -> None:
    words = [word.replace("BUILD", str(small_build.out)) for word in words]
    assert main(["--model", "one", "--out", str(tmp_path / "r"), *words]) == status
    error = capsys.readouterr().err
    assert error.startswith(("error: ", "reading "))
    assert said in error
    assert "Traceback" not in error


@pytest.mark.parametrize("words", [["--samples", "0"], ["--samples", "x"], ["--style", "odd"]])
def test_wrong_words_are_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--model", "one", "--data", "d", "--out", "r", *words])


def test_the_tables_say_what_was_measured(
    small_build: SmallBuild, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluation = evaluate_here(["one", "tw\x1b[31mo"], small_build.out, tmp_path / "r")
    show(evaluation)
    shown = capsys.readouterr().out
    whole = evaluation.results[0].groups[0]
    assert share(whole.accuracy) in shown
    assert ends(whole.low, whole.high) in shown
    assert points(evaluation.paired[0].groups[0].difference) in shown
    assert all(f" {kind} " in shown for kind in ("sum", "choice", "maximum"))
    assert "\x1b[31m" not in shown
