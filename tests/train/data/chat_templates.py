"""Tokenizers with the shapes of public chat templates, and rows for them."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    PreTrainedTokenizerFast,
)

from mmpr.train.rows import TrainRow

SPECIAL = [
    *("<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>"),
    *("<|end_header_id|>", "<|eot_id|>", "<image>", "<end_of_utterance>", "<start_of_turn>", "<end_of_turn>"),
    *("<|vision_start|>", "<|image_pad|>", "<|vision_end|>", "<video>", "<img>", "</img>", "<IMG_CONTEXT>"),
    *("<fake_token_around_image>", "<global-img>"),
]
TEXTS = [
    "How many cats are in the picture? There are three cats.\nFinal answer: 3\n\nYou are a helpful assistant.",
    "USER: ASSISTANT: User: Assistant: user assistant system model\n\nsummon 图中有几只猫？答案: 三只。",
] * 3

ANSWERS = ("There are three cats.\nFinal answer: 3", "2", "答案: 三只。🙂", "Cats: 1) a\n\n2) b.")

# The shapes of public chat templates.
CHATML = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
LLAMA2 = (
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + message['content'].strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'].strip() + ' ' + eos_token }}"
    "{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% for message in messages %}{% set role = 'model' if message['role'] == 'assistant' "
    "else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
PARTS = (
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
)
INTERNVL = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    + PARTS.replace("IMAGE", "<IMG_CONTEXT>\n")
    + "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QWEN2_VL = INTERNVL.replace("<IMG_CONTEXT>\n", "<|vision_start|><|image_pad|><|vision_end|>")
SMOLVLM = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}{% if message['content'][0]['type'] == "
    "'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    + PARTS.replace("IMAGE", "<image>")
    + "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
LLAVA = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': ' }}{% endif %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] + ' ' }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def byte_level(template: str | None, eos: str = "<|im_end|>", bos: str | None = None, adds: bool = False) -> Any:
    """A byte-level BPE tokenizer, as GPT-2, Qwen and Llama 3 have."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(vocab_size=500, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False),
    )
    return _finished(made, template, eos, bos, adds)


def metaspace(template: str | None, eos: str = "</s>", bos: str = "<s>") -> Any:
    """A tokenizer with a space before the first word and a BOS token of its own, as Llama 2 and Vicuna have."""
    made = Tokenizer(models.BPE(unk_token="<pad>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    made.decoder = decoders.Metaspace(prepend_scheme="first")
    made.train_from_iterator(TEXTS, trainer(sorted({*map(chr, range(32, 127)), *"\n\t▁", *"".join(ANSWERS)})))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)  # pieces begin with a space
    return _finished(made, template, eos, bos, True)


def trainer(alphabet: list[str]) -> Any:
    return trainers.BpeTrainer(vocab_size=500, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)


def _finished(made: Tokenizer, template: str | None, eos: str, bos: str | None, adds: bool) -> Any:
    if adds:
        assert bos is not None
        made.post_processor = processors.TemplateProcessing(f"{bos} $0", special_tokens=[(bos, made.token_to_id(bos))])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=eos, bos_token=bos, pad_token="<pad>", chat_template=template
    )


def picture(width: int = 60, height: int = 44) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((width, height), 80).convert("RGB").save(file, "PNG")
    return file.getvalue()


def row(responses: tuple[str, ...], images: int = 0, turns: bool = False, system: bool = False) -> TrainRow:
    asked = [{"type": "image"}] * images + [{"type": "text", "text": "How many cats?"}]
    prompt: list[dict[str, Any]] = [{"role": "user", "content": asked}]
    if turns:
        prompt += [
            {"role": "assistant", "content": [{"type": "text", "text": "Three."}]},
            {"role": "user", "content": [{"type": "text", "text": "Are you sure?"}]},
        ]
    if system:
        prompt.insert(0, {"role": "system", "content": [{"type": "text", "text": "Be brief."}]})
    pairs = tuple((0, k) for k in range(1, len(responses)))
    return TrainRow("r", "s", (picture(),) * images, tuple(prompt), responses, pairs)


def asks(*parts: dict[str, str]) -> tuple[dict[str, Any], ...]:
    return ({"role": "user", "content": list(parts)},)
