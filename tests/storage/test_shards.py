"""Shards are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpr.errors import OutputError
from mmpr.schema import Reject
from mmpr.storage import shards
from mmpr.storage.shards import (
    STAGES,
    Unit,
    add_counts,
    folder,
    index_shard,
    is_done,
    locked,
    rejects_shard,
    remove_stage,
    remove_temporaries,
    shard,
    stage_counts,
    write_json,
    write_rejects,
    write_shard,
    write_text,
)
from mmpr.storage.tables import read_counts, read_rows

OLD = [Reject("pair", "s", str(i), "old") for i in range(3)]
NEW = [Reject("pair", "s", str(i), "new") for i in range(3000)]
UNIT = Unit("train", 7, 120)


def files(out: Path) -> list[str]:
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())


def test_names_tell_the_unit() -> None:
    out = Path("out")
    assert [shard(out, stage, UNIT) for stage in STAGES] == [
        out / name / "part-00007-of-00120.parquet"
        for name in ("questions", "rollouts", "completions", "verdicts", "adjudications", "pairs")
    ]
    heldout = Unit("heldout", 0, 1)
    assert shard(out, "ingest", heldout) == out / "heldout/part-00000-of-00001.parquet"
    assert index_shard(out, heldout) == out / "index/heldout/part-00000-of-00001.parquet"
    assert rejects_shard(out, "ingest", heldout) != rejects_shard(out, "ingest", Unit("train", 0, 1))


def test_a_shard_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.parquet"
    write_shard(path, Reject, OLD, {"s/x": 1})
    write_shard(path, Reject, NEW, {"s/x": 2})
    assert list(read_rows(path, Reject)) == NEW
    assert read_counts(path) == {"s/x": 2}
    assert files(tmp_path) == ["deep/a.parquet"]


class _StopError(Exception):
    pass


@pytest.mark.parametrize("before", [0, 1, 2999])
@pytest.mark.parametrize("error", [_StopError, KeyboardInterrupt, MemoryError])
def test_an_exception_in_the_middle_leaves_what_was_there(
    before: int, error: type[BaseException], tmp_path: Path
) -> None:
    def rows() -> Iterator[Reject]:
        yield from NEW[:before]
        raise error

    path = tmp_path / "a.parquet"
    with pytest.raises(error):
        write_shard(path, Reject, rows(), {})
    assert files(tmp_path) == []
    write_shard(path, Reject, OLD, {})
    with pytest.raises(error):
        write_shard(path, Reject, rows(), {})
    assert list(read_rows(path, Reject)) == OLD
    assert files(tmp_path) == ["a.parquet"]


# A process that ends without a word at the N-th step that it takes to write a shard.
DIES = """
import os, sys, builtins
from pathlib import Path
from mmpr.storage import shards, tables
from mmpr.schema import Reject

path, die_at, die_of = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
steps = []

def step(name):
    steps.append(name)
    if len(steps) == die_at:
        os._exit(77) if die_of == "exit" else os.kill(os.getpid(), 9)

def watched(name, call):
    def run(*args, **kwargs):
        step("before " + name)
        result = call(*args, **kwargs)
        step("after " + name)
        return result
    return run

os.fsync = watched("fsync", os.fsync)
Path.mkdir = watched("mkdir", Path.mkdir)
Path.replace = watched("rename", Path.replace)
Path.unlink = watched("unlink", Path.unlink)
writer = tables.pq.ParquetWriter
writer.write_table = watched("write", writer.write_table)
writer.close = watched("close", writer.close)
tables.ROW_GROUP_BYTES = 10_000
shards.write_shard(path, Reject, [Reject("pair", "s", str(i), "new") for i in range(3000)], {"s/n": 3000})
print(*steps, sep="\\n")
"""


def dies(path: Path, at: int, of: str = "exit") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", DIES, str(path), str(at), of], capture_output=True, text=True, timeout=60
    )


def test_a_process_that_dies_leaves_a_whole_shard_or_none(tmp_path: Path) -> None:
    steps = dies(tmp_path / "clean" / "a.parquet", 0).stdout.splitlines()
    assert [name for name in steps if name.startswith("before")].count("before write") > 2
    renamed = steps.index("after rename") + 1
    assert steps.index("before fsync") < renamed < len(steps) - 2  # the file before, its folder after
    # one of each kind of step, all of them around the renaming
    first = {name: place for place, name in reversed(list(enumerate(steps, 1)))}
    points = sorted({*first.values(), renamed + 1})
    for at in points:
        out = tmp_path / str(at)
        path = out / "a.parquet"
        if at % 2:
            write_shard(path, Reject, OLD, {"s/n": 3})
        done = dies(path, at, of="exit" if at % 3 else "kill")
        assert done.returncode in (77, -9), done.stderr
        if at >= renamed:
            assert list(read_rows(path, Reject)) == NEW
            assert read_counts(path) == {"s/n": 3000}
        elif at % 2:
            assert list(read_rows(path, Reject)) == OLD
        else:
            assert not path.exists()
        remove_temporaries(out) if out.exists() else None
        assert files(out) == (["a.parquet"] if path.exists() else [])


def test_leftovers_are_no_shards_and_are_removed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_shard(shard(out, "pair", UNIT), Reject, OLD, {})
    done = dies(shard(out, "sample", UNIT), 6)
    assert done.returncode == 77
    left = [name for name in files(out) if "/." in name]
    assert len(left) == 1
    assert not is_done(out, "sample", UNIT)
    assert not list((out / "rollouts").glob("part-*"))
    remove_temporaries(out)
    assert files(out) == ["pairs/part-00007-of-00120.parquet"]


WRITES = (
    lambda path: write_shard(path, Reject, NEW, {}),
    lambda path: write_text(path, "x" * 100_000),
    lambda path: write_json(path, {"x": "y" * 100_000}),
)


@pytest.mark.parametrize("write", WRITES)
def test_a_disk_that_takes_no_more_is_an_output_error(write, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"a: cannot be written: .*[Ff]ile too large"):
            write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_text() == "before"
    assert files(tmp_path) == ["a"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_an_output_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(temporary: Path, *_: object) -> None:
        with open("/dev/full", "wb", buffering=0) as file:
            file.write(b"x")

    monkeypatch.setattr(shards, "write_parquet", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_shard(tmp_path / "a.parquet", Reject, NEW, {})


@pytest.mark.parametrize("write", WRITES)
def test_a_file_where_a_folder_must_be_is_an_output_error(write, tmp_path: Path) -> None:
    (tmp_path / "pairs").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path / "pairs" / "a.parquet")
    with pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path / "pairs" / "deep" / "a.parquet")


def test_an_output_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(OutputError, match="cannot be written"), locked(out):
            pass


@pytest.mark.parametrize("more", ["", "deep/er"])
@pytest.mark.parametrize("target", ["nowhere/at-all", "link"], ids=["dangling", "loop"])
def test_a_link_to_nowhere_is_told_and_nothing_is_made(target: str, more: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(target)
    with (
        pytest.raises(OutputError, match=rf"link: is a link to nowhere \({target}\)"),
        locked(tmp_path / "link" / more),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_a_link_to_a_folder_is_that_folder(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    with locked(tmp_path / "link" / "out"):
        assert (tmp_path / "there" / "out").is_dir()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_and_used(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(tmp_path):
        write_text(tmp_path / "a", "whole")
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {tmp_path}: its file system has no locks ({os.strerror(number)})")
    assert "start one at a time" in line


def test_a_lock_that_fails_otherwise_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OutputError, match="cannot be locked: broken"), locked(tmp_path):
        pass


HOLDS = """
import sys, time
from pathlib import Path
from mmpr.storage.shards import locked
with locked(Path(sys.argv[1])):
    if len(sys.argv) > 2:
        import subprocess
        child = subprocess.Popen(["sleep", "60"])
        print(child.pid, flush=True)
    print("held", flush=True)
    time.sleep(60)
"""


def held(out: Path, *more: str) -> tuple[subprocess.Popen[str], list[str]]:
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(out), *more], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = [process.stdout.readline().strip()]
    while said[-1] != "held":
        said.append(process.stdout.readline().strip())
    return process, said


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_refuses_a_second_and_dies_with_its_holder(sent: signal.Signals, tmp_path: Path) -> None:
    process, _ = held(tmp_path)
    try:
        with pytest.raises(OutputError, match="another build is running there"), locked(tmp_path):
            pass
    finally:
        process.send_signal(sent)
        process.wait()
    with locked(tmp_path):
        pass


def test_a_child_that_outlives_the_holder_does_not_keep_the_lock(tmp_path: Path) -> None:
    process, said = held(tmp_path, "child")
    try:
        process.kill()
        process.wait()
        with locked(tmp_path):
            pass
    finally:
        os.kill(int(said[0]), signal.SIGKILL)


def test_the_lock_is_let_go_after_an_error_and_holds_in_one_process_too(tmp_path: Path) -> None:
    def fail() -> None:
        with pytest.raises(OutputError), locked(tmp_path):
            pass
        raise _StopError

    with pytest.raises(_StopError), locked(tmp_path):
        fail()
    with locked(tmp_path):
        pass


def test_rejects_stand_beside_the_shard(tmp_path: Path) -> None:
    write_rejects(tmp_path, "pair", UNIT, OLD)
    assert list(read_rows(rejects_shard(tmp_path, "pair", UNIT), Reject)) == OLD
    write_rejects(tmp_path, "pair", UNIT, [])
    assert files(tmp_path) == []


def test_a_stage_is_forgotten_with_its_rejects_alone(tmp_path: Path) -> None:
    for stage in STAGES:
        write_shard(shard(tmp_path, stage, UNIT), Reject, OLD, {"s/n": 3})
        write_rejects(tmp_path, stage, UNIT, OLD)
    remove_stage(tmp_path, "pair")
    assert not is_done(tmp_path, "pair", UNIT)
    assert len(files(tmp_path)) == 2 * len(STAGES) - 2
    assert not folder(tmp_path, "pair").exists()


def test_counts_add_up_over_the_units_that_are_there(tmp_path: Path) -> None:
    units = [Unit("train", i, 3) for i in range(3)]
    for unit in units[:2]:
        write_shard(shard(tmp_path, "pair", unit), Reject, [], {"s/n": unit.number + 1, f"s/{unit.number}": 1})
    assert stage_counts(tmp_path, "pair", units) == {"s/n": 3, "s/0": 1, "s/1": 1}


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 9))))
def test_adding_counts(many: list[dict[str, int]]) -> None:
    total: dict[str, int] = {}
    for counts in many:
        add_counts(total, counts)
    assert total == {n: sum(c.get(n, 0) for c in many) for n in {name for c in many for name in c}}


def test_json_and_text_are_written_as_utf8(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"名": "🙂"})
    assert json.loads((tmp_path / "a.json").read_bytes().decode()) == {"名": "🙂"}
    assert "🙂" in (tmp_path / "a.json").read_text(encoding="utf-8")
    write_text(tmp_path / "a.txt", "a\ud800b")
    assert (tmp_path / "a.txt").read_text() == "a\\ud800b"
