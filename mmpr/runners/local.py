"""The stages of a job one after the other in this process: a plain Python stack, one engine, no Ray."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import TextIO

from mmpr.engine import start_engine
from mmpr.engine.care import Careful
from mmpr.engine.lives import History
from mmpr.engine.refusals import Listening
from mmpr.errors import MmprError
from mmpr.pipeline.job import Counts, Job
from mmpr.pipeline.progress import BuildProgress
from mmpr.pipeline.stages import generate_unit, ingest_unit, judge_unit, questions_of
from mmpr.pipeline.work import Left
from mmpr.runners.limits import check_open_files
from mmpr.storage.shards import add_counts


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
                if job.recipe.engine.type == "vllm":
                    check_open_files("vLLM")
                asyncio.run(_sample(job, model_path, left, lambda counts: add_counts(sums, counts), progress.judged))
            for unit in left.to_judge:
                progress.judged(judge_unit(job, unit))


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
    engine = Careful(Listening(start_engine(job.recipe, model_path, log=None)), History())
    on_progress({"engines": 1})
    for unit in left.to_sample:
        on_progress({"ingested": questions_of(ingest_unit(job, unit))})
        await generate_unit(job, unit, engine, on_progress)
        on_judged(judge_unit(job, unit))
