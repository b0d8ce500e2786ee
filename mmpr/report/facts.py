"""What is known of a build before its rows: its manifest and plan; settings of other versions do no harm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmpr.errors import OutputError
from mmpr.plan import read_build
from mmpr.report.nouns import Kind, Measure
from mmpr.storage.manifest import read_manifest
from mmpr.storage.shards import Split, Unit


@dataclass(frozen=True, slots=True)
class Facts:
    """A finished build as its manifest tells it, or what is known of a release (``mmpr.report.release``).

    ``sources`` and ``heldout`` are names in the recipe's order. ``most_continued`` is how many responses of a question
    are continued at most, by source; ``variants`` how many times each.
    """

    out: Path
    name: str
    recipe: Mapping[str, Any]
    sources: tuple[str, ...]
    heldout: tuple[str, ...]
    format_pairs: bool
    variants: int
    most_continued: Mapping[str, int]
    counts: Mapping[str, Mapping[str, Mapping[str, int]]]
    rows: Mapping[str, int]
    units: Mapping[Split, tuple[Unit, ...]]
    about: tuple[tuple[str, str], ...]
    kind: Kind = "build"

    @property
    def measure(self) -> Measure:
        """What the lengths of responses are given in."""
        return "tokens" if self.kind == "build" else "characters"

    def count(self, stage: str, what: str, sources: tuple[str, ...] | None = None) -> int:
        """The manifest's count of ``what`` at a stage, over all or some sources."""
        return self.named(stage, what, sources).get(what, 0)

    def named(self, stage: str, prefix: str, sources: tuple[str, ...] | None = None) -> dict[str, int]:
        """The manifest's counts at a stage whose names begin so, over all or some sources, sorted by name."""
        found: dict[str, int] = {}
        for source, counts in self.counts.get(stage, {}).items():
            if sources is None or source in sources:
                for name, count in counts.items():
                    if name.startswith(prefix):
                        found[name] = found.get(name, 0) + count
        return dict(sorted(found.items()))


def read_facts(out: Path) -> Facts:
    """The facts of a finished build.

    Raises:
        OutputError: the folder holds no finished build, or its manifest lacks what every build has.
    """
    manifest = read_manifest(out)
    build = read_build(out)
    if build is None:
        raise OutputError(f"{out}: has a manifest and no plan (build.json); copy the whole build")
    try:
        recipe = manifest["recipe"]
        dropout = recipe["dropout"]
        default = int(dropout["max_pairs"])
        return Facts(
            out=out,
            name=str(recipe["name"]),
            recipe=recipe,
            sources=tuple(source["name"] for source in recipe["sources"]),
            heldout=tuple(source["name"] for source in recipe["heldout"]),
            format_pairs=bool(recipe["pairing"]["format_pairs"]),
            variants=len(dropout["variants"]),
            most_continued={s["name"]: default and int(s["max_pairs"] or default) for s in recipe["sources"]},
            counts=manifest["counts"],
            rows={name: int(about["rows"]) for name, about in manifest["files"].items()},
            units={"train": tuple(build.of("train")), "heldout": tuple(build.of("heldout"))},
            about=_about(manifest),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise OutputError(f"{out / 'manifest.json'}: is damaged ({error!r}); run the build again") from None


def _about(manifest: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What the data was made with, for a reader."""
    recipe = manifest["recipe"]
    model, sampling, pairing = recipe["model"], recipe["sampling"], recipe["pairing"]
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    ratios = ", ".join(
        f"from {v['start_ratio']:g} {'with' if v['with_image'] else 'without'} the image"
        for v in recipe["dropout"]["variants"]
    )
    return (
        ("model", f"{_model_name(str(model['path']))}, revision {manifest['model_revision']}"),
        ("engine", str(recipe["engine"]["type"])),
        (
            "sampling",
            f"{sampling['samples']} samples a question, temperature {sampling['temperature']:g}, "
            f"top-p {sampling['top_p']:g}, top-k {sampling['top_k'] or 'off'}, at most {sampling['max_tokens']} tokens",
        ),
        ("pairs", f"at most {pairing['max_pairs']} a question; format pairs {_on(pairing['format_pairs'])}"),
        ("dropout", f"at most {recipe['dropout']['max_pairs']} a question; {ratios or 'no variant'}"),
        ("templates", ", ".join(f"{name} ({sha[:12]})" for name, sha in manifest["prompts"].items())),
        ("seed", str(recipe["seed"])),
        ("mmpr", str(manifest["mmpr"])),
        ("libraries", versions),
    )


def _on(setting: bool) -> str:
    return "on" if setting else "off"


def _model_name(path: str) -> str:
    """A name on the hub as it is; of a folder its own name, not where it lies."""
    return path.rstrip("/").rsplit("/", 1)[-1] if path.startswith((".", "/")) else path
