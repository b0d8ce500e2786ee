"""The marks that model families put around their reasoning and their answer."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """The marks of one family, in lower case; every one stands at most once in the table.

    Args:
        name: the models that write them.
        source: where the marks are described.
        opening: what a block of reasoning begins with.
        closing: what it ends with.
    """

    name: str
    source: str
    opening: str
    closing: str


FAMILIES = (
    Family(
        "DeepSeek-R1, Qwen3, QwQ, GLM-4.1V and 4.5V, InternVL3.5, MiniCPM-V 4.5, MiMo-VL, Step3, ERNIE 4.5, Hunyuan",
        "deepseek-ai/DeepSeek-R1, chat template; vLLM's reasoning parsers",
        "<think>",
        "</think>",
    ),
    Family(
        "Kimi-VL-Thinking",
        "moonshotai/Kimi-VL-A3B-Thinking, model card",
        "◁think▷",
        "◁/think▷",
    ),
    Family(
        "Magistral and other reasoning models of Mistral",
        "mistral-common, special tokens; vLLM's mistral reasoning parser",
        "[think]",
        "[/think]",
    ),
    Family(
        "Seed-OSS",
        "ByteDance-Seed/Seed-OSS-36B-Instruct, chat template; vLLM's seed_oss reasoning parser",
        "<seed:think>",
        "</seed:think>",
    ),
    Family("MiniMax-M3", "vLLM's minimax_m3 reasoning parser", "<mm:think>", "</mm:think>"),
    Family(
        "Command A Reasoning",
        "Cohere's chat template; vLLM's cohere_command reasoning parser",
        "<|start_thinking|>",
        "<|end_thinking|>",
    ),
    Family("Gemma 4", "vLLM's gemma4 utilities", "<|channel>", "<channel|>"),
    Family("Kimi K3", "vLLM's kimi_k3 reasoning parser", "<|open|>think<|sep|>", "<|close|>think<|sep|>"),
    Family(
        "Granite 3.2",
        "vLLM's granite reasoning parser",
        "here is my thought process:",
        "here is my response:",
    ),
    Family(
        "Apriel-Thinker",
        "ServiceNow-AI/Apriel-1.5-15b-Thinker, chat template",
        "here are my reasoning steps:",
        "[begin final response]",
    ),
    Family("EXAONE Deep, Open-o1", "LGAI-EXAONE/EXAONE-Deep-7.8B, chat template", "<thought>", "</thought>"),
    Family("models asked for <thinking>", "Anthropic's and others' prompt guides", "<thinking>", "</thinking>"),
    Family("LLaVA-CoT and models asked for <reasoning>", "Xkev/Llama-3.2V-11B-cot", "<reasoning>", "</reasoning>"),
)

_FINAL_CHANNEL = "<|channel|>final<|message|>"  # gpt-oss: OpenAI's harmony response format
_CHANNEL_END = re.compile(r"<\|(?:return|end|call|start)\|>")
_PLAIN_CHANNEL = "assistantfinal"  # the same with its special tokens left out
_PLAIN_ANALYSIS = re.compile(r"analysis(?=[A-Z])")
_NO_TEXT = re.compile(
    r"<\|(?:start|end)_response\|>|\[end final response\]|<\|(?:open|close)\|>(?:response|message)<\|sep\|>"
    r"|</?response>",
    re.IGNORECASE,
)
_GLM_BOX = re.compile(r"<\|begin_of_box\|>((?:[^<]|<(?!\|))*+)<\|end_of_box\|>")  # zai-org/GLM-4.5V, model card
_GLM_MARK = re.compile(r"<\|(?:begin|end)_of_box\|>")

_TURN_END = re.compile(
    r"<\|(?:im_end|im_start|endoftext|eot_id|end|user|assistant|eot|return|observation|end_of_turn_token)\|>"
    r"|</s>|<end_of_turn>|<｜end▁of▁sentence｜>|\[/?inst\]",
    re.IGNORECASE,
)


def reasoning_opened(prompt: str) -> str:
    """The mark of reasoning with which a prompt ends, as it stands there; empty where it ends with none."""
    end = prompt.rstrip()
    for family in FAMILIES:
        if end.lower().endswith(family.opening):
            return end[len(end) - len(family.opening) :]
    return ""


def last_turn(text: str) -> str:
    """A text up to the first token that ends a turn, unless nothing stands before it."""
    for stop in _TURN_END.finditer(text):
        if text[: stop.start()].strip():
            return text[: stop.start()]
    return text


def after_reasoning(text: str) -> tuple[str | None, str]:
    """What a model shows after its reasoning, and the reasoning; None for a response that never leaves it.

    A response without any mark is shown as a whole. GLM's box becomes ``\\boxed{…}``.
    """
    if "<|channel|>" in text:
        reasoning, final, shown = text.rpartition(_FINAL_CHANNEL)
        if not final:
            return None, text
        end = _CHANNEL_END.search(shown)
        return (shown[: end.start()] if end else shown), reasoning
    if _PLAIN_ANALYSIS.match(text):
        reasoning, final, shown = text.rpartition(_PLAIN_CHANNEL)
        return (shown if final else None), reasoning or text
    text = last_turn(text)
    lowered = text.lower()
    if len(lowered) != len(text):  # a character that is two in lower case: no mark has one
        lowered = text
    reasoning = ""
    ends = [(at + len(family.closing)) for family in FAMILIES if (at := lowered.rfind(family.closing)) >= 0]
    if ends:
        reasoning, text, lowered = text[: max(ends)], text[max(ends) :], lowered[max(ends) :]
    starts = [at for family in FAMILIES if (at := lowered.find(family.opening)) >= 0]
    if starts:
        if not text[: min(starts)].strip() or not ends:
            return None, reasoning + text
        text = text[: min(starts)]
    return boxed_by_glm(_NO_TEXT.sub(" ", text)), reasoning


def boxed_by_glm(text: str) -> str:
    """A text whose boxes in GLM's marks are LaTeX boxes."""
    if "_of_box|>" not in text:
        return text
    return _GLM_MARK.sub(" ", _GLM_BOX.sub(_latex_box, text))


def _latex_box(found: re.Match[str]) -> str:
    content = found[1].strip()
    depth = 0
    for char in content:
        depth += (char == "{") - (char == "}")
        if depth < 0:
            break
    return rf"\boxed{{{content}}}" if depth == 0 and content else f" {content} "
