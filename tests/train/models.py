"""Small random models of each family, rows with made-up pictures for them, and what each response scores by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    CLIPVisionConfig,
    Glm4vConfig,
    Glm4vForConditionalGeneration,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    MistralConfig,
    PixtralVisionConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMoeConfig,
    Qwen3VLMoeForConditionalGeneration,
    SiglipVisionConfig,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)

from mmpr.train.rows import EncodedRow, StepPart

IMAGE = 59
TEXT = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
SQUARE = VISION | {"image_size": 16, "patch_size": 4}
QWEN_VISION: dict[str, Any] = {
    "depth": 2,
    "num_heads": 2,
    "patch_size": 4,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
PIXTRAL = PixtralVisionConfig(**VISION, image_size=16, patch_size=4, head_dim=8)
M_ROPE = TEXT | {"rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1]}}


def idefics3() -> nn.Module:
    text = TEXT | {"model_type": "llama", "head_dim": 8}
    return Idefics3ForConditionalGeneration(
        Idefics3Config(text_config=text, vision_config=SQUARE, scale_factor=2, image_token_id=IMAGE)
    )


def smolvlm() -> nn.Module:
    text = TEXT | {"model_type": "llama", "head_dim": 8}
    return SmolVLMForConditionalGeneration(
        SmolVLMConfig(
            text_config=text, vision_config=SQUARE, scale_factor=2, image_token_id=IMAGE, tie_word_embeddings=True
        )
    )


def internvl(text: str = "qwen2") -> nn.Module:
    vision = VISION | {"image_size": [16, 16], "patch_size": [4, 4]}
    head = {"head_dim": 8} if text == "qwen3" else {}
    return InternVLForConditionalGeneration(
        InternVLConfig(text_config=TEXT | head | {"model_type": text}, vision_config=vision, image_token_id=IMAGE)
    )


def llava(text: str = "llama") -> nn.Module:
    vision = CLIPVisionConfig(**SQUARE, projection_dim=16)
    decoder = LlamaConfig(**TEXT) if text == "llama" else Qwen2Config(**TEXT)
    return LlavaForConditionalGeneration(
        LlavaConfig(text_config=decoder, vision_config=vision, image_token_index=IMAGE, image_token_id=IMAGE)
    )


def qwen2_vl() -> nn.Module:
    vision = QWEN_VISION | {"embed_dim": 16, "hidden_size": 32, "mlp_ratio": 2}
    return Qwen2VLForConditionalGeneration(
        Qwen2VLConfig(text_config=M_ROPE, vision_config=vision, image_token_id=IMAGE, video_token_id=58)
    )


def qwen2_5_vl() -> nn.Module:
    vision = QWEN_VISION | {"hidden_size": 16, "out_hidden_size": 32, "intermediate_size": 24}
    vision |= {"window_size": 16, "fullatt_block_indexes": [1]}
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(text_config=M_ROPE, vision_config=vision, image_token_id=IMAGE, video_token_id=58)
    )


def qwen3_vl(moe: bool = False) -> nn.Module:
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "mrope_interleaved": True}
    text: dict[str, Any] = TEXT | {"head_dim": 8, "rope_parameters": rope}
    vision = QWEN_VISION | {"hidden_size": 16, "out_hidden_size": 32, "intermediate_size": 24}
    vision |= {"num_position_embeddings": 16, "deepstack_visual_indexes": [0, 1]}
    ids = {"image_token_id": IMAGE, "video_token_id": 58, "vision_start_token_id": 57}
    if not moe:
        return Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision, **ids))
    text |= {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    return Qwen3VLMoeForConditionalGeneration(Qwen3VLMoeConfig(text_config=text, vision_config=vision, **ids))


def glm4v() -> nn.Module:
    rope = {"rope_type": "default", "mrope_section": [1, 1, 0], "partial_rotary_factor": 0.5}
    vision = QWEN_VISION | {"hidden_size": 16, "out_hidden_size": 32, "intermediate_size": 24, "image_size": 16}
    names = ("image", "video", "image_start", "image_end", "video_start", "video_end")
    ids = {f"{name}_token_id": IMAGE - place for place, name in enumerate(names)}
    text = TEXT | {"head_dim": 8, "rope_parameters": rope}
    return Glm4vForConditionalGeneration(Glm4vConfig(text_config=text, vision_config=vision, **ids))


def mistral3() -> nn.Module:
    text = MistralConfig(**TEXT, head_dim=8, sliding_window=None)
    return Mistral3ForConditionalGeneration(
        Mistral3Config(
            text_config=text,
            vision_config=PIXTRAL,
            image_token_index=IMAGE,
            spatial_merge_size=2,
            vision_feature_layer=-1,
        )
    )


def pixtral() -> nn.Module:
    text = MistralConfig(**TEXT, head_dim=8, sliding_window=None)
    settings = {"vision_feature_layer": -1, "vision_feature_select_strategy": "full", "image_token_id": IMAGE}
    return LlavaForConditionalGeneration(
        LlavaConfig(text_config=text, vision_config=PIXTRAL, image_token_index=IMAGE, **settings)
    )


def llava_next() -> nn.Module:
    vision = CLIPVisionConfig(**SQUARE, projection_dim=16)
    text = MistralConfig(**TEXT, head_dim=8, sliding_window=None)
    return LlavaNextForConditionalGeneration(
        LlavaNextConfig(
            text_config=text, vision_config=vision, image_token_index=IMAGE, image_grid_pinpoints=[[16, 32], [32, 16]]
        )
    )


def llava_onevision() -> nn.Module:
    return LlavaOnevisionForConditionalGeneration(
        LlavaOnevisionConfig(
            text_config=Qwen2Config(**TEXT),
            vision_config=SiglipVisionConfig(**SQUARE, vision_use_head=False),
            image_token_index=IMAGE,
            video_token_index=58,
            image_grid_pinpoints=[[16, 16], [16, 32], [32, 16]],
            vision_feature_select_strategy="full",
            vision_aspect_ratio="anyres_max_9",
        )
    )


MODELS: dict[str, Callable[[], nn.Module]] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**TEXT)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**TEXT)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**TEXT, head_dim=8)),
    "idefics3": idefics3,
    "smolvlm": smolvlm,
    "internvl": internvl,
    "internvl-qwen3": lambda: internvl("qwen3"),
    "llava": llava,
    "llava-qwen2": lambda: llava("qwen2"),
    "llava-pixtral": pixtral,
    "llava_next": llava_next,
    "llava_onevision": llava_onevision,
    "mistral3": mistral3,
    "qwen2_vl": qwen2_vl,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
    "qwen3_vl_moe": lambda: qwen3_vl(moe=True),
    "glm4v": glm4v,
}


def make(name: str, dtype: torch.dtype = torch.float32) -> Any:
    """The model with weights large enough for attention to matter, always the same."""
    torch.manual_seed(7)
    model = MODELS[name]()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=1.3 / parameter.shape[-1] ** 0.5)
            else:
                parameter += 0.1 * torch.randn_like(parameter)
    if dtype == torch.float64:
        exact_norms(model)
        model.set_experts_implementation("eager")  # the grouped product has no float64
    return model.to(dtype)


def exact_norms(model: nn.Module) -> None:
    """Norms that compute in the type of their input; those of transformers always round to float32."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__.endswith("RMSNorm") and not isinstance(child, nn.RMSNorm):
                norm = nn.RMSNorm(child.weight.shape[0], eps=child.variance_epsilon)
                norm.weight = child.weight
                setattr(parent, name, norm)


def pictures(name: str, count: int, generator: torch.Generator) -> tuple[dict[str, Tensor], list[int]]:
    """Made-up pictures as the family's processor gives them, and the number of tokens of each."""
    family = name.split("-")[0]
    if not count or family in ("llama", "qwen2", "qwen3"):
        return {}, []
    if family in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "glm4v"):
        grids = [(1, 4, 4), (1, 2, 6), (1, 8, 4)][:count]
        patches = sum(t * h * w for t, h, w in grids)
        values = torch.randn(patches, 3 * 2 * 4 * 4, generator=generator)
        return {"pixel_values": values, "image_grid_thw": torch.tensor(grids)}, [h * w // 4 for _, h, w in grids]
    if family in ("llava_next", "llava_onevision"):  # two tiles side by side and the whole, of 4 x 4 features each
        tiles = torch.randn(count, 3, 3, 16, 16, generator=generator)
        made = {"pixel_values": tiles, "image_sizes": torch.tensor([[16, 32]] * count)}
        if family == "llava_onevision":
            made["batch_num_images"] = torch.ones(count, dtype=torch.int64)
        return made, [4 * 4 + 4 * (4 + 4 + 1)] * count  # a token ends each line of the tiles
    pixels = torch.randn(count, 3, 16, 16, generator=generator)
    if family == "mistral3" or name == "llava-pixtral":
        sizes, side = [(16, 16), (16, 8)][:count], 8 if family == "mistral3" else 4
        tokens = [height // side * (width // side) for height, width in sizes]
        return {"pixel_values": pixels, "image_sizes": torch.tensor(sizes)}, tokens
    if family in ("idefics3", "smolvlm"):
        mask = torch.ones(count, 16, 16, dtype=torch.bool)
        mask[0, :, 12:] = False  # padded on the right
        return {"pixel_values": pixels[None], "pixel_attention_mask": mask[None]}, [4] * count
    return {"pixel_values": pixels}, [4 if family == "internvl" else 16] * count


def make_row(name: str, seed: int, lengths: Sequence[int], images: int = 1, text: int = 5) -> EncodedRow:
    """A row of random tokens with pictures between them, and responses of these lengths."""
    generator = torch.Generator().manual_seed(seed)

    def words(count: int) -> Tensor:
        return torch.randint(3, 58, (count,), generator=generator)

    extras, tokens = pictures(name, images, generator)
    prompt = [words(2)]
    for count in tokens:
        prompt += [torch.full((count,), IMAGE), words(text)]
    prompt += [words(text)]
    return EncodedRow(f"row{seed}", "test", torch.cat(prompt), tuple(words(n) for n in lengths), extras)


def make_part(row: EncodedRow, pairs: Sequence[tuple[int, int]]) -> StepPart:
    return StepPart(row, tuple(pairs), tuple(1.0 + 0.25 * i for i in range(len(pairs))))


def parts_of(name: str, dtype: torch.dtype = torch.float32) -> list[StepPart]:
    """Three rows, with two pictures, one and none; pairs share responses, and not all responses are used."""
    parts = [
        make_part(make_row(name, 1, (5, 3, 7, 2, 4), images=2), [(0, 1), (2, 3), (0, 3)]),
        make_part(make_row(name, 2, (4, 1, 6)), [(2, 1)]),
        make_part(make_row(name, 3, (3, 3), images=0), [(1, 0)]),
    ]
    return [replace(part, row=replace(part.row, extras=cast(part.row.extras, dtype))) for part in parts]


def cast(extras: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in extras.items()}


def alone(model: Any, row: EncodedRow, index: int) -> Tensor:
    """The oracle: a response's summed log-probability from the model's own logits of the sequence by itself."""
    ids = torch.cat([row.prompt_ids, row.response_ids[index]])[None]
    extras = dict(row.extras)
    if "image_grid_thw" in extras:
        extras["mm_token_type_ids"] = (ids == IMAGE).long()
    start = row.prompt_ids.shape[0]
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), **extras).logits[0, start - 1 : -1]
    return torch.log_softmax(logits, -1).gather(1, ids[0, start:, None]).sum()


def loss_of(part: StepPart, policy: Tensor) -> Tensor:
    """A loss that couples the two sides of a pair and weighs pairs, as MPO's does."""
    place = {i: n for n, i in enumerate(part.used)}
    total = policy.new_zeros(())
    for (chosen, rejected), weight in zip(part.pairs, part.weights, strict=True):
        better, worse = policy[place[chosen]], policy[place[rejected]]
        total = total - weight * (nn.functional.logsigmoid(0.1 * (better - worse)) + 0.03 * better)
    return total


def oracle(model: Any, parts: Sequence[StepPart]) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Scores and gradients by sequences of their own."""
    model.zero_grad()
    scores = []
    for part in parts:
        policy = torch.stack([alone(model, part.row, i) for i in part.used])
        loss_of(part, policy).backward()
        scores.append(policy.detach())
    return scores, gradients(model)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def difference(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    """The largest difference of a parameter's gradient, relative to the largest entry of that gradient.

    A gradient that is 0 by symmetry (a bias of keys) is measured against the largest of all.
    """
    assert found.keys() == wanted.keys()
    largest = max(float(g.abs().max()) for g in wanted.values())
    worst = 0.0
    for name, want in wanted.items():
        scale = max(float(want.abs().max()), 1e-3 * largest)
        worst = max(worst, float((found[name] - want).abs().max()) / scale)
    return worst
