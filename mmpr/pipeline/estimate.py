"""What a build of a plan would come to, and what would go wrong: its sources are read once, some pictures opened."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmpr.config import SourceSpec
from mmpr.engine.control_tokens import is_plain
from mmpr.engine.preview import Preview, preview
from mmpr.engine.request import Request
from mmpr.errors import MmprError, OutputError, RowError
from mmpr.models import control_tokens_at_hand
from mmpr.pipeline.audited import read_audit
from mmpr.pipeline.plan import Plan, check_out, checked_rows, splits
from mmpr.schema import Question, Reject, SourceRow, question_id
from mmpr.sources import Source, open_source
from mmpr.sources.ingest import to_question
from mmpr.sources.selection import select_rows
from mmpr.storage.shards import Split, Stage

LOOKED_AT = 16
"""Rows of a source whose pictures are opened."""
SHOWN_TO_MODEL = 4
"""Of these, how many prompts the model's own chat template and processor are tried on."""

_TYPICAL_TOKENS = 350  # the paper's mean length of a rejected response
_BYTES_A_TOKEN = 2  # of text, compressed


@dataclass(frozen=True, slots=True)
class Expected:
    """What a source will come to: ``responses`` is 0 for the held-out split, ``bytes`` a rough size on disk.

    ``reasons`` tells of the rejected rows: how many by reason, and the first of each. ``with_answer`` of the questions
    have a truth. ``with_control_tokens`` of them will be dropped when they are asked (``mmpr.engine.control_tokens``).
    ``sample`` are some questions with their pictures; ``lost`` tells of rows that were looked at and make none.
    """

    source: str
    split: Split
    questions: int
    rejected: int
    responses: int
    bytes: int
    reasons: dict[str, tuple[int, Reject]]
    with_control_tokens: int = 0
    with_answer: int = 0
    sample: tuple[Question, ...] = ()
    lost: tuple[Reject, ...] = field(default=())

    @property
    def looked_at(self) -> int:
        """Of how many rows the pictures were opened."""
        return len(self.sample) + len(self.lost)


@dataclass(frozen=True, slots=True)
class Problem:
    """A sentence about what will go wrong. One that is not fatal costs a part of the data, and the build goes on."""

    text: str
    is_fatal: bool = True


def estimate(plan: Plan) -> list[Expected]:
    """What a build of this plan would come to; goes through the sources once, and opens a few pictures of each."""
    recipe = plan.recipe
    control = control_tokens_at_hand(plan.model) or frozenset()
    return [
        _expect(plan, spec, split, control if split == "train" else frozenset())
        for split, specs in splits(recipe)
        for spec in specs
    ]


def _expect(plan: Plan, spec: SourceSpec, split: Split, control: frozenset[str]) -> Expected:
    recipe = plan.recipe
    source = open_source(spec, recipe)
    questions = rejected = texts = marked = answered = 0
    some: list[SourceRow] = []
    reasons: dict[str, tuple[int, Reject]] = {}
    dice = random.Random(0)
    selection = select_rows(source, spec, recipe.seed)
    for item in checked_rows(selection, spec.name):
        if isinstance(item, Reject):
            rejected += 1
            many, first = reasons.get(item.reason, (0, item))
            reasons[item.reason] = (many + 1, first)
            continue
        questions += 1
        said = [item.question, *(turn.text for turn in item.context)]
        texts += sum(map(len, said))
        answered += bool(item.answer)
        marked += bool(control) and not all(is_plain(text, control) for text in said)
        if len(some) < LOOKED_AT:
            some.append(item)
        elif (place := dice.randrange(questions)) < LOOKED_AT:
            some[place] = item
    selection.tell(recipe)
    sample, lost = _look_at(plan, spec, source, some)
    pictures = sum(len(image) for question in sample for image in question.images)
    responses = questions * recipe.samples(spec.name) if split == "train" else 0
    copies = 2 if split == "train" else 1  # questions/ and pairs/
    size = copies * (texts + questions * pictures // max(len(some), 1))
    size += responses * min(recipe.sampling.max_tokens, _TYPICAL_TOKENS) * _BYTES_A_TOKEN
    return Expected(
        spec.name, split, questions, rejected, responses, size, reasons, marked, answered, tuple(sample), tuple(lost)
    )


def _look_at(
    plan: Plan, spec: SourceSpec, source: Source, rows: Sequence[SourceRow]
) -> tuple[list[Question], list[Reject]]:
    """The questions that rows become, as ingest makes them, and those that become none."""
    found, lost = [], []
    for row in rows:
        try:
            found.append(to_question(row, question_id(spec.name, row), spec, source, plan.recipe))
        except RowError as error:
            lost.append(Reject("ingest", spec.name, row.where, error.reason, error.detail))
    return found, lost


def show_to_model(plan: Plan, expected: Sequence[Expected]) -> Preview:
    """Some prompts of each source as the model's own chat template and processor make them; starts no engine."""
    return preview(plan.recipe, plan.model.path, [request for _, request in prompts(plan, expected)])


def prompts(plan: Plan, expected: Sequence[Expected]) -> list[tuple[str, Request]]:
    """What ``show_to_model`` tries: a few prompts of each source that is sampled, with the source's name."""
    recipe = plan.recipe
    found = []
    for one in expected:
        if one.split == "train":
            spec = recipe.source(one.source)
            for question in one.sample[:SHOWN_TO_MODEL]:
                template = plan.templates[spec.open_template if question.answer is None else spec.template]
                prompt = template.ask(question, spec.options)
                request = Request(prompt.text, prompt.images, 1, 0, processor=spec.processor, context=prompt.context)
                found.append((spec.name, request))
    return found


def most_words(plan: Plan, expected: Sequence[Expected]) -> int:
    """The most replies that a verifier may be asked for: the judge may be unsure of every response."""
    spec, recipe = plan.recipe.adjudicate, plan.recipe
    judged = sum(one.with_answer * recipe.samples(one.source) for one in expected if one.split == "train")
    return judged * spec.samples if spec else 0


def verifier_problems(plan: Plan, expected: Sequence[Expected]) -> Iterator[Problem]:
    """What would make the verifier fail, tried on a few questions with their own truths as responses."""
    if plan.verifier is None:
        return
    recipe, prompt = plan.verifier.recipe, plan.verifier.prompt
    requests = [
        Request(prompt.render(question, truth, truth, recipe.source(one.source).options), (), 1, 0)
        for one in expected
        if one.split == "train"
        for question in one.sample[:SHOWN_TO_MODEL]
        if (truth := question.answer) is not None
    ]
    seen = preview(recipe, plan.verifier.model.path, requests)
    refused = [problem for shown in seen.prompts if (problem := shown.problem(seen.context))]
    for text in (*seen.problems, *refused[:1]):
        yield Problem(f"adjudicate: {text}")


def find_problems(
    plan: Plan, expected: Sequence[Expected], seen: Preview, out: Path, start: Stage | None, *, grow: bool = False
) -> Iterator[Problem]:
    """What would make the build fail, or lose a part of its data."""
    for one in expected:
        yield from _of_source(one)
    yield from _of_model(plan, expected, seen)
    yield from verifier_problems(plan, expected)
    try:
        build = check_out(out, plan, start, grow=grow)
        if build is not None and start is not None:
            read_audit(out, build.of("train"))
    except (MmprError, OSError) as error:
        yield Problem(f"--out: {error}")
    need, free = sum(one.bytes for one in expected), free_bytes(out)
    if need > free:
        yield Problem(f"--out: {out} has {free / 1e9:,.1f} GB free, the build needs about {need / 1e9:,.1f}")


def _of_source(one: Expected) -> Iterator[Problem]:
    if not one.questions:
        most = sorted(one.reasons.values(), key=lambda item: -item[0])[:1]
        why = "".join(f", {many:,} x {first.reason} ({first.id}: {first.detail})" for many, first in most)
        yield Problem(f"source {one.source!r}: no question; {one.rejected:,} rows rejected{why}")
    for reason in dict.fromkeys(reject.reason for reject in one.lost):
        rejects = [reject for reject in one.lost if reject.reason == reason]
        yield Problem(
            f"source {one.source!r}: {len(rejects)} of {one.looked_at} rows that were looked at will be rejected, "
            f"{reason} (first {rejects[0].id}: {rejects[0].detail})",
            is_fatal=not one.sample,
        )


def _of_model(plan: Plan, expected: Sequence[Expected], seen: Preview) -> Iterator[Problem]:
    yield from map(Problem, seen.problems)
    if not seen.takes_pictures and any(question.images for one in expected for question in one.sample):
        yield Problem(f"model.path: {plan.recipe.model.path} takes no pictures, and the questions have some")
    tried: dict[str, list[str]] = {}
    for (source, _), prompt in zip(prompts(plan, expected), seen.prompts, strict=False):
        tried.setdefault(source, []).append(prompt.problem(seen.context))
    for source, told in tried.items():
        if refused := [problem for problem in told if problem]:
            yield Problem(
                f"source {source!r}: {len(refused)} of {len(told)} prompts that were tried are refused: {refused[0]}",
                is_fatal=len(refused) == len(told),
            )


def free_bytes(out: Path) -> int:
    """What is free on the disk that a folder will lie on."""
    place = out.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError as error:
        raise OutputError(f"{out}: cannot be looked at: {error.strerror}") from None
