"""Greedy answers to a few held-out questions, before, during and after training."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from mmpr.answers import extract, match
from mmpr.answers.extract import TEMPLATES
from mmpr.config.recipe import OptionsSpec
from mmpr.prompts import Template, to_messages
from mmpr.schema import Question, shown_question
from mmpr.storage.manifest import read_manifest
from mmpr.storage.shards import MANIFEST
from mmpr.storage.tables import read_rows
from mmpr.templates import load_template, stored_templates
from mmpr.train import distributed
from mmpr.train.data.encoding import Encoder
from mmpr.train.loop.watch import Answers
from mmpr.train.rows import TrainRow
from mmpr.train.shared_prefix.families import FAMILIES, unwrap

_TOGETHER = 16
"""Questions that are answered in one batch."""


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
            said = distributed.collect(_generate(model, encoder, mine, max_new_tokens))
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
    shown = shown_question(question.question, [asdict(turn) for turn in question.context])
    return WatchedQuestion(shown, row, question.answer, question.choices, name, question.answers)


def _generate(
    model: Any, encoder: Encoder, questions: Sequence[WatchedQuestion], max_new_tokens: int
) -> list[tuple[str, int]]:
    """The answer to each question and its number of tokens; those with pictures of one form are answered together."""
    prompts = [encoder.encode_prompt(question.row) for question in questions]
    inner = unwrap(model)
    groups: dict[Any, list[int]] = {}
    for number, (ids, extras) in enumerate(prompts):
        form = frozenset((name, value.shape[1:]) for name, value in extras.items() if not _of_tokens(value, ids))
        # Of other families it is not known whether pictures of several prompts may be put one after the other.
        groups.setdefault(form if inner.config.model_type in FAMILIES else number, []).append(number)
    found: dict[int, tuple[str, int]] = {}
    for members in groups.values():
        for start in range(0, len(members), _TOGETHER):
            together = members[start : start + _TOGETHER]
            for number, new in zip(
                together, _continue(model, encoder, [prompts[i] for i in together], max_new_tokens), strict=True
            ):
                spoken = new[:-1] if new and new[-1] in encoder.ends else new
                found[number] = encoder.tokenizer.decode(spoken), len(new)
    return [found[number] for number in range(len(questions))]


def _continue(
    model: Any, encoder: Encoder, prompts: Sequence[tuple[list[int], dict[str, Tensor]]], max_new_tokens: int
) -> list[list[int]]:
    """The new tokens after each of some prompts, up to one that ends an answer; shorter ones are padded before."""
    longest = max(len(ids) for ids, _ in prompts)
    stops, filler = unwrap(model).generation_config.eos_token_id, encoder.tokenizer.pad_token_id or 0
    rows = [torch.tensor([filler] * (longest - len(ids)) + ids) for ids, _ in prompts]
    masks = [torch.tensor([0] * (longest - len(ids)) + [1] * len(ids)) for ids, _ in prompts]
    extras = {
        name: torch.cat(
            [
                pad(own[name], (longest - len(ids), 0)) if _of_tokens(own[name], ids) else own[name]
                for ids, own in prompts
            ]
        )
        for name in prompts[0][1]
    }
    inputs = {"input_ids": torch.stack(rows), "attention_mask": torch.stack(masks), **extras}
    inputs = {name: value.to(model.device) for name, value in inputs.items()}
    # The model's own sampling settings are switched off. This rank generates alone and must not wait for others.
    settings = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, "num_beams": 1}
    out = model.generate(**inputs, **settings, max_new_tokens=max_new_tokens, synced_gpus=False, pad_token_id=filler)
    ends = set(stops if isinstance(stops, list) else [stops])
    return [_until(new, ends) for new in out[:, longest:].tolist()]


def _of_tokens(value: Tensor, ids: Sequence[int]) -> bool:
    """Whether an input says something of each token (such as its type), and not of a picture."""
    return tuple(value.shape) == (1, len(ids))


def _until(tokens: list[int], ends: Collection[int | None]) -> list[int]:
    """The tokens up to and with the first that ends an answer; padding comes after it."""
    return next((tokens[: i + 1] for i, token in enumerate(tokens) if token in ends), tokens)


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
