"""Tiny random checkpoints of vision-language families.

Processor, chat template and names are shaped like those of the public checkpoints; the tokenizer is the demo model's
with the family's special tokens, and the weights are random, the same every time. Words that a judge reads are likely.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, processors
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = Path(__file__).parent / "templates"
WIDTH, LAYERS, HEADS, HEAD_SIZE = 128, 2, 4, 32
VISION = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
SQUARE = VISION | {"image_size": 56, "patch_size": 14}
CHATML = ("<|im_end|>", "<think>", "</think>")
PINPOINTS = [[56, 56], [56, 112], [112, 56], [112, 112]]
GREY = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}

Made = tuple[Any, Any]
"""A model and its processor."""


def make(family: str, folder: Path) -> Path:
    """Write the checkpoint of a family into ``folder``, if it is not there, and return the folder."""
    if (folder / "config.json").exists():
        return folder
    torch.manual_seed(0)
    if family == "internvl_chat":
        _remote_code_internvl(folder)
        return folder
    model, processor = FAMILIES[family]()
    _make_talkative(model, processor.tokenizer)
    generation = model.generation_config
    if not isinstance(generation.eos_token_id, list):
        generation.eos_token_id = processor.tokenizer.eos_token_id
    generation.pad_token_id, generation.bos_token_id = (
        processor.tokenizer.pad_token_id,
        processor.tokenizer.bos_token_id,
    )
    processor.save_pretrained(folder)
    model.save_pretrained(folder)
    _use_names_of_the_hub(folder / "model.safetensors")
    return folder


def template(name: str) -> str:
    """A chat template as its public model has it, as far as this benchmark asks."""
    return (TEMPLATES / f"{name}.jinja").read_text().removesuffix("\n") + ("" if _closes_tight(name) else "\n")


def _closes_tight(name: str) -> bool:
    return name not in ("qwen2_vl", "qwen3_vl")


# Tokenizer and decoder.


def _tokenizer(
    special: Sequence[str],
    chat_template: str | None,
    *,
    begins: str = "",
    ends: str = "<|im_end|>",
    adds: bool = False,
    plain: Sequence[str] = (),
    named: Mapping[str, str] = MappingProxyType({}),
) -> Any:
    """The demo model's tokenizer with more tokens; ``adds``: it writes ``begins`` by itself."""
    tokens = Tokenizer.from_file(str(ROOT / "data" / "demo_model" / "tokenizer.json"))
    tokens.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokens.add_tokens([AddedToken(token, normalized=False) for token in plain])
    if adds:
        begin = [(begins, tokens.token_to_id(begins))]
        tokens.post_processor = processors.TemplateProcessing(f"{begins} $0", f"{begins} $A $B", begin)
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokens,
        bos_token=begins or None,
        eos_token=ends,
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        chat_template=chat_template,
        model_max_length=4096,
        padding_side="left",
        extra_special_tokens=dict(named) or None,
    )


def _decoder(tokenizer: Any, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "model_type": kind,
        "vocab_size": (len(tokenizer) + 63) // 64 * 64,
        "hidden_size": WIDTH,
        "intermediate_size": 128,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": 2,
        "head_dim": HEAD_SIZE,
        "max_position_embeddings": 4096,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": False,
        **more,
    }


def _llama(tokenizer: Any) -> Any:
    return hf.LlamaConfig(**{k: v for k, v in _decoder(tokenizer, "llama").items() if k != "model_type"})


# The families.


def _qwen_tokens(chat_template: str) -> tuple[Any, dict[str, int]]:
    marks = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    names = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
    tokenizer = _tokenizer(CHATML + marks, chat_template)
    return tokenizer, dict(zip(names, tokenizer.convert_tokens_to_ids(list(marks)), strict=True))


def _rope(sections: list[int], **more: Any) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": sections, **more}


def _qwen2_vl(kind: str) -> Made:
    chat = template("qwen2_vl")
    tokenizer, ids = _qwen_tokens(chat)
    size = {"shortest_edge": 28 * 28, "longest_edge": 112 * 112}
    pictures = hf.Qwen2VLImageProcessor(patch_size=14, merge_size=2, size=size)
    videos = hf.Qwen2VLVideoProcessor(patch_size=14, merge_size=2)
    text = _decoder(tokenizer, f"{kind}_text", rope_parameters=_rope([4, 6, 6]))
    if kind == "qwen2_vl":
        vision: dict[str, Any] = {
            "depth": 2,
            "embed_dim": 64,
            "hidden_size": WIDTH,
            "num_heads": 2,
            "mlp_ratio": 2,
            "patch_size": 14,
        }
        config = hf.Qwen2VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False, **ids)
        processor = hf.Qwen2VLProcessor(pictures, tokenizer, videos, chat_template=chat)
        return hf.Qwen2VLForConditionalGeneration(config), processor
    vision = {"depth": 2, "hidden_size": 64, "out_hidden_size": WIDTH, "num_heads": 2, "intermediate_size": 128}
    vision |= {"patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1]}
    config = hf.Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False, **ids)
    processor = hf.Qwen2_5_VLProcessor(pictures, tokenizer, videos, chat_template=chat)
    return hf.Qwen2_5_VLForConditionalGeneration(config), processor


def _qwen3_vl(chat_template: str = "qwen3_vl", kind: str = "dense") -> Made:
    chat = template(chat_template)
    tokenizer, ids = _qwen_tokens(chat)
    size = {"shortest_edge": 32 * 32, "longest_edge": 128 * 128}
    pictures = hf.Qwen2VLImageProcessor(patch_size=16, merge_size=2, size=size, **GREY)
    processor = hf.Qwen3VLProcessor(
        pictures, tokenizer, hf.Qwen3VLVideoProcessor(patch_size=16, merge_size=2), chat_template=chat
    )
    vision: dict[str, Any] = {"depth": 2, "hidden_size": 64, "out_hidden_size": WIDTH, "num_heads": 2}
    vision |= {"intermediate_size": 128, "patch_size": 16, "num_position_embeddings": 64}
    rope = _rope([4, 6, 6], mrope_interleaved=True)
    if kind == "hybrid":
        rope |= {"partial_rotary_factor": 0.25, "mrope_section": [1, 1, 2]}
        linear: dict[str, Any] = {"linear_key_head_dim": 32, "linear_value_head_dim": 32, "linear_num_key_heads": 2}
        linear |= {"linear_num_value_heads": 4, "layer_types": ["linear_attention", "full_attention"]}
        text = _decoder(tokenizer, "qwen3_5_text", rope_parameters=rope, **linear)
        config = hf.Qwen3_5Config(text_config=text, vision_config=vision, tie_word_embeddings=False, **ids)
        return hf.Qwen3_5ForConditionalGeneration(config), processor
    vision["deepstack_visual_indexes"] = [0, 1]
    if kind == "moe":
        experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64, "norm_topk_prob": True}
        text = _decoder(tokenizer, "qwen3_vl_moe_text", rope_parameters=rope, **experts)
        config = hf.Qwen3VLMoeConfig(text_config=text, vision_config=vision, tie_word_embeddings=False, **ids)
        return hf.Qwen3VLMoeForConditionalGeneration(config), processor
    text = _decoder(tokenizer, "qwen3_vl_text", rope_parameters=rope)
    config = hf.Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False, **ids)
    return hf.Qwen3VLForConditionalGeneration(config), processor


def _internvl(decoder: str) -> Made:
    named = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    named["video_token"] = "<video>"
    chat = template("internvl")
    tokenizer = _tokenizer((*CHATML, *named.values()), chat, named=named)
    size = {"height": 56, "width": 56}
    pictures = hf.GotOcr2ImageProcessor(size=size, crop_to_patches=True, min_patches=1, max_patches=4)
    videos = hf.InternVLVideoProcessor(size=size)
    own = {"layer_types": None} if decoder.startswith("qwen") else {}
    config = hf.InternVLConfig(
        text_config=_decoder(tokenizer, decoder, **own),
        vision_config=VISION | {"image_size": [56, 56], "patch_size": [14, 14]},
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        tie_word_embeddings=False,
    )
    processor = hf.InternVLProcessor(pictures, tokenizer, videos, image_seq_length=4, chat_template=chat)
    return hf.InternVLForConditionalGeneration(config), processor


def _llava() -> Made:
    chat = template("llava")
    tokenizer = _tokenizer(("<s>", "</s>"), chat, begins="<s>", ends="</s>", adds=True)
    pictures = hf.CLIPImageProcessor(size={"shortest_edge": 56}, crop_size=56)
    processor = hf.LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=chat,
    )
    image = tokenizer.convert_tokens_to_ids("<image>")
    vision = hf.CLIPVisionConfig(**SQUARE, projection_dim=64)
    config = hf.LlavaConfig(
        text_config=_llama(tokenizer), vision_config=vision, image_token_index=image, tie_word_embeddings=False
    )
    return hf.LlavaForConditionalGeneration(config), processor


def _llava_next() -> Made:
    chat = template("llava_next")
    tokenizer = _tokenizer(("<s>", "</s>"), chat, begins="<s>", ends="</s>", adds=True)
    pictures = hf.LlavaNextImageProcessor(size={"shortest_edge": 56}, crop_size=56, image_grid_pinpoints=PINPOINTS)
    processor = hf.LlavaNextProcessor(
        pictures,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=chat,
    )
    config = hf.LlavaNextConfig(
        text_config=_llama(tokenizer),
        vision_config=hf.CLIPVisionConfig(**SQUARE, projection_dim=64),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=PINPOINTS,
        tie_word_embeddings=False,
    )
    return hf.LlavaNextForConditionalGeneration(config), processor


def _llava_onevision() -> Made:
    chat = template("llava_onevision")
    tokenizer = _tokenizer((*CHATML, "<video>"), chat)
    size = {"height": 56, "width": 56}
    processor = hf.LlavaOnevisionProcessor(
        hf.LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=PINPOINTS),
        tokenizer,
        hf.LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
        chat_template=chat,
    )
    config = hf.LlavaOnevisionConfig(
        text_config=_decoder(tokenizer, "qwen2", layer_types=None),
        vision_config=hf.SiglipVisionConfig(**SQUARE, vision_use_head=False),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=PINPOINTS,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
        tie_word_embeddings=False,
    )
    return hf.LlavaOnevisionForConditionalGeneration(config), processor


def _idefics(kind: str) -> Made:
    chat = template("smolvlm")
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    named = {"image_token": "<image>", "fake_image_token": "<fake_token_around_image>"}
    named["global_image_token"] = "<global-img>"
    smol = kind == "smolvlm"
    tokenizer = _tokenizer(tiles, chat, begins="<|im_start|>", ends="<end_of_utterance>", named=named if smol else {})
    pictures = (hf.SmolVLMImageProcessor if smol else hf.Idefics3ImageProcessor)(
        size={"longest_edge": 128}, max_image_size={"longest_edge": 64}, **GREY
    )
    settings = {
        "text_config": _decoder(tokenizer, "llama"),
        "vision_config": VISION | {"image_size": 64, "patch_size": 8},
        "scale_factor": 2,
        "image_token_id": tokenizer.convert_tokens_to_ids("<image>"),
        "pad_token_id": 0,
    }
    if smol:
        videos = hf.SmolVLMVideoProcessor(size={"longest_edge": 64})
        processor = hf.SmolVLMProcessor(pictures, tokenizer, videos, image_seq_len=16, chat_template=chat)
        return hf.SmolVLMForConditionalGeneration(hf.SmolVLMConfig(**settings)), processor
    processor = hf.Idefics3Processor(pictures, tokenizer, image_seq_len=16, chat_template=chat)
    model = hf.Idefics3ForConditionalGeneration(hf.Idefics3Config(**settings, tie_word_embeddings=False))
    return model, processor


def _gemma3() -> Made:
    chat = template("gemma3")
    named = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    tokenizer = _tokenizer(
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", *named.values()),
        chat,
        plain=[count * "\n" for count in (1, 2, 3, 4)],
        begins="<bos>",
        ends="<end_of_turn>",
        adds=True,
        named=named,
    )
    processor = hf.Gemma3Processor(
        hf.Gemma3ImageProcessor(size={"height": 56, "width": 56}, **GREY),
        tokenizer,
        image_seq_length=4,
        chat_template=chat,
    )
    kinds: dict[str, Any] = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 64}
    kinds |= {"query_pre_attn_scalar": HEAD_SIZE, "tie_word_embeddings": True}
    config = hf.Gemma3Config(
        text_config=_decoder(tokenizer, "gemma3_text", **kinds),
        vision_config=hf.SiglipVisionConfig(**SQUARE, vision_use_head=False),
        mm_tokens_per_image=4,
        image_token_index=tokenizer.convert_tokens_to_ids(named["image_token"]),
        boi_token_index=tokenizer.convert_tokens_to_ids(named["boi_token"]),
        eoi_token_index=tokenizer.convert_tokens_to_ids(named["eoi_token"]),
        tie_word_embeddings=True,
    )
    return hf.Gemma3ForConditionalGeneration(config), processor


def _glm4v() -> Made:
    chat = template("glm4v")
    marks = (
        "<|image|>",
        "<|video|>",
        "<|begin_of_image|>",
        "<|end_of_image|>",
        "<|begin_of_video|>",
        "<|end_of_video|>",
    )
    roles = ("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")
    tokenizer = _tokenizer(("[gMASK]", "<sop>", "<think>", "</think>", *roles, *marks), chat, ends="<|endoftext|>")
    names = ("image", "video", "image_start", "image_end", "video_start", "video_end")
    ids = dict(zip((f"{name}_token_id" for name in names), tokenizer.convert_tokens_to_ids(list(marks)), strict=True))
    size = {"shortest_edge": 28 * 28, "longest_edge": 112 * 112 * 2}
    processor = hf.Glm4vProcessor(
        hf.Glm4vImageProcessor(patch_size=14, merge_size=2, size=size),
        tokenizer,
        hf.Glm4vVideoProcessor(patch_size=14, merge_size=2),
        chat_template=chat,
    )
    ends = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|user|>", "<|observation|>"])
    rope = _rope([2, 3, 3], partial_rotary_factor=0.5)
    vision = {"depth": 2, "hidden_size": 64, "out_hidden_size": WIDTH, "num_heads": 2, "intermediate_size": 128}
    config = hf.Glm4vConfig(
        text_config=_decoder(tokenizer, "glm4v_text", rope_parameters=rope, eos_token_id=ends),
        vision_config=vision | {"patch_size": 14, "image_size": 112},
        tie_word_embeddings=False,
        **ids,
    )
    model = hf.Glm4vForConditionalGeneration(config)
    model.generation_config.eos_token_id = ends
    return model, processor


def _mistral(kind: str) -> Made:
    chat = template("mistral3")
    special = (
        "<s>",
        "</s>",
        "[INST]",
        "[/INST]",
        "[IMG]",
        "[IMG_BREAK]",
        "[IMG_END]",
        "[SYSTEM_PROMPT]",
        "[/SYSTEM_PROMPT]",
    )
    tokenizer = _tokenizer(special, chat, begins="<s>", ends="</s>", adds=True)
    merge = 2 if kind == "mistral3" else 1
    pictures = hf.PixtralImageProcessor(
        size={"longest_edge": 112}, patch_size={"height": 14 * merge, "width": 14 * merge}
    )
    processor = hf.PixtralProcessor(pictures, tokenizer, patch_size=14, spatial_merge_size=merge, chat_template=chat)
    settings = {
        "text_config": _decoder(tokenizer, "mistral", sliding_window=None),
        "vision_config": hf.PixtralVisionConfig(**VISION, image_size=112, patch_size=14, head_dim=32),
        "image_token_index": tokenizer.convert_tokens_to_ids("[IMG]"),
        "vision_feature_layer": -1,
        "tie_word_embeddings": False,
    }
    if kind == "mistral3":
        model = hf.Mistral3ForConditionalGeneration(hf.Mistral3Config(**settings, spatial_merge_size=2))
        return model, processor
    config = hf.LlavaConfig(**settings, vision_feature_select_strategy="full")
    return hf.LlavaForConditionalGeneration(config), processor


def _lfm2_vl() -> Made:
    chat = template("lfm2_vl")
    named = {"image_token": "<image>", "image_start_token": "<|image_start|>", "image_end_token": "<|image_end|>"}
    named["image_thumbnail"] = "<|img_thumbnail|>"
    tiles = [f"<|img_row_{row}_col_{column}|>" for row in range(1, 5) for column in range(1, 5)]
    special = (*CHATML, "<|startoftext|>", *list(named.values())[1:], *tiles)
    tokenizer = _tokenizer(special, chat, begins="<|startoftext|>", named=named)
    pictures = hf.Lfm2VlImageProcessor(
        encoder_patch_size=16,
        tile_size=64,
        max_image_tokens=16,
        min_image_tokens=4,
        max_num_patches=64,
        downsample_factor=2,
        max_tiles=4,
        min_tiles=2,
    )
    own = {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False}
    text = _decoder(tokenizer, "lfm2", **own)
    del text["head_dim"]
    config = hf.Lfm2VlConfig(
        text_config=text,
        vision_config=hf.Siglip2VisionConfig(**VISION, patch_size=16, num_patches=64, vision_use_head=False),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        downsample_factor=2,
        projector_hidden_size=64,
        tie_word_embeddings=True,
    )
    return hf.Lfm2VlForConditionalGeneration(config), hf.Lfm2VlProcessor(pictures, tokenizer, chat_template=chat)


def _paligemma() -> Made:
    tokenizer = _tokenizer(("<bos>", "<eos>"), None, begins="<bos>", ends="<eos>", adds=True)
    pictures = hf.SiglipImageProcessor(size={"height": 56, "width": 56})
    pictures.image_seq_length = 16
    processor = hf.PaliGemmaProcessor(pictures, tokenizer)
    text = _decoder(processor.tokenizer, "gemma", tie_word_embeddings=True)
    config = hf.PaliGemmaConfig(
        text_config=text,
        vision_config=hf.SiglipVisionConfig(**SQUARE, vision_use_head=False, projection_dim=WIDTH),
        image_token_index=processor.image_token_id,
        projection_dim=WIDTH,
        hidden_size=WIDTH,
        vocab_size=text["vocab_size"],
        tie_word_embeddings=True,
    )
    return hf.PaliGemmaForConditionalGeneration(config), processor


FAMILIES: dict[str, Callable[[], Made]] = {
    "qwen2_vl": lambda: _qwen2_vl("qwen2_vl"),
    "qwen2_5_vl": lambda: _qwen2_vl("qwen2_5_vl"),
    "qwen3_vl": _qwen3_vl,
    "qwen3_vl_thinking": lambda: _qwen3_vl("qwen3_vl_thinking"),
    "qwen3_vl_moe": lambda: _qwen3_vl(kind="moe"),
    "qwen3_5": lambda: _qwen3_vl("qwen3_5", "hybrid"),
    "internvl_qwen2": lambda: _internvl("qwen2"),
    "internvl_qwen3": lambda: _internvl("qwen3"),
    "internvl_llama": lambda: _internvl("llama"),
    "llava": _llava,
    "llava_next": _llava_next,
    "llava_onevision": _llava_onevision,
    "smolvlm": lambda: _idefics("smolvlm"),
    "idefics3": lambda: _idefics("idefics3"),
    "gemma3": _gemma3,
    "mistral3": lambda: _mistral("mistral3"),
    "pixtral": lambda: _mistral("pixtral"),
    "glm4v": _glm4v,
    "lfm2_vl": _lfm2_vl,
    "paligemma": _paligemma,
}
"""Those with a model in transformers, by a name of their own; ``internvl_chat`` has none."""

ALL = (*FAMILIES, "internvl_chat")
THINKING = frozenset({"qwen3_5", "glm4v"})
"""Those whose chat template takes ``enable_thinking``."""


# Weights.


def _make_talkative(model: Any, tokenizer: Any) -> None:
    """Random weights; digits, spaces and the end are likely, whatever was asked, so that responses are short.

    The first coordinate of the stream is a constant that no layer changes; the output layer reads it.
    """
    dice = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=dice) * (0.6 / parameter.shape[-1] ** 0.5))
            if name.endswith(("o_proj.weight", "down_proj.weight", "out_proj.weight")) and "vis" not in name:
                parameter[0] = 0
        inputs, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        inputs.normal_(std=0.3, generator=dice)
        if head.data_ptr() == inputs.data_ptr():
            return
        head.normal_(std=0.05, generator=dice)
        inputs[:, 0], head[:, 0] = 3.0, -1.0
        for text, weight in (("1", 5.0), ("2", 5.0), ("3", 5.0), ("4", 5.0), (" ", 4.0)):
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            if len(ids) == 1:
                head[ids[0], 0] = weight / 4
        head[tokenizer.eos_token_id, 0] = 5.5 / 4


def _use_names_of_the_hub(file: Path) -> None:
    """CLIP and SigLIP towers under ``vision_tower.vision_model``, as in public checkpoints; vLLM reads only those."""
    embeddings = r"embeddings\.(?:patch_embedding\b|class_embedding|position_embedding\b)"
    tower = re.compile(rf"vision_tower\.({embeddings}|encoder\.layers|post_layernorm|pre_layrnorm)")
    weights = load_file(file)
    named = {
        key if key.startswith("model.") else tower.sub(r"vision_tower.vision_model.\1", key): value
        for key, value in weights.items()
    }
    save_file(named, file, {"format": "pt"})


def _remote_code_internvl(folder: Path) -> None:
    """InternVL in the form of OpenGVLab's own repositories: names of weights, configuration, code of its own."""
    tokenizer = _tokenizer((*CHATML, "<img>", "</img>", "<IMG_CONTEXT>"), template("internvl_chat"))
    text = {k: v for k, v in _decoder(tokenizer, "qwen2").items() if k not in ("model_type", "head_dim")}
    decoder = hf.Qwen2ForCausalLM(hf.Qwen2Config(**text))
    _make_talkative(decoder, tokenizer)
    width, layers, patches = 64, 2, 16
    dice = torch.Generator().manual_seed(4)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=dice) * 0.05

    weights = {f"language_model.{name}": value for name, value in decoder.state_dict().items()}
    embeddings = "vision_model.embeddings"
    weights |= {
        f"{embeddings}.class_embedding": random(1, 1, width),
        f"{embeddings}.position_embedding": random(1, patches + 1, width),
        f"{embeddings}.patch_embedding.weight": random(width, 3, 14, 14),
        f"{embeddings}.patch_embedding.bias": random(width),
        "mlp1.0.weight": torch.ones(4 * width),
        "mlp1.0.bias": random(4 * width),
        "mlp1.1.weight": random(WIDTH, 4 * width),
        "mlp1.1.bias": random(WIDTH),
        "mlp1.3.weight": random(WIDTH, WIDTH),
        "mlp1.3.bias": random(WIDTH),
    }
    shapes = {
        "attn.qkv": (3 * width, width),
        "attn.proj": (width, width),
        "mlp.fc1": (128, width),
        "mlp.fc2": (width, 128),
    }
    for layer in range(layers):
        at = f"vision_model.encoder.layers.{layer}"
        weights |= {f"{at}.{name}.weight": random(*shape) for name, shape in shapes.items()}
        weights |= {f"{at}.{name}.bias": random(shape[0]) for name, shape in shapes.items()}
        weights |= {f"{at}.norm{i}.weight": torch.ones(width) for i in (1, 2)}
        weights |= {f"{at}.norm{i}.bias": random(width) for i in (1, 2)}
        weights |= {f"{at}.ls{i}": torch.ones(width) for i in (1, 2)}
    vision = {
        "architectures": ["InternVisionModel"],
        "model_type": "intern_vit_6b",
        "hidden_size": width,
        "intermediate_size": 128,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_channels": 3,
        "image_size": 56,
        "patch_size": 14,
        "norm_type": "layer_norm",
        "layer_norm_eps": 1e-6,
        "qk_normalization": False,
        "qkv_bias": True,
        "hidden_act": "gelu",
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
        "use_flash_attn": False,
    }
    config = {
        "architectures": ["InternVLChatModel"],
        "model_type": "internvl_chat",
        "auto_map": {"AutoConfig": "configuration_internvl_chat.InternVLChatConfig"},
        "llm_config": decoder.config.to_dict() | {"architectures": ["Qwen2ForCausalLM"]},
        "vision_config": vision,
        "downsample_ratio": 0.5,
        "dynamic_image_size": True,
        "force_image_size": 56,
        "use_thumbnail": True,
        "max_dynamic_patch": 4,
        "min_dynamic_patch": 1,
        "ps_version": "v2",
        "select_layer": -1,
        "template": "internvl2_5",
        "pad2square": False,
        "tie_word_embeddings": False,
    }
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    save_file(
        {name: value.contiguous() for name, value in weights.items()}, folder / "model.safetensors", {"format": "pt"}
    )
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": tokenizer.eos_token_id}))
    (folder / "configuration_internvl_chat.py").write_text(_REMOTE_CODE)
    (folder / "config.json").write_text(json.dumps(config, indent=1))


_REMOTE_CODE = '''"""The part of the remote code that a tokenizer and vLLM need: the configuration."""
from transformers import PretrainedConfig, Qwen2Config


class InternVLChatConfig(PretrainedConfig):
    model_type = "internvl_chat"

    def __init__(self, vision_config=None, llm_config=None, **others):
        super().__init__(**others)
        self.vision_config = PretrainedConfig(**(vision_config or {}))
        self.llm_config = Qwen2Config(**(llm_config or {}))
        self.text_config = self.llm_config
'''
