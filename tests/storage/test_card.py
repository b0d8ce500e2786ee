"""The dataset card, as the hub and a reader take it."""

from __future__ import annotations

import copy
from collections import Counter

import yaml

from mmpr.storage.card import dataset_card
from mmpr.storage.counts import total
from tests.conftest import SmallBuild


def card_of(manifest: dict) -> str:
    rows: Counter[str] = Counter()
    for name, about in manifest["files"].items():
        rows[name.split("/")[0]] += about["rows"]
    return dataset_card(manifest, rows)


def parts(card: str) -> tuple[dict, str]:
    _, front, page = card.split("---\n", 2)
    return yaml.safe_load(front), page


def test_the_card_is_in_the_build(small_build: SmallBuild) -> None:
    assert (small_build.out / "README.md").read_text(encoding="utf-8") == card_of(small_build.manifest)


def test_the_hub_finds_each_part(small_build: SmallBuild) -> None:
    front, _ = parts(card_of(small_build.manifest))
    assert [(config["config_name"], config["default"]) for config in front["configs"]] == [
        ("pairs", True),
        ("rollouts", False),
        ("heldout", False),
    ]
    for config in front["configs"]:
        (files,) = config["data_files"]
        assert list(small_build.out.glob(files["path"]))
    assert [info["config_name"] for info in front["dataset_info"]] == ["pairs", "rollouts", "heldout"]
    assert front["size_categories"] == ["n<1K"]


def test_the_cards_features_are_those_of_the_shards(small_build: SmallBuild) -> None:
    from datasets import DatasetInfo, Features

    from mmpr.schema import PreferenceRow, Question, Rollout
    from mmpr.storage.tables import hub_features

    front, _ = parts(card_of(small_build.manifest))
    for info, noun in zip(front["dataset_info"], (PreferenceRow, Rollout, Question), strict=True):
        read = DatasetInfo._from_yaml_dict(info).features
        assert read == Features.from_dict(hub_features(noun))


def test_the_page_tells_the_numbers(small_build: SmallBuild) -> None:
    manifest = small_build.manifest
    _, page = parts(card_of(manifest))
    pairs = manifest["counts"]["pair"]
    flat = " ".join(page.split())
    rows = sum(about["rows"] for name, about in manifest["files"].items() if name.startswith("pairs/"))
    assert f"{rows:,} questions with {total(pairs, 'pairs/'):,} pairs" in flat
    for source in ("digits", "easy-vqa", "open", "own"):
        asked = manifest["counts"]["ingest"][source]["questions"]
        responses = manifest["counts"]["sample"][source]["responses"]
        assert f"| {source} | {asked:,} | {responses:,} | {total(pairs, 'pairs/', [source]):,} |" in page
    assert "heldout |" not in page


def test_no_heldout_no_config_for_it(small_build: SmallBuild) -> None:
    manifest = copy.deepcopy(small_build.manifest)
    manifest["files"] = {name: about for name, about in manifest["files"].items() if not name.startswith("heldout/")}
    front, _ = parts(card_of(manifest))
    assert [config["config_name"] for config in front["configs"]] == ["pairs", "rollouts"]


def test_a_models_path_does_not_tell_where_it_lay(small_build: SmallBuild) -> None:
    manifest = copy.deepcopy(small_build.manifest)
    for path, shown in (("/home/someone/models/mine", "`mine`"), ("org/name", "`org/name`"), ("./a/b/", "`b`")):
        manifest["recipe"]["model"]["path"] = path
        card = card_of(manifest)
        assert shown in card
        assert "/home" not in card


def test_size_categories(small_build: SmallBuild) -> None:
    manifest = copy.deepcopy(small_build.manifest)
    name = next(name for name in manifest["files"] if name.startswith("pairs/"))
    others = sum(a["rows"] for n, a in manifest["files"].items() if n.startswith("pairs/") and n != name)
    for rows, category in (
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (999_999, "100K<n<1M"),
        (10**6, "1M<n<10M"),
        (10**9, "1B<n<10B"),
    ):
        manifest["files"][name]["rows"] = rows - others
        assert parts(card_of(manifest))[0]["size_categories"] == [category]
