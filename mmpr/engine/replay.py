"""The replay engine: answers that follow from a hash of the request, with no model behind them.

For tests of failure, resume and load, never for data. ``engine.args`` of the recipe: ``delay_s`` (mean time an answer
takes), ``answers`` (final answers to draw from), ``replies`` (whole answers to draw from instead), ``mean_tokens``
(mean length of an answer, log-normal, of words that stand for tokens; without it answers are short), ``faults`` (by
kind, which prompts it happens to: those that hold a text, or a share of all), ``once`` (a folder that remembers, so
that each fault happens once; its name draws the share; for the kinds, see below).
"""

from __future__ import annotations

import asyncio
import functools
import math
import os
import random
import signal
import time
import zlib
from array import array
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from mmpr.config import Recipe
from mmpr.engine.request import Reply, Request, Tokenization
from mmpr.errors import EngineDeadError, RowError
from mmpr.prompts import without_images
from mmpr.schema import Response, TokenIds, content_id

KINDS = ("kill", "die", "hang", "freeze", "block", "refuse", "short", "error")
"""What can happen to a request.

``kill``: the process is killed; ``die``: the engine dies and the process sees it; ``hang``: this request is never
answered; ``freeze``: from here on none is; ``block``: the process stands still; ``refuse``: an error for this request;
``short``: a sample is missing; ``error``: the engine breaks the last sample off.
"""

LENGTH_SIGMA = 0.78
"""Spread of the lengths with ``mean_tokens``; assumed, the paper gives means alone."""

_FOR_EVER_S = 1e9


class ReplayEngine:
    """A deterministic stand-in for a model."""

    samples_at_once = 1024
    about = Tokenization()

    def __init__(self, recipe: Recipe) -> None:
        args = recipe.engine.args
        self._delay_s = float(args.get("delay_s", 0.0))
        self._answers = [str(answer) for answer in args.get("answers", range(10))]
        self._replies = [str(reply) for reply in args.get("replies", ())]
        self._mean_tokens = float(args.get("mean_tokens", 0))
        self._max_tokens = recipe.sampling.max_tokens
        self._faults: dict[str, str | float] = args.get("faults", {})
        self._once = Path(args["once"]) if "once" in args else None
        self._frozen = False

    async def generate(self, request: Request) -> Reply:
        """Responses drawn from a hash of prompt, prefix and seed; about a tenth name no answer or are truncated."""
        responses = tuple(self._respond(request, request.seed + i) for i in range(request.samples))
        if self._delay_s:
            dice = random.Random(content_id("delay", request.said, str(request.seed)))
            await asyncio.sleep(dice.expovariate(1 / self._delay_s))
        prompt = _words_as_tokens(request.said)
        reply = Reply(responses, len(prompt), prompt)
        fault = self._fault(request)
        self._frozen = self._frozen or fault == "freeze"
        if self._frozen or fault == "hang":
            await asyncio.sleep(_FOR_EVER_S)
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "die":
            raise EngineDeadError("the replay engine was told to die")
        if fault == "block":
            time.sleep(_FOR_EVER_S)
        if fault == "refuse":
            raise RowError("engine_refused", "the replay engine was told to refuse this")
        if fault == "short":
            return replace(reply, responses=responses[1:])
        if fault == "error":
            return replace(reply, responses=(*responses[:-1], Response("", responses[-1].seed, "error", 0)))
        return reply

    def spelling(self, response: Response) -> tuple[TokenIds, list[int]]:
        """One token a character."""
        return tuple(map(ord, response.text)), list(range(1, len(response.text) + 1))

    def _fault(self, request: Request) -> str:
        """What happens to this request, if anything: of the shares at most one, so that asking again helps."""
        drawn_by = "" if self._once is None else self._once.name
        name = content_id("fault", drawn_by, request.said, request.prefix, str(request.seed))
        die = random.Random(name).random()
        for kind, where in self._faults.items():
            if isinstance(where, str):
                hit = where in request.said
            else:
                hit, die = 0 <= die < where, die - where
            if hit and (self._once is None or self._is_first(self._once / f"{kind}-{name}")):
                return kind
        return ""

    def _is_first(self, mark: Path) -> bool:
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _respond(self, request: Request, seed: int) -> Response:
        dice = random.Random(content_id("replay", without_images(request.said), request.prefix, str(seed)))
        if self._replies:
            text = dice.choice(self._replies)
            words = _words_as_tokens(text)
            return Response(text, seed, "stop", len(words), words)
        if self._mean_tokens:
            steps, tokens = self._words(dice)
        else:
            steps = " ".join(f"Step {dice.randrange(1000)}." for _ in range(dice.randrange(1, 6)))
            tokens = len(steps.split())
        if dice.random() < 0.1:
            return Response(steps, seed, dice.choice(["stop", "length"]), tokens, _words_as_tokens(steps))
        text = f"{steps}\nFinal answer: {dice.choice(self._answers)}"
        words = _words_as_tokens(text)
        return Response(text, seed, "stop", len(words), words)

    def _words(self, dice: random.Random) -> tuple[str, int]:
        """Some words that follow each other in ``_stock``, and how many."""
        mu = math.log(self._mean_tokens) - LENGTH_SIGMA**2 / 2
        count = max(1, min(self._max_tokens, round(dice.lognormvariate(mu, LENGTH_SIGMA))))
        text, ends = _stock()
        first = dice.randrange(len(ends) - count)
        return text[ends[first] : ends[first + count]].strip(), count


def _words_as_tokens(text: str) -> TokenIds:
    """A number for each word of a text, as if it were a token."""
    return tuple(zlib.crc32(word.encode()) >> 1 for word in text.split())


@functools.cache
def _stock() -> tuple[str, array[int]]:
    """A million random words in one text, and where each ends, a 0 first: more than compression remembers."""
    dice = random.Random(0)
    vocabulary = [" " + "".join(dice.choices("bdklmnrsaeio", k=dice.randrange(1, 6))) for _ in range(2_000)]
    chosen = dice.choices(vocabulary, k=1 << 20)
    return "".join(chosen), array("I", [0, *accumulate(map(len, chosen))])
