"""The inputs of one forward pass: several questions, or some responses of one question, without padding.

[prompt][y1]…[yn][next prompt][y1]…    positions of each response go on after its prompt
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmpr.train.rows import EncodedRow, StepPart
from mmpr.train.shared_prefix.attention import Block


@dataclass(frozen=True, slots=True)
class Batch:
    """The inputs of one pass, with T tokens, N of them response tokens.

    Attributes:
        ids: int64 ``[1, T]``.
        positions: int64 ``[1, T]``, or ``[3, 1, T]``.
        pictures: picture inputs of all questions, concatenated.
        blocks: the prompts and responses.
        sources: int64 ``[N]``, the token whose hidden state predicts each response token. When the prompt was in an
            earlier pass, its last token has number 0 and the tokens of this pass follow it.
        targets: int64 ``[N]``, the response tokens.
        lengths: of the responses, in order; they sum to N.
    """

    ids: Tensor
    positions: Tensor
    pictures: Mapping[str, Tensor]
    blocks: tuple[Block, ...]
    sources: Tensor
    targets: Tensor
    lengths: tuple[int, ...]

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return replace(
            self,
            ids=self.ids.to(device),
            positions=self.positions.to(device),
            pictures={name: value.to(device) for name, value in self.pictures.items()},
            sources=self.sources.to(device),
            targets=self.targets.to(device),
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """Some responses of a row (none: the prompt alone), with or without the prompt before them.

    ``positions``, ``[P + R]`` or ``[3, P + R]``, are those of the prompt and of the row's longest response.
    """

    row: EncodedRow
    responses: tuple[int, ...]
    positions: Tensor
    prompt: bool = True


def tokens_of(part: StepPart) -> int:
    """Tokens of a part with its prompt and each of its responses once."""
    return len(part.row.prompt_ids) + sum(len(part.row.response_ids[i]) for i in part.used)


def unshared_tokens_of(part: StepPart) -> int:
    """Tokens of a part with the prompt before both responses of each pair, as without sharing."""
    lengths = [len(response) for response in part.row.response_ids]
    return sum(2 * len(part.row.prompt_ids) + lengths[chosen] + lengths[rejected] for chosen, rejected in part.pairs)


def make_batch(pieces: Sequence[Piece], joined: Mapping[str, int]) -> Batch:
    """Concatenate pieces; ``joined`` names the dimension along which each picture input is concatenated.

    A piece without its prompt, which was in an earlier pass, must be the only one.
    """
    ids: list[Tensor] = []
    positions: list[Tensor] = []
    blocks: list[Block] = []
    sources: list[Tensor] = []
    targets: list[Tensor] = []
    end = 0
    for piece in pieces:
        row, length = piece.row, len(piece.row.prompt_ids)
        prompt_start = end
        if piece.prompt:
            ids.append(row.prompt_ids)
            positions.append(piece.positions[..., :length])
            end += length
            blocks.append(Block(prompt_start, end))
        prompt_stop = end
        for index in piece.responses:
            response = row.response_ids[index]
            start, end = end, end + len(response)
            ids.append(response)
            positions.append(piece.positions[..., length : length + len(response)])
            blocks.append(Block(start, end, prompt_start, prompt_stop))
            own = torch.arange(start, end - 1)
            before = torch.tensor([prompt_stop - 1])
            sources.append(torch.cat([before, own]) + (0 if piece.prompt else 1))
            targets.append(response)
    with_pictures = [piece.row.extras for piece in pieces if piece.prompt and piece.row.extras]
    names = with_pictures[0].keys() & joined.keys() if with_pictures else ()
    return Batch(
        ids=torch.cat(ids)[None],
        positions=torch.cat(positions, -1).unsqueeze(-2),
        pictures={name: torch.cat([extras[name] for extras in with_pictures], joined[name]) for name in sorted(names)},
        blocks=tuple(blocks),
        sources=torch.cat(sources) if sources else torch.empty(0, dtype=torch.int64),
        targets=torch.cat(targets) if targets else torch.empty(0, dtype=torch.int64),
        lengths=tuple(len(piece.row.response_ids[i]) for piece in pieces for i in piece.responses),
    )


def pack(parts: Sequence[StepPart], indexes: Sequence[int], budget: int, joined: Mapping[str, int]) -> list[list[int]]:
    """Packs of ``indexes`` of parts, at most ``budget`` tokens each: largest part first, into the first pack with room.

    Only rows whose picture inputs can be concatenated share a pack. A part above the budget has a pack of its own.
    """
    packs: list[tuple[object, int, list[int]]] = []
    for index in sorted(indexes, key=lambda i: (-tokens_of(parts[i]), i)):
        kind, size = _shapes(parts[index].row, joined), tokens_of(parts[index])
        for place, (other, filled, members) in enumerate(packs):
            if filled + size <= budget and (kind is None or other is None or kind == other):
                packs[place] = (kind or other, filled + size, [*members, index])
                break
        else:
            packs.append((kind, size, [index]))
    return [sorted(members) for _, _, members in packs]


def _shapes(row: EncodedRow, joined: Mapping[str, int]) -> object:
    """What must be equal for picture inputs to be concatenated; None without pictures."""
    if not row.extras:
        return None
    return tuple(
        (name, value.dtype, *(size for d, size in enumerate(value.shape) if d != joined.get(name)))
        for name, value in sorted(row.extras.items())
        if name in joined
    )
