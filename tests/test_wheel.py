"""The wheel works where there is no checkout: every template, recipe and the demo model come from inside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
LOOK = """
import json, pathlib
import mmpr
from mmpr.config import load_recipe
from mmpr.models import find_model
from mmpr.pipeline.adjudicating import load_verifier_prompt
from mmpr.pipeline.plan import make_plan
from mmpr.templates import load_template
from mmpr.resources import PIPELINES, PROMPTS
from mmpr.train.recipe import load_train_recipe
quickstart = make_plan(load_recipe(pathlib.Path("quickstart")), "quickstart")
print(json.dumps({
    "package": str(pathlib.Path(mmpr.__file__).parent),
    "templates": sorted(load_template(file.stem).name for file in PROMPTS.glob("*.txt")),
    "verifiers": sorted(load_verifier_prompt(file.stem, PROMPTS).name for file in PROMPTS.glob("verifiers/*.txt")),
    "pipelines": sorted(load_recipe(pathlib.Path(file.stem)).name for file in PIPELINES.glob("*.yaml")),
    "training": sorted(load_train_recipe(pathlib.Path(file.stem)).name for file in PIPELINES.glob("train/*.yaml")),
    "model": quickstart.model.path,
    "page": (pathlib.Path(mmpr.__file__).parent / "py.typed").exists(),
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with nothing but what the wheel puts there."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT], check=True, timeout=200)
    [wheel] = folder.glob("mmpr-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True, timeout=200)
    return folder / "site"


def run(installed: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=120, cwd=cwd, env=environment, check=False
    )


def test_everything_loads_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "-c", LOOK)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["package"] == str(installed / "mmpr")
    assert seen["model"].startswith(seen["package"])
    assert seen["templates"] == sorted(file.stem for file in (ROOT / "prompts").glob("*.txt"))
    assert seen["verifiers"] == sorted(file.stem for file in (ROOT / "prompts/verifiers").glob("*.txt"))
    assert len(seen["pipelines"]) == len(list((ROOT / "pipelines").glob("*.yaml")))
    assert len(seen["training"]) == len(list((ROOT / "pipelines" / "train").glob("*.yaml")))


def test_its_data_is_the_checkouts_own(installed: Path) -> None:
    for name in ("prompts", "pipelines", "data/demo_model"):
        for file in (ROOT / name).rglob("*"):
            if file.is_file():
                assert (installed / "mmpr" / "_resources" / file.relative_to(ROOT)).read_bytes() == file.read_bytes()


def test_nothing_else_is_in_it(installed: Path) -> None:
    [wheel] = installed.parent.glob("mmpr-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"mmpr"}
    package = {name for name in names if name.startswith("mmpr/") and not name.startswith("mmpr/_resources/")}
    tracked = subprocess.run(["git", "ls-files", "mmpr"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode == 0:  # a checkout
        assert package == set(tracked.stdout.split())


def test_its_commands_work(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "-m", "mmpr", "build", "quickstart", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "quickstart: what a build would do" in done.stdout
