"""A run, from top to bottom: what it is, where it stands, what is left to do.

    RUN/run.json         recipe, data, model: what the run is; a command that says something else is refused
    RUN/metrics.jsonl    a line a step
    RUN/samples.jsonl    greedy answers to held-out questions
    RUN/drops.jsonl      rows and pairs that are not trained on, and why
    RUN/checkpoints/     whole or absent
    RUN/model/           the result: a stock checkpoint with its processor, and mmpr.json
    RUN/report.html      curves, what the watch says, answers before and after
    RUN/result.json      written last

Nothing heavy is imported before it is known that there is something to do.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mmpr import __version__
from mmpr.command import printable
from mmpr.errors import MmprError, OutputError
from mmpr.models import hash_files, hub_revision, say_remote_code
from mmpr.storage.shards import locked, write_json
from mmpr.train.recipe import TrainRecipe

RESULT = "result.json"
_PACKAGES = ("torch", "transformers", "accelerate", "peft")
_MODEL_FILES = ("*.json", "*.jinja", "*.txt", "*.model", "*.safetensors", "*.bin")


def train(recipe: TrainRecipe, *, data: str, model: str, out: Path) -> dict[str, Any]:
    """Train, or go on where a run was stopped; returns the run's result (``RUN/result.json``).

    Raises:
        OutputError: ``out`` is in use, or another run's.
        MmprError: data or model cannot be used, or the watch has stopped the run.
    """
    out = out.absolute()
    with _locked(out):
        about = describe(recipe, data, model)
        begin(out, about)
        if not (out / RESULT).exists():
            say_remote_code(recipe.model.trust_remote_code and _is_first())
            from mmpr.train.session import run_session

            run_session(recipe, about, out)
        result: dict[str, Any] = json.loads((out / RESULT).read_text(encoding="utf-8"))
    if _is_first():
        _show(result, out)
    return result


def describe(recipe: TrainRecipe, data: str, model: str) -> dict[str, Any]:
    """What a run is: settings, the very data and the very model, and the libraries.

    Raises:
        MmprError: there is no such data or model.
    """
    folder = Path(data)
    if not folder.exists():
        raise MmprError(f"--data {data}: there is no such file or folder")
    manifest = folder / "manifest.json"
    return {
        "mmpr": __version__,
        "recipe": recipe.as_json(),
        "data": {"path": data, "manifest_sha256": _sha256(manifest) if manifest.is_file() else None},
        "model": {"path": model, "revision": model_revision(model)},
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def model_revision(model: str) -> str:
    """What names the weights: a hash of a folder's files, or the commit of a name on the hub.

    Raises:
        MmprError: it is nowhere to be found.
    """
    folder = Path(model)
    if not folder.is_dir():
        return hub_revision(model, None)
    if not (folder / "config.json").is_file():
        raise MmprError(f"--model {model}: there is no model in this folder (no config.json)")
    return f"sha256:{hash_files(sorted({file for pattern in _MODEL_FILES for file in folder.glob(pattern)}))}"


def begin(out: Path, about: dict[str, Any]) -> None:
    """Write down what the run is, or make sure that it is the same as the one that was begun here.

    Raises:
        OutputError: it is another one; the text says in what.
    """
    path = out / "run.json"
    if not path.exists():
        if _is_first():
            write_json(path, about)
        return
    try:
        begun = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise OutputError(f"{path}: cannot be read: {error}") from None
    differences = [
        line
        for part in ("recipe", "data", "model")
        for line in _differences(part, begun.get(part), about[part])
        if line.split(":")[0] not in ("data.path", "model.path")  # moved, but the same
    ]
    if differences:
        shown = "\n".join(f"  - {line}" for line in differences)
        raise OutputError(f"{out}: holds another run; use another --out, or the settings it was begun with:\n{shown}")


def _differences(where: str, before: Any, now: Any) -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        names = sorted(before.keys() | now.keys())
        return [line for name in names for line in _differences(f"{where}.{name}", before.get(name), now.get(name))]
    return [] if before == now else [f"{where}: was {json.dumps(before)}, is {json.dumps(now)}"]


def _show(result: dict[str, Any], out: Path) -> None:
    shown = os.path.relpath(out) if out.is_relative_to(Path.cwd()) else str(out)
    first, last = result["first"], result["last"]
    print(f"finished  {result['steps']:,} steps, {result['pairs']:,} pairs in {result['seconds']:,.0f} s")
    for name in ("loss", "rewards/accuracies", "rewards/margins"):
        print(f"          {name:<20} {first[name]:.3f} -> {last[name]:.3f}")
    if result["answers"]:
        before, after = result["answers"]["before"], result["answers"]["after"]
        print(f"          held-out, greedy     {before} -> {after} right of {result['answers']['judged']}")
    for finding in result["findings"]:
        print(printable(f"watch     {finding['name']} at step {finding['step']}: {finding['detail']}"))
    print(f"model     {shown}/model\nreport    {shown}/report.html")


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Hold the folder for this run; of several processes of a run the first one does."""
    if not _is_first():
        yield
        return
    try:
        with locked(out):
            yield
    except OutputError as error:
        raise OutputError(str(error).replace("another build", "another run")) from None


def _is_first() -> bool:
    """Whether this is the only process of a run, or the first (torchrun numbers them)."""
    return int(os.environ.get("RANK", "0")) == 0


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
