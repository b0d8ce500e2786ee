"""Jobs run in order and beside each other, once; what failed or was stopped goes on with the same call.

The commands here are a fake: a script that notes when it ran, and writes its result unless it is told to fail.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from benchmarks.prove.jobs import Job
from benchmarks.prove.work import run_all
from mmpr.errors import MmprError

FAKE = """
import os, sys, time
from pathlib import Path
name, result, log = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
with log.open("a") as file: file.write(f"begin {name}\\n")
print("threads", os.environ["OMP_NUM_THREADS"])
if (log.parent / f"break-{name}").exists():
    sys.exit("it broke")
time.sleep(60 if name == "slow" else 0.6)
with log.open("a") as file: file.write(f"end {name}\\n")
if not (log.parent / f"empty-{name}").exists():
    result.write_text("done")
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.prove.work._POLL_S", 0.02)


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.script = path / "fake.py"
        self.script.write_text(FAKE)
        self.said: list[str] = []

    def job(self, name: str, *needs: str) -> Job:
        words = (name, str(self.path / f"{name}.result"), str(self.path / "order"))
        return Job(name, "train", words, self.path / f"{name}.result", self.path / f"{name}.log", needs)

    def run(self, jobs: list[Job], at_once: int = 2) -> None:
        run_all(jobs, at_once, self.said.append, (sys.executable, str(self.script)))

    @property
    def order(self) -> list[str]:
        path = self.path / "order"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_what_needs_waits_and_the_rest_runs_beside_it(folder: Folder) -> None:
    folder.run([folder.job("a"), folder.job("b", "a"), folder.job("c")])
    order = folder.order
    assert order.index("begin c") < order.index("end a"), "two at once, and b has to wait"
    assert order.index("end a") < order.index("begin b")
    assert len(order) == 6
    assert [line.split()[0] for line in folder.said] == ["1/3", "2/3", "3/3"]
    assert folder.said[-1].endswith(" 0 min left")


def test_no_more_than_so_many_at_once(folder: Folder) -> None:
    folder.run([folder.job("a"), folder.job("b")], at_once=1)
    assert folder.order == ["begin a", "end a", "begin b", "end b"]


def test_what_is_done_is_not_done_again(folder: Folder) -> None:
    jobs = [folder.job("a"), folder.job("b", "a")]
    folder.run(jobs)
    before = folder.order
    folder.run(jobs)
    assert folder.order == before
    jobs[1].result.unlink()
    folder.run(jobs)
    assert folder.order == [*before, "begin b", "end b"]


def test_a_failure_is_told_with_the_logs_end_and_the_same_call_goes_on(folder: Folder) -> None:
    (folder.path / "break-a").touch()
    jobs = [folder.job("a"), folder.job("b"), folder.job("c", "a"), folder.job("d")]
    with pytest.raises(MmprError, match=r"a: ended with status 1; .*a\.log ends with\n(.*\n)*    it broke"):
        folder.run(jobs)
    assert folder.order == ["begin a", "begin b", "end b"] or folder.order == ["begin b", "begin a", "end b"]
    (folder.path / "break-a").unlink()
    folder.run(jobs)
    assert sorted(line for line in folder.order if line.startswith("end")) == ["end a", "end b", "end c", "end d"]


def test_a_command_that_ends_well_without_its_result_has_failed(folder: Folder) -> None:
    (folder.path / "empty-a").touch()
    with pytest.raises(MmprError, match="ended with status 0"):
        folder.run([folder.job("a"), folder.job("b", "a")])
    assert "begin b" not in folder.order


def test_when_stopped_the_running_jobs_are_stopped_too(folder: Folder) -> None:
    def stop(line: str) -> None:
        raise KeyboardInterrupt

    jobs = [folder.job("slow"), folder.job("a"), folder.job("b")]
    started_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_all(jobs, 2, stop, (sys.executable, str(folder.script)))
    assert time.monotonic() - started_s < 30
    assert sorted(folder.order) == ["begin a", "begin slow", "end a"]
    folder.run(jobs[1:])
    assert sum(line.startswith("end") for line in folder.order) == 2
