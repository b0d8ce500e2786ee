"""The dataset card, ``OUT/README.md``: what the hub reads, and a page for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import yaml

from mmpr.audit.precision import Precision
from mmpr.schema import PreferenceRow, Question, Rollout, Word
from mmpr.storage.counts import METHODS, total
from mmpr.storage.markdown import code
from mmpr.storage.shards import MANIFEST
from mmpr.storage.tables import hub_features

CARD = "README.md"

# The hub's own names of sizes.
_SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
)


def dataset_card(manifest: dict[str, Any], rows: Mapping[str, int]) -> str:
    """The card: front matter that the hub and ``datasets.load_dataset`` read, then a page for people.

    ``rows`` are the numbers of rows by folder; a folder that is not named has none.
    """
    recipe, counts = manifest["recipe"], manifest["counts"]
    paired = rows.get("pairs", 0)
    configs = [("pairs", "train", PreferenceRow), ("rollouts", "train", Rollout)]
    if rows.get("heldout"):
        configs.append(("heldout", "test", Question))
    front = {
        "pretty_name": f"MMPR {recipe['name']}",
        "license": "other",
        "task_categories": ["image-text-to-text", "visual-question-answering"],
        "tags": ["preference", "mmpr", "mpo", "dpo", "multimodal", "reasoning"],
        "size_categories": [next((name for most, name in _SIZES if paired < most), "1B<n<10B")],
        "configs": [
            {
                "config_name": name,
                "default": name == "pairs",
                "data_files": [{"split": split, "path": f"{name}/*.parquet"}],
            }
            for name, split, _ in configs
        ],
        "dataset_info": [{"config_name": name, "features": _yaml_fields(noun)} for name, _, noun in configs],
    }
    methods = {method: total(counts["pair"], f"pairs/{method}") for method in METHODS}
    models = " and ".join(f"{code(name)} (revision {code(revision)})" for name, revision in models_of(manifest))
    by_word = f", {methods['adjudicated']:,} by the word of a verifier model" if methods["adjudicated"] else ""
    sources = "\n".join(
        f"| {source} | {total(counts['ingest'], 'questions', [source]):,} "
        f"| {total(counts['sample'], 'responses', [source]):,} | {total(counts['pair'], 'pairs/', [source]):,} |"
        for source in sorted(spec["name"] for spec in recipe["sources"])
    )
    return f"""---
{yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip()}
---

# MMPR {recipe["name"]}

Multimodal reasoning preference data: {paired:,} questions with {sum(methods.values()):,} pairs
({methods["correctness"]:,} by correctness, {methods["format"]:,} by format, {methods["dropout"]:,} by dropout
continuation{by_word}), sampled from {models}.
{_adjudicated(manifest)}{_audited(manifest)}
| source | questions | responses | pairs |
|---|---|---|---|
{sources}

A row of `pairs/` is a question with its pairs: `images` and `responses` stand in it once, `pairs` holds positions in
`responses`. `mmpr.load_pairs(folder)` gives one row a pair. `rollouts/` holds every sampled response,
`rejects/` everything that was dropped, with its reason; `{MANIFEST}` the recipe, all counts and checksums.

Pictures and questions keep the licences of their sources.
"""


def _adjudicated(manifest: dict[str, Any]) -> str:
    """A paragraph on the verifier of a build that has one."""
    spec = manifest["recipe"].get("adjudicate")
    if not spec:
        return ""
    said = ", ".join(f"{total(manifest['counts']['adjudicate'], word):,} {word}" for word in get_args(Word))
    return f"""
Where the judge was unsure, the model {code(model_name(spec["model"]["path"]))} (revision
{code(manifest["adjudicate"]["model_revision"])}, prompt {code(spec["prompt"])}) was asked: {said}. A pair with a
side that stands on its word has the method `adjudicated`. How often it is right was not measured.
"""


def _audited(manifest: dict[str, Any]) -> str:
    """A paragraph on what people found of the judge's verdicts, if any looked."""
    told = manifest.get("audit")
    if not told or not told["sides"]:
        return ""
    sides = [Precision(**side) for side in told["sides"]]
    said = "; ".join(f"{side.side} {side.in_words()}" for side in sides if side.share is not None)
    return f"""
Checked by {told["people"]} {"person" if told["people"] == 1 else "people"}, the share of right verdicts: {said}.
"""


def models_of(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a build was sampled from: public name and revision of each model, those of merged builds once."""
    parts = manifest.get("parts") or [manifest]
    return list(
        dict.fromkeys((model_name(str(part["recipe"]["model"]["path"])), str(part["model_revision"])) for part in parts)
    )


def model_name(path: str) -> str:
    """What a model is called in public: its name on the hub, or the name of its folder without the path to it."""
    return path.rstrip("/").rsplit("/", 1)[-1] if path.startswith((".", "/")) else path


def _yaml_fields(noun: type) -> list[dict[str, Any]]:
    """The features of a row type, as the card's ``dataset_info`` writes them."""
    return [{"name": name, **_yaml_field(feature)} for name, feature in hub_features(noun).items()]


def _yaml_field(feature: dict[str, Any]) -> dict[str, Any]:
    if feature.get("_type") == "Image":
        return {"dtype": "image"}
    if feature.get("_type") == "Value":
        return {"dtype": feature["dtype"]}
    if feature.get("_type") == "List":
        inner = _yaml_field(feature["feature"])
        return {"list": inner.get("dtype", inner.get("struct", inner))}
    return {"struct": [{"name": name, **_yaml_field(part)} for name, part in feature.items()]}
