"""Units enter the graph in order, each as a block of its own, and only so far ahead of what is done."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from mmpr.runners import ray_feed
from mmpr.storage.shards import Units, shard


def numbers(blocks: Any, count: int) -> list[int]:
    return [next(blocks)["number"].to_pylist()[0] for _ in range(count)]


def test_a_unit_waits_for_the_one_far_enough_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    units = Units("train", 5)
    monkeypatch.setattr(ray_feed, "_LOOK_EVERY_S", 0.01)
    blocks = ray_feed._entering(units, tmp_path, "pair", 3)()
    assert numbers(blocks, 3) == [0, 1, 2]
    entered: list[int] = []
    waiting = threading.Thread(target=lambda: entered.extend(numbers(blocks, 2)))
    waiting.start()
    waiting.join(0.1)
    assert entered == []
    (tmp_path / "pairs").mkdir()
    for number in (1, 0):  # the second one alone does not help
        shard(tmp_path, "pair", units[number]).touch()
    waiting.join(10)
    assert entered == [3, 4]
    assert next(blocks, None) is None


@pytest.mark.ray
@pytest.mark.timeout(200)
def test_a_killed_feed_neither_loses_nor_repeats_a_unit(tmp_path: Path) -> None:
    from mmpr.runners import ray_session

    count, kill_at = 24, (3, 11)
    (tmp_path / "pairs").mkdir()

    def done(row: dict[str, Any]) -> dict[str, Any]:
        shard(tmp_path, "pair", Units("train", count)[row["number"]]).touch()
        return row

    seen, killed = [], set()
    with ray_session.session(tmp_path / "ray.log"):
        rows = ray_feed.units_as_rows(Units("train", count), tmp_path, "pair", 4).map(done, num_cpus=0.25)
        for row in rows.iter_rows():
            seen.append(row["number"])
            if len(seen) in kill_at:
                killed |= kill_feeds()
    assert sorted(seen) == list(range(count))
    assert killed


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):  # it may have ended since it was listed
        return " ".join(process.cmdline())
    return ""


def kill_feeds() -> set[int]:
    """Kill the processes of this session that run a feed; returns their ids."""
    feeds = [child for child in psutil.Process().children(recursive=True) if "ReadUnits" in _command(child)]
    for child in feeds:
        child.kill()
    return {child.pid for child in feeds}


@pytest.mark.ray
@pytest.mark.timeout(200)
def test_every_unit_is_a_block_and_ray_keeps_no_record_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmpr.runners import ray_session

    kept: list[int] = []

    class Watches(ray_feed._ForgetsBlocks):
        def on_execution_step(self, executor: Any) -> None:
            super().on_execution_step(executor)
            kept.append(sum(len(records) for op in executor._topology for records in op.get_stats().values()))

    monkeypatch.setattr(ray_feed, "_ForgetsBlocks", Watches)
    with ray_session.session(tmp_path / "ray.log"):
        rows = ray_feed.units_as_rows(Units("train", 30), tmp_path, "pair", 30)
        seen = list(
            rows.map_batches(lambda batch: {**batch, "rows": [len(batch["number"])]}, num_cpus=0.25).iter_rows()
        )
    # They enter in order; a stage may end with one before another.
    assert sorted((row["number"], row["of"], row["split"], row["error"]) for row in seen) == [
        (number, 30, "train", "") for number in range(30)
    ]
    assert {row["rows"] for row in seen} == {1}
    assert kept
    assert max(kept) == 0
