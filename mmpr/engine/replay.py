"""The replay engine: answers that follow from a hash of the request, with no model behind them.

For tests of failure, resume and load, never for data. ``engine.args`` of the recipe: ``delay_s`` (mean time an answer
takes), ``answers`` (final answers to draw from).
"""

from __future__ import annotations

import asyncio
import random

from mmpr.config import Recipe
from mmpr.engine import Reply, Request
from mmpr.prompts import without_images
from mmpr.schema import Response, content_id


class ReplayEngine:
    """A deterministic stand-in for a model."""

    samples_at_once = 1024

    def __init__(self, recipe: Recipe) -> None:
        self._delay_s = float(recipe.engine.args.get("delay_s", 0.0))
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
        steps = " ".join(f"Step {dice.randrange(1000)}." for _ in range(dice.randrange(1, 6)))
        if dice.random() < 0.1:
            return Response(steps, seed, dice.choice(["stop", "length"]), len(steps.split()))
        text = f"{steps}\nFinal answer: {dice.choice(self._answers)}"
        return Response(text, seed, "stop", len(text.split()))
