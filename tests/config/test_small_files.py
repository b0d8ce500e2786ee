"""Small files: whole, bounded, and never waited for."""

import os
from pathlib import Path

import pytest

from mmpr.config import load_recipe
from mmpr.config.small_files import read_small
from mmpr.errors import MmprError, RecipeError
from mmpr.templates import load_template


@pytest.fixture
def traps(tmp_path: Path) -> Path:
    """Files that must not be read to their end, or at all."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "large").write_bytes(b"x" * (200 << 10))
    (tmp_path / "folder").mkdir()
    return tmp_path


TRAPS = [
    ("pipe", "not a file"),
    ("zero", "not a file"),
    ("folder", "irectory"),
    ("large", "larger than"),
    ("none", "No such"),
]


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert read_small(tmp_path / "a", 3) == b"abc"
    with pytest.raises(OSError, match="larger"):
        read_small(tmp_path / "a", 2)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("name", "message"), TRAPS)
def test_traps(traps: Path, name: str, message: str) -> None:
    with pytest.raises(OSError, match=message):
        read_small(traps / name, 100 << 10)
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(traps / name)
    assert caught.value.exit_status == 2
    with pytest.raises(MmprError, match=message):
        load_template(f"./{name}", traps)
