"""Care for requests that fail, hang or kill: each is asked again, alone when it is a suspect, and then given up.

    Careful (a unit's) ─▶ Turns ─▶ Watched (the engine's) ─▶ the engine

``Careful`` knows from the records of engines that died (``mmpr.engine.lives``) whom to be careful with. ``Watched``
writes such a record, and ends what takes too long. A request that can do harm costs the build at most its own
responses: it becomes a RowError (``engine_killed``, ``engine_timeout``), the rest of its unit goes on. An answer that
the engine broke off for a reason of its own is none: its question is asked again, and then given up (``engine_error``).
"""

from __future__ import annotations

import asyncio
import faulthandler
from collections import Counter
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from mmpr.engine.lives import MOST_DEATHS_ALONE, History, Life
from mmpr.engine.request import Engine, Reply, Request
from mmpr.errors import EngineDeadError, RowError
from mmpr.schema import ANSWERED, Response, TokenIds

HARMLESS = Request("What is 1 + 1?", (), 1, 0)
"""What an engine that works can be asked: one that dies over it, or hangs, is itself the cause."""

MOST_FAILURES = 2
"""Times that a request may fail before it is given up."""

_TIMEOUT = "engine_timeout"
_STDERR = 2  # as the operating system knows it: an engine's log
_BEATS = 4  # of the watchdog in its time
_SLICES = 10  # of the time that an answer may take


class Careful:
    """The engine as a unit sees it: what fails is asked once more, suspects alone, and every reply is whole."""

    def __init__(self, engine: Engine, history: History) -> None:
        self._engine, self._history = engine, history
        self.samples_at_once, self.about = engine.samples_at_once, engine.about

    async def generate(self, request: Request) -> Reply:
        """See ``Engine.generate``.

        What failed is asked once more before its RowError is raised; what took too long among others, alone.

        Raises:
            RowError: also when engines died over it (``engine_killed``), when samples are missing (``engine_short``),
                and when the engine broke some off (``engine_error``).
        """
        deaths = self._history.deaths_alone(request)
        if deaths is not None:
            if deaths >= MOST_DEATHS_ALONE:
                raise RowError("engine_killed", f"{MOST_DEATHS_ALONE} engines died over it, with nothing else in them")
            request = replace(request, caution=1 + deaths)
        failures = 0
        while True:
            try:
                reply = await self._engine.generate(request)
                _check_answered(request, reply)
                return reply
            except RowError as error:
                failures += 1
                in_company = error.reason == _TIMEOUT and not request.caution
                if failures >= MOST_FAILURES and not in_company:
                    raise
                if in_company:  # another may have held it up: that is never the last word on it
                    request = replace(request, caution=1)

    def spelling(self, response: Response) -> tuple[TokenIds, list[int]]:
        """See ``Engine.spelling``."""
        return self._engine.spelling(response)


def _check_answered(request: Request, reply: Reply) -> None:
    """Refuse a reply that lacks a sample, or has one that is no answer (``ANSWERED``)."""
    if len(reply.responses) != request.samples:
        raise RowError("engine_short", f"asked for {request.samples} samples, got {len(reply.responses)}")
    if failed := Counter(one.finish_reason for one in reply.responses if one.finish_reason not in ANSWERED):
        ended = ", ".join(f"{by} with {reason!r}" for reason, by in sorted(failed.items()))
        raise RowError("engine_error", f"of {request.samples} samples the engine ended {ended}")


class Watched:
    """An engine whose requests are on record and end in time."""

    def __init__(self, engine: Engine, life: Life, timeout_s: float) -> None:
        self._engine, self._life, self._timeout_s = engine, life, timeout_s
        self._answered = 0
        self._dead = False
        self.samples_at_once, self.about = engine.samples_at_once, engine.about

    async def generate(self, request: Request) -> Reply:
        """See ``Engine.generate``.

        Raises:
            RowError: also when the request took too long though the engine works (``engine_timeout``).
            EngineDeadError: also when the engine answers nobody any more.
        """
        if request.caution and not self._answered:
            await self._ask_harmless()
        answered = self._answered
        try:
            reply = await self._ask(request)
        except TimeoutError:
            if answered == self._answered:
                await self._ask_harmless()
            self._end(request)
            raise RowError(_TIMEOUT, f"took more than {self._timeout_s:g} s (engine.request_timeout_s)") from None
        return reply

    def spelling(self, response: Response) -> tuple[TokenIds, list[int]]:
        """See ``Engine.spelling``."""
        return self._engine.spelling(response)

    async def _ask_harmless(self) -> None:
        """See that the engine works at all."""
        try:
            await self._ask(HARMLESS)
        except RowError:
            pass  # it refuses requests: so it lives
        except TimeoutError:
            self._dead = True
            raise EngineDeadError(f"the engine has answered nothing for {self._timeout_s:g} s") from None

    async def _ask(self, request: Request) -> Reply:
        """Ask, for so long; who is in when the engine dies, or takes too long, stays on record as being in."""
        if self._dead:
            raise EngineDeadError("the engine has died")
        self._life.asks(request)
        try:
            reply = await _in_time(self._engine.generate(request), self._timeout_s)
        except (EngineDeadError, TimeoutError) as error:
            self._dead = self._dead or isinstance(error, EngineDeadError)
            raise
        except BaseException:
            self._end(request)
            raise
        self._end(request)
        self._answered += 1
        return reply

    def _end(self, request: Request) -> None:
        """Note that a request is out; when the engine has died the others are cancelled, which is no way out."""
        if not self._dead:
            self._life.ended(request)


async def _in_time(asked: Coroutine[Any, Any, Reply], timeout_s: float) -> Reply:
    """Wait for an answer, in slices, of which one that this process itself has slept through counts once.

    Raises:
        TimeoutError: there is none in time.
    """
    task = asyncio.ensure_future(asked)
    try:
        for _ in range(_SLICES):
            await asyncio.wait({task}, timeout=timeout_s / _SLICES)
            if task.done():
                return task.result()
        raise TimeoutError
    finally:
        task.cancel()


async def watch_loop(timeout_s: float) -> None:
    """End this process when its event loop stands still for ``timeout_s``, even where C code holds Python's lock."""
    while True:
        faulthandler.dump_traceback_later(timeout_s, exit=True, file=_STDERR)
        await asyncio.sleep(timeout_s / _BEATS)
