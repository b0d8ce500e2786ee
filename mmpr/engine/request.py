"""What goes into an engine and comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mmpr.schema import Response, TokenIds, Turn


@dataclass(frozen=True, slots=True)
class Request:
    """All samples of one prompt.

    ``context``, the turns before it, and ``prompt`` have one ``<image>`` for each picture (encoded PNG or JPEG).
    Sample i is drawn with ``seed + i``. ``prefix`` is a beginning of the answer, of the tokens ``prefix_token_ids``,
    that the model is made to continue. ``processor`` holds arguments of the model's processor, such as the number of
    tiles. ``caution`` is not 0 for a request that must be with the engine alone: 1, and 1 more for each engine that has
    died over it.
    """

    prompt: str
    images: tuple[bytes, ...]
    samples: int
    seed: int
    prefix: str = ""
    prefix_token_ids: TokenIds = ()
    processor: Mapping[str, Any] = field(default_factory=dict)
    caution: int = 0
    context: tuple[Turn, ...] = ()

    @property
    def said(self) -> str:
        """The text of all turns, for those who ask what is in it."""
        return "\n".join([*(turn.text for turn in self.context), self.prompt])


@dataclass(frozen=True, slots=True)
class Reply:
    """The samples of a request, in the order of their seeds, and the prompt as the engine read it.

    ``prompt_token_ids`` are its ``prompt_tokens`` tokens, a prefix of the answer among them.
    """

    responses: tuple[Response, ...]
    prompt_tokens: int
    prompt_token_ids: TokenIds = ()


@dataclass(frozen=True, slots=True)
class Tokenization:
    """Hashes of a model's vocabulary and of its chat template, and the mark of reasoning with which its prompts end.

    All are empty for an engine without a model, the last for most models.
    """

    tokenizer_sha256: str = ""
    chat_template_sha256: str = ""
    reasoning_opened: str = ""


class Engine(Protocol):
    """What a sampler needs of an engine.

    ``samples_at_once`` is how many samples it works on at the same time, ``about`` what writes its prompts.
    """

    samples_at_once: int
    about: Tokenization

    async def generate(self, request: Request) -> Reply:
        """Draw ``request.samples`` responses.

        Raises:
            RowError: the engine refuses this request (prompt too long, picture it cannot take, a control token in the
                prompt); others go on.
            EngineDeadError: nothing works any more.
        """
        ...

    def spelling(self, response: Response) -> tuple[TokenIds, list[int]]:
        """The tokens that spell a response, and where each ends in its text (``mmpr.tokens.spelling``)."""
        ...
