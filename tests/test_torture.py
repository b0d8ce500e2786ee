"""The short torture: one build on a cluster of namespaces, faults of several kinds, nothing lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.torture.faults import ENGINE, SHORT
from benchmarks.torture.ground import REPOSITORY, missing

LIMIT_S = 240


@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.timeout(LIMIT_S + 20)
def test_a_tortured_build_loses_and_repeats_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.torture", "--short", "--seed", "1", "--json", str(tmp_path / "rows.json")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["fault"]: row for row in json.loads((tmp_path / "rows.json").read_text())["faults"]}
    assert all((row["lost"], row["repeated"]) == (0, 0) for row in rows.values())
    assert len(set(rows) & set(SHORT)) >= 3
    assert len(set(rows) & set(ENGINE.values())) >= 2
