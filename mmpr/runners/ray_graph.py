"""The stages of a job as one streaming graph on Ray: engines as actors, the light stages as tasks beside them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TextIO

import psutil
import ray
import ray.data

from mmpr.config import EngineSpec
from mmpr.engine import start_engine
from mmpr.engine.care import Careful, Watched, watch_loop
from mmpr.engine.lives import MOST_ATTEMPTS, Life, begin_unit, end_unit
from mmpr.engine.refusals import Listening
from mmpr.engine.turns import Turns
from mmpr.errors import EngineDeadError, EngineError, MmprError
from mmpr.extension import Extensions
from mmpr.pipeline.job import Counts, Job
from mmpr.pipeline.progress import BuildProgress
from mmpr.pipeline.stages import generate_unit, ingest_unit, judge_unit, questions_of
from mmpr.pipeline.work import Left
from mmpr.runners.ray_feed import AHEAD, units_as_rows
from mmpr.runners.ray_session import MORE_MEMORY, address
from mmpr.storage.shards import ATTEMPTS, Stage, Unit, add_counts

STAGE_CPUS = 0.25
"""What a task of the light stages takes of a core, so that they run beside the engines."""

_SHARE = 1e-4
"""The smallest share of a core or GPU that Ray counts."""

_LIGHT: dict[str, Any] = {"num_cpus": STAGE_CPUS}

_REPORT_EVERY_S = 0.5
_METER_LIMIT_S = 5.0
_MEMORY = re.compile(r"(?<![\d.])[\d.]++GB used / [\d.]++GB limit")
_RAISED = re.compile(r"(?!ray\.)[\w.]*(Error|Exception)\b.*:")


def start_meter() -> Any:
    """A handle of a new ``Meter``."""
    return ray.remote(num_cpus=0, max_restarts=-1)(Meter).remote()


def read_meter(meter: Any) -> Counts:
    """The sums so far; nothing while the meter is out of reach. One that has died begins at zero again."""
    try:
        return dict(ray.get(meter.read.remote(), timeout=_METER_LIMIT_S))
    except ray.exceptions.RayError:
        return {}


class Meter:
    """Adds up what workers say they have done, for the progress display only: nothing depends on it."""

    def __init__(self) -> None:
        self._counts: Counts = {}

    def add(self, counts: Counts) -> None:
        """Add counts to the sums."""
        add_counts(self._counts, counts)

    def read(self) -> Counts:
        """The sums so far."""
        return dict(self._counts)


class Generate:
    """A Ray Data actor that owns one engine and works on several units at once: samples, then continuations."""

    def __init__(self, job: Job, model_path: str, meter: Any) -> None:
        self._job, self._model_path, self._meter = job, model_path, meter
        self._name = f"engine-{socket.gethostname()}-{os.getpid()}-{int(time.time())}.log"
        self._turns: Turns | None = None
        self._watchdog: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._begun = itertools.count()
        self._unreported: Counts = {}
        self._reported_at = 0.0

    async def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Sample and continue one unit; returns the row for the next stage."""
        if row["error"]:
            return row
        try:
            await self._generate(_unit(row))
        except EngineDeadError:
            # Without its engine this process is of no use. Ray starts another one and hands it the unit again.
            _end_with_children()
        except MmprError as error:
            return {**row, "error": str(error)}
        return row

    async def _generate(self, unit: Unit) -> None:
        turn = next(self._begun)
        history = begin_unit(self._job.out, unit, self._name)
        async with self._starting:
            if self._turns is None:
                self._turns = self._start()
                self._meter.add.remote({"engines": 1})
        engine = Careful(self._turns.of(turn), history)
        await generate_unit(self._job, unit, engine, self._report)
        end_unit(self._job.out, unit)
        self._report({})

    def _start(self) -> Turns:
        recipe = self._job.recipe
        life = Life(self._job.out, self._name)
        engine = Listening(start_engine(recipe, self._model_path, self._job.out / "logs" / self._name))
        life.up()
        timeout_s = recipe.engine.request_timeout_s
        self._watchdog = asyncio.create_task(watch_loop(timeout_s))
        return Turns(Watched(engine, life, timeout_s))

    def _report(self, counts: Counts) -> None:
        add_counts(self._unreported, counts)
        if not counts or time.monotonic() > self._reported_at + _REPORT_EVERY_S:
            self._meter.add.remote(self._unreported)
            self._unreported, self._reported_at = {}, time.monotonic()


class RayRunner:
    """See ``mmpr.runners.Runner``; for use inside ``session``, which tells the ``terminal``."""

    terminal: TextIO

    def __init__(self, terminal: TextIO) -> None:
        self.terminal = terminal

    def run(self, job: Job, model_path: str, left: Left) -> None:
        """Take what is left through the job's stages (see ``Runner.run``)."""
        engine = job.recipe.engine
        if left.to_sample:
            check_room(engine, self.terminal)
        meter = start_meter()
        with BuildProgress(lambda: read_meter(meter), left.totals, engine.actors, self.terminal) as progress:
            run(job, model_path, left, meter, progress.judged)


def run(job: Job, model_path: str, left: Left, meter: Any, on_done: Callable[[Counts], None]) -> None:
    """One streaming graph: units go through all stages, those that are sampled are judged, held-out ones ingested.

    A unit is judged while the engines are on the next ones. ``on_done`` gets the counts of each judged unit. Engines
    are started only when there is something to sample.

    Raises:
        EngineStartError: an engine did not start.
        EngineError: the engines keep dying over one unit.
    """
    _send_code(job.recipe.extensions)
    branches = []
    last: Stage = "pair" if "pair" in job.stages else "verify"
    if left.to_sample:
        branches.append(sample(job, model_path, left.to_sample, last, meter).map(_judge, fn_args=(job,), **_LIGHT))
    if left.to_judge:
        rows = units_as_rows(left.to_judge, job.out, last, _ahead(job))
        branches.append(rows.map(_judge, fn_args=(job,), **_LIGHT))
    if left.heldout:
        rows = units_as_rows(left.heldout, job.out, "ingest", _ahead(job))
        branches.append(rows.map(_ingest_only, fn_args=(job,), **_LIGHT))
    graph = branches[0].union(*branches[1:]) if len(branches) > 1 else branches[0]
    try:
        for row in graph.iter_rows():
            if row["error"]:
                raise MmprError(row["error"])
            on_done(dict(zip(row["names"], row["counts"], strict=True)))
    except ray.exceptions.OutOfMemoryError as error:
        found = _MEMORY.search(str(error))
        raise MmprError(
            f"Ray has ended a task again and again, since memory runs low ({found[0] if found else 'see its log'}); "
            f"{MORE_MEMORY}. What is finished is kept, and the same command goes on"
        ) from None
    except ray.exceptions.RayError as error:
        raise MmprError(f"a worker failed: {_cause(str(error)) or repr(error)}") from error


def _send_code(extensions: Extensions) -> None:
    """Let the user's own code travel with what is sent to workers: other machines have no copy of its modules."""
    for thing in (*extensions.rules.values(), *extensions.sources.values()):
        given = thing.func if isinstance(thing, functools.partial) else thing
        module = sys.modules.get(getattr(given, "__module__", "") or type(given).__module__)
        if module is not None and module.__name__ != "__main__":  # which always travels
            ray.cloudpickle.register_pickle_by_value(module)


def _cause(said: str) -> str:
    """The line of Ray's text that names what was raised: the last one that begins like an exception."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    raised = [line for line in lines if _RAISED.match(line)]
    return (raised or lines or [""])[-1]


def sample(job: Job, model_path: str, units: Sequence[Unit], last: Stage, meter: Any) -> Any:
    """The part of the graph that ingests units and samples them; ``last`` is what the rest of it writes last."""
    shutil.rmtree(job.out / ATTEMPTS, ignore_errors=True)
    rows = units_as_rows(units, job.out, last, _ahead(job)).map(_ingest, fn_args=(job, meter), **_LIGHT)
    return rows.map(Generate, fn_constructor_args=(job, model_path, meter), **actor_pool(job.recipe.engine))


def _ahead(job: Job) -> int:
    return AHEAD * job.recipe.engine.actors * job.recipe.engine.units_in_flight


def actor_pool(spec: EngineSpec) -> dict[str, Any]:
    """How many actors of which size. Ray Data does not want CPUs and GPUs named together."""
    pool = ray.data.ActorPoolStrategy(
        size=spec.actors,
        max_tasks_in_flight_per_actor=spec.units_in_flight,
        max_concurrent_calls_per_actor=spec.units_in_flight,
    )
    kind, each = _takes(spec)
    return {"compute": pool, f"num_{kind.lower()}s": each}


def _takes(spec: EngineSpec) -> tuple[str, float]:
    """What of a node an engine takes, and how much of it."""
    gpus = spec.gpus_per_actor
    if gpus is None:
        gpus = spec.tensor_parallel_size if ray.cluster_resources().get("GPU") else 0
    return ("GPU", gpus) if gpus else ("CPU", spec.cpus_per_actor)


def check_room(spec: EngineSpec, terminal: TextIO) -> None:
    """See that the engines fit. On one machine it is an error when they do not; a cluster may grow, so it is only told.

    Engines keep what they have until the end: with every core theirs, no unit would ever get to them.

    Raises:
        EngineError: they do not fit on this machine.
    """
    kind, each = _takes(spec)
    nodes = [node["Resources"].get(kind, 0) for node in ray.nodes() if node["Alive"]]
    others = STAGE_CPUS if kind == "CPU" and each else 0
    room = sum(int(has / each + _SHARE) for has in nodes) if each else spec.actors
    if room >= spec.actors and sum(nodes) + _SHARE >= each * spec.actors + others:
        return
    here = f"{sum(nodes):g} {kind}s"
    beside = f" and the other stages {others:g}" if others else ""
    wanted = f"the recipe's {spec.actors} engines want {each:g} each{beside}"
    remedy = f"lower engine.actors or engine.{kind.lower()}s_per_actor"
    if address() == "local":
        raise EngineError(f"this machine has {here}, {wanted}; {remedy}, or set RAY_ADDRESS to a cluster")
    places = f"{len(nodes)} node{'s' if len(nodes) > 1 else ''}"
    print(
        f"note: the cluster has {here} on {places}, {wanted}, an engine on one node; "
        f"what does not fit waits until it grows, or stop and {remedy}",
        file=terminal,
        flush=True,
    )


def _as_data(
    stage: Callable[..., dict[str, Any]],
) -> Callable[..., dict[str, Any]]:
    """A stage as Ray runs it: on a row that names the unit, returning the row with the stage's counts.

    An ``MmprError`` is returned in the row's ``error`` instead of raised, since Ray would turn its text into a trace.
    Ray starts a task again whenever its process dies, without limit; above ``MOST_ATTEMPTS`` that is an error too.
    """

    @functools.wraps(stage)
    def run(row: dict[str, Any], *args: Any) -> dict[str, Any]:
        if row["error"]:
            return {**row, **_NO_COUNTS}
        unit, deaths = _unit(row), _deaths()
        try:
            if deaths > MOST_ATTEMPTS:
                raise EngineError(
                    f"unit {unit.number} of {unit.of} was begun {deaths} times and its process died every time, for "
                    "want of memory perhaps. What is finished is kept, and the same command goes on"
                )
            return {**row, **stage(unit, *args)}
        except MmprError as error:
            return {**row, **_NO_COUNTS, "error": str(error)}

    return run


def _deaths() -> int:
    """How many processes have died over the task that runs here."""
    return int(ray.get_runtime_context().worker.core_worker.get_current_task_attempt_number())


_NO_COUNTS: dict[str, Any] = {"names": [], "counts": []}


@_as_data
def _ingest(unit: Unit, job: Job, meter: Any) -> dict[str, Any]:
    meter.add.remote({"ingested": questions_of(ingest_unit(job, unit))})
    return {}


@_as_data
def _ingest_only(unit: Unit, job: Job) -> dict[str, Any]:
    ingest_unit(job, unit)
    return _NO_COUNTS


@_as_data
def _judge(unit: Unit, job: Job) -> dict[str, Any]:
    counts = judge_unit(job, unit)
    return {"names": list(counts), "counts": list(counts.values())}


def _unit(row: dict[str, Any]) -> Unit:
    return Unit(row["split"], row["number"], row["of"])


def _end_with_children() -> NoReturn:
    """End this process at once, and before it those that it has started: one that hangs does not see its parent go."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
    os._exit(1)
