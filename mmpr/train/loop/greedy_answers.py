"""Greedy answers to a few held-out questions, before, during and after training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmpr.answers import extract, match
from mmpr.answers.extract import TEMPLATES
from mmpr.config.recipe import OptionsSpec
from mmpr.prompts import Template, to_messages
from mmpr.schema import Question
from mmpr.storage.manifest import read_manifest
from mmpr.storage.shards import MANIFEST
from mmpr.storage.tables import read_rows
from mmpr.templates import load_template, stored_templates
from mmpr.train import distributed
from mmpr.train.data.encoding import Encoder
from mmpr.train.loop.watch import Answers
from mmpr.train.rows import TrainRow


@dataclass(frozen=True, slots=True)
class WatchedQuestion:
    """A question that is answered greedily during the run.

    Attributes:
        text: for people.
        row: with the prompt and the pictures; its responses are not looked at.
        truth: the true answer, or None where it is not known.
        choices: the options of a multiple-choice question.
        template: of the prompt; says where a response has its final answer.
        answers: where several are acceptable, all of them.
        trained_on: whether it is a question of the training data.
    """

    text: str
    row: TrainRow
    truth: str | None = None
    choices: tuple[str, ...] = ()
    template: str = "plain"
    answers: tuple[str, ...] = ()
    trained_on: bool = False


def held_out(build: Path, most: int) -> list[WatchedQuestion]:
    """Up to ``most`` questions that a build holds out for evaluation, evenly from its sources."""
    if not (build / MANIFEST).exists() or not most:
        return []
    recipe = read_manifest(build)["recipe"]
    system = (recipe.get("chat") or {}).get("system", "")
    sources = {source["name"]: source for source in recipe["heldout"]}
    by_source: dict[str, list[Question]] = {name: [] for name in sources}
    for shard in sorted((build / "heldout").glob("*.parquet")):
        for question in read_rows(shard, Question):
            if len(by_source[question.source]) < most:
                by_source[question.source].append(question)
    mixed = [questions[i] for i in range(most) for questions in by_source.values() if i < len(questions)]
    templates = stored_templates(build)
    return [_question(one, sources[one.source], templates, system) for one in mixed[:most]]


def from_rows(rows: Sequence[TrainRow]) -> list[WatchedQuestion]:
    """Questions of the training data, for data that holds nothing out."""
    return [WatchedQuestion(_words(row.prompt), row, trained_on=True) for row in rows]


def answer(
    model: Any, encoder: Encoder, questions: Sequence[WatchedQuestion], *, step: int, max_new_tokens: int
) -> Answers:
    """Answer the questions greedily; draws no random number. All ranks call it, and share the questions among them.

    Prompts are those of training (``encoder``), token by token. ``model`` is whole on every rank.
    """
    training = model.training
    model.eval()
    mine = questions[distributed.rank() :: distributed.world()]
    try:
        with torch.no_grad():
            said = distributed.collect([_generate(model, encoder, question, max_new_tokens) for question in mine])
    finally:
        model.train(training)
    texts, tokens = [text for text, _ in said], [count for _, count in said]
    right = tuple(_is_right(text, question) for text, question in zip(texts, questions, strict=True))
    return Answers(step, tuple(texts), tuple(tokens), right)


def _question(
    question: Question, source: Mapping[str, Any], templates: Mapping[str, Template], system: str
) -> WatchedQuestion:
    name = source["open_template" if question.answer is None else "template"]
    options = OptionsSpec.model_validate(source.get("options") or {})
    prompt = (templates.get(name) or load_template(name)).ask(question, options)
    messages = tuple(to_messages(prompt.text, system, prompt.context))
    row = TrainRow(question.id, question.source, prompt.images, messages, (), ())
    return WatchedQuestion(question.question, row, question.answer, question.choices, name, question.answers)


def _generate(model: Any, encoder: Encoder, question: WatchedQuestion, max_new_tokens: int) -> tuple[str, int]:
    """The answer and its number of tokens."""
    ids, extras = encoder.encode_prompt(question.row)
    prompt = torch.tensor([ids])
    inputs = {"input_ids": prompt, "attention_mask": torch.ones_like(prompt), **extras}
    inputs = {name: value.to(model.device) for name, value in inputs.items()}
    # The model's own sampling settings are switched off. This rank generates alone and must not wait for others.
    settings = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, "num_beams": 1}
    out = model.generate(**inputs, **settings, max_new_tokens=max_new_tokens, synced_gpus=False)
    new = out[0, len(ids) :].tolist()
    spoken = new[:-1] if new and new[-1] in encoder.ends else new
    return encoder.tokenizer.decode(spoken), len(new)


def _is_right(text: str, question: WatchedQuestion) -> bool | None:
    if question.truth is None:
        return None
    truths = question.answers or question.truth
    form = question.template if question.template in TEMPLATES else None
    verdict = match(extract(text, form) or "", truths, choices=question.choices or None)
    return verdict.status == "correct"


def _words(prompt: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(
        str(part["text"]) for message in prompt for part in message["content"] if part.get("type") == "text"
    )
