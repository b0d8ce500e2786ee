"""Which model a recipe means, and that another one is never taken for it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from mmpr.config import Recipe, parse_recipe
from mmpr.errors import MmprError
from mmpr.models import FoundModel, control_tokens_at_hand, find_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def recipe_of(path: str, folder: Path = Path("."), **model: Any) -> Recipe:
    source = {"name": "d", "type": "digits", "split": "train", "questions": 1}
    return parse_recipe({"name": "r", "model": model | {"path": path}, "sources": [source]}, folder=folder)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"a": 1}')
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 100_000)  # 24 MiB
    (folder / "tokenizer.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("{{ x }}")
    (folder / "README.md").write_text("words")
    return folder


def revision(model: Path) -> str:
    return find_model(recipe_of("./model", model.parent)).revision


def test_a_folder_is_found_from_the_recipe_and_known_by_its_content(model: Path, tmp_path: Path) -> None:
    found = find_model(recipe_of("./model", tmp_path))
    assert found.path == str(model)
    assert found == find_model(recipe_of(str(model)))
    shutil.copytree(model, tmp_path / "other" / "model")
    assert revision(tmp_path / "other" / "model") == found.revision
    assert found.revision.startswith("sha256:")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"])
def test_another_content_is_another_revision(model: Path, name: str) -> None:
    before = revision(model)
    data = bytearray((model / name).read_bytes())
    data[len(data) // 2] ^= 1
    (model / name).write_bytes(data)
    assert revision(model) != before


@pytest.mark.parametrize("place", [0.0, 0.26, 0.51, 0.9999999])
def test_weights_that_differ_in_any_large_part_differ(model: Path, place: float) -> None:
    before = revision(model)
    data = bytearray((model / "model.safetensors").read_bytes())
    start = int(len(data) * place)
    end = min(len(data), start + 4 * len(data) // 16)
    data[start:end] = bytes(end - start)
    (model / "model.safetensors").write_bytes(data)
    assert revision(model) != before


def test_files_that_no_engine_reads_do_not_count(model: Path) -> None:
    before = revision(model)
    (model / "README.md").write_text("other words")
    assert revision(model) == before


def test_a_file_more_or_renamed_counts(model: Path) -> None:
    before = revision(model)
    (model / "model.safetensors").rename(model / "model-1.safetensors")
    renamed = revision(model)
    (model / "generation_config.json").write_text("{}")
    assert len({before, renamed, revision(model)}) == 3


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_that_holds_no_model(model: Path, missing: str) -> None:
    (model / missing).unlink()
    with pytest.raises(MmprError, match=r"model\.path: .*(no config\.json|no weights)"):
        revision(model)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MmprError, match=r"model\.path: there is no model in"):
        find_model(recipe_of("./nowhere", tmp_path))


class _Hub:
    """Answers as the hub does, or not."""

    asked: tuple[str, str | None] | None = None

    def __init__(self, answer: str | Exception) -> None:
        self.answer = answer

    def __call__(self) -> _Hub:
        return self

    def model_info(self, name: str, *, revision: str | None, timeout: float) -> Any:
        self.asked = (name, revision)
        assert 0 < timeout < 60
        if isinstance(self.answer, Exception):
            raise self.answer
        return type("Info", (), {"sha": self.answer})


def test_a_name_on_the_hub_becomes_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = _Hub(COMMIT)
    monkeypatch.setattr(huggingface_hub, "HfApi", hub)
    found = find_model(recipe_of("org/name", revision="main"))
    assert (found.path, found.revision) == ("org/name", COMMIT)
    assert hub.asked == ("org/name", "main")


def test_without_the_hub_the_downloads_are_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", _Hub(OSError("no route")))
    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda *_, **__: str(tmp_path / "snapshots" / COMMIT / "config.json")
    )
    assert find_model(recipe_of("org/name")).revision == COMMIT
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    with pytest.raises(MmprError, match=r"'org/name' was not found on the hub or among its downloads \(no route\)"):
        find_model(recipe_of("org/name"))


def test_a_name_that_is_none() -> None:
    with pytest.raises(MmprError, match=r"write \./a/b/c/d"):
        find_model(recipe_of("a/b/c/d"))


def test_control_tokens_are_read_from_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = Path(__file__).resolve().parent.parent / "data" / "demo_model"
    found = control_tokens_at_hand(FoundModel(str(demo), "any"))
    assert found is not None
    assert found >= {"<|im_start|>", "<end_of_utterance>", "<|endoftext|>", "<image>", "<fake_token_around_image>"}

    def cached(name: str, file: str, revision: str) -> str | None:
        """As the hub's client finds a file among its downloads."""
        return str(demo / file) if (demo / file).exists() else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    assert control_tokens_at_hand(FoundModel("some/model", COMMIT)) == found
    monkeypatch.undo()
    assert control_tokens_at_hand(FoundModel("some/model", COMMIT)) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"added_tokens": [1]}', '{"added_tokens": {"a": 1}}', "[" * 200_000])
def test_a_strange_tokenizer_has_no_control_tokens_at_hand(text: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    assert control_tokens_at_hand(FoundModel(str(tmp_path), "any")) is None
