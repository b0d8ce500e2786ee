"""What goes into one pass: questions packed to a number of tokens, or some of a question's answers.

rows   [prompt][y1]…[yn][next prompt][y1]…   one row, no padding; positions start anew after each prompt
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
    """One row as the model takes it.

    Attributes:
        ids: int64 ``[1, T]``.
        positions: int64 ``[1, T]``, or ``[3, 1, T]``.
        pictures: the rows' pictures, joined.
        blocks: how the row is made of prompts and responses.
        sources: int64 ``[N]``, from which token's hidden state each response token is predicted. When the prompt was
            in an earlier pass, its last token is number 0 and the row's own follow it.
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

    ``positions`` are those of the prompt and of the longest response, ``[P + R]`` or ``[3, P + R]``.
    """

    row: EncodedRow
    responses: tuple[int, ...]
    positions: Tensor
    prompt: bool = True


def tokens_of(part: StepPart) -> int:
    """Tokens of a part with its prompt once and each of its responses once."""
    return len(part.row.prompt_ids) + sum(len(part.row.response_ids[i]) for i in part.used)


def unshared_tokens_of(part: StepPart) -> int:
    """Tokens of a part when both sides of each pair are sequences of their own."""
    lengths = [len(response) for response in part.row.response_ids]
    return sum(2 * len(part.row.prompt_ids) + lengths[chosen] + lengths[rejected] for chosen, rejected in part.pairs)


def make_batch(pieces: Sequence[Piece], joined: Mapping[str, int]) -> Batch:
    """Lay pieces side by side; ``joined`` names the dimension along which each tensor of pictures is joined.

    A piece without its prompt must be alone: its prompt was in an earlier pass.
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
    """Put the parts with these indexes into packs of at most ``budget`` tokens, first fit, largest first.

    Only rows whose pictures can be joined are packed together. A part bigger than the budget is a pack of its own.
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
    """What must agree for pictures to be joined; None without pictures."""
    if not row.extras:
        return None
    return tuple(
        (name, value.dtype, *(size for d, size in enumerate(value.shape) if d != joined.get(name)))
        for name, value in sorted(row.extras.items())
        if name in joined
    )
