"""Kill the driver, or an engine's actor, again and again: every question is there once, with exactly K responses.

The replay engine (a fake, for faults only) stands in for the model: what is under test is Ray, the shards and resume.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mmpr.check.verify import verify
from mmpr.pipeline.progress import Steps
from mmpr.schema import PreferenceRow, Reject, Rollout
from mmpr.storage.tables import read_rows

pytestmark = pytest.mark.ray

RECIPE = """
name: faults
seed: 7
model: {path: none}
engine: {type: replay, actors: 2, cpus_per_actor: 0.5, units_in_flight: 3, request_timeout_s: 5, args: {delay_s: 0.4}}
sampling: {samples: 6}
unit_questions: 5
sources:
  - {name: digits, type: digits, split: train, questions: 120}
  - {name: open, type: digits, split: train, questions: 30, kinds: [describe], seed: 1}
  - {name: mine, type: jsonl, path: mine.jsonl}
heldout:
  - {name: heldout, type: digits, split: heldout, questions: 20}
"""
POISON = {
    "kill": "engine_killed",
    "block": "engine_killed",
    "hang": "engine_timeout",
    "refuse": "engine_refused",
    "short": "engine_short",
    "error": "engine_error",
}
"""What the replay engine is told to do over a question, and the reason under which the question is then dropped.

Every question that ends engines costs five starts of one; those that end it in other ways are in ``test_care``.
"""

LIMIT_S = 150


def start(recipe: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mmpr.build", str(recipe), "--out", str(out), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(recipe: Path, out: Path, *more: str) -> str:
    process = start(recipe, out, *more)
    output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, output
    return output


def check(out: Path) -> None:
    """What must be true of a build, whatever was done to it."""
    with Steps(sys.stderr) as steps:
        assert [str(problem) for problem in verify(out, steps)] == []
    assert not list(out.rglob("*.tmp"))
    assert not (out / "attempts").exists()


def contents(out: Path) -> dict[str, str]:
    return {name: about["sha256"] for name, about in json.loads((out / "manifest.json").read_text())["files"].items()}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "faults.yaml"
    path.write_text(RECIPE)
    rows = [{"question": f"What comes after {what}?", "answer": "1"} for what in POISON]
    (path.parent / "mine.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.fixture(scope="module")
def undisturbed(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    run(recipe, out, "engine.actors=1", "engine.args.delay_s=0")
    check(out)
    return contents(out)


def sampled(out: Path) -> int:
    return len(list((out / "rollouts").glob("part-*.parquet")))


def wait_for(condition, process: subprocess.Popen[str]) -> bool:
    """Wait until something has happened; False when the build ended before."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if condition():
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.05)
    raise AssertionError("nothing happened in time")


@pytest.mark.timeout(400)
def test_killing_the_driver_again_and_again_loses_and_repeats_nothing(recipe, undisturbed, tmp_path) -> None:
    out, dice, kills = tmp_path / "out", random.Random(3), 0
    for _ in range(3):
        before, process = sampled(out), start(recipe, out)
        if wait_for(lambda before=before: sampled(out) > before, process):
            time.sleep(dice.uniform(0, 2))
            kills += process.poll() is None
        process.kill()
        process.communicate()
    assert kills >= 2
    assert not (out / "manifest.json").exists()
    assert "resuming" in run(recipe, out, "engine.args.delay_s=0")
    check(out)
    assert contents(out) == undisturbed


def kill_engine_actors(process: subprocess.Popen[str]) -> int:
    """Kill a build's actors; one that ends while it is looked at, or is dead and not yet buried, does not count."""
    killed = 0
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "Generate" in " ".join(child.cmdline()):
                child.kill()
                killed += 1
    return killed


@pytest.mark.timeout(400)
def test_killing_engine_actors_again_and_again_loses_and_repeats_nothing(recipe, undisturbed, tmp_path) -> None:
    out = tmp_path / "out"
    process = start(recipe, out)
    kills, enough = 0, 1
    while kills < 3 and wait_for(lambda enough=enough: sampled(out) >= enough, process):
        enough = sampled(out) + 3
        kills += kill_engine_actors(process)
    output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, output
    assert kills >= 3
    assert "(raylet)" not in output  # what Ray says of it is in its log
    assert output.count("note: a process of Ray died") == 1
    assert "raylet" in (out / "logs" / "ray.log").read_text()
    check(out)
    assert contents(out) == undisturbed


@pytest.mark.timeout(300)
def test_sigterm_stops_cleanly_and_a_second_driver_is_refused(recipe, undisturbed, tmp_path) -> None:
    out = tmp_path / "out"
    process = start(recipe, out)
    assert wait_for(lambda: sampled(out) > 0, process)
    second = subprocess.run(
        [sys.executable, "-m", "mmpr.build", str(recipe), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 1
    assert "another build is running there" in second.stderr
    os.kill(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in output
    assert "Traceback" not in output
    run(recipe, out, "engine.args.delay_s=0")
    assert contents(out) == undisturbed


@pytest.mark.timeout(300)
def test_poisoned_questions_cost_their_own_responses_and_nothing_else(recipe, undisturbed, tmp_path) -> None:
    out = tmp_path / "out"
    faults = ", ".join(f"{kind}: after {kind}" for kind in POISON)
    run(recipe, out, "engine.args.delay_s=0", "engine.request_timeout_s=1", f"engine.args.faults={{{faults}}}")
    check(out)
    rejects = {row.id: row.reason for path in (out / "rejects").glob("sample-*") for row in read_rows(path, Reject)}
    assert sorted(rejects.values()) == sorted(POISON.values())
    differing = {name for name, digest in contents(out).items() if digest != undisturbed.get(name)}
    last = {name.rsplit("/", 1)[1] for name in differing if not name.startswith("rejects/")}
    assert last == {"part-00030-of-00032.parquet", "part-00031-of-00032.parquet"}  # those of the poisoned questions
    rollouts = [row for path in sorted((out / "rollouts").iterdir()) for row in read_rows(path, Rollout)]
    assert len(rollouts) == 150
    assert not {rollout.id for rollout in rollouts} & set(rejects)


@pytest.mark.timeout(300)
def test_redoing_later_stages_needs_no_engine_and_says_what_changed(recipe, undisturbed, tmp_path) -> None:
    out = tmp_path / "out"
    run(recipe, out, "engine.args.delay_s=0")
    rollouts = {path: path.stat().st_mtime_ns for path in (out / "rollouts").iterdir()}
    relaxed = run(recipe, out, "--from", "verify", "sources.digits.rule=exact", "pairing.max_pairs=2")
    assert {path: path.stat().st_mtime_ns for path in (out / "rollouts").iterdir()} == rollouts
    pairs = [row for path in sorted((out / "pairs").iterdir()) for row in read_rows(path, PreferenceRow)]
    assert max(len(row.pairs) for row in pairs if row.source == "digits") == 2
    assert "capped" in relaxed
    run(recipe, out, "--from", "verify")
    check(out)
    assert contents(out) == undisturbed
