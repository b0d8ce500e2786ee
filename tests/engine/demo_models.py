"""The demo model with another chat format: what other families' templates and tokenizers do."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from mmpr.config import Recipe, parse_recipe

DEMO = Path(__file__).resolve().parents[2] / "data" / "demo_model"


def demo_model(folder: Path, template: str = "", *, begins: str = "", adds: bool = False, special: str = "") -> Path:
    """A copy of the demo model.

    Args:
        folder: where it goes; it is made.
        template: its chat template, or the demo model's own.
        begins: the token that begins a sequence; it is added to the vocabulary as a special token.
        adds: whether the tokenizer writes that token by itself.
        special: a token of the vocabulary that becomes a special one.
    """
    folder.mkdir(parents=True)
    for file in DEMO.iterdir():
        (folder / file.name).symlink_to(file)
    if template:
        _replace(folder / "chat_template.jinja", template)
    tokenizer = json.loads((DEMO / "tokenizer.json").read_text())
    settings = json.loads((DEMO / "tokenizer_config.json").read_text())
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    vocabulary = tokenizer["model"]["vocab"]
    if begins:
        settings["bos_token"] = begins
        tokenizer["added_tokens"].append({"id": len(vocabulary), "content": begins, **plain})
        if adds:
            own = {"SpecialToken": {"id": begins, "type_id": 0}}
            tokenizer["post_processor"]["single"].insert(0, own)
            ids = {"id": begins, "ids": [len(vocabulary)], "tokens": [begins]}
            tokenizer["post_processor"]["special_tokens"] = {begins: ids}
    if special:
        tokenizer["added_tokens"].append({"id": vocabulary[special], "content": special, **plain})
    tokenizer["added_tokens"].sort(key=lambda token: token["id"])
    _replace(folder / "tokenizer.json", json.dumps(tokenizer, ensure_ascii=False))
    _replace(folder / "tokenizer_config.json", json.dumps(settings))
    return folder


def recipe_of(model: Path, *overrides: str, **args: Any) -> Recipe:
    """A recipe that asks a model; ``args`` are those of vLLM's engine."""
    small = {"dtype": "bfloat16", "enforce_eager": True, "max_model_len": 512, "max_num_seqs": 64}
    tree: dict[str, Any] = {
        "name": "one",
        "model": {"path": str(model)},
        "engine": {"args": {**small, "kv_cache_memory_bytes": 300_000_000, **args}},
        "sampling": {"samples": 4, "max_tokens": 60},
        "sources": [{"name": "d", "type": "digits", "split": "train", "questions": 1}],
    }
    return parse_recipe(tree, overrides)


def png(colour: str, sides: Sequence[int] = (64, 64)) -> bytes:
    """A picture of one colour."""
    file = io.BytesIO()
    width, height = sides
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def _replace(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)
