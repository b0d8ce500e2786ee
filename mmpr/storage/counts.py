"""Counts of a build: filed by source, and summed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import get_args

from mmpr.schema import Method, Status

METHODS: tuple[Method, ...] = get_args(Method)
STATUSES: tuple[Status, ...] = get_args(Status)
JUDGED: tuple[Status, ...] = ("correct", "incorrect", "unparseable")
"""The statuses by which a pass rate is computed."""
UNKNOWN: tuple[Status, ...] = tuple(status for status in STATUSES if status not in JUDGED)
"""The others: nobody knows. Such a response is on neither side of a pair."""


def by_source(counts: dict[str, int]) -> dict[str, dict[str, int]]:
    """Counts named ``<source>/<what>`` as a dictionary for each source, sorted."""
    tree: dict[str, dict[str, int]] = {}
    for name, count in sorted(counts.items()):
        source, what = name.split("/", 1)
        tree.setdefault(source, {})[what] = count
    return tree


def total(counts: Mapping[str, Mapping[str, int]], what: str, sources: Iterable[str] | None = None) -> int:
    """A stage's count of ``what`` over all (or some) sources; ``what/`` sums all counts whose names begin so."""
    names = counts if sources is None else [source for source in sources if source in counts]
    return sum(
        count
        for source in names
        for name, count in counts[source].items()
        if name == what or (what.endswith("/") and name.startswith(what))
    )


def methods_made(made: Callable[[str], int]) -> list[Method]:
    """The methods to tell of: all but ``adjudicated``, unless ``made`` counts ``pairs/adjudicated``."""
    return [method for method in METHODS if method != "adjudicated" or made(f"pairs/{method}")]
