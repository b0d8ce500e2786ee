"""A question with its pairs, on its way from the data to a training step.

TrainRow     text and picture files            made by ``data/preference_data``
EncodedRow   token ids and pixels              made by ``data/encoding``
StepPart     some pairs of a row, in one step  made by ``data/prepare`` after ``data/step_plan``
StepBatch    all parts of one rank in one step
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mmpr.schema import TokenIds


@dataclass(frozen=True, slots=True)
class TrainRow:
    """A question with its pairs, in the same form for all kinds of data.

    ``prompt`` is a list of chat messages whose content is a list of parts, ``{"type": "image"}`` or
    ``{"type": "text", "text": ...}``, with one image part for each of ``images`` (encoded files).
    ``pairs`` are (chosen, rejected) positions in ``responses``, which holds each distinct response once.
    ``kind`` is the question's kind where the data names one. ``sampled``: the responses are what a model wrote after
    the prompt, letter for letter; else they are messages, which the chat template may write in a form of its own.
    ``token_ids`` are the tokens of each response as they were sampled and ``prompt_token_ids`` those that the model
    read, of the vocabulary ``tokenizer_sha256``; ``logprobs`` the sum of the log-probabilities that each response had
    then. All empty where the data does not hold them.
    """

    id: str
    source: str
    images: tuple[bytes, ...]
    prompt: tuple[Mapping[str, Any], ...]
    responses: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    kind: str = ""
    sampled: bool = False
    token_ids: tuple[TokenIds, ...] = ()
    prompt_token_ids: TokenIds = ()
    tokenizer_sha256: str = ""
    logprobs: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """A row as the model takes it.

    Attributes:
        prompt_ids: int64 ``[P]``, the prompt in chat format with its generation prompt, image tokens expanded.
        response_ids: int64 ``[R_i]`` for each response, with the token that ends an answer.
        extras: further inputs of the model's ``forward`` for this one sample (``pixel_values``, ``image_grid_thw``,
            ...); empty without pictures.
        reference: float32 ``[responses]``, the reference model's summed log-probability of each response, or None.
        sampled_logprobs: the same of the model that sampled, at that time; NaN where it is not known; or None.
    """

    id: str
    source: str
    prompt_ids: Tensor
    response_ids: tuple[Tensor, ...]
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    reference: Tensor | None = None
    sampled_logprobs: Tensor | None = None


@dataclass(frozen=True, slots=True)
class StepPart:
    """The pairs of one row in one optimizer step: (chosen, rejected) positions in its responses, and their weights."""

    row: EncodedRow
    pairs: tuple[tuple[int, int], ...]
    weights: tuple[float, ...]

    @property
    def used(self) -> tuple[int, ...]:
        """The positions of the responses of these pairs, each once, ascending."""
        return tuple(sorted({position for pair in self.pairs for position in pair}))


@dataclass(frozen=True, slots=True)
class StepBatch:
    """This rank's share of an optimizer step; ``pairs`` is the number of pairs of all ranks."""

    parts: tuple[StepPart, ...]
    pairs: int
