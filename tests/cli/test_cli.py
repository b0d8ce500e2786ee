"""The command ``mmpr``: it lists, dispatches, answers at once, and works as a script in any folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import mmpr
from mmpr.cli import COMMANDS, main
from mmpr.cli.command import RUNNERS
from mmpr.runners import RunnerName

ROOT = Path(mmpr.__file__).parent


def run(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60, cwd=cwd, check=False)


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_it_lists_its_commands(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "argv", ["mmpr", *words])
    assert main() == 0
    told = capsys.readouterr().out
    assert all(f"  {command} " in told for command in COMMANDS)


def test_it_tells_its_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["mmpr", "--version"])
    assert main() == 0
    assert capsys.readouterr().out == f"mmpr {mmpr.__version__}\n"


def test_an_unknown_command_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["mmpr", "bild"])
    assert main() == 2
    assert "there is no command 'bild'; there are build, " in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps_at_once(command: str) -> None:
    done = run("-X", "importtime", "-m", "mmpr", command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: mmpr {command} ")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert not imported & {"pydantic", "ray", "vllm", "torch", "pyarrow", "datasets", "transformers", "numpy", "sympy"}


def test_runners_are_those_that_there_are() -> None:
    """The command line names them without importing them."""
    assert set(RUNNERS) == set(get_args(RunnerName))


def test_the_status_is_the_commands_own(tmp_path: Path) -> None:
    assert run("-m", "mmpr", "build", "nowhere.yaml", cwd=tmp_path).returncode == 2
    assert run("-m", "mmpr", "check", "nowhere", cwd=tmp_path).returncode == 1


@pytest.mark.parametrize(
    "file", ["build.py", "check/__main__.py", "report/__main__.py", "train/__main__.py", "__main__.py"]
)
def test_files_run_as_scripts(file: str, tmp_path: Path) -> None:
    """As an editor's Run does: the file's own folder is then the first place to import from."""
    done = run(ROOT / file, "--help", cwd=tmp_path)
    assert (done.returncode, done.stdout[:11]) == (0, "usage: mmpr")


def test_a_bundled_recipe_is_known_by_its_name(tmp_path: Path) -> None:
    done = run("-m", "mmpr.build", "quickstart", "--dry-run", "engine.type=replay", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "quickstart: what a build would do" in done.stdout
    (tmp_path / "quickstart").write_text("name: 7")  # a file of that name wins
    assert "name: input should be a valid string" in run("-m", "mmpr.build", "quickstart", cwd=tmp_path).stderr
