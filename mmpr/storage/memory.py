"""A bound on the memory that reading something from outside may take."""

from __future__ import annotations

import contextlib
import resource
import threading
from collections.abc import Iterator

import pyarrow as pa

READ_BYTES = 768 << 20
"""What all reading of tables may take at most in a process: one of mmpr's stays under 1 GiB with it."""

_PAGE = resource.getpagesize()
_lock = threading.RLock()

# Arrow's own allocator keeps what was freed, so that nobody can tell what is in use. It is also no faster here.
pa.set_memory_pool(pa.system_memory_pool())


@contextlib.contextmanager
def bounded_memory(most: int = READ_BYTES) -> Iterator[None]:
    """Within the block, allocations fail when the block and all of Arrow's tables would hold more than ``most`` bytes.

    No header has to be believed: a file that unpacks to more than it says ends in the same MemoryError (Arrow's is one
    too). The system bounds the whole process, not a thread, so blocks are short, and threads enter them in turn.
    Without effect where the system has no such bound.

    Raises:
        MemoryError: from within the block.
    """
    with _lock:
        before = _limit_data(most)
        try:
            yield
        finally:
            if before is not None:
                resource.setrlimit(resource.RLIMIT_DATA, before)


def too_large(most: int = READ_BYTES) -> str:
    """What to say of a MemoryError within ``bounded_memory(most)``."""
    return f"takes more than {most >> 20:,} MiB to read"


def _limit_data(most: int) -> tuple[int, int] | None:
    """Bound the data of the process; returns the bound before, None where there can be none."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            held = int(file.read().split()[5]) * _PAGE - pa.total_allocated_bytes()
        before = resource.getrlimit(resource.RLIMIT_DATA)
        if before[0] == resource.RLIM_INFINITY or held + most < before[0]:
            resource.setrlimit(resource.RLIMIT_DATA, (held + most, before[1]))
    except (OSError, ValueError):
        return None
    return before
