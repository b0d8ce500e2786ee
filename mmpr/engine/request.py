"""What goes into an engine and comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

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
            RowError: the engine refuses this request (prompt too long, picture it cannot take, a control token in the
                prompt); others go on.
            EngineDeadError: nothing works any more.
        """
        ...

    def token_ends(self, text: str) -> list[int]:
        """Where each token of ``text`` ends, in characters; one entry a token."""
        ...
