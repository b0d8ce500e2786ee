"""Which model a recipe means: where it is, and what exactly it is."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmpr.config import Recipe
from mmpr.config.small_files import read_small
from mmpr.engine.control_tokens import ROLES, control_tokens
from mmpr.errors import MmprError

_SETTINGS = ("*.json", "*.jinja", "*.txt", "*.model")  # of model, tokenizer, chat template and picture processor
_SAMPLED_BYTES, _SAMPLES = 1 << 20, 16
_MOST_TOKENIZER_BYTES, _MOST_TEMPLATE_BYTES = 64 << 20, 1 << 20


@dataclass(frozen=True, slots=True)
class FoundModel:
    """``path`` is what the engine is given; ``revision`` names the very weights (a commit, or a hash of the files)."""

    path: str
    revision: str


def say_remote_code(trusted: bool) -> None:
    """Say aloud, before anything is loaded, that a model's own code will run."""
    if trusted:
        print("warning: trust_remote_code is on: code that comes with the model will run", file=sys.stderr, flush=True)


def find_model(recipe: Recipe) -> FoundModel:
    """The model of a recipe: a folder, or a name on the hub (asked there, or found among the downloads).

    Raises:
        MmprError: it is nowhere to be found.
    """
    model = recipe.model
    if recipe.engine.type == "replay":
        return FoundModel(model.path, "replay")
    if model.is_local:
        folder = recipe.resolve(model.path)
        if not (folder / "config.json").is_file():
            raise MmprError(f"model.path: there is no model in {folder} (no config.json)")
        weights = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
        if not weights:
            raise MmprError(f"model.path: {folder} holds no weights (*.safetensors)")
        small = {file for pattern in _SETTINGS for file in folder.glob(pattern)}
        return FoundModel(str(folder), f"sha256:{hash_files([*sorted(small), *weights])}")
    return FoundModel(model.path, hub_revision(model.path, model.revision))


def control_tokens_at_hand(model: FoundModel) -> frozenset[str] | None:
    """The control tokens of a model (``mmpr.engine.control_tokens``) by its files, without running any of its code.

    None when its tokenizer is not in this machine's folders, or is of another kind.
    """
    try:
        tokenizer = _json_at_hand(model, "tokenizer.json")
        settings = _json_at_hand(model, "tokenizer_config.json")
        templates = [settings.get("chat_template"), _json_at_hand(model, "chat_template.json").get("chat_template")]
        if (jinja := _at_hand(model, "chat_template.jinja")) is not None:
            templates.append(read_small(jinja, _MOST_TEMPLATE_BYTES).decode("utf-8"))
        special = [str(token["content"]) for token in tokenizer["added_tokens"] if token["special"]]
        named = [settings.get(f"{role}_token") for role in ROLES]
        roles = [token["content"] if isinstance(token, dict) else token for token in named]
        return control_tokens(special, roles, "\n".join(str(template) for template in templates if template))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _json_at_hand(model: FoundModel, name: str) -> dict[str, Any]:
    """A JSON file of a model; empty when it is not here."""
    path = _at_hand(model, name)
    return {} if path is None else dict(json.loads(read_small(path, _MOST_TOKENIZER_BYTES)))


def _at_hand(model: FoundModel, name: str) -> Path | None:
    """A file of a model on this machine: in its folder, or among the hub's downloads."""
    if Path(model.path).is_absolute():
        return path if (path := Path(model.path) / name).is_file() else None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(model.path, name, revision=model.revision)
    return Path(cached) if isinstance(cached, str) else None


def hash_files(files: list[Path]) -> str:
    """Names, sizes and content; of large files 16 MiB, evenly spread, and the last one: enough to tell models apart."""
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as opened:
            spread = range(0, size, max(_SAMPLED_BYTES, -(-size // _SAMPLES)))
            for start in [*spread, max(0, size - _SAMPLED_BYTES)]:
                opened.seek(start)
                digest.update(opened.read(_SAMPLED_BYTES))
    return digest.hexdigest()[:32]


def hub_revision(name: str, revision: str | None) -> str:
    """The commit that a name and a branch stand for now."""
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return str(HfApi().model_info(name, revision=revision, timeout=20).sha)
    except HFValidationError:
        raise MmprError(f"model.path: {name!r} is neither a folder (write ./{name}) nor a name on the hub") from None
    except Exception as error:  # noqa: BLE001 - the hub's client passes on whatever its network library raises
        cached = try_to_load_from_cache(name, "config.json", revision=revision)
        if isinstance(cached, str):
            return Path(cached).parent.name
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise MmprError(f"model.path: {name!r} was not found on the hub or among its downloads ({reason})") from None
