"""The manifest says what is there, and nothing that changes from run to run."""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import mmpr
from mmpr.errors import OutputError
from mmpr.storage import shards
from mmpr.storage.counts import total
from mmpr.storage.manifest import FORMAT, read_manifest, sealed, write_manifest
from mmpr.storage.shards import encoded, json_text
from tests.conftest import SmallBuild
from tests.helpers import build_without_ray, small_recipe


def test_every_shard_stands_in_it_with_its_checksum(small_build: SmallBuild) -> None:
    manifest = read_manifest(small_build.out)
    assert manifest == small_build.manifest
    on_disk = {str(path.relative_to(small_build.out)) for path in small_build.out.rglob("*.parquet")}
    assert set(manifest["files"]) == on_disk
    assert {name.split("/")[0] for name in on_disk} == {
        "index", "templates", "questions", "heldout", "rollouts", "completions", "verdicts", "pairs", "rejects",
    }  # fmt: skip
    for name, about in manifest["files"].items():
        data = (small_build.out / name).read_bytes()
        assert about == {
            "bytes": len(data),
            "rows": pq.read_metadata(small_build.out / name).num_rows,
            "sha256": hashlib.sha256(data).hexdigest(),
        }


def test_it_says_what_the_build_was_made_of(small_build: SmallBuild) -> None:
    manifest = small_build.manifest
    assert manifest["format"] == FORMAT
    assert manifest["mmpr"] == mmpr.__version__
    assert manifest["recipe"] == small_build.recipe.as_json()
    assert manifest["model_revision"] == "replay"
    assert set(manifest["prompts"]) == {"en", "zh", "plain"}
    assert all(len(sha) == 64 for sha in manifest["prompts"].values())
    assert manifest["versions"]["pyarrow"]


def test_it_says_nothing_of_the_machine_and_the_hour(small_build: SmallBuild) -> None:
    import os
    import socket

    text = json.dumps({**small_build.manifest, "recipe": None})
    assert str(small_build.out) not in text
    assert socket.gethostname() not in text
    assert str(os.getpid()) not in {str(value) for value in json.loads(text)}
    assert "202" not in json.dumps([name for name in small_build.manifest if "time" in name or "date" in name])


def test_it_vouches_for_the_texts_beside_it_and_for_itself(small_build: SmallBuild) -> None:
    manifest, out = small_build.manifest, small_build.out
    texts = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in ("README.md", "build.json")}
    assert manifest["texts"] == texts
    assert sealed(manifest) == manifest
    assert (small_build.out / "manifest.json").read_bytes() == encoded(json_text(manifest))
    assert sealed({**manifest, "mmpr": "9"})["seal"] != manifest["seal"]
    lines = (out / "manifest.json").read_text().splitlines(keepends=True)
    assert lines[-2].strip() == f'"seal": "{manifest["seal"]}"'
    bare = "".join(lines[:-2]).rstrip().removesuffix(",") + "\n}\n"
    assert hashlib.sha256(bare.encode()).hexdigest() == manifest["seal"]


def test_it_is_written_last(small_build: SmallBuild) -> None:
    report = small_build.out / "report"
    files = [path for path in small_build.out.rglob("*") if path.is_file() and report not in path.parents]
    manifest = (small_build.out / "manifest.json").stat().st_mtime_ns
    assert manifest == max(path.stat().st_mtime_ns for path in files)
    # The report is about a finished build, and where the manifest says.
    assert (small_build.out / small_build.manifest["report"]).stat().st_mtime_ns > manifest


@pytest.mark.parametrize("name", ["manifest.json", "README.md"])
def test_a_disk_that_is_full_just_then_costs_nothing(
    small_build: SmallBuild, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, out, sync = small_recipe(tmp_path), tmp_path / "out", shards.sync

    def full(path: Path) -> None:
        if path.name.startswith(f".{name}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(path)

    with monkeypatch.context() as patched:
        patched.setattr(shards, "sync", full)
        with pytest.raises(OutputError, match=rf"{name}: cannot be written: No space left on device"):
            build_without_ray(recipe, out)
    assert not (out / "manifest.json").exists()
    assert not list(out.rglob(".*.tmp"))
    assert build_without_ray(recipe, out)["files"] == small_build.manifest["files"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "holds no finished build"),
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "another format"),
        ("{}", "another format"),
        ('{"format": 99}', "another format"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_manifest_that_cannot_be_used(tmp_path: Path, text: str | bytes | None, words: str) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(OutputError, match=words):
        read_manifest(tmp_path)


def test_counts_are_filed_by_stage_and_source(tmp_path: Path) -> None:
    counts = {"pair": {"a/pairs/format": 2, "b/pairs/dropout": 3, "a/questions/paired": 1}, "sample": {}}
    recipe = {"name": "r", "model": {"path": "m"}, "sources": [{"name": "a"}, {"name": "b"}]}
    counts |= {stage: {} for stage in ("ingest", "sample")}
    told = write_manifest(tmp_path, {"recipe": recipe, "model_revision": "1"}, counts)
    made = read_manifest(tmp_path)
    assert made == {**told, "files": {}}
    assert made["counts"] == {
        "pair": {"a": {"pairs/format": 2, "questions/paired": 1}, "b": {"pairs/dropout": 3}},
        "ingest": {},
        "sample": {},
    }
    assert (tmp_path / "manifest.json").read_bytes() == encoded(json_text(sealed(made)))


def test_totals() -> None:
    counts = {
        "a": {"pairs/format": 2, "pairs/dropout": 5, "questions": 1, "questions/paired": 9},
        "b": {"questions": 3},
    }
    assert total(counts, "questions") == 4
    assert total(counts, "pairs/") == 7
    assert total(counts, "pairs/format", ["a"]) == 2
    assert total(counts, "questions", ["b", "unknown"]) == 3
    assert total(counts, "nothing") == 0
