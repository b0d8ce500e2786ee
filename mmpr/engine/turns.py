"""Who may ask the engine next: requests of the oldest unit first, and no more than keep the engine busy.

Units that are all asked at once also end all at once: the engine runs dry while the next ones are being prepared. In
turns, the oldest unit ends first and its successor is prepared behind the others. It also bounds memory: pictures are
processed for requests that are let in, not for all that wait. A request to be careful with takes all the room, so that
it is alone.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import sys

from mmpr.engine.request import Engine, Reply, Request
from mmpr.schema import Response, TokenIds

ROOM = 4
"""Samples let in, in units of what the engine works on at once.

A question keeps its place until its last sample is done: half of what is in may have ended, and as many as the engine
works on should stand ready beside the others.
"""


class Turns:
    """Lets requests into an engine, lower turns first; within a turn suspects first, then in order of arrival."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._room = self._free = ROOM * engine.samples_at_once
        self._waiting: list[tuple[int, int, int, int, asyncio.Future[None]]] = []
        self._arrivals = itertools.count()

    def of(self, turn: int) -> Engine:
        """The engine as those see it whose turn this is."""
        return _Turn(self, turn, self._engine)

    async def generate(self, turn: int, request: Request) -> Reply:
        """Wait for the turn, then ask; raises what ``Engine.generate`` does."""
        samples = self._room if request.caution else min(request.samples, self._room)
        await self._enter(turn, request.caution or sys.maxsize, samples)
        try:
            return await self._engine.generate(request)
        finally:
            self._leave(samples)

    async def _enter(self, turn: int, caution: int, samples: int) -> None:
        if not self._waiting and samples <= self._free:
            self._free -= samples
            return
        let_in = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (turn, caution, next(self._arrivals), samples, let_in))
        try:
            await let_in
        except asyncio.CancelledError:
            if let_in.done() and not let_in.cancelled():
                self._leave(samples)
            raise

    def _leave(self, samples: int) -> None:
        self._free += samples
        while self._waiting and (self._waiting[0][3] <= self._free or self._waiting[0][4].done()):
            _, _, _, needed, let_in = heapq.heappop(self._waiting)
            if not let_in.done():
                self._free -= needed
                let_in.set_result(None)


class _Turn:
    """An engine whose requests wait for their turn."""

    def __init__(self, turns: Turns, turn: int, engine: Engine) -> None:
        self._turns, self._turn, self._engine = turns, turn, engine
        self.samples_at_once, self.about = engine.samples_at_once, engine.about

    async def generate(self, request: Request) -> Reply:
        """See ``Engine.generate``."""
        return await self._turns.generate(self._turn, request)

    def spelling(self, response: Response) -> tuple[TokenIds, list[int]]:
        """See ``Engine.spelling``."""
        return self._engine.spelling(response)
