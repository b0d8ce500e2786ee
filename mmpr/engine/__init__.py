"""Engines: a request goes in, its samples come out.

``vllm`` is the real one, ``replay`` answers from a hash of the request and exists for tests of failure and load.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mmpr.config import Recipe
from mmpr.schema import Response


@dataclass(frozen=True, slots=True)
class Request:
    """All samples of one prompt.

    ``prompt`` has one ``<image>`` for each picture (encoded PNG or JPEG). Sample i is drawn with ``seed + i``.
    ``prefix`` is a beginning of the answer that the model is made to continue. ``processor`` holds arguments of the
    model's processor, such as the number of tiles. ``caution`` is not 0 for a request that must be with the engine
    alone: 1, and 1 more for each engine that has died over it.
    """

    prompt: str
    images: tuple[bytes, ...]
    samples: int
    seed: int
    prefix: str = ""
    processor: Mapping[str, Any] = field(default_factory=dict)
    caution: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """The samples of a request, in the order of their seeds, and the length of its prompt."""

    responses: tuple[Response, ...]
    prompt_tokens: int


class Engine(Protocol):
    """What a sampler needs of an engine; ``samples_at_once`` is how many samples it works on at the same time."""

    samples_at_once: int

    async def generate(self, request: Request) -> Reply:
        """Draw ``request.samples`` responses.

        Raises:
            RowError: the engine refuses this request (prompt too long, picture it cannot take); others go on.
            EngineDeadError: nothing works any more.
        """
        ...

    def token_ends(self, text: str) -> list[int]:
        """Where each token of ``text`` ends, in characters; one entry a token."""
        ...


def start_engine(recipe: Recipe, model_path: str, log: Path | None) -> Engine:
    """Start the engine that the recipe names; this process's output goes to ``log`` from then on, if there is one.

    Raises:
        EngineStartError: with the engine's own last lines.
    """
    if recipe.engine.type == "replay":
        from mmpr.engine.replay import ReplayEngine

        return ReplayEngine(recipe)
    from mmpr.engine.vllm_engine import VllmEngine

    return VllmEngine(recipe, model_path, log)
