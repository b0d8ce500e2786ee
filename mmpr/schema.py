"""The nouns of mmpr: what flows from a source row to a preference pair.

    SourceRow ─▶ Question ─▶ Rollout (K Responses) ─▶ Verdicts ─▶ PreferenceRow (Pairs)
                                 └─ no truth ─▶ Completions ─────────┘            Reject: what fell out, and why

Plain frozen dataclasses; how they lie on disk is in ``mmpr.storage``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

Status = Literal["correct", "incorrect", "unparseable", "timeout", "error", "unsure"]
Rule = Literal["default", "relaxed", "anls", "exact", "multiple_choice", "vqa", "iou", "point_in_box", "count", "json"]
RULES: tuple[Rule, ...] = get_args(Rule)
Method = Literal["correctness", "format", "dropout", "adjudicated"]
Role = Literal["system", "user", "assistant"]
Word = Literal["correct", "incorrect", "unclear"]
Says = Literal["right", "wrong", "unsure"]

SINCE_2: Mapping[str, int] = {"since": 2}
"""What a field has that shards of format 1 lack; it has its default when they are read."""

ANSWERED = ("stop", "length")
"""Why an answer ends: by itself, or cut at the limit of tokens. What ends for another reason is no answer."""

TokenIds = tuple[Annotated[int, "int32"], ...]
"""Tokens as a tokenizer numbers them."""

IMAGE_MARK = "<image>"
"""Where a picture stands in a question's text; a question has exactly one for each of its images."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn that stands before a question: who speaks, and what, with one ``<image>`` for each picture of it."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row as its source tells it, text only; pictures are references that the source itself can load.

    ``where`` names file and row for messages (``train.jsonl:17``). ``key`` is the source's own id of the row or ``""``.
    ``meta`` is a JSON object of whatever else the source knows (carried along, never interpreted). Of several
    acceptable answers, all ``answers``, ``answer`` is the most frequent. ``context`` are the turns of a conversation
    before the question; ``images`` are theirs and the question's.
    """

    where: str
    question: str
    answer: str | None = None
    choices: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    key: str = ""
    kind: str = ""
    meta: str = "{}"
    answers: tuple[str, ...] = field(default=(), metadata=SINCE_2)
    context: tuple[Turn, ...] = field(default=(), metadata=SINCE_2)


@dataclass(frozen=True, slots=True)
class IndexedRow:
    """A source row that was taken into the build, under the id that it keeps to the end."""

    id: str
    source: str
    row: SourceRow


@dataclass(frozen=True, slots=True)
class Question:
    """A question ready to be asked: checked text and pictures that are known to decode.

    ``images`` are encoded files (PNG or JPEG, upright, RGB). ``context``, the turns of a conversation before it, and
    ``question`` hold one ``<image>`` for each, in this order.
    ``answer`` is the ground truth, None for an open-ended question. Where a data set accepts several, ``answers`` are
    all of them, as often as annotators gave them, and ``answer`` is the most frequent; else ``answers`` is empty.
    """

    id: str
    source: str
    question: str
    answer: str | None = None
    choices: tuple[str, ...] = ()
    images: tuple[bytes, ...] = ()
    kind: str = ""
    rule: str = "default"
    where: str = ""
    meta: str = "{}"
    answers: tuple[str, ...] = field(default=(), metadata=SINCE_2)
    context: tuple[Turn, ...] = field(default=(), metadata=SINCE_2)

    @property
    def truths(self) -> tuple[str, ...]:
        """Every acceptable answer: none of an open-ended question, usually one."""
        return self.answers or (() if self.answer is None else (self.answer,))


@dataclass(frozen=True, slots=True)
class Response:
    """One sampled answer. ``finish_reason`` is ``stop``, or ``length`` for a truncated one (``ANSWERED``).

    ``token_ids`` are the ``tokens`` tokens that the engine drew, the one that ended the answer among them.
    ``logprobs`` are their log-probabilities (natural logarithm, temperature 1), where the recipe asks for them.
    """

    text: str
    seed: int
    finish_reason: str
    tokens: int
    token_ids: TokenIds = field(default=(), metadata=SINCE_2)
    logprobs: tuple[Annotated[float, "float32"], ...] = field(default=(), metadata=SINCE_2)


@dataclass(frozen=True, slots=True)
class Rollout:
    """A question's K responses. ``prompt`` is the rendered template, before the model's own chat format.

    ``context`` are the turns that were shown before it: the system prompt of template and conversation as one turn,
    the template's examples, the conversation's earlier turns.

    ``prompt_token_ids`` are the ``prompt_tokens`` tokens that the engine read, in chat format, with those that stand
    for pictures. ``tokenizer_sha256`` names the vocabulary of all these tokens (``mmpr.models.tokenizer_sha256``),
    ``chat_template_sha256`` the template that wrote the prompt. ``reasoning_opened`` is the mark with which the prompt
    itself begins a block of reasoning (``<think>``): responses go on inside it.
    """

    id: str
    source: str
    prompt: str
    template: str
    template_sha256: str
    model: str
    model_revision: str
    prompt_tokens: int
    responses: tuple[Response, ...]
    prompt_token_ids: TokenIds = field(default=(), metadata=SINCE_2)
    tokenizer_sha256: str = field(default="", metadata=SINCE_2)
    chat_template_sha256: str = field(default="", metadata=SINCE_2)
    reasoning_opened: str = field(default="", metadata=SINCE_2)
    context: tuple[Turn, ...] = field(default=(), metadata=SINCE_2)


@dataclass(frozen=True, slots=True)
class Completion:
    """A response's beginning, continued by the model (paper section 3.1, dropout next-token prediction).

    ``response`` is the position of the continued response in its rollout, ``prefix`` the part that was kept (of
    ``prefix_tokens`` tokens, ``prefix_token_ids``), ``continuation`` what the model wrote after it.
    """

    response: int
    start_ratio: float
    with_image: bool
    prefix: str
    prefix_tokens: int
    continuation: Response
    prefix_token_ids: TokenIds = field(default=(), metadata=SINCE_2)


@dataclass(frozen=True, slots=True)
class Completions:
    """All continuations of one open-ended question's responses."""

    id: str
    source: str
    completions: tuple[Completion, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge says of one answer.

    ``answer`` is the extracted final answer (None when there is no clear one), ``comparator`` names what decided
    (``number``, ``multiple_choice``, ...), ``reason`` tells a person why. Only ``incorrect`` and ``unparseable``
    may ever be rejected; ``unsure`` (it may be right), ``timeout`` and ``error`` mean that nobody knows.
    """

    status: Status
    answer: str | None = None
    comparator: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The judge's word on each of a rollout's responses, in their order.

    ``pass_rate`` is correct / (correct + incorrect + unparseable), None when nothing could be judged.
    """

    id: str
    source: str
    pass_rate: float | None
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Adjudication:
    """What a verifier model says of one response (a position in its rollout) of which the judge is unsure.

    ``word`` is read from ``replies`` (``mmpr.pipeline.adjudicating``): ``unclear`` unless all of them say the same.
    """

    response: int
    word: Word
    replies: tuple[Response, ...]


@dataclass(frozen=True, slots=True)
class Adjudications:
    """A model's words on a question's unsure verdicts, which stay as they are; ``prompt`` is the verifier's prompt."""

    id: str
    source: str
    model: str
    model_revision: str
    prompt: str
    prompt_sha256: str
    words: tuple[Adjudication, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a person (a number, no name) says of the ``verdict`` on one response (a position in its rollout).

    ``instead`` is the verdict that a wrong one should have been, empty if the person does not say.
    """

    response: int
    person: int
    verdict: Status
    says: Says
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Judgements:
    """People's judgements on a question's verdicts, as they were when its pairs were made."""

    id: str
    source: str
    judgements: tuple[Judgement, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """``chosen`` and ``rejected`` are positions in the list of responses of one row of pairs/."""

    chosen: int
    rejected: int
    method: Method
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PairedResponse:
    """A response that stands in at least one pair.

    ``token_ids`` are its tokens as they were sampled, ``logprob`` is the sum of their log-probabilities where those
    were kept. ``sample`` is its position in the rollout. A ``continued`` response has the first ``prefix_chars``
    characters of that sample, and then what the model wrote instead. ``status`` and ``answer`` are the judge's, empty
    and None for open-ended questions.
    """

    text: str
    tokens: int
    finish_reason: str
    seed: int
    sample: int
    continued: bool = False
    prefix_chars: int = 0
    status: str = ""
    answer: str | None = None
    token_ids: TokenIds = field(default=(), metadata=SINCE_2)
    logprob: float | None = field(default=None, metadata=SINCE_2)


@dataclass(frozen=True, slots=True)
class PreferenceRow:
    """A row of pairs/: a question with its pairs; pictures and responses stand in it once, whatever the pairs.

    ``answer`` and ``answers`` are those of the ``Question``.
    ``context``, ``prompt_token_ids`` and ``tokenizer_sha256`` are the rollout's. ``images`` are those of the whole
    prompt: of the template's examples, if it has any, and then of the question.
    """

    id: str
    source: str
    kind: str
    images: tuple[bytes, ...]
    question: str
    prompt: str
    answer: str | None
    pass_rate: float | None
    responses: tuple[PairedResponse, ...]
    pairs: tuple[Pair, ...]
    answers: tuple[str, ...] = field(default=(), metadata=SINCE_2)
    prompt_token_ids: TokenIds = field(default=(), metadata=SINCE_2)
    tokenizer_sha256: str = field(default="", metadata=SINCE_2)
    context: tuple[Turn, ...] = field(default=(), metadata=SINCE_2)


@dataclass(frozen=True, slots=True)
class Reject:
    """Something that was dropped. ``id`` is the question's id, or where the row stands when it never became one."""

    stage: str
    source: str
    id: str
    reason: str
    detail: str = ""


def shown_truth(answer: str | None, answers: Sequence[str] | None) -> str | None:
    """A truth for people: the answer or, where several are acceptable, each of them once."""
    return " or ".join(dict.fromkeys(answers)) if answers else answer


def shown_question(question: str, context: Sequence[Mapping[str, str]] | None) -> str:
    """A question for people: after the turns before it, each with its speaker; ``context`` as a shard has it."""
    before = "".join(f"{turn['role'].capitalize()}: {turn['text']}\n\n" for turn in context or ())
    return f"{before}User: {question}" if before else question


def content_id(*parts: str | bytes) -> str:
    """128 bits of SHA-256 over the parts, as 32 hex digits; no two different lists of parts run together."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:32]


def question_id(source: str, row: SourceRow) -> str:
    """The id of a question: its source's name with the row's own key, or else with all that the row says.

    Pictures count by reference, so that ids (and duplicates among them) are known before any picture is opened.
    """
    if row.key:
        return content_id("key", source, row.key)
    answer = ["no answer"] if row.answer is None else ["answer", row.answer]
    several = ["answers", *_counted(row.answers)] if row.answers else []
    before = ["context", *_counted([part for turn in row.context for part in (turn.role, turn.text)])]
    told = [*answer, *several, *(before if row.context else ())]
    return content_id("row", source, row.question, *told, *_counted(row.choices), *_counted(row.images))


def sample_seed(run_seed: int, question: str, sample: int = 0) -> int:
    """The sampling seed of one response, in [0, 2**62 + sample].

    A function of the run's seed, the question's id and the sample's index alone, whatever worker draws it and when.
    One request with n samples gives sample i the request's seed + i (vLLM), hence the sum.
    """
    return (int(content_id("seed", str(run_seed), question), 16) >> 66) + sample


def _counted(parts: Sequence[str]) -> list[str]:
    return [str(len(parts)), *parts]
