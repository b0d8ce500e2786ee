"""Limits that Ray or vLLM die of are raised where they can be, else told before anything starts."""

from __future__ import annotations

import re
import resource

import pytest

from mmpr.errors import MmprError
from mmpr.runners.limits import check_address_space, check_open_files

NONE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "becomes"),
    [
        pytest.param(64, 20_000, 20_000, id="raised-to-the-hard-one"),
        pytest.param(64, 1 << 30, 65_536, id="raised-to-many"),
        pytest.param(64, NONE, 65_536, id="no-hard-one"),
        pytest.param(50_000, 100_000, None, id="enough"),
        pytest.param(NONE, NONE, None, id="none"),
    ],
)
def test_open_files(soft: int, hard: int, becomes: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", {resource.RLIMIT_NOFILE: (soft, hard)}.get)
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    check_open_files("vLLM")
    assert set_to == ([] if becomes is None else [(becomes, hard)])


def test_too_few_open_files_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", {resource.RLIMIT_NOFILE: (16, 64)}.get)
    words = r"Ray: this process is limited to 64 open files and Ray wants about [\d,]+ .* raise the limit "
    with pytest.raises(MmprError, match=words + re.escape("(ulimit -n)") + "$"):
        check_open_files("Ray")


@pytest.mark.parametrize("space", [NONE, 1 << 50])
def test_enough_address_space(space: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", {resource.RLIMIT_AS: (space, NONE)}.get)
    check_address_space()


def test_too_little_address_space_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", {resource.RLIMIT_AS: (4_096_000_000, NONE)}.get)
    words = r"Ray: this process is limited to 4,096,000,000 bytes of address space .* raise the limit "
    with pytest.raises(MmprError, match=words + re.escape("(ulimit -v), or use --runner local")):
        check_address_space()
