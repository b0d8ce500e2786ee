"""The numbers add up: every stage in its parts, every count against the manifest and against the rejects."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mmpr.report.contents import Flow
from mmpr.report.load.build import rejected_rows
from mmpr.report.load.info import read_build_info
from mmpr.report.load.units import read_unit
from mmpr.report.measure.dataset_statistics import Statistics
from mmpr.report.measure.flow import build_flow
from mmpr.schema import PreferenceRow, Reject, Verdicts
from mmpr.storage.shards import write_json
from mmpr.storage.tables import read_rows
from tests.conftest import SmallBuild
from tests.helpers import OWN_REJECTS, build_without_ray, small_recipe


def flow_of(out: Path) -> Flow:
    info = read_build_info(out)
    stats = Statistics(info)
    for unit in info.units["train"]:
        stats.add(read_unit(out, unit))
    return build_flow(info, stats, rejected_rows(info))


def parts(flow: Flow, stage: str) -> dict[str, int]:
    [found] = [item for item in flow.stages if item.key == stage]
    return {part.key: part.count for part in found.parts}


def assert_adds_up(flow: Flow) -> None:
    for stage in flow.stages:
        assert stage.total == sum(part.count for part in stage.parts), stage
    assert not [check for check in flow.checks if not check.agrees]
    keys = {stage.key for stage in flow.stages}
    assert {part.to for stage in flow.stages for part in stage.parts if part.to} <= keys


def test_the_numbers_of_a_build_add_up(small_build: SmallBuild) -> None:
    flow = flow_of(small_build.out)
    assert_adds_up(flow)
    assert len(flow.checks) > 20
    rejects = [row for path in (small_build.out / "rejects").glob("*.parquet") for row in read_rows(path, Reject)]
    dropped = parts(flow, "rows") | parts(flow, "taken")
    assert {reason: dropped[reason] for reason in OWN_REJECTS} == OWN_REJECTS
    assert sum(OWN_REJECTS.values()) == sum(reject.stage == "ingest" for reject in rejects)
    assert parts(flow, "responses").get("unsure", 0) == sum(reject.stage == "verify" for reject in rejects)


def test_stages_are_what_the_rows_say(small_build: SmallBuild) -> None:
    """Against a count by the nouns themselves, row by row."""
    out, flow = small_build.out, flow_of(small_build.out)
    rows = [row for path in (out / "pairs").glob("*.parquet") for row in read_rows(path, PreferenceRow)]
    verdicts = [row for path in (out / "verdicts").glob("*.parquet") for row in read_rows(path, Verdicts)]
    methods = Counter(pair.method for row in rows for pair in row.pairs)
    statuses = Counter(verdict.status for row in verdicts for verdict in row.verdicts)
    assert {key: parts(flow, "possible")[key] for key in methods} == methods
    assert {key: parts(flow, "responses")[key] for key in statuses} == statuses
    assert parts(flow, "asked")["paired"] == len(rows)


@pytest.mark.parametrize(
    "overrides",
    [
        ("pairing.format_pairs=false",),
        ("dropout.max_pairs=0",),
        ("dropout.max_pairs=3", "pairing.max_pairs=2"),
        ("dropout.variants=[{start_ratio: 0.5}, {start_ratio: 0.0, with_image: true}]", "dropout.max_pairs=9"),
        ("sampling.samples=1",),
    ],
)
def test_other_recipes_add_up(overrides: tuple[str, ...], tmp_path: Path) -> None:
    build_without_ray(small_recipe(tmp_path, *overrides), tmp_path / "out")
    assert_adds_up(flow_of(tmp_path / "out"))


@pytest.mark.parametrize("stage", ["pair", "verify", "sample", "index"])
def test_a_number_of_the_manifest_that_is_not_so_is_told(stage: str, small_build: SmallBuild, tmp_path: Path) -> None:
    import json
    import shutil

    out = tmp_path / "out"
    shutil.copytree(small_build.out, out)
    manifest = json.loads((out / "manifest.json").read_text())
    source = next(name for name, counts in manifest["counts"][stage].items() if counts)
    what = next(name for name in manifest["counts"][stage][source] if not name.startswith("prompt"))
    manifest["counts"][stage][source][what] += 1
    write_json(out / "manifest.json", manifest)
    flow = flow_of(out)
    broken: list[object] = [
        stage.key for stage in flow.stages if stage.total != sum(part.count for part in stage.parts)
    ]
    assert broken or [check for check in flow.checks if not check.agrees]
