"""Names of modules, classes, files and commands in the documentation exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mmpr.cli import COMMANDS
from mmpr.config import load_recipe
from mmpr.pipeline.estimate import estimate
from mmpr.pipeline.plan import make_plan

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *(
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md", "data/README.md")
    ),
]
FOLDERS = ("benchmarks", "data", "docs", "examples", "locks", "mmpr", "pipelines", "prompts", "tests")
PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*(?:/|\.(?:json|jsonl|md|py|txt|yaml)))`")
NAME = re.compile(r"`(mmpr(?:\.\w+)+)(?:\(.*?\))?`")
COMMAND = re.compile(r"(?:^ +|`|/bin/)mmpr ([a-z]\w*)", re.MULTILINE)


def named(pattern: re.Pattern[str]) -> list[Any]:
    """What the pages name, as parameters of a test; each page's names once."""
    found = [(page, name) for page in PAGES for name in sorted(set(pattern.findall(page.read_text(encoding="utf-8"))))]
    return [pytest.param(name, id=f"{page.relative_to(ROOT).as_posix()}: {name}") for page, name in found]


@pytest.mark.parametrize("path", named(PATH))
def test_paths_exist(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("name", named(NAME))
def test_names_exist(name: str) -> None:
    """A name is a module, or a module's text has what follows."""
    place, *rest = name.split(".")
    folder = ROOT / place
    while rest and ((folder / rest[0]).is_dir() or (folder / f"{rest[0]}.py").is_file()):
        folder /= rest.pop(0)
    text = (folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")).read_text(encoding="utf-8")
    for part in rest:
        assert re.search(rf"\b{part}\b", text), f"{folder.relative_to(ROOT)} has no {part}"


@pytest.mark.parametrize("command", named(COMMAND))
def test_commands_exist(command: str) -> None:
    assert command in COMMANDS


def test_the_example_of_rows_and_recipe_can_be_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What docs/your-data.md shows: its script makes the rows, and its recipe passes the dry run with all of them."""
    page = (ROOT / "docs/your-data.md").read_text(encoding="utf-8")
    script, recipe = (re.search(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("python", "yaml"))
    assert script
    assert recipe
    monkeypatch.chdir(tmp_path)
    exec(compile(script[1], "make_dots.py", "exec"), {})  # noqa: S102 - a page of this repository
    (tmp_path / "dots.yaml").write_text(recipe[1])
    (tmp_path / "data").symlink_to(ROOT / "data")
    expected = estimate(make_plan(load_recipe(tmp_path / "dots.yaml"), "dots.yaml"))
    assert [(line.source, line.questions, line.rejected, line.responses) for line in expected] == [("dots", 12, 0, 96)]


def test_the_page_of_settings_is_what_the_code_says() -> None:
    check = [sys.executable, str(ROOT / "docs" / "settings_page.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_map_names_every_folder() -> None:
    """The README's map of the house."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme[readme.index("    mmpr/build.py ") :]
    folders = [path for path in (ROOT / "mmpr").iterdir() if (path / "__init__.py").exists()]
    top = ["prompts", "pipelines", "data", "tests", "benchmarks", "docs", "examples", "locks"]
    missing = [name for name in [*(path.name for path in folders), *top] if f"{name}/" not in shown]
    assert not missing
