"""Models and questions of a given size, made on the device: random weights and made-up pictures, no files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import InternVLConfig, InternVLForConditionalGeneration

from mmpr.train.rows import EncodedRow, StepPart


@dataclass(frozen=True, slots=True)
class Size:
    """An InternVL model by its parts, and how large the questions about it are.

    ``tiles`` pictures of ``pixels`` by ``pixels`` are ``tile_tokens`` tokens each; a response has ``response`` tokens.
    """

    layers: int
    width: int
    inner: int
    heads: int
    key_heads: int
    vocabulary: int
    vision_layers: int
    vision_width: int
    pixels: int
    patch: int
    tiles: int
    response: int

    @property
    def tile_tokens(self) -> int:
        """Tokens of a tile: a quarter of its patches."""
        return (self.pixels // self.patch) ** 2 // 4


_VIT = {"vision_layers": 24, "vision_width": 1024, "pixels": 448, "patch": 14, "tiles": 4, "response": 214}
TINY = Size(3, 32, 40, 4, 2, 60, 2, 16, 16, 4, 2, 12)
HALF_BILLION = Size(24, 896, 4864, 14, 2, 151_674, **_VIT)
TWO_BILLION = Size(28, 1536, 8960, 12, 2, 151_674, **_VIT)
EIGHT_BILLION = Size(28, 3584, 18944, 28, 4, 151_674, **_VIT)


def make_model(
    size: Size, device: torch.device, dtype: torch.dtype = torch.float32, *, layers: int | None = None
) -> Any:
    """An InternVL model with random weights, always the same; ``layers`` instead of those of the size."""
    text = {
        "model_type": "qwen2",
        "vocab_size": size.vocabulary,
        "hidden_size": size.width,
        "intermediate_size": size.inner,
        "num_hidden_layers": layers or size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.key_heads,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "max_position_embeddings": 32768,
    }
    vision = {
        "hidden_size": size.vision_width,
        "intermediate_size": 4 * size.vision_width,
        "num_hidden_layers": size.vision_layers,
        "num_attention_heads": max(2, size.vision_width // 64),
        "image_size": [size.pixels, size.pixels],
        "patch_size": [size.patch, size.patch],
    }
    config = InternVLConfig(text_config=text, vision_config=vision, image_token_id=size.vocabulary - 1)
    torch.manual_seed(7)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return InternVLForConditionalGeneration(config).train()
    finally:
        torch.set_default_dtype(before)


def make_part(size: Size, pairs: int, *, seed: int = 0, tiles: int | None = None) -> StepPart:
    """A question about ``tiles`` pictures with so many pairs, half as many right responses as pairs, at least one.

    Its reference is that no response is likelier than another: all have the same log-probability.
    """
    generator = torch.Generator().manual_seed(seed)

    def words(count: int) -> torch.Tensor:
        return torch.randint(3, size.vocabulary - 2, (count,), generator=generator)

    tiles = size.tiles if tiles is None else tiles
    pictures = torch.full((tiles * size.tile_tokens,), size.vocabulary - 1)
    pixels = {"pixel_values": torch.randn(tiles, 3, size.pixels, size.pixels, generator=generator)} if tiles else {}
    right = max(1, pairs // 2)
    chosen_and_rejected = tuple((i % right, right + i) for i in range(pairs))
    row = EncodedRow(
        id=f"row{seed}",
        source="made up",
        prompt_ids=torch.cat([words(4), pictures, words(20)]),
        response_ids=tuple(words(size.response) for _ in range(right + pairs)),
        extras=pixels,
    )
    row = replace(row, reference=torch.full((right + pairs,), -float(size.response)))
    return StepPart(row, chosen_and_rejected, (1.0,) * pairs)
