"""Public benchmarks, read from a local folder or file, each with its own metric.

    mmstar:PATH ─▶ open_benchmark ─▶ a Layout (a module here) + a reader (readers.py, tsv.py) ─▶ rows, pictures, metrics

docs/benchmarks.md says how far the numbers compare with published ones: ``mmpr.answers`` finds and compares the answers
of all benchmarks in the same way.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from mmpr.errors import SourceError
from mmpr.evaluate.benchmarks.geoqa import GEOQA
from mmpr.evaluate.benchmarks.hrbench import HRBENCH_4K, HRBENCH_8K
from mmpr.evaluate.benchmarks.layout import Layout, LocalBenchmark
from mmpr.evaluate.benchmarks.mathvista import MATHVISTA
from mmpr.evaluate.benchmarks.mm_alignbench import MM_ALIGNBENCH, JudgedBenchmark
from mmpr.evaluate.benchmarks.mmstar import MMSTAR
from mmpr.evaluate.benchmarks.visualprobe import VISUALPROBE
from mmpr.evaluate.benchmarks.vstar import VSTAR
from mmpr.evaluate.benchmarks.xlrs import XLRS

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (GEOQA, MATHVISTA, MMSTAR, VSTAR, HRBENCH_4K, HRBENCH_8K, XLRS, VISUALPROBE, MM_ALIGNBENCH)
}
"""Every benchmark by the name that ``--data NAME:PATH`` takes."""


def open_benchmark(name: str, path: Path) -> LocalBenchmark:
    """Open a benchmark in a folder or file without reading its rows.

    Raises:
        SourceError: there is no such benchmark, or no such file (with the command that fetches it), or it has another
            layout.
    """
    layout = LAYOUTS.get(name)
    if layout is None:
        near = difflib.get_close_matches(name, LAYOUTS, n=1)
        hint = f"; do you mean {near[0]}?" if near else ""
        raise SourceError(f"there is no benchmark {name!r}{hint} (there are {', '.join(LAYOUTS)})")
    return JudgedBenchmark(layout, path) if layout is MM_ALIGNBENCH else LocalBenchmark(layout, path)
