"""A short run of the fuzzers, and proof that they see a crash, a hang and memory without bound."""

from __future__ import annotations

import argparse
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from benchmarks.fuzz import files
from benchmarks.fuzz.__main__ import Heard, main, run_worker
from benchmarks.fuzz.targets import TARGETS, input_of
from mmpr.errors import MmprError

pytestmark = pytest.mark.slow

INPUTS = {"pictures": 600, "answers": 60, "recipes": 60}
SOME = 150
SKIPPED_FIXED = 10**9  # numbers from here on are mutations


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_are_taken_or_refused(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    files.prepare(tmp_path)
    taken = refused = 0
    for number in range(INPUTS.get(name, SOME)):
        data = input_of(target, [], 11, SKIPPED_FIXED + number)
        try:
            taken += target.check(data, tmp_path)
        except MmprError:
            refused += 1
    assert taken > 0 or name == "recipes"  # of which hardly any is still right
    assert refused < INPUTS.get(name, SOME)


@pytest.mark.parametrize("name", ["jsonl", "meta.json", "pairs", "benchmarks", "templates", "parquet", "arrow"])
def test_real_files_are_taken(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    files.prepare(tmp_path)
    assert target.check(target.seeds()[0], tmp_path)


def test_an_input_follows_from_its_number() -> None:
    for target in islice(TARGETS.values(), 4):
        fixed = list(islice(target.fixed(), 2))
        assert [input_of(target, fixed, 1, number) for number in (0, 1)] == fixed
        assert input_of(target, fixed, 1, 7) == input_of(target, fixed, 1, 7)
        assert len({input_of(target, fixed, seed, number) for seed in (1, 2) for number in range(2, 12)}) > 15


def settings(**changed: float) -> argparse.Namespace:
    return argparse.Namespace(**{"limit_s": 60.0, "limit_mib": 1_536, **changed})


def test_failures_are_seen() -> None:
    templates = TARGETS["templates"]
    fine = [line.outcome for line in run_worker(templates, 0, 0, 30, settings())]
    assert fine[0] == "ready"
    assert len(fine) == 31
    assert set(fine[1:]) <= {"accepted", "refused"}
    *_, crashed = run_worker(TARGETS["recipes"], 0, 0, 30, settings(limit_mib=0))
    assert crashed.outcome == "crashed"


def test_silence_is_seen() -> None:
    code = "import sys, time; sys.stderr.write('last words'); print('x', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        heard = Heard(process)
        assert heard.line(60) == b"x"
        assert not heard.silent
        assert heard.line(0.2) is None
        assert heard.silent
        process.kill()
        assert heard.last_words() == "last words"


def test_a_kept_input_is_fed_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "templates-0-7.bin").write_bytes(b"Q: {question}")
    assert main(["--replay", str(tmp_path / "templates-0-7.bin")]) == 0
    assert "accepted in" in capsys.readouterr().out
    (tmp_path / "other.bin").write_bytes(b"")
    assert main(["--replay", str(tmp_path / "other.bin")]) == 2
