"""Setting up: which PyTorch is taken, with a stand-in for pip, and locks that hold what the project declares."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mmpr.cli import COMMANDS

ROOT = Path(__file__).parent.parent
LOCKS = ROOT / "locks"


def load_script() -> Any:
    spec = importlib.util.spec_from_file_location("install", LOCKS / "install.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


CPU_INDEX, LOCK, LIBRARIES = "pip: cpu index", "pip: lock", "pip: libraries"
UV_LOCK, UV_LIBRARIES = "uv: lock", "uv: libraries"
FAILS = ""
CPU, CUDA = "2.13.0+cpu", "2.13.0+cu130"

LOCK_TEXT = {"cpu": "ray==2.60.0\ntorch==2.13.0\nvllm-cpu==0.32.0\n", "gpu": "torch==2.13.0\nvllm==0.32.0\n"}
AS_IT_CAME = "loads as it came, nothing more"
CUDA_BUILD = "2.13.0: no CPU build was found, so the CUDA build and its libraries"

# The PyTorch that loads at first; what is asked in order, and the PyTorch that loads after it (FAILS: the installer
# fails; None: it succeeds, but PyTorch does not load); what is printed; the error.
CHOICES = [
    pytest.param(CPU, "cpu", [(LOCK, CPU)], AS_IT_CAME, "", id="there-already"),
    pytest.param(CUDA, "cpu", [(LOCK, CUDA)], AS_IT_CAME, "", id="cuda-there-already"),
    pytest.param(None, "cpu", [(CPU_INDEX, CPU), (LOCK, CPU)], AS_IT_CAME, "", id="cpu-index"),
    pytest.param("2.12.0+cpu", "cpu", [(CPU_INDEX, CPU), (LOCK, CPU)], AS_IT_CAME, "", id="an-older-one"),
    pytest.param(None, "cpu", [(CPU_INDEX, FAILS), (LOCK, "2.13.0")], AS_IT_CAME, "", id="a-cpu-build-by-another-name"),
    pytest.param(
        None, "cpu", [(CPU_INDEX, FAILS), (LOCK, None), (LIBRARIES, CUDA)], CUDA_BUILD, "", id="cuda-and-libraries"
    ),
    pytest.param(
        None, "cpu", [(CPU_INDEX, FAILS), (LOCK, FAILS)], "", "pip could not install .*lock.txt", id="nothing-in-reach"
    ),
    pytest.param(
        None,
        "cpu",
        [(CPU_INDEX, FAILS), (LOCK, None), (LIBRARIES, FAILS)],
        CUDA_BUILD,
        "pip could not install what PyTorch 2.13.0 needs",
        id="libraries-out-of-reach",
    ),
    pytest.param(
        None,
        "cpu",
        [(CPU_INDEX, FAILS), (LOCK, None), (LIBRARIES, None)],
        CUDA_BUILD,
        "PyTorch 2.13.0 does not load, even with",
        id="nothing-helps",
    ),
    pytest.param(None, "gpu", [(LOCK, CUDA)], AS_IT_CAME, "", id="gpu-lock"),
    pytest.param(None, "cpu", [(CPU_INDEX, CPU), (UV_LOCK, CPU)], AS_IT_CAME, "", id="uv"),
    pytest.param(
        None, "cpu", [(CPU_INDEX, FAILS), (UV_LOCK, None), (UV_LIBRARIES, CUDA)], CUDA_BUILD, "", id="uv-libraries"
    ),
    pytest.param(
        None,
        "cpu",
        [(CPU_INDEX, CPU), (UV_LOCK, FAILS), (LOCK, CPU)],
        AS_IT_CAME,
        "",
        id="pip-reaches-what-uv-does-not",
    ),
]


@pytest.mark.parametrize(("before", "lock", "steps", "said", "error"), CHOICES)
def test_pytorch_is_taken_as_it_comes_or_with_its_libraries(
    before: str | None,
    lock: str,
    steps: list[tuple[str, str | None]],
    said: str,
    error: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    script = load_script()
    path = tmp_path / "lock.txt"
    path.write_text(LOCK_TEXT[lock])
    uv = "/bin/uv" if UV_LOCK in dict(steps) else None
    loaded, left = before, list(steps)

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        nonlocal loaded
        if command[1] == "-c":
            return subprocess.CompletedProcess(command, 1 if loaded is None else 0, f"{loaded}\n" if loaded else "", "")
        wanted, outcome = left.pop(0)
        assert what_is_asked(command) == wanted
        if outcome == FAILS:
            return subprocess.CompletedProcess(command, 1, "", "")
        loaded = outcome
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(script.subprocess, "run", run)
    monkeypatch.setattr(script.shutil, "which", {"uv": uv}.get)
    if error:
        with pytest.raises(script.InstallError, match=f"^error: {error}[^\n]*$"):
            script.install(path)
    else:
        script.install(path)
    assert not left
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == bool(said)
    assert all(line.startswith("PyTorch ") and said in line for line in lines)


def what_is_asked(command: list[str]) -> str:
    """Which of the questions a command is."""
    tool = "uv" if command[0] == "uv" else "pip"
    assert sys.executable in command
    if "-r" in command:
        assert "--no-deps" in command
        return f"{tool}: lock"
    if "--index-url" in command:
        assert {"--no-deps", "--timeout", "--retries"} <= set(command)
        assert command[-1] == "torch==2.13.0+cpu"
        return f"{tool}: cpu index"
    assert command[-1] == "torch==2.13.0"
    assert "--no-deps" not in command
    return f"{tool}: libraries"


def test_a_failure_is_one_sentence_and_a_status(tmp_path: Path) -> None:
    """The real script and the real pip, which finds nothing without an index."""
    (tmp_path / "lock.txt").write_text("torch==0.0.1\n")
    command = [sys.executable, str(LOCKS / "install.py"), str(tmp_path / "lock.txt")]
    env = {"PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INDEX": "1", "PIP_NO_FIND_LINKS": "1"}
    ran = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, check=False)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert ran.stderr.splitlines()[-1].startswith("error: pip could not install ")
    assert ran.stdout == ""


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.parametrize(
    ("locks", "extras"),
    [
        pytest.param(["cpu.txt"], ["cpu", "train"], id="cpu"),
        pytest.param(["gpu.txt"], ["gpu", "train"], id="gpu"),
        pytest.param(["cpu.txt", "dev.txt"], ["dev"], id="dev"),
    ],
)
def test_a_lock_holds_what_the_project_declares(locks: list[str], extras: list[str]) -> None:
    text = "\n".join((LOCKS / lock).read_text(encoding="utf-8") for lock in locks)
    pins = {
        canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE)
    }
    declared = PROJECT["dependencies"] + [need for extra in extras for need in PROJECT["optional-dependencies"][extra]]
    lacking = []
    for need in map(Requirement, declared):
        version = pins.get(canonicalize_name(need.name))
        if version is None or not need.specifier.contains(version, prereleases=True):
            lacking.append(f"{need}: {version}")
    assert not lacking


def test_the_image_leaves_out_what_git_leaves_out() -> None:
    """There was no Docker to build it with: this is what can be known of it here."""
    ignored = {line.removeprefix("**/").rstrip("/") for line in (ROOT / ".dockerignore").read_text().split()}
    assert ignored == {line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()} | {".git"}


def test_the_image_runs_a_command_that_there_is_as_nobody() -> None:
    lines = dict(line.split(" ", 1) for line in (ROOT / "Dockerfile").read_text().splitlines() if line[:1].isupper())
    command, recipe, *rest = json.loads(lines["CMD"])
    assert command in COMMANDS
    assert (ROOT / "pipelines" / f"{recipe}.yaml").is_file()
    assert rest == ["--out", f"/data/{recipe}"]
    assert lines["USER"] == "12345:12345"
    assert Path(*json.loads(lines["ENTRYPOINT"])).relative_to("/mmpr") == Path(".venv/bin/mmpr")
