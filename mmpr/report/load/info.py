"""What is known of a dataset before its rows are read: for a build, its manifest and plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmpr.config import PairingSpec, later_settings
from mmpr.errors import OutputError
from mmpr.inputs.build import open_build, read_plan
from mmpr.report.contents import Kind, LengthUnit
from mmpr.storage.card import model_name, models_of
from mmpr.storage.shards import MANIFEST, Split, Unit, add_counts


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What the manifest of a build says, or what is known of a release (``counts``, ``rows``, ``units`` are empty).

    ``sources`` are names in the recipe's order. ``most_continued`` is the most continuations of a
    question, by source, ``variants`` the continuations of a response. ``chooses``: settings of pairing leave out pairs
    that nothing else speaks against. ``counts`` are the manifest's by stage, source
    and name, ``rows`` those of each file. ``about`` is (name, text) of how the dataset was made.
    """

    out: Path
    name: str
    sources: tuple[str, ...]
    most_continued: Mapping[str, int]
    about: tuple[tuple[str, str], ...]
    kind: Kind = "build"
    recipe: Mapping[str, Any] = field(default_factory=dict)
    format_pairs: bool = False
    chooses: bool = False
    variants: int = 0
    counts: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    units: Mapping[Split, tuple[Unit, ...]] = field(default_factory=dict)

    @property
    def expect_truths(self) -> frozenset[str]:
        """The sources whose recipe names a column of answers: tables, and not pictures with one question for all."""
        return frozenset(
            str(source["name"])
            for source in self.recipe.get("sources", ())
            if source.get("columns", {}).get("answer") is not None and source.get("type") != "imagefolder"
        )

    @property
    def length_unit(self) -> LengthUnit:
        """The unit of the lengths of responses."""
        return "tokens" if self.kind == "build" else "characters"

    def count(self, stage: str, what: str) -> int:
        """The manifest's count of ``what`` at a stage, over all sources."""
        return self.named(stage, what).get(what, 0)

    def named(self, stage: str, prefix: str) -> dict[str, int]:
        """The manifest's counts at a stage whose names begin with ``prefix``, sorted by name."""
        found: dict[str, int] = {}
        for counts in self.counts.get(stage, {}).values():
            add_counts(found, {name: count for name, count in counts.items() if name.startswith(prefix)})
        return dict(sorted(found.items()))


def read_build_info(out: Path) -> DatasetInfo:
    """What the manifest and the plan of a finished build say.

    Raises:
        OutputError: the folder holds no finished build, or its manifest lacks what every build has.
    """
    manifest, plan = open_build(out).manifest, read_plan(out)
    try:
        recipe = manifest["recipe"]
        dropout = recipe["dropout"]
        default = int(dropout["max_pairs"])
        return DatasetInfo(
            out=out,
            name=str(recipe["name"]),
            recipe=recipe,
            sources=tuple(source["name"] for source in recipe["sources"]),
            format_pairs=bool(recipe["pairing"]["format_pairs"]),
            chooses="lineage" in manifest or PairingSpec.model_validate_json(json.dumps(recipe["pairing"])).chooses,
            variants=len(dropout["variants"]),
            most_continued={s["name"]: default and int(s["max_pairs"] or default) for s in recipe["sources"]},
            counts=manifest["counts"],
            rows={name: int(about["rows"]) for name, about in manifest["files"].items()},
            units={"train": tuple(plan.of("train")), "heldout": tuple(plan.of("heldout"))},
            about=_about(manifest),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise OutputError(f"{out / MANIFEST}: is damaged ({error!r}); run the build again") from None


def _about(manifest: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """How the dataset was made, as lines for the page."""
    recipe = manifest["recipe"]
    sampling, pairing = recipe["sampling"], recipe["pairing"]
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    ratios = ", ".join(
        f"from {v['start_ratio']:g} {'with' if v['with_image'] else 'without'} the image"
        for v in recipe["dropout"]["variants"]
    )
    return (
        ("model", "; ".join(f"{name}, revision {revision}" for name, revision in models_of(manifest))),
        ("engine", str(recipe["engine"]["type"])),
        (
            "sampling",
            f"{sampling['samples']} samples a question, temperature {sampling['temperature']:g}, "
            f"top-p {sampling['top_p']:g}, top-k {sampling['top_k'] or 'off'}, at most {sampling['max_tokens']} tokens"
            + "".join(f", {name} {json.dumps(value)}" for name, value in later_settings(sampling).items()),
        ),
        (
            "pairs",
            f"at most {pairing['max_pairs']} a question; format pairs {_on(pairing['format_pairs'])}"
            + "".join(f", {name} {json.dumps(pairing[name])}" for name in sorted(PairingSpec.LATER & pairing.keys())),
        ),
        *_verifier(manifest),
        ("dropout", f"at most {recipe['dropout']['max_pairs']} a question; {ratios or 'no variant'}"),
        ("templates", ", ".join(f"{name} ({sha[:12]})" for name, sha in manifest["prompts"].items())),
        ("seed", str(recipe["seed"])),
        ("mmpr", str(manifest["mmpr"])),
        ("libraries", versions),
    )


def _verifier(manifest: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The model that unsure verdicts were put to, if any."""
    spec = manifest["recipe"].get("adjudicate")
    if not spec:
        return ()
    revision = manifest["adjudicate"]["model_revision"]
    model = f"{model_name(str(spec['model']['path']))}, revision {revision}, prompt {spec['prompt']}"
    return (("verifier", f"{model}; how often it is right was not measured"),)


def _on(setting: bool) -> str:
    return "on" if setting else "off"
