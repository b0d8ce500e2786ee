"""A run from its start to its end: what it is, whether it is the one that was begun here, and what came out.

torch is imported only once it is known that there are steps left to train.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmpr import __version__
from mmpr.cli.command import printable
from mmpr.errors import MmprError, OutputError
from mmpr.inputs.kinds import kind_of
from mmpr.models import hash_files, hub_revision, say_remote_code
from mmpr.storage.manifest import file_sha256, package_versions
from mmpr.storage.shards import MANIFEST, locked, write_json
from mmpr.train import run_folder
from mmpr.train.changes import changes
from mmpr.train.recipe import TrainRecipe
from mmpr.train.run_folder import is_writer

_PACKAGES = ("torch", "transformers", "accelerate", "peft")
_MODEL_FILES = ("*.json", "*.jinja", "*.txt", "*.model", "*.safetensors", "*.bin")


def train(recipe: TrainRecipe, *, data: str | Sequence[str], model: str, out: Path) -> dict[str, Any]:
    """Train, or go on where a run was stopped; returns the run's result (``RUN/result.json``).

    ``data`` is one path, or several, which are read one after the other.

    Raises:
        OutputError: ``out`` is in use, or another run's.
        MmprError: data or model cannot be used, or the watch has stopped the run.
    """
    out = out.absolute()
    _refuse_inside_build(out)
    with _locked(out):
        about = describe(recipe, data, model)
        begin(out, about)
        if not (out / run_folder.RESULT).exists():
            say_remote_code(recipe.model.trust_remote_code and is_writer())
            from mmpr.train.session import run_session

            run_session(recipe, about, out)
        result: dict[str, Any] = json.loads((out / run_folder.RESULT).read_text(encoding="utf-8"))
    if is_writer():
        _show(result, out)
    return result


def describe(recipe: TrainRecipe, data: str | Sequence[str], model: str) -> dict[str, Any]:
    """What a run is: settings, data and model with their hashes, and versions of libraries.

    The first of ``data`` is ``data``, as it always was; the others, where there are some, are ``more_data``.

    Raises:
        MmprError: there is no such data or model, or the same data twice.
    """
    paths = [data] if isinstance(data, str) else list(data)
    real = [os.path.realpath(path) for path in paths]
    if twice := [path for path, place in zip(paths, real, strict=True) if real.count(place) > 1]:
        raise MmprError(
            f"--data {twice[0]}: is named twice; to see it more often set data.source_weights or data.epochs"
        )
    first, *more = map(_describe_data, paths)
    return {
        "mmpr": __version__,
        "recipe": recipe.as_json(),
        "data": first,
        **({"more_data": {str(place): one for place, one in enumerate(more, start=2)}} if more else {}),
        "model": {"path": model, "revision": model_revision(model)},
        "versions": package_versions(_PACKAGES),
    }


def _describe_data(path: str) -> dict[str, Any]:
    if not Path(path).exists():
        raise MmprError(f"--data {path}: there is no such file or folder")
    manifest = Path(path) / MANIFEST
    return {"path": path, "manifest_sha256": file_sha256(manifest) if manifest.is_file() else None}


def model_revision(model: str) -> str:
    """A hash of the files of a model's folder, or the commit of a name on the hub.

    Raises:
        MmprError: the model is not found.
    """
    folder = Path(model)
    if not folder.is_dir():
        return hub_revision(model, None)
    if not (folder / "config.json").is_file():
        raise MmprError(f"--model {model}: there is no model in this folder (no config.json)")
    return f"sha256:{hash_files(sorted({file for pattern in _MODEL_FILES for file in folder.glob(pattern)}))}"


# Settings that do not change what a run computes (but for rounding), nor how its checkpoints are read.
_FREE = (
    "recipe.name", "recipe.save.", "recipe.watch.", "recipe.report_to", "recipe.compute.workers",
    "recipe.compute.max_pack_tokens", "recipe.model.gradient_checkpointing",
)  # fmt: skip


def begin(out: Path, about: dict[str, Any]) -> None:
    """Write ``RUN/run.json``, or check that the run that was begun in this folder is the same one.

    A run is its data, its model and the settings that change its numbers. One that has taken no step yet may be begun
    with others.

    Raises:
        OutputError: it is another one; the message lists the differences.
    """
    path = out / run_folder.RUN
    if path.exists():
        try:
            begun = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise OutputError(f"{path}: cannot be read: {error}") from None
        differences = _differences(begun, about)
        if differences and _has_steps(out):
            shown = "\n".join(differences)
            raise OutputError(
                f"{out}: holds another run; use another --out, or the settings it was begun with:\n{shown}"
            )
    if is_writer() and not (out / run_folder.RESULT).exists():
        write_json(path, about)


def _has_steps(out: Path) -> bool:
    """Whether anything in a run's folder comes of its settings."""
    metrics = out / run_folder.METRICS
    steps = metrics.exists() and metrics.stat().st_size > 0
    return steps or any((out / name).exists() for name in (run_folder.CHECKPOINTS, run_folder.MODEL, run_folder.RESULT))


def _differences(begun: dict[str, Any], about: dict[str, Any]) -> list[str]:
    """In what another run differs, a line each; where data and model lie does not count."""
    before, now = (
        {part: tree.get(part) for part in ("recipe", "data", "more_data", "model")} for tree in (begun, about)
    )
    return [
        f"  - {name}: was {json.dumps(was)}, is {json.dumps(is_)}"
        for name, was, is_ in changes(before, now)
        if not name.startswith(_FREE) and not (name.endswith(".path") and not name.startswith("recipe."))
    ]


def _refuse_inside_build(out: Path) -> None:
    """Raise OutputError where a run would lie in a build's folder, whose files are all accounted for."""
    for folder in (out, *out.parents):
        if kind_of(folder) in ("build", "unfinished"):
            raise OutputError(f"--out {out}: lies inside the build {folder}; use a folder beside it")


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
    """Lock the folder for this run; only the process that writes does."""
    if not is_writer():
        yield
        return
    try:
        with locked(out):
            yield
    except OutputError as error:
        raise OutputError(str(error).replace("another build", "another run")) from None
