"""What a build is a build of: fingerprints of its recipe, and how a recipe may change without another build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmpr.config import AdaptiveSpec, Recipe, fingerprint
from mmpr.models import FoundModel
from mmpr.pipeline.adjudicating import Verifier

_CORRECTIONS = ("path", "images_root")
"""Settings of a source that say where its rows lie, and not what they are."""
_GROWS = ("max_questions", "questions", "repeat_time", "entries", "kinds")
"""Settings of a source by which it has more or fewer rows, each of them the same as before."""
_LATER = ("template", "open_template", "rule", "samples", "max_pairs", "processor")
"""Settings of a source that its rows do not depend on."""
_BASE = ("seed", "unit_questions", "images", "max_question_chars")


def is_corrected(
    before: Mapping[str, Any],
    fingerprints: Mapping[str, str],
    recipe: Recipe,
    model: FoundModel,
    templates: Mapping[str, str],
) -> bool:
    """Whether a recipe asks for the rows of the one that a build was made with, though they may lie elsewhere by now.

    ``before`` is that recipe as JSON, with its fingerprints.
    """

    def as_it_lay(specs: tuple[Any, ...], old: Mapping[str, Any]) -> tuple[Any, ...]:
        lay = {spec.name: {key: old[spec.name].get(key) for key in _places(spec.type)} for spec in specs}
        return tuple(
            spec.model_copy(update={key: value for key, value in lay[spec.name].items() if hasattr(spec, key)})
            for spec in specs
        )

    old = {split: {source["name"]: source for source in before.get(split, ())} for split in ("sources", "heldout")}
    if [*old["sources"]] != [spec.name for spec in recipe.sources]:
        return False
    if [*old["heldout"]] != [spec.name for spec in recipe.heldout]:
        return False
    sources, heldout = as_it_lay(recipe.sources, old["sources"]), as_it_lay(recipe.heldout, old["heldout"])
    there = recipe.model_copy(update={"sources": sources, "heldout": heldout})
    return fingerprints_of(there, model, templates)["index"] == fingerprints.get("index")


def _places(type: str) -> tuple[str, ...]:
    """The settings of a source of some type that say where its rows lie; ``path`` is the name of one of the hub."""
    return tuple(key for key in _CORRECTIONS if (type, key) != ("hub", "path"))


def growth(
    before: Mapping[str, Any],
    fingerprints: Mapping[str, str],
    recipe: Recipe,
    model: FoundModel,
    templates: Mapping[str, str],
) -> tuple[list[str], list[str]]:
    """What a recipe has more than the one (as JSON, with its fingerprints) that a build was made with.

    Returns what grows, in words, and why the build cannot grow to it; one of the lists is empty or both are.
    """
    if not before:
        return [], ["its build.json does not tell its recipe"]
    now = recipe.as_json()
    grown: list[str] = []
    problems = [f"{key} changed" for key in _BASE if now[key] != before.get(key)]
    if now["sampling"]["adaptive"] != before["sampling"].get("adaptive"):
        grown.append("sampling.adaptive changed")
    for split in ("sources", "heldout"):
        old = {source["name"]: source for source in before[split]}
        new = {source["name"]: source for source in now[split]}
        problems += [f"source {name!r} is not in {split} any more" for name in old.keys() - new.keys()]
        grown += [f"source {name!r} is new" for name in new if name not in old]
        for name in [name for name in new if name in old]:
            told = _changes(old[name], new[name], int(before["sampling"]["samples"]), int(now["sampling"]["samples"]))
            grown += told[0]
            problems += told[1]
            if split == "heldout" and old[name]["rule"] != new[name]["rule"]:
                problems.append(f"source {name!r}: rule changed")
    if not problems:
        old_ones = fingerprints_of(_as_before(before, recipe), model, templates)
        stages = [stage for stage in ("sample", "complete", "verify", "pair") if old_ones[stage] != fingerprints[stage]]
        if "sample" in stages:
            problems.append("the model, the sampling or a template changed")
        elif stages:
            problems.append(f"its settings for {' and '.join(map(repr, stages))} changed too; grow without that first")
    return ([], problems) if problems else (grown, [])


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], samples: int, now: int) -> tuple[list[str], list[str]]:
    """What grows of a source that was there before, and what speaks against it."""
    name = old["name"]
    grown = [f"source {name!r}: {key} changed" for key in _GROWS if old.get(key) != new.get(key)]
    problems = []
    fewer, more = old["samples"] or samples, new["samples"] or now
    if more > fewer:
        grown.append(f"source {name!r}: {fewer} to {more} samples")
    elif more < fewer:
        problems.append(f"source {name!r}: {more} samples are fewer than {fewer}")
    fixed = (*_places(new["type"]), *_GROWS, *_LATER)
    one, other = _some(old, fixed), _some(new, fixed)
    changed = sorted(key for key in {*one, *other} if one.get(key) != other.get(key))
    problems += [f"source {name!r}: {key} changed" for key in changed]
    return grown, problems


def _as_before(before: Mapping[str, Any], recipe: Recipe) -> Recipe:
    """A recipe with those sources, and as many samples, as an earlier one had."""
    old = {source["name"]: source["samples"] for source in before["sources"]}
    by_name = {spec.name: spec for spec in recipe.sources}
    sources = tuple(by_name[name].model_copy(update={"samples": samples}) for name, samples in old.items())
    told = before["sampling"].get("adaptive")
    adaptive = AdaptiveSpec(**told) if told else None
    sampling = recipe.sampling.model_copy(update={"samples": int(before["sampling"]["samples"]), "adaptive": adaptive})
    return recipe.model_copy(update={"sources": sources, "sampling": sampling})


def _some(source: Mapping[str, Any], without: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in source.items() if key not in without}


def fingerprints_of(
    recipe: Recipe, model: FoundModel, templates: Mapping[str, str], verifier: Verifier | None = None
) -> dict[str, str]:
    """What each stage's output depends on, beyond the stages before it. How the engine is run is not among it."""
    tree = recipe.as_json()
    own = recipe.extensions.fingerprints()

    def of_sources(*keys: str) -> list[list[Any]]:
        return [[source["name"], *(source[key] for key in keys)] for source in tree["sources"]]

    return {
        "index": fingerprint(
            [
                [_some(source, _LATER) for source in tree["sources"]],
                [[_some(source, _LATER), source["rule"]] for source in tree["heldout"]],
                [tree[key] for key in _BASE],
                *([own["sources"]] if "sources" in own else []),
            ]
        ),
        "sample": fingerprint(
            [
                [
                    *(model.revision, tree["engine"]["type"], recipe.sampling.identity()),
                    *([chat] if (chat := recipe.chat.identity()) else []),
                ],
                [
                    [s.name, recipe.samples(s.name), templates[s.template], templates[s.open_template], s.processor]
                    for s in recipe.sources
                ],
            ]
        ),
        "complete": fingerprint([tree["dropout"], of_sources("max_pairs")]),
        "verify": fingerprint([*of_sources("rule"), *([own["rules"]] if "rules" in own else [])]),
        **({"adjudicate": fingerprint(verifier.identity())} if verifier else {}),
        "pair": fingerprint([tree["pairing"], of_sources("max_pairs")]),
    }
