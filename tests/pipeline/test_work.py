"""What is left to do of a build, from names alone, is what a look at every file says."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpr.pipeline.work import WORK, what_is_left
from mmpr.schema import IndexedRow, Rollout
from mmpr.storage.shards import STAGES, Stage, Unit, Units, done, index_shard, is_done, shard, write_shard


def touch(out: Path, stage: Stage, unit: Unit) -> None:
    path = shard(out, stage, unit)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def some_build(out: Path, train: int, heldout: int, seed: int) -> None:
    """A build that was stopped anywhere, with strangers in its folders."""
    dice = random.Random(seed)
    for unit in Units("train", train):
        for stage in STAGES[: dice.randrange(len(STAGES) + 1)]:
            touch(out, stage, unit)
    for unit in Units("heldout", heldout):
        if dice.random() < 0.5:
            touch(out, "ingest", unit)
    strangers = ("part-00000-of-99999.parquet", f"part-99999-of-{train:05d}.parquet", ".part-00001-x.tmp", "notes.txt")
    for name in strangers:
        for stage in STAGES:
            path = shard(out, stage, Unit("train", 0, train)).with_name(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


@pytest.mark.parametrize("seed", range(5))
def test_names_say_what_files_say(seed: int, tmp_path: Path) -> None:
    train, heldout = Units("train", 40), Units("heldout", 7)
    some_build(tmp_path, len(train), len(heldout), seed)
    work = {"questions": list(range(40)), "to_judge": [3 * number for number in range(40)]}
    left = what_is_left(tmp_path, train, heldout, work)
    to_sample = [u for u in train if not (is_done(tmp_path, "sample", u) and is_done(tmp_path, "complete", u))]
    assert list(left.to_sample) == to_sample
    assert list(left.to_judge) == [u for u in train if u not in to_sample and not is_done(tmp_path, "pair", u)]
    assert list(left.heldout) == [u for u in heldout if not is_done(tmp_path, "ingest", u)]
    asked = sum(unit.number for unit in to_sample)
    assert left.totals == {"questions": asked, "to_judge": 3 * asked}
    assert left


def test_nothing_is_left_of_a_finished_build(tmp_path: Path) -> None:
    train = Units("train", 3)
    for unit in train:
        for stage in STAGES:
            touch(tmp_path, stage, unit)
    left = what_is_left(tmp_path, train, Units("heldout", 0), {name: [1, 2, 3] for name in WORK})
    assert not left
    assert left.totals == {"questions": 0, "to_judge": 0}


def test_an_index_of_an_earlier_version_is_asked_unit_by_unit(tmp_path: Path) -> None:
    train = Units("train", 4)
    for unit in train:
        write_shard(index_shard(tmp_path, unit), IndexedRow, [], {"questions": 10 + unit.number, "to_judge": 1})
    for stage in STAGES:
        touch(tmp_path, stage, train[2])
    left = what_is_left(tmp_path, train, Units("heldout", 0), {})
    assert left.totals == {"questions": 10 + 11 + 13, "to_judge": 3}


def test_shards_are_found_by_the_name_that_they_are_written_under(tmp_path: Path) -> None:
    units = Units("train", 120_000)
    for number in (0, 7, 99_999, 100_000, 119_999):
        write_shard(shard(tmp_path, "sample", units[number]), Rollout, [], {})
    assert [number for number, there in enumerate(done(tmp_path, "sample", units)) if there] == [
        0, 7, 99_999, 100_000, 119_999,
    ]  # fmt: skip


@settings(max_examples=60)
@given(st.lists(st.booleans(), max_size=40))
def test_units_are_a_sequence_like_a_list(wanted: list[bool]) -> None:
    listed = [Unit("train", number, len(wanted)) for number in range(len(wanted))]
    units: Sequence[Unit] = Units("train", len(wanted))
    assert list(units) == listed
    assert list(reversed(units)) == listed[::-1]
    assert list(units[1:3]) == listed[1:3]
    chosen = Units("train", len(wanted)).where(wanted)
    assert list(chosen) == [unit for unit, there in zip(listed, wanted, strict=True) if there]
    assert (listed[0] in units) if listed else not units
