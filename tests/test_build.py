"""The log beside a build: its own trouble does not hide the build's."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest

from mmpr.build import _side_log
from mmpr.errors import OutputError


def test_what_is_said_is_appended(tmp_path: Path) -> None:
    for word in ("one", "two"):
        with _side_log(tmp_path / "logs" / "ray.log") as file, contextlib.redirect_stderr(file):
            print(word, file=sys.stderr)
    assert (tmp_path / "logs" / "ray.log").read_text() == "one\ntwo\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_on_a_full_disk_does_not_hide_the_error(tmp_path: Path) -> None:
    (tmp_path / "ray.log").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="the true one"):
        fail_beside(tmp_path / "ray.log")


def fail_beside(log: Path) -> None:
    with _side_log(log) as file:
        file.write("Ray says something\n" * 10_000)
        raise OutputError("the true one")


def test_a_log_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("no folder")
    with pytest.raises(OutputError, match=r"ray\.log: cannot be written"):
        _side_log(tmp_path / "logs" / "ray.log")
