"""Where caches lie, what of them is deleted, and the progress of filling them."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import pytest

from mmpr.train.data.unit_cache import cache_base, check_about, open_cache
from mmpr.train.progress import TrainProgress
from tests.train.data.test_preference_data import build
from tests.train.data.test_reference_logprobs import ROWS


def test_where_things_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, table = build(tmp_path / "out", ROWS[:1]), tmp_path / "rows.jsonl"
    table.write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}')
    assert cache_base(out, tmp_path / "run") == out
    assert cache_base(table, tmp_path / "run") == tmp_path / ".mmpr"
    (tmp_path / "data").mkdir()
    assert cache_base(tmp_path / "data", tmp_path / "run") == tmp_path / "data" / ".mmpr"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert cache_base(out, tmp_path / "run") == tmp_path / "run"


def test_half_written_files_of_others_stay_a_day(tmp_path: Path) -> None:
    folder = open_cache(tmp_path, {"a": 1}, "test")
    new, old = folder / ".part-1.tmp", folder / ".part-2.tmp"
    for path in (new, old):
        path.write_text("x")
    os.utime(old, (time.time() - 90_000, time.time() - 90_000))
    assert open_cache(tmp_path, {"a": 1}, "test") == folder
    assert new.exists()
    assert not old.exists()
    check_about(folder, {"a": 1})


def test_progress_tells_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr("mmpr.train.progress.time.monotonic", lambda: now_s[0])
    file = io.StringIO()
    shown = TrainProgress("reference", "rows", 1200, file=file)
    for number in range(1, 5):
        now_s[0] += 4
        shown.update(100 * number)
    assert file.getvalue() == "reference  300/1,200 rows  25.0 rows/s  36 s left\n"
