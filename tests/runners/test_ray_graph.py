"""A build does not wait for ever for cores, what Ray says goes to a log, and its trouble does not hide the build's."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
import ray

from mmpr.config import EngineSpec
from mmpr.engine.lives import MOST_ATTEMPTS
from mmpr.errors import EngineError, MmprError, OutputError
from mmpr.pipeline.job import Job
from mmpr.pipeline.work import Left
from mmpr.runners import ray_graph, ray_session
from mmpr.runners.ray_graph import STAGE_CPUS, _cause, actor_pool, check_room
from mmpr.runners.ray_session import SideLog
from mmpr.storage.shards import Units
from tests.helpers import small_recipe

ONE, TWO = [{"CPU": 2.0}], [{"CPU": 2.0}, {"CPU": 2.0}, {}]
GPUS = [{"CPU": 8.0, "GPU": 2.0}]
ROOM = [
    pytest.param(ONE, {"actors": 1, "cpus_per_actor": 1}, "", id="fits"),
    pytest.param(ONE, {"actors": 1, "cpus_per_actor": 2 - STAGE_CPUS}, "", id="fits-just"),
    pytest.param(ONE, {"actors": 2, "cpus_per_actor": 1}, "the other stages 0.25", id="no-core-for-stages"),
    pytest.param(ONE, {"actors": 3, "cpus_per_actor": 1}, "3 engines want 1 each", id="too-many"),
    pytest.param(ONE, {"actors": 3, "cpus_per_actor": 0}, "", id="engines-that-take-nothing"),
    pytest.param(TWO, {"actors": 3, "cpus_per_actor": 1}, "", id="three-on-two-nodes"),
    pytest.param(TWO, {"actors": 4, "cpus_per_actor": 1}, "has 4 CPUs", id="two-nodes-no-core-for-stages"),
    pytest.param(TWO, {"actors": 1, "cpus_per_actor": 3}, "has 4 CPUs", id="too-big-for-a-node"),
    pytest.param(GPUS, {"actors": 2}, "", id="gpus-fit"),
    pytest.param(GPUS, {"actors": 4, "gpus_per_actor": 0.5}, "", id="halves-of-gpus-fit"),
    pytest.param(GPUS, {"actors": 20, "gpus_per_actor": 0.1}, "", id="tenths-of-gpus-fit"),
    pytest.param(GPUS, {"actors": 21, "gpus_per_actor": 0.1}, "has 2 GPUs", id="one-tenth-too-many"),
    pytest.param(GPUS, {"actors": 2, "tensor_parallel_size": 2}, "has 2 GPUs", id="too-few-gpus"),
    pytest.param(GPUS * 2, {"actors": 1, "tensor_parallel_size": 4}, "has 4 GPUs", id="too-few-gpus-on-a-node"),
]


@pytest.mark.parametrize(("nodes", "spec", "words"), ROOM)
@pytest.mark.parametrize("address", ["", "10.0.0.1:6379"], ids=["alone", "cluster"])
def test_engines_that_leave_no_room_are_refused_alone_and_told_of_on_a_cluster(
    nodes: list[dict[str, float]], spec: dict[str, float], words: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": node} for node in nodes])
    monkeypatch.setattr(ray, "cluster_resources", lambda: {name: 1 for node in nodes for name in node})
    wanted, told = EngineSpec.model_validate(spec), io.StringIO()
    if words and not address:
        with pytest.raises(EngineError, match=f"^this machine.*{words}.*RAY_ADDRESS"):
            check_room(wanted, told)
        return
    check_room(wanted, told)
    assert bool(words) == told.getvalue().startswith("note: the cluster has")
    assert words in told.getvalue()


@pytest.mark.parametrize(
    ("has", "spec", "takes"),
    [
        pytest.param({"CPU": 8}, {}, {"num_cpus": 1}, id="no-gpus"),
        pytest.param({"CPU": 8, "GPU": 2}, {}, {"num_gpus": 1}, id="a-gpu"),
        pytest.param({"CPU": 8, "GPU": 8}, {"tensor_parallel_size": 4}, {"num_gpus": 4}, id="tensor-parallel"),
        pytest.param({"CPU": 8, "GPU": 2}, {"gpus_per_actor": 0}, {"num_cpus": 1}, id="no-gpu-wanted"),
    ],
)
def test_an_engine_takes_gpus_or_cores(
    has: dict[str, float], spec: dict[str, float], takes: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: has)
    pool = actor_pool(EngineSpec.model_validate(spec))
    assert {name: value for name, value in pool.items() if name != "compute"} == takes


@pytest.mark.ray
def test_the_claim_of_a_dead_driver_lapses_soon() -> None:
    """Ray Data reads the time when it is imported; in this process something else may have done that."""
    claims = "ray.data._internal.cluster_autoscaler.rate_based_cluster_autoscaler"
    setting = "RateBasedClusterAutoscaler.AUTOSCALING_REQUEST_EXPIRE_TIME_S"
    show = f"import mmpr.runners.ray_graph, {claims} as c; print(c.{setting})"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split()[-1] == "30"


@pytest.mark.parametrize(
    ("deaths", "error"), [(MOST_ATTEMPTS, ""), (MOST_ATTEMPTS + 1, "unit 3 of 12 was begun 21 times")]
)
def test_a_stage_is_begun_again_only_so_often(deaths: int, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_graph, "_deaths", lambda: deaths)
    done = ray_graph._as_data(lambda unit: {"names": ["questions"], "counts": [unit.number]})(
        {"split": "train", "number": 3, "of": 12, "error": ""}
    )
    assert done["error"].startswith(error)
    assert done["counts"] == ([] if error else [3])


@pytest.mark.ray
def test_deaths_over_a_task_are_counted(tmp_path: Path) -> None:
    """With the real Ray Data, which begins a task again when its process dies."""

    def die_once(row: dict[str, int]) -> dict[str, int]:
        if not ray_graph._deaths():
            os._exit(1)
        return {"deaths": ray_graph._deaths()}

    with ray_session.session(tmp_path / "ray.log"):
        rows = ray.data.range(2, override_num_blocks=1).map(die_once, **ray_graph._LIGHT).take_all()
    assert rows == [{"deaths": 1}] * 2


def test_what_a_worker_raised_is_told_not_what_ray_advises() -> None:
    said = """ray::Map(Generate)() (pid=1, ip=10.0.0.1)
  File "x.py", line 1, in _start
    raise ValueError("shown as code")
PermissionError: [Errno 1] Operation not permitted: 'OUT/attempts/x.log'
The above exception was the direct cause of the following exception:
ray.exceptions.UserCodeException: Failed to process the following data block: ...
'To change retry attempts, backoff, or which errors are retried, configure `ray.data.DataContext.get_current()`.'"""
    assert _cause(said) == "PermissionError: [Errno 1] Operation not permitted: 'OUT/attempts/x.log'"
    assert _cause("nothing of the kind") == "nothing of the kind"


def test_what_is_said_is_appended(tmp_path: Path) -> None:
    for word in ("one", "two"):
        with SideLog(tmp_path / "logs" / "ray.log", sys.stderr) as file, contextlib.redirect_stderr(file):
            print(word, file=sys.stderr)
    assert (tmp_path / "logs" / "ray.log").read_text() == "one\ntwo\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_on_a_full_disk_does_not_hide_the_error(tmp_path: Path) -> None:
    (tmp_path / "ray.log").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="the true one"):
        fail_beside(tmp_path / "ray.log")


def fail_beside(log: Path) -> None:
    with SideLog(log, sys.stderr) as file:
        file.write("Ray says something\n" * 10_000)
        raise OutputError("the true one")


def test_a_log_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("no folder")
    with pytest.raises(OutputError, match=r"ray\.log: cannot be written"):
        SideLog(tmp_path / "logs" / "ray.log", sys.stderr)


def test_what_a_person_should_know_of_rays_words_is_told_once(tmp_path: Path) -> None:
    terminal = io.StringIO()
    with SideLog(tmp_path / "ray.log", terminal) as file:
        for _ in range(3):
            print("(raylet) Task failed due to oom: the node running low on memory.", file=file)
            print("(raylet) A worker died or was killed while executing a task", file=file)
            print("(raylet) something else", file=file)
    [memory, death] = terminal.getvalue().splitlines()
    assert memory.startswith("note: Ray ends processes, since memory runs low")
    assert death.startswith("note: a process of Ray died")
    assert all(line.endswith(f"({tmp_path / 'ray.log'})") for line in (memory, death))
    assert len((tmp_path / "ray.log").read_text().splitlines()) == 9


def test_ray_data_tells_its_errors_to_the_log_for_a_while(tmp_path: Path) -> None:
    """Twice, beside a handler of somebody else's, whose stream it leaves alone and which may be closed."""
    logger, theirs = logging.getLogger("ray.data"), io.StringIO()
    foreign = logging.StreamHandler(theirs)
    logger.addHandler(foreign)
    try:
        handlers = list(logger.handlers)
        streams = [handler.stream for handler in handlers if isinstance(handler, logging.StreamHandler)]
        assert len(streams) > 1
        for name in ("first.log", "second.log"):
            with SideLog(tmp_path / name, sys.stderr) as file, ray_session._ray_data_to(file):
                logging.getLogger("ray.data.exceptions").error("a long trace")
            assert (tmp_path / name).read_text().count("a long trace") == 1
            assert theirs.closed or not theirs.getvalue()
            assert set(logger.handlers) == set(handlers)
            assert [h.stream for h in handlers if isinstance(h, logging.StreamHandler)] == streams
            theirs.close()
    finally:
        logger.removeHandler(foreign)


def test_a_task_that_ray_ends_for_memory_again_and_again_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fails:
        def map(self, *_: object, **__: object) -> Fails:
            return self

        def iter_rows(self) -> None:
            raise ray.exceptions.OutOfMemoryError("Memory on the node was 7.50GB used / 7.80GB limit (0.96)")

    monkeypatch.setattr(ray_graph, "sample", lambda *_: Fails())
    monkeypatch.setattr(ray_graph, "_send_code", lambda _: None)
    units = Units("train", 1)
    left = Left(units, Units("train", 1, []), Units("heldout", 0), {})
    with pytest.raises(
        MmprError, match=r"memory runs low \(7.50GB used / 7.80GB limit\); give it more memory, or lower"
    ):
        ray_graph.run(Job(small_recipe(tmp_path), tmp_path, "replay", {}), "none", left, None, lambda _: None)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("short", None),
        ("x" * 100, "is too long for the names of sockets"),
        ("z\u00fcrich", "is not ASCII"),
        ("file", "cannot be written (File exists)"),
    ],
)
def test_ray_keeps_its_files_where_it_can(
    name: str, told: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        chosen = Path(short) / name
        chosen.mkdir()
        if name == "file":
            (chosen / "ray").touch()
        monkeypatch.setenv("RAY_TMPDIR", str(chosen))
        place = ray_session._temp_dir()
    assert (place is None) == (told is None)
    assert told is None or f"since {chosen} {told}" in capsys.readouterr().err


def test_a_place_that_nobody_has_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_session, "_unfit", lambda place: "cannot be written")
    with pytest.raises(MmprError, match="set RAY_TMPDIR to a folder that can be written"):
        ray_session._temp_dir()


@pytest.mark.ray
def test_a_local_cluster_wants_neither_a_home_nor_a_short_temporary_folder(tmp_path: Path) -> None:
    """As in a container of a user without a name, or on a cluster of SLURM. Nobody else is let in."""
    long = tmp_path / ("x" * 90)
    long.mkdir()
    code = textwrap.dedent("""
        import os, pathlib, subprocess, sys
        from mmpr.runners.ray_session import ray, session
        with session(pathlib.Path("ray.log")) as terminal:
            print(ray.get(ray.remote(lambda: 6 * 7).remote()), len(os.environ["RAY_AUTH_TOKEN"]), file=terminal)
            ask = f"import ray; ray.init({ray.get_runtime_context().gcs_address!r}, logging_level=50)"
            others = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
            other = subprocess.run([sys.executable, "-c", ask], env=others, capture_output=True, text=True)
            print(other.returncode, "InvalidAuthToken" in other.stderr, file=terminal)
    """)
    hidden = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = {**hidden, "HOME": "/proc/nobody", "TMPDIR": str(long)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    [note, *told] = done.stderr.splitlines()
    assert note.startswith("note: Ray's own files go to /tmp/ray")
    assert told == ["42 64", "1 True"]
