"""Runners take a job's stages over its units: ``ray`` as one streaming graph, ``local`` one after the other, here.

    start_runner(name, log) ─▶ Runner.run(job, model_path, left)      as often as there are jobs

The result is the same to the byte. Ray gives engines in parallel, on one machine or a cluster, and starts again what
dies; the local runner is one process with a plain Python stack, for debugging and for machines without Ray.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol, TextIO

from mmpr.pipeline.job import Job
from mmpr.pipeline.work import Left

# Ray reads these when it is imported. Its own words go to its log files; ours are for the person at the screen.
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
# Ray would run workers, and so the engines in them, behind everything else on the machine (nice 15).
os.environ.setdefault("RAY_worker_niceness", "0")
# A driver's claim to a cluster's cores outlives it; after three minutes, by default, the next one would begin to work.
os.environ.setdefault("RAY_DATA_AUTOSCALING_REQUEST_EXPIRE_TIME_S", "30")
# A task that Ray ends since memory runs low would be begun again for ever. Ray waits longer every time: minutes in all.
os.environ.setdefault("RAY_task_oom_retries", "8")
# Ray listens on all interfaces. Nobody gets into a cluster of this process without a token, which lies
# in no file: no other user can read it, and no home is needed.
_AUTH = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
if "ray" not in sys.modules and not any(map(os.environ.get, _AUTH)):
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))

RunnerName = Literal["ray", "local"]


class Runner(Protocol):
    """What does the work of a build or an evaluation.

    Attributes:
        terminal: where to speak to the person while it works.
    """

    terminal: TextIO

    def run(self, job: Job, model_path: str, left: Left) -> None:
        """Take what is left through the job's stages. Engines are started only when there is something to sample.

        Raises:
            EngineError: an engine did not start, or keeps dying.
            MmprError: a stage failed.
        """
        ...


@contextlib.contextmanager
def start_runner(name: RunnerName, log: Path) -> Iterator[Runner]:
    """A runner for a while; what Ray says of itself goes to ``log``.

    Raises:
        MmprError: Ray cannot be reached.
        OutputError: the log cannot be written.
    """
    if name == "local":
        from mmpr.runners.local import LocalRunner

        yield LocalRunner()
        return
    from mmpr.runners.ray_graph import RayRunner
    from mmpr.runners.ray_session import session

    with session(log) as terminal:
        yield RayRunner(terminal)
