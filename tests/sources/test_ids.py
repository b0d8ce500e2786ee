"""Sets of ids on disk behave like sets in memory, and need no memory for each."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpr.errors import SourceError
from mmpr.schema import content_id
from mmpr.sources import ids
from mmpr.sources.ids import Lowest, Seen


@settings(max_examples=60)
@given(st.lists(st.sampled_from([content_id(str(n)) for n in range(20)] + ["0" * 32, "f" * 32])))
def test_an_id_is_new_once(wanted: list[str]) -> None:
    seen, known = Seen(), set[str]()
    for id in wanted:
        assert seen.add(id) == (id not in known)
        known.add(id)


@settings(max_examples=80)
@given(st.lists(st.integers(0, 2**128 - 1) | st.integers(0, 30), max_size=80), st.integers(1, 30), st.integers(1, 20))
def test_the_highest_of_the_lowest(ranks: list[int], most: int, spare: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids, "_SPARE", spare)
        lowest = Lowest(most)
        for rank in ranks:
            lowest.add(rank)
        different = sorted(set(ranks))
        highest = lowest.highest()
        if highest is None:
            assert len(different) <= most
        else:
            assert different[:most] == [rank for rank in different if rank <= highest]


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Seen()
    seen._table.execute("PRAGMA max_page_count = 2")

    def fill() -> None:
        for number in range(10_000):
            seen.add(content_id(str(number)))

    with pytest.raises(SourceError, match=r"full.*TMPDIR"):
        fill()


GROWS = """
import sys
from mmpr.sources.ids import Lowest, Seen
seen, lowest = Seen(), Lowest(10**9)
for number in range(int(sys.argv[1])):
    spread = number * 0x9E3779B97F4A7C15 % 2**64
    seen.add(f"{spread:016x}")
    lowest.add(spread << 64)
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


def test_memory_is_that_of_the_cache() -> None:
    def peak_kib(count: int) -> int:
        done = subprocess.run([sys.executable, "-c", GROWS, str(count)], capture_output=True, text=True, check=True)
        return int(done.stdout)

    # Two caches, and what the allocator keeps; sets in memory would go beyond that.
    assert peak_kib(250_000) - peak_kib(1_000) < 2 * ids._CACHE_KIB + 12 * 1024
