"""An engine that refuses everything with the same words: model and recipe do not fit, the build would be empty."""

from __future__ import annotations

import re

from mmpr.engine.request import Engine, Reply, Request
from mmpr.errors import EngineError, RowError
from mmpr.schema import Response, TokenIds

MOST_REFUSALS = 100
"""Requests that may be refused with the same words, and none answered, before the build stops."""

_NUMBER = re.compile(r"\d+")


class Listening:
    """The engine as it is, until its first requests were all refused for the same reason."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._refused: dict[str, int] | None = {}
        self.samples_at_once, self.about = engine.samples_at_once, engine.about

    async def generate(self, request: Request) -> Reply:
        """See ``Engine.generate``.

        Raises:
            EngineError: also when this is the hundredth request, and all were refused with the same words.
        """
        try:
            reply = await self._engine.generate(request)
        except RowError as error:
            self._count(error)
            raise
        self._refused = None  # it answers some
        return reply

    def spelling(self, response: Response) -> tuple[TokenIds, list[int]]:
        """See ``Engine.spelling``."""
        return self._engine.spelling(response)

    def _count(self, error: RowError) -> None:
        """Note a refusal; numbers, such as those of tokens, do not make other words of it."""
        if self._refused is None:
            return
        words = _NUMBER.sub("0", str(error))
        self._refused[words] = self._refused.get(words, 0) + 1
        if len(self._refused) > 1:
            self._refused = None  # it says one thing of this request and another one of that
        elif self._refused[words] >= MOST_REFUSALS:
            raise EngineError(f"the engine refused the first {MOST_REFUSALS} requests with the same words: {error}")
