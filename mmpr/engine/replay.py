"""The replay engine: answers that follow from a hash of the request, with no model behind them.

For tests of failure, resume and load, never for data. ``engine.args`` of the recipe: ``delay_s`` (mean time an answer
takes), ``answers`` (final answers to draw from), ``mean_tokens`` (mean length of an answer, log-normal, of words that
stand for tokens; without it answers are short).
"""

from __future__ import annotations

import asyncio
import functools
import math
import random
from array import array
from itertools import accumulate

from mmpr.config import Recipe
from mmpr.engine import Reply, Request
from mmpr.prompts import without_images
from mmpr.schema import Response, content_id

LENGTH_SIGMA = 0.78
"""Spread of the lengths with ``mean_tokens``; assumed, the paper gives means alone."""


class ReplayEngine:
    """A deterministic stand-in for a model."""

    samples_at_once = 1024

    def __init__(self, recipe: Recipe) -> None:
        self._delay_s = float(recipe.engine.args.get("delay_s", 0.0))
        self._mean_tokens = float(recipe.engine.args.get("mean_tokens", 0))
        self._max_tokens = recipe.sampling.max_tokens
        self._answers = [str(answer) for answer in recipe.engine.args.get("answers", range(10))]

    async def generate(self, request: Request) -> Reply:
        """Responses drawn from a hash of prompt, prefix and seed; about a tenth name no answer or are truncated."""
        responses = tuple(self._respond(request, request.seed + i) for i in range(request.samples))
        if self._delay_s:
            dice = random.Random(content_id("delay", request.prompt, str(request.seed)))
            await asyncio.sleep(dice.expovariate(1 / self._delay_s))
        return Reply(responses, prompt_tokens=len(request.prompt.split()))

    def token_ends(self, text: str) -> list[int]:
        """One token a character."""
        return list(range(1, len(text) + 1))

    def _respond(self, request: Request, seed: int) -> Response:
        dice = random.Random(content_id("replay", without_images(request.prompt), request.prefix, str(seed)))
        if self._mean_tokens:
            steps, tokens = self._words(dice)
        else:
            steps = " ".join(f"Step {dice.randrange(1000)}." for _ in range(dice.randrange(1, 6)))
            tokens = len(steps.split())
        if dice.random() < 0.1:
            return Response(steps, seed, dice.choice(["stop", "length"]), tokens)
        answer = f"Final answer: {dice.choice(self._answers)}"
        return Response(f"{steps}\n{answer}", seed, "stop", tokens + len(answer.split()))

    def _words(self, dice: random.Random) -> tuple[str, int]:
        """Some words that follow each other in ``_stock``, and how many."""
        mu = math.log(self._mean_tokens) - LENGTH_SIGMA**2 / 2
        count = max(1, min(self._max_tokens, round(dice.lognormvariate(mu, LENGTH_SIGMA))))
        text, ends = _stock()
        first = dice.randrange(len(ends) - count)
        return text[ends[first] : ends[first + count]].strip(), count


@functools.cache
def _stock() -> tuple[str, array[int]]:
    """A million random words in one text, and where each ends, a 0 first: more than compression remembers."""
    dice = random.Random(0)
    vocabulary = [" " + "".join(dice.choices("bdklmnrsaeio", k=dice.randrange(1, 6))) for _ in range(2_000)]
    chosen = dice.choices(vocabulary, k=1 << 20)
    return "".join(chosen), array("I", [0, *accumulate(map(len, chosen))])
