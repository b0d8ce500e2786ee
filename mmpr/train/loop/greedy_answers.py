"""Greedy answers to a few held-out questions: what the model says, before, during and after."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from mmpr.answers import extract, match
from mmpr.prompts import load_template, to_messages
from mmpr.schema import Question
from mmpr.storage.manifest import read_manifest
from mmpr.storage.tables import read_rows
from mmpr.train.loop.watch import Answers
from mmpr.train.rows import TrainRow


@dataclass(frozen=True, slots=True)
class Asked:
    """A question for the samples: chat messages with one image part for each picture, and the truth if it is known."""

    text: str
    prompt: tuple[Mapping[str, Any], ...]
    images: tuple[bytes, ...]
    truth: str | None = None
    choices: tuple[str, ...] = ()
    template: str = "plain"
    processor: Mapping[str, Any] = field(default_factory=dict)


Arguments = Mapping[str, Mapping[str, Any]]
"""Processor arguments by source."""


def held_out(build: Path, most: int, arguments: Arguments) -> list[Asked]:
    """Questions that a build keeps for evaluation, evenly from its sources; none where there are none."""
    if not (build / "manifest.json").exists() or not most:
        return []
    templates = {s["name"]: (s["template"], s["open_template"]) for s in read_manifest(build)["recipe"]["heldout"]}
    by_source: dict[str, list[Question]] = {name: [] for name in templates}
    for shard in sorted((build / "heldout").glob("*.parquet")):
        for question in read_rows(shard, Question):
            if len(by_source[question.source]) < most:
                by_source[question.source].append(question)
    mixed = [questions[i] for i in range(most) for questions in by_source.values() if i < len(questions)]
    return [_ask(one, templates[one.source], arguments.get(one.source, {})) for one in mixed[:most]]


def from_rows(rows: Sequence[TrainRow], arguments: Arguments) -> list[Asked]:
    """Questions of the training data, where nothing is held out."""
    return [Asked(_words(row.prompt), row.prompt, row.images, processor=arguments.get(row.source, {})) for row in rows]


def answer(model: Any, processor: Any, asked: Sequence[Asked], *, step: int, max_new_tokens: int) -> Answers:
    """Greedy answers, one question after the other; no random number is drawn."""
    training = model.training
    model.eval()
    texts, tokens = [], []
    try:
        with torch.no_grad():
            for question in asked:
                text, count = _generate(model, processor, question, max_new_tokens)
                texts.append(text)
                tokens.append(count)
    finally:
        model.train(training)
    right = tuple(_judged(text, question) for text, question in zip(texts, asked, strict=True))
    return Answers(step, tuple(texts), tuple(tokens), right)


def write_answers(path: Path, answers: Answers) -> None:
    """Add a set of answers to ``samples.jsonl``."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(answers), ensure_ascii=True) + "\n")


def read_answers(path: Path, done_steps: int) -> list[Answers]:
    """The sets of answers up to a step, the file cut to them."""
    if not path.exists():
        return []
    found: dict[int, Answers] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            tree = json.loads(line)
        except ValueError:
            break  # the last line of a killed run
        if tree["step"] <= done_steps:
            found[tree["step"]] = Answers(
                tree["step"], tuple(tree["texts"]), tuple(tree["tokens"]), tuple(tree["right"])
            )
    path.unlink()
    for answers in found.values():
        write_answers(path, answers)
    return list(found.values())


def _ask(question: Question, templates: tuple[str, str], processor: Mapping[str, Any]) -> Asked:
    name = templates[question.answer is None]
    prompt = load_template(name).render(question.question)
    messages = tuple(to_messages(prompt))
    return Asked(question.question, messages, question.images, question.answer, question.choices, name, processor)


def _generate(model: Any, processor: Any, question: Asked, max_new_tokens: int) -> tuple[str, int]:
    """The answer, and how many tokens it has."""
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
    # Greedy whatever the model's own settings are. This rank generates alone and must not wait for others.
    settings = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, "num_beams": 1}
    out = model.generate(**inputs, **settings, max_new_tokens=max_new_tokens, synced_gpus=False)
    new = out[0, inputs["input_ids"].shape[1] :]
    return tokenizer.decode(new, skip_special_tokens=True), len(new)


def _judged(text: str, question: Asked) -> bool | None:
    if question.truth is None:
        return None
    verdict = match(extract(text, question.template) or "", question.truth, choices=question.choices or None)
    return verdict.status == "correct"


def _words(prompt: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(
        str(part["text"]) for message in prompt for part in message["content"] if part.get("type") == "text"
    )
