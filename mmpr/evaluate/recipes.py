"""A recipe for each model and style that a command names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mmpr.config import ModelSpec, Recipe, SamplingSpec, fingerprint, parse_recipe
from mmpr.errors import MmprError, RecipeError
from mmpr.evaluate.questions import QuestionSource
from mmpr.evaluate.results import Style
from mmpr.evaluate.store import UNIT_QUESTIONS, Run, StoredQuestions
from mmpr.extension import NO_EXTENSIONS, Extensions
from mmpr.models import FoundModel, find_model
from mmpr.prompts import Template
from mmpr.templates import load_template

WHERE = "evaluation"
_SETTINGS = ("engine", "chat", "sampling", "images", "model", "data", "seed", "max_question_chars")
_NAMED = {"sampling.samples": "--samples", "model.path": "--model", "data.template": "--template"}


@dataclass(frozen=True, slots=True)
class Model:
    """A model with the name by which results call it."""

    label: str
    spec: ModelSpec


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run with its recipe, its model, and the templates of its sources by name."""

    run: Run
    recipe: Recipe
    model: FoundModel
    templates: Mapping[str, Template]


def base_recipe(
    data: QuestionSource,
    samples: int | None,
    template: str | None,
    overrides: Sequence[str],
    extensions: Extensions = NO_EXTENSIONS,
) -> Recipe:
    """The recipe that all runs share, without their model.

    ``samples`` None asks greedily. ``template`` None keeps the template of each source. ``extensions`` are rules of the
    user's own.

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
    recipe = parse_recipe(tree, placed, where=WHERE, extensions=extensions)
    if recipe.sampling.samples > 1 and recipe.sampling.temperature == 0:
        raise RecipeError(WHERE, ["sampling.temperature: at 0 all samples are the same; leave out --samples"])
    return recipe


def way_of(sampling: SamplingSpec) -> str:
    """How a question's answers are drawn: ``greedy``, or ``8x`` for eight samples."""
    return "greedy" if sampling.temperature == 0 else f"{sampling.samples}x"


def name_models(words: Sequence[str], common: ModelSpec) -> list[Model]:
    """The models of the command line: ``[NAME=]FOLDER`` or ``[NAME=]HUB-NAME[@REVISION]``.

    A model without a NAME gets the shortest end of its path that no other model has.

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
    recipe: Recipe,
    models: Sequence[Model],
    styles: Sequence[Style],
    stored: StoredQuestions,
    root: Path,
    templates: Mapping[str, Template] = MappingProxyType({}),
) -> list[PlannedRun]:
    """A run for every model and style, model by model. ``templates`` are a build's own; others are read from files.

    Raises:
        RecipeError: with every model and template that cannot be found.
    """
    problems, runs = [], []
    for model in models:
        own = recipe.model_copy(update={"model": model.spec})
        try:
            found = find_model(own)
            runs += [_planned_run(own, model, found, style, stored, root, templates) for style in styles]
        except MmprError as error:
            problems.append(str(error))
    folders = [one.run.folder for one in runs]
    alike = [str(one.run.about["model"]) for one in runs if folders.count(one.run.folder) > 1]
    if alike:
        problems.append(f"--model: these have the same weights: {', '.join(dict.fromkeys(alike))}; name one of them")
    if problems:
        raise RecipeError(WHERE, list(dict.fromkeys(problems)))
    return runs


def _planned_run(
    recipe: Recipe,
    model: Model,
    found: FoundModel,
    style: Style,
    stored: StoredQuestions,
    root: Path,
    own: Mapping[str, Template],
) -> PlannedRun:
    if style == "direct":
        direct = tuple(spec.model_copy(update={"template": "direct"}) for spec in recipe.sources)
        recipe = recipe.model_copy(update={"sources": direct})
    names = dict.fromkeys(name for spec in recipe.sources for name in (spec.template, spec.open_template))
    templates = {name: own.get(name) or load_template(name, recipe.folder) for name in names}
    tree = recipe.as_json()
    rules = recipe.extensions.fingerprints().get("rules", {})
    settings = {
        "data": stored.fingerprint,
        "model": found.revision,
        "engine": recipe.engine.type,
        "seed": recipe.seed,
        **({"chat": chat} if (chat := recipe.chat.identity()) else {}),
        "sampling": recipe.sampling.identity(),
        "sources": {
            spec.name: {
                "rule": spec.rule,
                **({"rule_fingerprint": rules[spec.rule]} if spec.rule in rules else {}),
                "processor": spec.processor,
                "template": spec.template,
                "template_sha256": templates[spec.template].sha256,
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
    # A replayed model has no weights, so its name counts.
    weights = fingerprint([found.revision, recipe.model.path if found.revision == "replay" else ""])[:8]
    folder = root / "runs" / stored.folder.name / f"{known}-{weights}" / f"{style}-{about['way']}"
    return PlannedRun(Run(folder, stored, about), recipe, found, templates)


def _shortest(paths: Sequence[str]) -> list[str]:
    """The shortest end of each path that no other path has."""
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
