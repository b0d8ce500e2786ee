"""Engines in simulated time: how long they stand idle at the end of a build.

What is the product's: units go to the actor that has room for one (``engine.units_in_flight``), all questions of a
unit ask at once, requests enter in the order of their units while ``mmpr.engine.turns.ROOM`` times the engine's
sequences are in, a question keeps its place until its last sample has ended. ``compare_with_turns`` holds this model
against the real ``Turns`` under a simulated clock. What is assumed: the engine (``EngineModel``) and the lengths
(``Lengths``).
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np

from mmpr.engine import Reply, Request, Tokenization
from mmpr.engine.turns import ROOM, Turns
from mmpr.schema import Response, TokenIds


class EngineModel(NamedTuple):
    """A step of the engine gives one token to each of ``n`` sequences and takes ``step_s + n * sequence_s``.

    The figures stand for an 8B model in 16 bits on one GPU of 80 GB: 16 GB of weights read in 10 ms, 6,290 tokens/s
    with all places taken. A picture of 6 tiles with its question (1,870 tokens) is read in ``prefill_s``, alone.
    """

    sequences: int = 256
    step_s: float = 0.010
    sequence_s: float = 0.00012
    prefill_s: float = 0.125

    def tokens_per_s(self) -> float:
        """With all places taken."""
        return self.sequences / (self.step_s + self.sequences * self.sequence_s)


class Lengths(NamedTuple):
    """Tokens of a response: log-normal, some of it shared by a question's responses; ``runaway`` of them never stop.

    The paper gives means alone (300.0 chosen, 350.5 rejected): ``mean`` is the middle, spread and share are assumed.
    """

    mean: float = 325.0
    question_sigma: float = 0.6
    response_sigma: float = 0.5
    runaway: float = 0.002
    most: int = 4096


@dataclass(frozen=True, slots=True)
class Tail:
    """What a simulated build comes to; ``simulated`` of its questions were, the last ones.

    Shares are of all engines' time. ``idle``: an engine has nothing to do while others still work. ``drained`` adds
    what is lost because batches are no longer full, from the moment on when no unit is left to hand out.
    """

    questions: int
    simulated: int
    actors: int
    unit_questions: int
    units_in_flight: int
    hours: float
    tokens_per_s: float
    unit_minutes: float
    idle: float
    drained: float


def simulate(
    questions: int,
    samples: int,
    actors: int,
    unit_questions: int,
    units_in_flight: int,
    simulated: int | None = None,
    engine: EngineModel = EngineModel(),  # noqa: B008 - a constant
    lengths: Lengths = Lengths(),  # noqa: B008
    seed: int = 0,
) -> Tail:
    """Run a build to its end, or its last ``simulated`` questions.

    After hundreds of units the engines have drifted apart, so that a run of the last questions begins with each engine
    at a time drawn from that of a unit; what a question costs in full batches is taken for the questions before.
    """
    last = min(questions, simulated or questions)
    none = np.zeros((0, samples), np.int64)
    unit_s = unit_questions * samples * lengths.mean / engine.tokens_per_s()
    begun = np.random.default_rng(seed).uniform(0, unit_s, actors) if last < questions else np.zeros(actors)
    ended, tokens, lost, _ = _run(
        last, samples, begun, unit_questions, units_in_flight, ROOM * engine.sequences, *engine, *lengths, none, seed
    )
    idle_s, lost_s = float((ended.max() - ended).sum()), float(lost.sum())
    full_s = float((ended - begun).sum()) - lost_s
    whole_s = full_s * questions / last + lost_s + idle_s
    return Tail(
        questions,
        last,
        actors,
        unit_questions,
        units_in_flight,
        hours=round(whole_s / actors / 3600, 2),
        tokens_per_s=round(float(tokens.sum() / full_s)),
        unit_minutes=round(full_s / last * unit_questions / 60, 1),
        idle=idle_s / whole_s,
        drained=(idle_s + lost_s) / whole_s,
    )


def compare_with_turns(units: int, unit_questions: int, samples: int, engine: EngineModel, seed: int = 0) -> float:
    """The greatest difference in a unit's end, model against the real ``Turns``, as a share of the run's time."""
    dice = np.random.default_rng(seed)
    drawn = dice.lognormal(5.5, 0.8, (units * unit_questions, samples)).astype(np.int64).clip(1, Lengths().most)
    bare = engine._replace(prefill_s=0.0)
    _, _, _, modelled = _run(
        len(drawn), samples, np.zeros(1), unit_questions, 2, ROOM * bare.sequences, *bare, *Lengths(), drawn, seed
    )
    real = _real_turns(drawn, unit_questions, bare, units_in_flight=2)
    return float(np.abs(modelled - real).max() / real.max())


@numba.njit(cache=True)
def _run(  # type: ignore[no-untyped-def]
    questions, samples, begun, unit_questions, in_flight, room, places, step_s, sequence_s, prefill_s,
    mean, question_sigma, response_sigma, runaway, most, drawn, seed,
):  # fmt: skip
    """The simulation: (actors,) end, tokens and seconds lost to batches that are not full, (units,) end of each unit.

    An actor does not depend on the others between two ends of its units, so each goes from one to the next by itself,
    the one that is behind first. Time within an engine is counted in steps: a response of n tokens ends n steps on.
    """
    np.random.seed(seed)
    units = (questions + unit_questions - 1) // unit_questions
    held = max(1, room // samples)
    full = places / (step_s + places * sequence_s)
    # Log-normal with this mean, once the runaways have had their share.
    body = (mean - runaway * most) / (1 - runaway)
    mu = np.log(body) - (question_sigma**2 + response_sigma**2) / 2
    actors = len(begun)
    now, step = begun.copy(), np.zeros(actors, np.int64)
    tokens, lost = np.zeros(actors), np.zeros(actors)
    unit_ends = np.zeros(units)
    # Sequences that run are filed by the step in which they end, in a ring of steps: the first one, and who is next.
    ring = most + 1
    ends = np.full((actors, ring), -1, np.int32)
    next_one, question_of = np.zeros((actors, places), np.int32), np.zeros((actors, places), np.int32)
    idle_places = np.zeros((actors, places), np.int32)
    running = np.zeros(actors, np.int64)
    for place in range(places):
        idle_places[:, place] = place
    queue_tokens = np.zeros((actors, held * samples), np.int64)  # let in, waiting for a place in the batch
    queue_owner = np.zeros((actors, held * samples), np.int64)
    queue_first, queue_size = np.zeros(actors, np.int64), np.zeros(actors, np.int64)
    open_samples = np.zeros((actors, held), np.int64)  # of the questions that are in; 0: a free place
    owner = np.zeros((actors, held), np.int64)  # their units, as places in the next four
    unit_at = np.full((actors, in_flight), -1)
    waiting, open_questions = np.zeros((actors, in_flight), np.int64), np.zeros((actors, in_flight), np.int64)
    next_unit = 0
    clock = [
        (begun[actor], actor, -1) for actor in range(actors)
    ]  # (time, actor, place of the unit that has ended, -1: none)
    for turn in range(in_flight):
        for actor in range(actors):
            if next_unit < units:
                unit_at[actor, turn] = next_unit
                waiting[actor, turn] = min(unit_questions, questions - next_unit * unit_questions)
                open_questions[actor, turn] = waiting[actor, turn]
                next_unit += 1
    heapq.heapify(clock)
    while len(clock):
        _, actor, ended = heapq.heappop(clock)
        if ended >= 0:
            unit_at[actor, ended] = -1
            if next_unit < units:
                unit_at[actor, ended] = next_unit
                waiting[actor, ended] = min(unit_questions, questions - next_unit * unit_questions)
                open_questions[actor, ended] = waiting[actor, ended]
                next_unit += 1
        finished, room_left = -1, True
        while finished < 0:
            # Turns: the oldest unit first, while there is room.
            while room_left:
                oldest = -1
                for place in range(in_flight):
                    if waiting[actor, place] and (oldest < 0 or unit_at[actor, place] < unit_at[actor, oldest]):
                        oldest = place
                if oldest < 0:
                    room_left = False
                    break
                free = -1
                for place in range(held):
                    if open_samples[actor, place] == 0:
                        free = place
                        break
                if free < 0:
                    room_left = False
                    break
                unit = unit_at[actor, oldest]
                size = min(unit_questions, questions - unit * unit_questions)
                number = unit * unit_questions + size - waiting[actor, oldest]
                waiting[actor, oldest] -= 1
                open_samples[actor, free], owner[actor, free] = samples, oldest
                shared = mu + question_sigma * np.random.normal()
                for sample in range(samples):
                    if len(drawn):
                        length = drawn[number, sample]
                    elif np.random.random() < runaway:
                        length = most
                    else:
                        length = min(most, int(np.exp(shared + response_sigma * np.random.normal())) + 1)
                    at = (queue_first[actor] + queue_size[actor]) % (held * samples)
                    queue_tokens[actor, at], queue_owner[actor, at] = length, free
                    queue_size[actor] += 1
                now[actor] += prefill_s
            while running[actor] < places and queue_size[actor]:
                at = queue_first[actor]
                place = idle_places[actor, running[actor]]
                end = (step[actor] + queue_tokens[actor, at]) % ring
                next_one[actor, place], ends[actor, end] = ends[actor, end], place
                question_of[actor, place] = queue_owner[actor, at]
                tokens[actor] += queue_tokens[actor, at]
                queue_first[actor] = (at + 1) % (held * samples)
                queue_size[actor] -= 1
                running[actor] += 1
            if running[actor] == 0:
                break
            n = running[actor]
            steps = 0
            while ends[actor, (step[actor] + steps) % ring] < 0:
                steps += 1
            step[actor] += steps
            passed = steps * (step_s + n * sequence_s)
            now[actor] += passed
            if next_unit == units:
                lost[actor] += passed * (1 - n / (step_s + n * sequence_s) / full)
            place = ends[actor, step[actor] % ring]
            ends[actor, step[actor] % ring] = next_one[actor, place]
            question = question_of[actor, place]
            running[actor] -= 1
            idle_places[actor, running[actor]] = place
            open_samples[actor, question] -= 1
            if open_samples[actor, question] == 0:
                room_left = True
                place = owner[actor, question]
                open_questions[actor, place] -= 1
                if open_questions[actor, place] == 0:
                    finished = place
                    unit_ends[unit_at[actor, place]] = now[actor]
        if finished >= 0:
            heapq.heappush(clock, (now[actor], actor, finished))
    return now, tokens, lost, unit_ends


class _SimulatedClock(asyncio.SelectorEventLoop):
    """A loop in which waiting takes no time: its clock jumps to whatever comes next."""

    def __init__(self) -> None:
        super().__init__(_Jumps(self))
        self.now = 0.0

    def time(self) -> float:
        return self.now


class _Jumps(selectors.SelectSelector):
    def __init__(self, loop: _SimulatedClock) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        self._loop.now += timeout or 0.0
        return super().select(0)


class _Engine:
    """``EngineModel`` behind the interface of engines, for lengths that are given by the name of the prompt."""

    about = Tokenization()

    def __init__(self, model: EngineModel, lengths: Mapping[str, Any]) -> None:
        self.samples_at_once = model.sequences
        self._model, self._lengths = model, lengths
        self._waiting: list[tuple[float, asyncio.Future[None]]] = []
        self._running: list[tuple[float, int, asyncio.Future[None]]] = []
        self._steps = self._since = 0.0
        self._serial = 0
        self._alarm: asyncio.TimerHandle | None = None

    async def generate(self, request: Request) -> Reply:
        loop = asyncio.get_running_loop()
        ends = [loop.create_future() for _ in range(request.samples)]
        self._waiting += zip(self._lengths[request.prompt], ends, strict=True)
        self._go_on(loop.time())
        await asyncio.gather(*ends)
        return Reply((), 0)

    def spelling(self, response: Response) -> tuple[TokenIds, list[int]]:
        return (), []

    def _go_on(self, now: float) -> None:
        """Count the steps since the last time, fill the batch, wake up when the next sequence ends."""
        step_s = self._model.step_s + len(self._running) * self._model.sequence_s
        self._steps += (now - self._since) / step_s
        self._since = now
        while self._running and self._running[0][0] <= self._steps + 1e-6:
            heapq.heappop(self._running)[2].set_result(None)
        while self._waiting and len(self._running) < self._model.sequences:
            length, end = self._waiting.pop(0)
            self._serial += 1
            heapq.heappush(self._running, (self._steps + length, self._serial, end))
        if self._alarm:
            self._alarm.cancel()
        if self._running:
            loop = asyncio.get_running_loop()
            step_s = self._model.step_s + len(self._running) * self._model.sequence_s
            wake = now + max(0.0, self._running[0][0] - self._steps) * step_s
            self._alarm = loop.call_at(wake, lambda: self._go_on(loop.time()))


def _real_turns(drawn: Any, unit_questions: int, model: EngineModel, units_in_flight: int) -> Any:
    """(units,) when each unit ends, with the project's own ``Turns`` letting its requests in."""
    units = len(drawn) // unit_questions
    ends = np.zeros(units)

    async def build() -> None:
        engine = _Engine(model, {str(number): drawn[number] for number in range(len(drawn))})
        turns, in_flight = Turns(engine), asyncio.Semaphore(units_in_flight)

        async def one(unit: int) -> None:
            async with in_flight:
                lane = turns.of(unit)
                first = unit * unit_questions
                asked = [Request(str(first + k), (), drawn.shape[1], 0) for k in range(unit_questions)]
                await asyncio.gather(*(lane.generate(request) for request in asked))
                ends[unit] = asyncio.get_running_loop().time()

        await asyncio.gather(*(one(unit) for unit in range(units)))

    loop = _SimulatedClock()
    try:
        loop.run_until_complete(build())
    finally:
        loop.close()
    return ends
