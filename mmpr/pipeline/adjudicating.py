"""A model as the last judge: what a verifier is asked about an unsure verdict, and what its reply says.

    Verdict (unsure) ─ prompt ─▶ engine ─ replies ─▶ Word: correct, incorrect or unclear

The verifier may be any model that vLLM runs. ``prompts/verifiers/`` has a prompt for CompassVerifier, which replies A
(correct), B (incorrect) or C (invalid), and one for xVerify, which replies Correct or Incorrect. Both are in our own
words, after what the two publish of their inputs and replies; the authors' own wording can be given as a file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmpr.answers.final_answers.families import after_reasoning
from mmpr.config import AdjudicateSpec, OptionsSpec, Recipe, SamplingSpec
from mmpr.config.chat import DEFAULT_CHAT
from mmpr.errors import MmprError
from mmpr.models import FoundModel, find_model
from mmpr.pipeline.pairing import distinct
from mmpr.prompts import without_images
from mmpr.resources import PROMPTS
from mmpr.schema import Question, Response, Rollout, Verdict, Word, shown_truth
from mmpr.templates import prompt_file, read_prompt

VERIFIERS = PROMPTS / "verifiers"

_FIELD = re.compile(r"\{(question|choices|truth|response|answer)\}")
_WORDS: dict[str, Word] = {"a": "correct", "correct": "correct", "b": "incorrect", "incorrect": "incorrect"}
"""What replies say; C and INVALID mean that the verifier cannot tell, as everything else does."""

_MARKS = re.compile(r"\\(?:boxed|text)|[*\[\](){}\"'`$]")
_JUDGMENT = re.compile(r"(?:final )?judge?ment *:", re.IGNORECASE)
_LONGEST_LABEL = 100


@dataclass(frozen=True, slots=True)
class VerifierPrompt:
    """A verifier's prompt: a text with ``{question}``, ``{truth}``, and ``{response}`` or ``{answer}``, once each.

    ``{choices}``, at most once, becomes the options; of a question without any, its line goes. ``sha256`` is of the
    text, as 64 hex digits.
    """

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Identifies the wording, whatever the name."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def render(self, question: Question, said: str, answer: str | None, options: OptionsSpec) -> str:
        """What the verifier reads: texts only, without pictures.

        ``said`` is what the response shows after its reasoning; ``{answer}`` is the final answer that was found in it
        or, where there is none, all of ``said``.
        """
        text = self.text.strip() if question.choices else self.text.strip().replace("\n{choices}", "")
        values = {
            "question": question.question.strip(),
            "choices": options.shown(question.choices) if question.choices else "",
            "truth": shown_truth(question.answer, question.answers) or "",
            "response": said,
            "answer": answer or said,
        }
        return without_images(_FIELD.sub(lambda field: values[field[1]], text))


def load_verifier_prompt(name: str, folder: Path) -> VerifierPrompt:
    """A prompt of ``prompts/verifiers/`` by name, or a file by its path (``./mine.txt``), relative to ``folder``.

    Raises:
        MmprError: there is no such prompt, or it lacks a field or has one twice.
    """
    path, text = prompt_file(name, folder, VERIFIERS), read_prompt(name, folder, VERIFIERS)
    held = [field[1] for field in _FIELD.finditer(text)]
    lacks = [field for field in ("question", "truth") if field not in held]
    if "response" not in held and "answer" not in held:
        lacks.append("response")
    twice = sorted({field for field in held if held.count(field) > 1})
    if lacks or twice:
        what = f"lacks {{{lacks[0]}}}" if lacks else f"holds {{{twice[0]}}} more than once"
        raise MmprError(f"template {path}: {what}; a verifier is shown {{question}}, {{truth}} and {{response}}")
    return VerifierPrompt(name, text)


@dataclass(frozen=True, slots=True)
class Verifier:
    """The model that unsure verdicts are put to: the recipe that its engine is started with, and its prompt."""

    recipe: Recipe
    model: FoundModel
    prompt: VerifierPrompt

    def about(self) -> dict[str, str]:
        """What identifies it, for the manifest."""
        return {"model_revision": self.model.revision, "prompt_sha256": self.prompt.sha256}

    def identity(self) -> list[Any]:
        """What its words depend on."""
        return [self.about(), self.recipe.engine.type, self.recipe.sampling.identity()]


def find_verifier(recipe: Recipe) -> Verifier | None:
    """The verifier of a recipe, if it has one.

    Raises:
        MmprError: its model or its prompt is nowhere to be found.
    """
    if recipe.adjudicate is None:
        return None
    prompt = load_verifier_prompt(recipe.adjudicate.prompt, recipe.folder)
    own = verifier_recipe(recipe, recipe.adjudicate)
    return Verifier(own, find_model(own), prompt)


def verifier_recipe(recipe: Recipe, spec: AdjudicateSpec) -> Recipe:
    """The recipe with the verifier in the model's place: what its engine is started with."""
    sampling = SamplingSpec(
        samples=spec.samples, temperature=0.0 if spec.samples == 1 else 1.0, max_tokens=spec.max_tokens
    )
    return recipe.model_copy(
        update={
            "model": spec.model,
            "engine": spec.engine or recipe.engine,
            "chat": DEFAULT_CHAT,
            "sampling": sampling,
            "sources": tuple(source.model_copy(update={"samples": None}) for source in recipe.sources),
        }
    )


def to_adjudicate(rollout: Rollout, verdicts: Sequence[Verdict]) -> list[int]:
    """The positions of the responses that are put to the verifier.

    They are the unsure ones that could stand in a pair: ended by themselves, and the first of their text.
    """
    return [
        place
        for place in distinct(rollout.responses)
        if verdicts[place].status == "unsure" and rollout.responses[place].finish_reason == "stop"
    ]


def shown_to_verifier(rollout: Rollout, place: int) -> str:
    """What a response says after its reasoning; all of it when it has no such part."""
    text = rollout.reasoning_opened + rollout.responses[place].text
    return (after_reasoning(text)[0] or text).strip()


def read_word(replies: Sequence[Response]) -> Word:
    """What the replies say: ``unclear`` unless all are whole and say the same."""
    words = {_word(reply.text) if reply.finish_reason == "stop" else "unclear" for reply in replies}
    return words.pop() if len(words) == 1 else "unclear"


def _word(reply: str) -> Word:
    """The word of one reply, which after any reasoning must be nothing but a label.

    A longer one must end with a line of its own for the label: ``Final Judgment: \\boxed{A} - CORRECT``.
    """
    said = (after_reasoning(reply)[0] or "").strip()
    last = said.rpartition("\n")[2]
    bare = _MARKS.sub("", last).strip()
    announced = _JUDGMENT.match(bare)
    if len(last) > _LONGEST_LABEL or (last != said and not announced):
        return "unclear"
    label = bare[announced.end() :] if announced else bare
    words = {_WORDS.get(part.strip(" .").lower(), "unclear") for part in re.split("[-:]", label)}
    return words.pop() if len(words) == 1 else "unclear"
