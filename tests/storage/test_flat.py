"""The flat view: one row a pair, the same as the nested rows say."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from PIL import Image

import mmpr
from mmpr.errors import OutputError
from mmpr.schema import PreferenceRow
from mmpr.storage.tables import read_rows
from tests.conftest import SmallBuild
from tests.helpers import build_without_ray, small_recipe


def text_of(messages: list[dict]) -> str:
    (message,) = messages
    return "".join(part["text"] for part in message["content"])


def test_one_row_a_pair(small_build: SmallBuild, offline: None) -> None:
    flat = mmpr.load_pairs(small_build.out)
    columns = ["id", "source", "method", "images", "prompt", "chosen", "rejected", "answer", "answers"]
    assert flat.column_names == columns
    rows = iter(flat)
    for path in sorted((small_build.out / "pairs").glob("*.parquet")):
        for nested in read_rows(path, PreferenceRow):
            for pair in nested.pairs:
                row = next(rows)
                assert (row["id"], row["source"], row["method"]) == (nested.id, nested.source, pair.method)
                assert row["answer"] == nested.answer
                assert tuple(row["answers"]) == nested.answers
                assert text_of(row["chosen"]) == nested.responses[pair.chosen].text
                assert text_of(row["rejected"]) == nested.responses[pair.rejected].text
                assert {m["role"] for m in row["chosen"] + row["rejected"]} == {"assistant"}
                (turn,) = row["prompt"]
                assert turn["role"] == "user"
                marks = [part["type"] for part in turn["content"]].count("image")
                assert marks == len(row["images"]) == len(nested.images)
                words = "".join(part["text"] or "" for part in turn["content"])
                assert words.split() == nested.prompt.replace("<image>", " ").split()
                for picture, data in zip(row["images"], nested.images, strict=True):
                    assert picture.tobytes() == Image.open(io.BytesIO(data)).tobytes()
    assert next(rows, None) is None
    assert len(flat) > 50


def test_a_folder_without_a_finished_build(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no finished build"):
        mmpr.load_pairs(tmp_path)


def test_another_build_in_the_same_folder_is_not_taken_from_the_cache(tmp_path: Path, offline: None) -> None:
    out = tmp_path / "out"
    sizes = []
    for most in (1, 15):
        build_without_ray(small_recipe(tmp_path, f"pairing.max_pairs={most}", f"dropout.max_pairs={most}"), out)
        sizes.append(len(mmpr.load_pairs(str(out))))
        shutil.rmtree(out)
    assert sizes[0] < sizes[1]
