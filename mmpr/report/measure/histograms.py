"""Distributions that are counted while rows stream by, in memory that does not grow with them: fine, fixed bins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mmpr.report.contents import Distribution, Group, Summary
from mmpr.report.load.units import Ints
from mmpr.storage.counts import METHODS

Floats = npt.NDArray[np.float64]

_EXACT = 2048  # whole numbers below have a bin each
_STEP = 1.01  # bins above grow by a hundredth
_TOP = 2.0**40
_above = _EXACT * _STEP ** np.arange(1, int(np.log(_TOP / _EXACT) / np.log(_STEP)) + 2)
COUNTS: Floats = np.concatenate([np.arange(_EXACT + 1, dtype=np.float64), _above])
"""Fine edges for numbers from 0 on: a bin for each whole number below 2,048, then bins that grow by 1 %."""
SIGNED: Floats = np.concatenate([-COUNTS[:0:-1], COUNTS])
"""The same for numbers of both signs."""
SHARES: Floats = np.append(np.linspace(0, 1, 1001), np.nextafter(1, 2))
"""Fine edges for shares: bins of a thousandth, and one for 1 itself."""

_SLACK = 1e-12  # added to values, so that rounding does not put 3 * (1 / 3) below 1
_BINS = 30
_TAIL = 0.995
_MOST_SAMPLES = 16  # of a question, for its pass rates to have a bin each
_LABELS = 20
_MOST_LABELS = 10_000
OTHER = "other"


class Histogram:
    """Counts of a number's values by source and, where ``methods``, by pairing method."""

    def __init__(
        self, key: str, title: str, unit: str, things: str, edges: Floats, sources: Sequence[str], *, methods: bool
    ) -> None:
        self._about = (key, title, unit, things)
        self._edges = edges
        self._sources = tuple(sources)
        self._methods = METHODS if methods else ("",)
        shape = (len(self._sources), len(self._methods))
        self._counts = np.zeros((*shape, len(edges) - 1), dtype=np.int64)
        self._sums = np.zeros(shape)
        self._least = np.full(shape, np.inf)
        self._most = np.full(shape, -np.inf)

    def add(self, values: npt.NDArray[Any], source: Ints, method: Ints | None = None) -> None:
        """Count values (N,); ``source`` and ``method`` are positions (N,) in the sources and METHODS."""
        if not len(values):
            return
        method = np.zeros(len(values), dtype=np.int64) if method is None else method
        numbers = values.astype(np.float64)
        bins = np.clip(np.searchsorted(self._edges, numbers + _SLACK, side="right") - 1, 0, len(self._edges) - 2)
        cell = source * len(self._methods) + method
        flat = self._counts.reshape(-1)
        places, counts = np.unique(cell * self._counts.shape[2] + bins, return_counts=True)
        flat[places] += counts
        np.add.at(self._sums.reshape(-1), cell, numbers)
        np.minimum.at(self._least.reshape(-1), cell, numbers)
        np.maximum.at(self._most.reshape(-1), cell, numbers)

    def mean(self, *, source: int | None = None, method: int | None = None) -> float | None:
        """The mean over all, or over a source or a method; None when nothing was counted."""
        where = _cells(source, method)
        total = int(self._counts[where].sum())
        return float(self._sums[where].sum()) / total if total else None

    def distribution(self) -> Distribution:
        """The distribution in about 30 bins, which are sums of the fine ones."""
        key, title, unit, things = self._about
        fine = self._shown_edges()
        groups = [self._group("all", "all", fine, None, None)]
        groups += [self._group("source", name, fine, at, None) for at, name in enumerate(self._sources)]
        if len(self._methods) > 1:
            groups += [self._group("method", name, fine, None, at) for at, name in enumerate(self._methods)]
        kept = tuple(group for group in groups if group.total or group.by == "all")
        return Distribution(
            key, title, unit, things, kept, edges=tuple(round(float(self._edges[at]), 9) for at in fine)
        )

    def _group(self, by: Any, name: str, fine: list[int], source: int | None, method: int | None) -> Group:
        where = _cells(source, method)
        counts = self._counts[where].reshape(-1, self._counts.shape[2]).sum(axis=0)
        cumulated = np.concatenate([[0], np.cumsum(counts)])
        shown = tuple(int(n) for n in np.diff(cumulated[fine]))
        total = int(cumulated[-1])
        if not total:
            return Group(by, name, 0, shown)
        least, most = float(self._least[where].min()), float(self._most[where].max())

        def quantile(share: float) -> float:
            at = int(np.searchsorted(cumulated, max(1, np.ceil(share * total)), side="left")) - 1
            return float(min(max(self._edges[at], least), most))

        p05, p25, p50, p75, p95 = map(quantile, (0.05, 0.25, 0.5, 0.75, 0.95))
        summary = Summary(least, p05, p25, p50, p75, p95, most, float(self._sums[where].sum()) / total)
        return Group(by, name, total, shown, summary)

    def _shown_edges(self) -> list[int]:
        """Positions of the shown edges: even steps over 99.5 % of the values, and one bin for what lies beyond."""
        last = len(self._edges) - 1
        counts = self._counts.reshape(-1, self._counts.shape[2]).sum(axis=0)
        filled = np.flatnonzero(counts)
        if self._edges is SHARES:
            return _share_edges(filled, last)
        if not len(filled):
            return [int(np.searchsorted(self._edges, 0)), int(np.searchsorted(self._edges, 1))]
        cumulated = np.cumsum(counts) / counts.sum()
        first = int(filled[0]) if self._edges is COUNTS else int(np.searchsorted(cumulated, 1 - _TAIL))
        high = int(np.searchsorted(cumulated, _TAIL)) + 1
        step = _nice((self._edges[high] - self._edges[first]) / _BINS)
        start = np.floor(self._edges[first] / step) * step
        wanted = np.arange(start, self._edges[high] + step, step)
        shown = {int(np.searchsorted(self._edges, edge - 1e-9)) for edge in wanted}
        shown |= {int(filled[0])} if filled[0] < min(shown) else set()
        shown |= {int(filled[-1]) + 1} if filled[-1] >= max(shown) else set()
        return sorted(min(at, last) for at in shown)


def _share_edges(filled: Ints, last: int) -> list[int]:
    """Positions of the edges for shares: a bin for each of 0, 1/k, ..., 1 when all of them are such, else twenty."""
    for k in range(2, _MOST_SAMPLES + 1):
        if len(filled) and set(filled.tolist()) <= {at * (last - 1) // k for at in range(k + 1)}:
            return [0, *(round((at + 0.5) * (last - 1) / k) for at in range(k)), last]
    return [*range(0, last - 1, 50), last]


class Categories:
    """Counts of labels by source and, where ``methods``, by pairing method."""

    def __init__(self, key: str, title: str, things: str, sources: Sequence[str], *, methods: bool = False) -> None:
        self._about = (key, title, things)
        self._sources = tuple(sources)
        self._methods = methods
        self._counts: Counter[tuple[str, int, int]] = Counter()
        self._known: set[str] = set()

    def add(self, labels: Sequence[str], codes: Ints, source: Ints, method: Ints | None = None) -> None:
        """Count things (N,) of label ``labels[codes[i]]``, source and method (positions); code -1 has no label."""
        method = np.zeros(len(codes), dtype=np.int64) if method is None else method
        seen = codes >= 0
        keys = (codes[seen] * len(self._sources) + source[seen]) * len(METHODS) + method[seen]
        for key, count in zip(*np.unique(keys, return_counts=True), strict=True):
            rest, of_method = divmod(int(key), len(METHODS))
            code, of_source = divmod(rest, len(self._sources))
            self.count(labels[code], of_source, int(count), of_method)

    def count(self, label: str, source: int, by: int = 1, method: int = 0) -> None:
        """Count a label ``by`` times; after 10,000 different labels, new ones are counted as ``other``."""
        if label not in self._known:
            label = label if len(self._known) < _MOST_LABELS else OTHER
            self._known.add(label)
        self._counts[label, source, method] += by

    def totals(self, source: int | None = None) -> Counter[str]:
        """Counts by label, over all sources or one."""
        sums: Counter[str] = Counter()
        for (label, of_source, _), count in self._counts.items():
            if source is None or of_source == source:
                sums[label] += count
        return sums

    def distribution(self) -> Distribution:
        """The distribution; of more than 20 labels, the rarest are shown together as ``other``."""
        key, title, things = self._about
        ranked = sorted(self.totals().items(), key=lambda item: (-item[1], item[0]))
        shown = [label for label, _ in ranked[:_LABELS]]
        if len(ranked) > _LABELS and OTHER not in shown:
            shown.append(OTHER)
        place = {label: at for at, label in enumerate(shown)}
        groups: dict[tuple[Any, str], list[int]] = {("all", "all"): [0] * len(shown)}
        groups |= {("source", name): [0] * len(shown) for name in self._sources}
        if self._methods:
            groups |= {("method", name): [0] * len(shown) for name in METHODS}
        for (label, source, method), count in sorted(self._counts.items()):
            at = place.get(label, len(shown) - 1)
            groups["all", "all"][at] += count
            groups["source", self._sources[source]][at] += count
            if self._methods:
                groups["method", METHODS[method]][at] += count
        kept = tuple(
            Group(by, name, sum(counts), tuple(counts))
            for (by, name), counts in groups.items()
            if by == "all" or any(counts)
        )
        return Distribution(key, title, "", things, kept, labels=tuple(shown))


def _cells(source: int | None, method: int | None) -> tuple[Any, Any]:
    return (slice(None) if source is None else source, slice(None) if method is None else method)


def _nice(step: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, 50, ... that is at least ``step``."""
    if step <= 1:
        return 1.0
    power = 10.0 ** np.floor(np.log10(step))
    return float(next(power * by for by in (1, 2, 5, 10) if power * by >= step - 1e-9))
