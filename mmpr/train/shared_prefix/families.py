"""The families of models whose prompts are shared, and what is particular to them.

For these, tests show that sharing gives the same numbers as a sequence of its own for each response. All other models
compute such sequences, with the logits of their own ``forward``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mmpr.errors import MmprError
from mmpr.train.private_names import uncompiled
from mmpr.train.rows import EncodedRow


@dataclass(frozen=True, slots=True)
class Family:
    """What is particular to a family of models.

    Attributes:
        pictures: picture inputs of its ``forward``, each with the dimension along which those of several rows are
            concatenated.
        three_part: positions have three parts (M-RoPE), from ``get_rope_index``.
    """

    pictures: Mapping[str, int] = field(default_factory=dict)
    three_part: bool = False


_TEXT = Family()
_IDEFICS = Family({"pixel_values": 1, "pixel_attention_mask": 1})
_PIXELS = Family({"pixel_values": 0})
_SIZED_PIXELS = Family({"pixel_values": 0, "image_sizes": 0})
_GRID = Family({"pixel_values": 0, "image_grid_thw": 0}, three_part=True)

FAMILIES: Mapping[str, Family] = {
    "llama": _TEXT,
    "qwen2": _TEXT,
    "qwen3": _TEXT,
    "idefics3": _IDEFICS,
    "smolvlm": _IDEFICS,
    "internvl": _PIXELS,
    "llava": _SIZED_PIXELS,  # sizes with Pixtral's tower alone
    "llava_next": _SIZED_PIXELS,
    "llava_onevision": Family({"pixel_values": 0, "image_sizes": 0, "batch_num_images": 0}),
    "mistral3": _SIZED_PIXELS,
    "qwen2_vl": _GRID,
    "qwen2_5_vl": _GRID,
    "qwen3_vl": _GRID,
    "qwen3_vl_moe": _GRID,
    "glm4v": _GRID,
}
"""By ``config.model_type``."""

DECODERS = frozenset({
    *("llama", "mistral", "qwen2", "qwen3"),
    *("qwen2_vl_text", "qwen2_5_vl_text", "qwen3_vl_text", "qwen3_vl_moe_text", "glm4v_text"),
})  # fmt: skip
"""Their decoders, by ``config.model_type``."""

STEADY_ROPES = frozenset({"default", "linear", "llama3", "yarn"})
"""Kinds of rotary positions that do not depend on the length of the sequence."""

TOKEN_TYPES = "mm_token_type_ids"
"""An input that says which tokens are image tokens; it is made here for each sequence (see `token_types`)."""


def unwrap(model: Any) -> Any:
    """The transformers model inside wrappers (PEFT, compiled, data-parallel)."""
    while True:
        if hasattr(model, "get_base_model"):
            model = model.get_base_model()
        elif uncompiled(model) is not model:
            model = uncompiled(model)
        elif isinstance(getattr(model, "module", None), nn.Module):
            model = model.module
        else:
            return model


def family_of(model: Any) -> tuple[Family | None, str]:
    """The family of an unwrapped transformers model and an empty text, or None and why its prompts are not shared."""
    config = model.config
    if config.model_type not in FAMILIES:
        return None, f"models of type {config.model_type!r} were not shown to share prompts rightly"
    text = config.get_text_config()
    if text.model_type not in DECODERS:
        return None, f"{config.model_type!r} with a decoder {text.model_type!r} was not shown to share prompts rightly"
    kinds = set(getattr(text, "layer_types", None) or ()) - {"full_attention"}
    if kinds:
        return None, f"its decoder has layers of {', '.join(sorted(kinds))}"
    if getattr(text, "sliding_window", None) and not getattr(text, "layer_types", None):
        return None, f"its decoder sees a window of {text.sliding_window} tokens"
    if getattr(text, "attention_dropout", 0):
        return None, f"its decoder drops out attention ({text.attention_dropout})"
    rope = (getattr(text, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope not in STEADY_ROPES:
        return None, f"its rotary positions ({rope}) depend on the length of the sequence"
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear) or tuple(head.weight.shape) != (head.out_features, head.in_features):
        return None, f"its output layer is a {type(head).__name__}, not a plain matrix"
    return FAMILIES[config.model_type], ""


def refuse_prompt_learning(model: Any) -> None:
    """Raise MmprError for adapters that put tokens of their own before the prompt."""
    adapter = getattr(model, "active_peft_config", None)
    if adapter is not None and adapter.is_prompt_learning:
        raise MmprError(f"adapters of type {adapter.peft_type} put tokens before the prompt, and are not supported")


def positions_of(model: Any, family: Family, row: EncodedRow, tail: int) -> Tensor:
    """Positions of a row's prompt and of ``tail`` tokens after it, as in a sequence of a single response.

    Returns:
        int64 ``[P + tail]``, or ``[3, P + tail]`` where positions have three parts.
    """
    length = len(row.prompt_ids) + tail
    if not family.three_part:
        return torch.arange(length)
    if "image_grid_thw" not in row.extras:
        return torch.arange(length).expand(3, -1)
    types = token_types(model, row, tail)
    ids = torch.cat([row.prompt_ids, row.prompt_ids.new_zeros(tail)])  # get_rope_index reads the token types alone
    positions: Tensor
    positions, _ = model.model.get_rope_index(
        ids[None], mm_token_type_ids=types[None], image_grid_thw=row.extras["image_grid_thw"].to(ids.device)
    )
    return positions[:, 0]


def token_types(model: Any, row: EncodedRow, tail: int) -> Tensor:
    """int64 ``[P + tail]``: 1 for each image token of a row's prompt, 0 for all others."""
    types = (row.prompt_ids == model.config.image_token_id).long()
    return torch.cat([types, types.new_zeros(tail)])
