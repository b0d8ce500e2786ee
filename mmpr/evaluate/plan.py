"""From the words of a command to runs: a recipe for each model and way of asking, as a build would have it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmpr.config import ModelSpec, Recipe, SamplingSpec, fingerprint, parse_recipe
from mmpr.errors import MmprError, RecipeError
from mmpr.evaluate.data import Data
from mmpr.evaluate.nouns import Style
from mmpr.evaluate.store import UNIT_QUESTIONS, Run, Stored
from mmpr.models import FoundModel, find_model
from mmpr.prompts import load_template

WHERE = "evaluation"
_SETTINGS = ("engine", "sampling", "images", "model", "data", "seed", "max_question_chars")
_NAMED = {"sampling.samples": "--samples", "model.path": "--model", "data.template": "--template"}


@dataclass(frozen=True, slots=True)
class Model:
    """A model that was named: what it is called here, and where it is."""

    label: str
    spec: ModelSpec


@dataclass(frozen=True, slots=True)
class Asking:
    """A run with what its workers need."""

    run: Run
    recipe: Recipe
    model: FoundModel


def base_recipe(data: Data, samples: int | None, template: str | None, overrides: Sequence[str]) -> Recipe:
    """The recipe that all runs have in common; its model is still to be put in.

    ``samples`` None asks greedily. ``template`` None leaves each source its own.

    Raises:
        RecipeError: with every problem found.
    """
    problems = []
    for override in overrides:
        name = override.partition("=")[0]
        if name in _NAMED:
            problems.append(f"override {override!r}: use {_NAMED[name]}")
        elif name.partition(".")[0] not in _SETTINGS:
            problems.append(f"override {override!r}: an evaluation has the settings {', '.join(_SETTINGS)}")
        elif data.is_build and name.startswith("data."):
            problems.append(f"override {override!r}: the held-out questions of a build are asked as they are")
    if problems:
        raise RecipeError(WHERE, problems)
    own = {"samples": None, "open_template": "plain", **({"template": template} if template else {})}
    tree: dict[str, Any] = {
        "name": WHERE,
        "model": {"path": "none"},
        **data.settings,
        "sampling": {
            **data.settings.get("sampling", {}),
            "samples": samples or 1,
            "temperature": 0.0 if samples is None else 1.0,
        },
        "dropout": {"max_pairs": 0},
        "unit_questions": UNIT_QUESTIONS,
        "sources": [{**spec, **own} for spec in data.specs],
    }
    placed = [re.sub(r"^data\.", "sources.0.", override) for override in overrides]
    recipe = parse_recipe(tree, placed, where=WHERE)
    if recipe.sampling.samples > 1 and recipe.sampling.temperature == 0:
        raise RecipeError(WHERE, ["sampling.temperature: at 0 all samples are the same; leave out --samples"])
    return recipe


def way_of(sampling: SamplingSpec) -> str:
    """How a question's answers are drawn, as a name."""
    return "greedy" if sampling.temperature == 0 else f"{sampling.samples}x"


def name_models(words: Sequence[str], common: ModelSpec) -> list[Model]:
    """The models that words of the command line mean: ``[NAME=]FOLDER`` or ``[NAME=]HUB-NAME[@REVISION]``.

    Without a name of its own a model has the shortest end of its path that tells it from the others.

    Raises:
        RecipeError: two have the same name.
    """
    named: list[tuple[str, str, str | None]] = []
    for word in words:
        label, equals, path = word.partition("=")
        if not equals or Path(word).exists():
            label, path = "", word
        revision = common.revision
        if Path(path).is_dir():
            path = path if path.startswith((".", "/")) else f"./{path}"
        elif "@" in path:
            path, _, revision = path.rpartition("@")
        named.append((label, path, revision))
    labels = _shortest([path for _, path, _ in named])
    models = [
        Model(label or short, common.model_copy(update={"path": path, "revision": revision}))
        for (label, path, revision), short in zip(named, labels, strict=True)
    ]
    twice = sorted({model.label for model in models if sum(other.label == model.label for other in models) > 1})
    if twice:
        raise RecipeError(WHERE, [f"--model: two models are called {name!r}; write NAME={name}" for name in twice])
    return models


def plan_runs(
    recipe: Recipe, models: Sequence[Model], styles: Sequence[Style], stored: Stored, root: Path
) -> list[Asking]:
    """Every model with every style, model by model.

    Raises:
        RecipeError: with every model that is nowhere to be found, and every template.
    """
    problems, asking = [], []
    for model in models:
        own = recipe.model_copy(update={"model": model.spec})
        try:
            found = find_model(own)
            asking += [_asking(own, model, found, style, stored, root) for style in styles]
        except MmprError as error:
            problems.append(str(error))
    folders = [one.run.folder for one in asking]
    alike = [str(one.run.about["model"]) for one in asking if folders.count(one.run.folder) > 1]
    if alike:
        problems.append(f"--model: these have the same weights: {', '.join(dict.fromkeys(alike))}; name one of them")
    if problems:
        raise RecipeError(WHERE, list(dict.fromkeys(problems)))
    return asking


def _asking(recipe: Recipe, model: Model, found: FoundModel, style: Style, stored: Stored, root: Path) -> Asking:
    if style == "direct":
        direct = tuple(spec.model_copy(update={"template": "direct"}) for spec in recipe.sources)
        recipe = recipe.model_copy(update={"sources": direct})
    tree = recipe.as_json()
    settings = {
        "data": stored.fingerprint,
        "model": found.revision,
        "engine": recipe.engine.type,
        "seed": recipe.seed,
        "sampling": tree["sampling"],
        "sources": {
            spec.name: {
                "rule": spec.rule,
                "processor": spec.processor,
                "template": spec.template,
                "template_sha256": load_template(spec.template, recipe.folder).sha256,
            }
            for spec in recipe.sources
        },
    }
    about = {
        "model": model.label,
        "model_path": recipe.model.path,
        "revision": found.revision,
        "style": style,
        "way": way_of(recipe.sampling),
        "template": ", ".join(dict.fromkeys(spec.template for spec in recipe.sources)),
        "settings": settings,
        "how": tree["engine"],
    }
    known = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(recipe.model.path).name).strip("-.")[:60] or "model"
    # A replayed model has no weights: its name is all that tells it from another.
    weights = fingerprint([found.revision, recipe.model.path if found.revision == "replay" else ""])[:8]
    folder = root / "runs" / stored.folder.name / f"{known}-{weights}" / f"{style}-{about['way']}"
    return Asking(Run(folder, stored, about), recipe, found)


def _shortest(paths: Sequence[str]) -> list[str]:
    """For each path the shortest end of it that no other path has."""
    parts = [[part for part in path.split("/") if part not in ("", ".", "..")] or [path] for path in paths]

    def tail(at: int, length: int) -> str:
        return "/".join(parts[at][-length:])

    found = []
    for at, own in enumerate(parts):
        others = [other for other in range(len(parts)) if other != at]
        lengths = range(1, len(own) + 1)
        alone = (n for n in lengths if all(tail(at, n) != tail(other, n) for other in others))
        found.append(tail(at, next(alone, len(own))))
    return found
