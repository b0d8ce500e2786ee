"""Data sets by their name on the hub, through ``datasets`` itself, which reads a folder of that name as one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pytest

from mmpr.errors import RecipeError, SourceError
from mmpr.schema import Question, SourceRow
from tests.sources.source_helpers import CHINA, FLOWER, ingest, opened, recipe_of


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set of two configurations, where ``datasets`` looks first: in the working directory."""
    datasets.disable_progress_bars()
    folder = tmp_path / "lab/set"
    folder.mkdir(parents=True)
    label = datasets.ClassLabel(names=["temple", "flower"])
    features = {"question": datasets.Value("string"), "label": label, "image": datasets.Image()}
    rows = {
        "question": ["a", "b", "c"],
        "label": [0, 1, 0],
        "image": [{"bytes": CHINA, "path": None}, {"bytes": FLOWER, "path": None}, None],
    }
    datasets.Dataset.from_dict(rows, datasets.Features(features)).to_parquet(folder / "train.parquet")
    datasets.Dataset.from_dict({"question": ["d"], "label": ["x"]}).to_parquet(folder / "more.parquet")
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: main\n  default: true\n  data_files: train.parquet\n"
        "- config_name: more\n  data_files: more.parquet\n---\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize("streaming", [False, True])
def test_downloaded_and_streamed(lab: Path, streaming: bool) -> None:
    source = {
        "type": "hub",
        "path": "lab/set",
        "split": "train",
        "streaming": streaming,
        "columns": {"answer": "label"},
    }
    found = ingest(lab, **source)
    assert all(isinstance(item, Question) for item in found), found
    assert [(item.question, item.answer, item.images) for item in found if isinstance(item, Question)] == [
        ("<image>\na", "temple", (CHINA,)),
        ("<image>\nb", "flower", (FLOWER,)),
        ("c", "temple", ()),
    ]
    opened_again = opened(lab, **source)
    refs = [row.images[0] for row in opened_again.rows() if isinstance(row, SourceRow) and row.images]
    assert [opened_again.load(ref) for ref in (*refs[::-1], *refs)] == [FLOWER, CHINA, CHINA, FLOWER]


@pytest.mark.parametrize("streaming", [False, True])
def test_configurations_and_columns(lab: Path, streaming: bool) -> None:
    source = {"type": "hub", "path": "lab/set", "split": "train", "streaming": streaming}
    [row] = opened(lab, **source, config="more", columns={"answer": "label", "images": None}).rows()
    assert isinstance(row, SourceRow)
    assert (row.question, row.answer) == ("d", "x")
    with pytest.raises(SourceError, match=r"no column 'solution' \(columns.answer\); it has: image, label, question"):
        opened(lab, **source, columns={"answer": "solution"})
    with pytest.raises(SourceError, match="lab/set: the data set cannot be had"):
        opened(lab, **source, config="none")
    with pytest.raises(SourceError, match="lab/set: the data set cannot be had"):
        opened(lab, **{**source, "split": "test"})


@pytest.mark.parametrize("path", ["../lab/set", "/lab/set", "a/b/c", "https://x", ""])
def test_names_of_data_sets(tmp_path: Path, path: str) -> None:
    with pytest.raises(RecipeError, match="path"):
        recipe_of(tmp_path, type="hub", path=path, split="train")


def test_offline_in_a_sentence(tmp_path: Path) -> None:
    recipe = {
        "name": "hub",
        "model": {"path": "none"},
        "engine": {"type": "replay"},
        "sources": [{"name": "s", "type": "hub", "path": "lab/absent", "split": "train"}],
    }
    (tmp_path / "hub.yaml").write_text(json.dumps(recipe))
    command = [sys.executable, "-m", "mmpr.build", str(tmp_path / "hub.yaml"), "--dry-run"]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=offline)
    assert done.returncode == 2, done.stderr
    assert "lab/absent: the data set cannot be had from the hub" in done.stderr
    assert "hf download" in done.stderr
    assert "Traceback" not in done.stderr
