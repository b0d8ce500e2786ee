"""What flows through training: a question with its pairs, as text and pictures, then as tensors.

    build, MMPR or TRL-style data ─rows─▶ TrainRow ─encode─▶ EncodedRow ─▶ StepPart (some pairs of a row, in one step)

Who makes what: ``rows``, ``encode``, ``steps``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True, slots=True)
class TrainRow:
    """A question with its pairs, wherever it comes from.

    ``prompt`` is a list of chat messages whose content is a list of parts, ``{"type": "image"}`` or
    ``{"type": "text", "text": ...}``, with one image part for each of ``images`` (encoded files).
    ``pairs`` are (chosen, rejected) positions in ``responses``, which holds each distinct response once.
    ``kind`` is the question's kind where the data names one.
    """

    id: str
    source: str
    images: tuple[bytes, ...]
    prompt: tuple[Mapping[str, Any], ...]
    responses: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    kind: str = ""


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """A row as the model takes it.

    Attributes:
        prompt_ids: int64 ``[P]``, the chat format up to where the answer begins, image tokens expanded.
        response_ids: one int64 ``[R_i]`` a response, each ending in the token that ends an answer.
        extras: what the processor made of the pictures (``pixel_values``, ``image_grid_thw``, ...), with the leading
            dimension that the model's ``forward`` expects for one sample; empty for text alone.
        reference: float32 ``[n]``, the reference model's summed log-probability of each response, or None.
    """

    id: str
    source: str
    prompt_ids: Tensor
    response_ids: tuple[Tensor, ...]
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    reference: Tensor | None = None


@dataclass(frozen=True, slots=True)
class StepPart:
    """The pairs of one row that one optimizer step sees: (chosen, rejected) positions, and a weight for each."""

    row: EncodedRow
    pairs: tuple[tuple[int, int], ...]
    weights: tuple[float, ...]

    @property
    def used(self) -> tuple[int, ...]:
        """The positions of the responses that stand in these pairs, each once, in order."""
        return tuple(sorted({position for pair in self.pairs for position in pair}))


@dataclass(frozen=True, slots=True)
class StepBatch:
    """This rank's share of an optimizer step. ``pairs`` counts the pairs of all ranks."""

    parts: tuple[StepPart, ...]
    pairs: int
