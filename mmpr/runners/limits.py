"""Limits of this process that engines and Ray die of without naming them: seen to before anything starts."""

from __future__ import annotations

import os
import resource

import psutil

from mmpr.errors import MmprError

_MANY_FILES = 65_536


def check_open_files(who: str) -> None:
    """Let this process, and those that it starts, open as many files as are needed.

    With 2 cores Ray's daemon has 84 files open, and a core more is some processes more; vLLM needs more than 64. A soft
    limit that is too low is raised as far as the hard one allows.

    Raises:
        MmprError: the hard limit is too low.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    least = 128 + 8 * (os.cpu_count() or 1)
    _check(who, hard, least, "open files", "-n")
    if soft != resource.RLIM_INFINITY and soft < least:
        most = _MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, _MANY_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def check_address_space() -> None:
    """See that Ray may map its store of objects, 30 % of the memory, and what its daemon maps beside it, 7 GB.

    Raises:
        MmprError: it may not.
    """
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    least = 8 * 2**30 + psutil.virtual_memory().total * 3 // 10
    _check("Ray", soft, least, "bytes of address space", "-v", ", or use --runner local")


def _check(who: str, most: int, least: int, what: str, option: str, otherwise: str = "") -> None:
    if most != resource.RLIM_INFINITY and most < least:
        raise MmprError(
            f"{who}: this process is limited to {most:,} {what} and {who} wants about {least:,} on this machine; "
            f"raise the limit (ulimit {option}){otherwise}"
        )
