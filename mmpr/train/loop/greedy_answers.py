"""Greedy answers to a few held-out questions, before, during and after training."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from mmpr.answers import extract, match
from mmpr.prompts import load_template, to_messages
from mmpr.schema import Question
from mmpr.storage.manifest import read_manifest
from mmpr.storage.shards import MANIFEST
from mmpr.storage.tables import read_rows
from mmpr.train.loop.watch import Answers
from mmpr.train.rows import TrainRow


@dataclass(frozen=True, slots=True)
class WatchedQuestion:
    """A question that is answered greedily during the run.

    Attributes:
        text: for people.
        prompt: chat messages whose content is a list of parts, one image part for each of ``images``.
        images: encoded files.
        truth: the true answer, or None where it is not known.
        choices: the options of a multiple-choice question.
        template: of the prompt; says where a response has its final answer.
        processor: arguments of the model's processor.
        answers: where several are acceptable, all of them.
    """

    text: str
    prompt: tuple[Mapping[str, Any], ...]
    images: tuple[bytes, ...]
    truth: str | None = None
    choices: tuple[str, ...] = ()
    template: str = "plain"
    processor: Mapping[str, Any] = field(default_factory=dict)
    answers: tuple[str, ...] = ()


Arguments = Mapping[str, Mapping[str, Any]]
"""Processor arguments by source."""


def held_out(build: Path, most: int, arguments: Arguments) -> list[WatchedQuestion]:
    """Up to ``most`` questions that a build holds out for evaluation, evenly from its sources."""
    if not (build / MANIFEST).exists() or not most:
        return []
    templates = {s["name"]: (s["template"], s["open_template"]) for s in read_manifest(build)["recipe"]["heldout"]}
    by_source: dict[str, list[Question]] = {name: [] for name in templates}
    for shard in sorted((build / "heldout").glob("*.parquet")):
        for question in read_rows(shard, Question):
            if len(by_source[question.source]) < most:
                by_source[question.source].append(question)
    mixed = [questions[i] for i in range(most) for questions in by_source.values() if i < len(questions)]
    return [_question(one, templates[one.source], arguments.get(one.source, {})) for one in mixed[:most]]


def from_rows(rows: Sequence[TrainRow], arguments: Arguments) -> list[WatchedQuestion]:
    """Questions of the training data, for data that holds nothing out."""
    return [
        WatchedQuestion(_words(row.prompt), row.prompt, row.images, processor=arguments.get(row.source, {}))
        for row in rows
    ]


def answer(
    model: Any, processor: Any, questions: Sequence[WatchedQuestion], *, step: int, max_new_tokens: int
) -> Answers:
    """Answer the questions greedily, one after the other; draws no random number."""
    training = model.training
    model.eval()
    texts, tokens = [], []
    try:
        with torch.no_grad():
            for question in questions:
                text, count = _generate(model, processor, question, max_new_tokens)
                texts.append(text)
                tokens.append(count)
    finally:
        model.train(training)
    right = tuple(_is_right(text, question) for text, question in zip(texts, questions, strict=True))
    return Answers(step, tuple(texts), tuple(tokens), right)


def _question(question: Question, templates: tuple[str, str], processor: Mapping[str, Any]) -> WatchedQuestion:
    name = templates[question.answer is None]
    prompt = load_template(name).render(question.question, question.choices)
    messages = tuple(to_messages(prompt))
    return WatchedQuestion(
        question.question,
        messages,
        question.images,
        question.answer,
        question.choices,
        name,
        processor,
        question.answers,
    )


def _generate(model: Any, processor: Any, question: WatchedQuestion, max_new_tokens: int) -> tuple[str, int]:
    """The answer and its number of tokens."""
    tokenizer = getattr(processor, "tokenizer", processor)
    chat = processor if question.images else tokenizer
    text = chat.apply_chat_template(list(question.prompt), add_generation_prompt=True, tokenize=False)
    if question.images:
        pictures = [Image.open(io.BytesIO(image)).convert("RGB") for image in question.images]
        own = question.processor
        inputs = processor(text=[text], images=[pictures], return_tensors="pt", add_special_tokens=False, **own)
    else:
        inputs = tokenizer([text], return_tensors="pt", add_special_tokens=False)
    inputs = inputs.to(model.device)
    # The model's own sampling settings are switched off. This rank generates alone and must not wait for others.
    settings = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, "num_beams": 1}
    out = model.generate(**inputs, **settings, max_new_tokens=max_new_tokens, synced_gpus=False)
    new = out[0, inputs["input_ids"].shape[1] :]
    return tokenizer.decode(new, skip_special_tokens=True), len(new)


def _is_right(text: str, question: WatchedQuestion) -> bool | None:
    if question.truth is None:
        return None
    truths = question.answers or question.truth
    verdict = match(extract(text, question.template) or "", truths, choices=question.choices or None)
    return verdict.status == "correct"


def _words(prompt: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(
        str(part["text"]) for message in prompt for part in message["content"] if part.get("type") == "text"
    )
