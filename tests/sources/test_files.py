"""Pictures stay inside their root, and opening one never waits."""

import contextlib
import os
import threading
import time
from pathlib import Path

import pytest

from mmpr.errors import RowError, SourceError
from mmpr.schema import Question, Reject
from mmpr.sources import files
from tests.sources.source_helpers import CHINA, ingest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a picture, and beside it a secret that it must not reach."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/a.jpg").write_bytes(CHINA)
    (tmp_path / "root-too").mkdir()
    (tmp_path / "root-too/a.jpg").write_bytes(CHINA)
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    (root / "in/a.jpg").write_bytes(CHINA)
    (root / "in/link.jpg").symlink_to("a.jpg")
    (root / "out.jpg").symlink_to("../secret/a.jpg")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "loop").symlink_to("loop")
    (root / "dev.jpg").symlink_to("/dev/zero")
    (root / "empty.jpg").touch()
    os.mkfifo(root / "pipe.jpg")
    return root


@pytest.mark.parametrize("path", ["in/a.jpg", "./in/a.jpg", "in//a.jpg", "in/link.jpg"])
def test_inside(root: Path, path: str) -> None:
    assert files.read_inside(root, path, 10**6) == CHINA


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../secret/a.jpg", "image_outside_root"),
        ("in/../../secret/a.jpg", "image_outside_root"),
        ("in/../in/a.jpg", "image_outside_root"),
        ("..", "image_outside_root"),
        ("/etc/passwd", "image_outside_root"),
        ("out.jpg", "image_outside_root"),
        ("out/a.jpg", "image_outside_root"),
        ("dev.jpg", "image_outside_root"),
        ("nowhere.jpg", "image_missing"),
        ("a/" * 500_000 + "b.jpg", "image_missing"),
        ("in/a.jpg/b.jpg", "image_missing"),
        ("a\0b.jpg", "image_missing"),
        ("in", "image_not_a_file"),
        ("", "image_not_a_file"),
        ("pipe.jpg", "image_not_a_file"),
        ("empty.jpg", "image_empty"),
        ("loop", "image_unreadable"),
        ("x" * 4000, "image_unreadable"),
        ("x" * 5000, "image_missing"),
        ("\ud800.jpg", "image_missing"),
        ("http://example.org/a.jpg", "image_remote"),
        ("s3://bucket/a.jpg", "image_remote"),
    ],
    ids=lambda value: ascii(value[:30]),
)
@pytest.mark.timeout(10)
def test_refused(root: Path, path: str, reason: str) -> None:
    with pytest.raises(RowError) as caught:
        files.read_inside(root, path, 10**6)
    assert caught.value.reason == reason
    assert str(root.parent) not in caught.value.detail
    caught.value.detail.encode()


def test_nothing_is_read_of_a_file_that_is_too_large(root: Path) -> None:
    with (root / "huge.jpg").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(RowError, match="image_too_large"):
        files.read_inside(root, "huge.jpg", 1 << 20)
    assert files.read_inside(root, "in/a.jpg", len(CHINA)) == CHINA
    with pytest.raises(RowError, match="image_too_large"):
        files.read_inside(root, "in/a.jpg", len(CHINA) - 1)


def swap(root: Path) -> None:
    """Put a link to the secret in the place of the folder that holds the picture, and the folder back."""
    (root / "in").rename(root / "kept")
    (root / "in").symlink_to(root.parent / "secret")


def swap_back(root: Path) -> None:
    (root / "in").unlink()
    (root / "kept").rename(root / "in")


@pytest.mark.parametrize("path", ["in/a.jpg", "in/link.jpg"])
def test_a_link_that_is_put_there_between_check_and_opening_leads_nowhere(
    root: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root.parent / "secret/a.jpg").write_bytes(b"secret")
    real_path = os.path.realpath

    def checked_and_swapped(place: str) -> str:
        found = real_path(place)
        if found.endswith(".jpg"):
            swap(root)
        return found

    monkeypatch.setattr(os.path, "realpath", checked_and_swapped)
    with pytest.raises(RowError, match="image_missing"):
        files.read_inside(root, path, 10**6)


def test_links_swapped_all_the_time_never_show_what_is_outside(root: Path) -> None:
    (root.parent / "secret/a.jpg").write_bytes(b"secret")
    stop = threading.Event()

    def swaps() -> None:
        while not stop.is_set():
            swap(root)
            swap_back(root)

    swapping = threading.Thread(target=swaps)
    swapping.start()
    seen: set[bytes] = set()
    try:
        ends_s = time.monotonic() + 1
        while time.monotonic() < ends_s or (not seen and time.monotonic() < ends_s + 30):  # a busy machine
            with contextlib.suppress(RowError):
                seen.add(files.read_inside(root, "in/a.jpg", 10**6))
    finally:
        stop.set()
        swapping.join()
    assert seen == {CHINA}


def test_absolute_paths_under_the_root_are_relative_ones(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other-name"
    other.symlink_to(root)
    assert files.under_root(root, str(root / "in/a.jpg")) == "in/a.jpg"
    assert files.under_root(other, str(root / "in/a.jpg")) == "in/a.jpg"
    assert files.under_root(root, str(tmp_path / "root-too/a.jpg")) == str(tmp_path / "root-too/a.jpg")
    assert files.under_root(root, "in/a.jpg") == "in/a.jpg"


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("{root}/in/a.jpg", None),
        ("in/a.jpg", None),
        ("@in.jpg", None),
        ("{root}-too/a.jpg", "image_outside_root"),
        ("{root}/../secret/a.jpg", "image_outside_root"),
        ("{root}/out.jpg", "image_outside_root"),
    ],
)
def test_paths_in_rows(root: Path, image: str, reason: str | None) -> None:
    (root / "@in.jpg").write_bytes(CHINA)
    line = f'{{"question": "q", "image": "{image.format(root=root)}"}}'
    (root / "x.jsonl").write_text(line)
    [found] = ingest(root.parent, type="jsonl", path="root/x.jsonl")
    if reason is None:
        assert isinstance(found, Question), found
        assert found.images == (CHINA,)
    else:
        assert isinstance(found, Reject)
        assert found.reason == reason


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "a.jsonl/b"])
def test_impossible_paths_are_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.jsonl").write_text("{}")
    with pytest.raises(SourceError, match=r"cannot be opened|no such file"):
        files.find_files(tmp_path / name, ".jsonl")
