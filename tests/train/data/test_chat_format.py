"""Prompt and response tokens are those of the whole conversation, in every family's chat format; nothing is cut."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from mmpr.config import ChatSpec
from mmpr.errors import MmprError, RowError
from mmpr.train.data.chat_format import find_format
from mmpr.train.data.encoding import Encoder
from mmpr.train.rows import TrainRow
from tests.train.data.chat_templates import (
    ANSWERS,
    CHATML,
    GEMMA,
    INTERNVL,
    LLAMA2,
    LLAMA3,
    LLAVA,
    SMOLVLM,
    byte_level,
    metaspace,
    row,
)

RAGGED = (*ANSWERS, " There are two. ", "\n\nThree\n", "\tx")

TOKENIZERS = {
    "chatml": lambda: byte_level(CHATML),
    "llama3": lambda: byte_level(LLAMA3, "<|eot_id|>", "<|begin_of_text|>", adds=True),
    "llama2": lambda: metaspace(LLAMA2),
    "gemma": lambda: byte_level(GEMMA, "</s>", "<s>", adds=True),
    "internvl": lambda: byte_level(INTERNVL),
    "smolvlm": lambda: byte_level(SMOLVLM, "<end_of_utterance>"),
    "vicuna": lambda: metaspace(LLAVA),
    "yi": lambda: metaspace(CHATML, "<|im_end|>"),
}
ENDS = {
    "chatml": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "llama2": "</s>",
    "gemma": "<end_of_turn>",
    "internvl": "<|im_end|>",
    "smolvlm": "<end_of_utterance>",
    "vicuna": "</s>",
    "yi": "<|im_end|>",
}
NO_SYSTEM = ("llama2", "gemma")


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("turns", [False, True])
@pytest.mark.parametrize("system", [False, True])
def test_tokens_are_those_of_the_whole_conversation(name: str, turns: bool, system: bool) -> None:
    tokenizer = TOKENIZERS[name]()
    encoder = Encoder(tokenizer)
    asked = row(RAGGED, turns=turns, system=system and name not in NO_SYSTEM)
    encoded = encoder.encode(asked).row
    end = tokenizer.convert_tokens_to_ids(ENDS[name])
    assert encoder.format.end_token_id == end
    for answer, response in zip(RAGGED, encoded.response_ids, strict=True):
        text, ids = whole(tokenizer, asked, answer, encoder.format.parts)
        ours = [*encoded.prompt_ids.tolist(), *response.tolist()]
        assert ours[-1] == end
        assert ours.count(end) == [*encoded.prompt_ids.tolist(), end].count(end)
        if answer in ANSWERS:
            # A template without an end of answer: the end of sequence stands where the template's space would.
            there = ids if end in ids[len(encoded.prompt_ids) :] else [*ids[: len(ours) - 1], end]
            assert ours == there[: len(ours)]
        else:
            # Where letters melt over the border the tokens may be others, the text never.
            decoded = tokenizer.decode(ours).removesuffix(ENDS[name])
            assert plain(tokenizer, text).startswith(decoded)
            assert answer.strip() in decoded


def whole(tokenizer: Any, asked: TrainRow, answer: str, parts: bool) -> tuple[str, list[int]]:
    """The conversation with its answer as the chat template writes it, tokenized at once."""
    messages = [*asked.prompt, {"role": "assistant", "content": [{"type": "text", "text": answer}]}]
    if not parts:
        messages = [
            {**message, "content": "".join(part["text"] for part in message["content"])} for message in messages
        ]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    has_bos = tokenizer.bos_token is not None and text.startswith(tokenizer.bos_token)
    return text, tokenizer(text, add_special_tokens=not has_bos)["input_ids"]


def plain(tokenizer: Any, text: str) -> str:
    """A text there and back again, with what a tokenizer puts before it."""
    has_bos = tokenizer.bos_token is not None and text.startswith(tokenizer.bos_token)
    return str(tokenizer.decode(tokenizer(text, add_special_tokens=not has_bos)["input_ids"]))


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (None, "no chat template that can be used"),
        ("{{ 1 / 0 }}", "no chat template that can be used"),
        ("{% for m in messages %}{{ m['role'] }}{% endfor %}", "leaves the question out"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(template: str | None, says: str) -> None:
    with pytest.raises(MmprError, match=says):
        find_format(byte_level(template))


def test_a_template_that_prints_a_system_prompt_as_a_list_is_refused() -> None:
    template = (  # as GLM-4.1V's
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] }}{% elif m['content'] is string %}"
        "{{ m['content'] }}{% else %}{% for part in m['content'] %}{{ part['text'] }}{% endfor %}{% endif %}"
        "{% endfor %}"
    )
    assert find_format(byte_level(template)).parts
    with pytest.raises(MmprError, match="prints the parts of the system message as a Python list; put"):
        find_format(byte_level(template), chat=ChatSpec(system="Be brief."))
    plain = "{% for m in messages %}{{ m['role'] }}{{ m['content'] }}{% endfor %}"
    assert not find_format(byte_level(plain), chat=ChatSpec(system="Be brief.")).parts


def test_a_template_that_writes_no_answer_after_its_prompt_takes_what_was_sampled() -> None:
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}A:{% endif %}"
    encoder = Encoder(byte_level(template))
    assert "does not begin with the prompt" in encoder.format.problem
    with pytest.raises(RowError, match="does not begin with the prompt") as refused:
        encoder.encode(row(("3", "4")))
    assert refused.value.reason == "answer_not_encoded"
    assert len(encoder.encode(replace(row(("3", "4")), sampled=True)).pairs) == 1


# The generation prompt opens the reasoning, and an answer of another's gets an empty block of it.
THINKING = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ '<|im_start|>assistant\n<think>\n' }}"
    "{% if '</think>' not in m['content'] %}{{ '\n</think>\n\n' }}{% endif %}{{ m['content'].lstrip('\n') }}"
    "{% else %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
)
HYBRID = THINKING.replace(
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}",
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}",
)
# Nothing ends an answer but the token that begins the next turn.
GLM = (
    "{% for m in messages %}{{ '<|start_header_id|>' if m['role'] == 'user' else '<|end_header_id|>' }}"
    "{{ '\n' + m['content'] }}{% endfor %}{% if add_generation_prompt %}{{ '<|end_header_id|>\n' }}{% endif %}"
)
SAMPLED = (
    "Two left, one right.\n</think>\n\nFinal answer: 3",
    "<think>\nTwo left.\n</think>\n\nFinal answer: 3",
    " There are three cats.\nFinal answer: 3",
    "\n\nThree. ",
    "3\n",
)


@pytest.mark.parametrize(
    ("template", "eos", "end"),
    [
        (THINKING, "<|im_end|>", "<|im_end|>"),
        (HYBRID, "<|im_end|>", "<|im_end|>"),
        (GLM, "</s>", "<|start_header_id|>"),
        (CHATML, "</s>", "<|im_end|>"),
        (LLAMA3, "<|eot_id|>", "<|eot_id|>"),
        (GEMMA, "</s>", "<end_of_turn>"),
        (SMOLVLM, "<end_of_utterance>", "<end_of_utterance>"),
        (LLAVA, "</s>", "</s>"),
    ],
    ids=["thinking", "hybrid", "glm", "chatml", "llama3", "gemma", "smolvlm", "vicuna"],
)
def test_what_was_sampled_is_learnt_letter_for_letter(template: str, eos: str, end: str) -> None:
    tokenizer = byte_level(template, eos, "<s>")
    stops = tokenizer.convert_tokens_to_ids([eos, end])
    encoder = Encoder(tokenizer, SimpleNamespace(eos_token_id=stops))
    asked = replace(row(SAMPLED), sampled=True)
    messages = [{**m, "content": m["content"] if encoder.format.parts else _text(m["content"])} for m in asked.prompt]
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    encoded = encoder.encode(asked).row
    for text, response in zip(SAMPLED, encoded.response_ids, strict=True):
        assert tokenizer.decode(encoded.prompt_ids) + tokenizer.decode(response) == prompt + text + end


def _text(content: list[dict[str, str]]) -> str:
    return "".join(part["text"] for part in content)


def test_a_template_that_rewrites_reasoning_does_not_rewrite_what_is_learnt() -> None:
    forgets = CHATML.replace("message['content'] +", "message['content'].split('</think>')[-1] +")
    tokenizer = byte_level(forgets)
    encoded = Encoder(tokenizer).encode(row(("<think>Count.</think>3", "4"))).row
    assert tokenizer.decode(encoded.response_ids[0]) == "<think>Count.</think>3<|im_end|>"
