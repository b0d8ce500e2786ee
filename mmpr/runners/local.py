"""The stages of a job one after the other in this process: a plain Python stack, one engine, no Ray."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import TextIO

from mmpr.engine import Engine, start_engine
from mmpr.errors import MmprError
from mmpr.pipeline.progress import BuildProgress
from mmpr.pipeline.stages import Counts, Job, complete_unit, ingest_unit, pair_unit, sample_unit, verify_unit
from mmpr.pipeline.work import Left
from mmpr.storage.shards import Unit, add_counts


class LocalRunner:
    """See ``mmpr.runners.Runner``. What the engine says goes where this process's own output goes."""

    terminal: TextIO

    def __init__(self) -> None:
        self.terminal = sys.stderr

    def run(self, job: Job, model_path: str, left: Left) -> None:
        """Take what is left through the job's stages (see ``Runner.run``)."""
        sums: Counts = {}
        with BuildProgress(lambda: dict(sums), left.totals, 1, self.terminal) as progress:
            for unit in left.heldout:
                ingest_unit(job, unit)
            if left.to_sample:
                _check_no_loop()
                asyncio.run(_sample(job, model_path, left, lambda counts: add_counts(sums, counts), progress.judged))
            for unit in left.to_judge:
                progress.judged(_judge(job, unit))


def _check_no_loop() -> None:
    """A notebook's cells run inside a loop of its own, and loops do not nest."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise MmprError("the local runner does not work inside a running event loop, as in a notebook; use the ray runner")


async def _sample(
    job: Job, model_path: str, left: Left, on_progress: Callable[[Counts], None], on_judged: Callable[[Counts], None]
) -> None:
    engine: Engine = start_engine(job.recipe, model_path, log=None)
    on_progress({"engines": 1})
    for unit in left.to_sample:
        counts = ingest_unit(job, unit)
        on_progress({"ingested": sum(by for name, by in counts.items() if name.endswith("/questions"))})
        await sample_unit(job, unit, engine, on_progress)
        if "complete" in job.stages:
            await complete_unit(job, unit, engine, on_progress)
        on_judged(_judge(job, unit))


def _judge(job: Job, unit: Unit) -> Counts:
    counts = dict(verify_unit(job, unit))
    if "pair" in job.stages:
        add_counts(counts, pair_unit(job, unit))
    return counts
