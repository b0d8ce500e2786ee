"""Sending a build or an export to the hub, up to the upload call: a fake takes the place of the hub's client."""

from __future__ import annotations

import fnmatch
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]  # hub re-exports it unmarked

from mmpr.export.__main__ import main
from mmpr.export.run import export
from tests.conftest import SmallBuild

TOKEN = "hf_" + "x" * 34


class FakeHub:
    """Takes the place of ``huggingface_hub.HfApi``: remembers calls, sends nothing, fails when it is told to."""

    calls: list[tuple[str, dict[str, Any]]]
    failure: Exception | None

    def create_repo(self, name: str, **arguments: Any) -> str:
        from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # as above

        validate_repo_id(name)
        FakeHub.calls.append(("create_repo", {"name": name, **arguments}))
        return f"https://hub.invalid/datasets/{name}"

    def upload_folder(self, **arguments: Any) -> None:
        if FakeHub.failure is not None:
            raise FakeHub.failure
        FakeHub.calls.append(("upload_folder", arguments))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[FakeHub]:
    import huggingface_hub

    FakeHub.calls, FakeHub.failure = [], None
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeHub)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: TOKEN)
    return FakeHub


def sent(call: dict[str, Any]) -> set[str]:
    """The files that the hub's client would take, by its own filter."""
    folder = Path(call["folder_path"])
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return set(filter_repo_objects(names, ignore_patterns=call["ignore_patterns"]))


def test_a_build_is_sent_whole_with_its_card(
    hub: type[FakeHub], small_build: SmallBuild, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(shutil.copytree(small_build.out, tmp_path / "out"))
    (out / "logs").mkdir(exist_ok=True)
    (out / "logs/ray.log").write_text("what the machine is called")
    (out / "pairs/.part-0.tmp").write_bytes(b"half")
    assert main([str(out), "--push-to-hub", "somebody/pairs", "--private"]) == 0
    (made, arguments), (uploaded, upload) = hub.calls
    assert (made, uploaded) == ("create_repo", "upload_folder")
    assert arguments == {"name": "somebody/pairs", "repo_type": "dataset", "private": True, "exist_ok": True}
    assert (upload["repo_id"], upload["repo_type"], upload["folder_path"]) == ("somebody/pairs", "dataset", out)
    names = {name for name in sent(upload) if not name.startswith("report/")}
    assert names == {"README.md", "manifest.json", "build.json", *small_build.manifest["files"]}
    told = capsys.readouterr()
    assert "https://hub.invalid/datasets/somebody/pairs" in told.out


def test_an_export_is_sent_after_it_is_made(hub: type[FakeHub], small_build: SmallBuild, tmp_path: Path) -> None:
    to = tmp_path / "to"
    argv = [str(small_build.out), "--format", "trl", "--to", str(to), "--push-to-hub", "somebody/pairs"]
    assert main(argv) == 0
    (_, arguments), (_, upload) = hub.calls
    assert arguments["private"] is None
    assert upload["folder_path"] == to
    assert {"README.md", "export.json"} < sent(upload)
    assert fnmatch.filter(sent(upload), "pairs/*.parquet")


def test_what_is_damaged_is_not_sent(
    hub: type[FakeHub], small_build: SmallBuild, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(small_build.out, tmp_path / "copy"))
    (copy / "README.md").write_text("another card")
    unfinished = tmp_path / "unfinished"
    export(small_build.out, "trl", unfinished)
    (unfinished / "README.md").unlink()
    for folder in (copy, unfinished, tmp_path):
        assert main([str(folder), "--push-to-hub", "somebody/pairs"]) == 1
    assert hub.calls == []
    told = capsys.readouterr().err
    assert "README.md: was changed" in told
    assert "the export is not finished" in told
    assert "holds no finished build" in told


@pytest.mark.parametrize(
    "failure",
    [
        OSError(f"401 for Authorization: Bearer {TOKEN}"),
        RuntimeError(f"token={TOKEN} was refused\nand more"),
        ValueError(f"https://user:{TOKEN}@hub.invalid did not answer"),
        ConnectionError(),
    ],
)
def test_a_token_is_never_shown(
    failure: Exception, hub: type[FakeHub], small_build: SmallBuild, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.failure = failure
    assert main([str(small_build.out), "--push-to-hub", "somebody/pairs"]) == 1
    told = capsys.readouterr()
    assert "the hub did not take somebody/pairs" in told.err
    assert "run the same command again" in told.err
    assert TOKEN not in told.err + told.out
    assert "xxx" not in told.err + told.out


def test_without_a_token(
    hub: type[FakeHub], small_build: SmallBuild, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    assert main([str(small_build.out), "--push-to-hub", "somebody/pairs"]) == 1
    assert "hf auth login" in capsys.readouterr().err
    assert hub.calls == []


def test_a_name_that_is_none(hub: type[FakeHub], small_build: SmallBuild, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(small_build.out), "--push-to-hub", "not a name/at/all"]) == 1
    assert "write user/name" in capsys.readouterr().err


def test_the_fake_takes_what_the_client_takes() -> None:
    import inspect

    from huggingface_hub import HfApi

    known = inspect.signature(HfApi.upload_folder).parameters
    assert {"repo_id", "repo_type", "folder_path", "ignore_patterns", "commit_message"} <= set(known)
    assert {"repo_type", "private", "exist_ok"} <= set(inspect.signature(HfApi.create_repo).parameters)
