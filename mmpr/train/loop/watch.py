"""Known troubles of preference training, found in a run's metrics and greedy answers.

    loss_zero            the loss or all rewards are 0: nothing is learnt
    rewards_saturated    reward accuracy 1.0 and a very large margin: the loss has almost no gradient left
    chosen_falling       the chosen responses become less likely than they were under the reference
    length_gap           chosen and rejected differ so much in length that length alone tells them apart
    length_drift         greedy answers grow or shrink against those of the starting model
    repetition           greedy answers repeat themselves
    image_mismatch       rows whose image tokens do not match their pictures
    sampled_otherwise    at the first step, sampled responses have other probabilities than when they were sampled
    reference_mismatch   at the first step, policy and reference do not agree, though they are the same model
    all_padding          a step without a response token        (stops the run)
    non_finite           loss or gradient is not finite         (stops the run)

Only lines of ``metrics.jsonl`` and greedy answers are looked at, so a resumed run finds what an unbroken one finds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WINDOW = 10
"""Steps over which figures are averaged."""

_ZERO_LOSS = 1e-4
_STILL = 1e-9
_SATURATED = 0.999
_EXPLODED_MARGIN = 10.0
_FALLEN_REWARD = -0.5
_SAMPLED_DIFFERENCE = 0.05  # nats a token, mean over responses; other kernels and bfloat16 differ by less
_REFERENCE_REWARD = 0.02
_LENGTH_GAP = 1.5
_LENGTH_DRIFT = 1.5
_REPEATED = 0.5
_MORE_REPEATED = 0.1
_LONGEST_PERIOD = 16

REMEDIES = {
    "loss_zero": "check that the model has parameters to train and a learning rate above 0, and that chosen and "
    "rejected differ; a loss of 0 from the start also comes from responses that encode to nothing",
    "rewards_saturated": "stop here, or lower optimizer.learning_rate or data.epochs, or raise objective.beta; the "
    "pairs may be too easy: keep questions with pass rates between 0.2 and 0.8",
    "chosen_falling": "raise objective.generation (the SFT term holds the chosen responses up) or lower "
    "optimizer.learning_rate",
    "length_gap": "balance the lengths of chosen and rejected when pairing; DPO sums over tokens and learns length "
    "first",
    "length_drift": "compare the samples in report.html; balance lengths in the data or lower optimizer.learning_rate",
    "repetition": "look at the samples in report.html; lower optimizer.learning_rate or take an earlier checkpoint",
    "image_mismatch": "the rows are left out and listed in drops.jsonl; use the processor that the model was made "
    "with, and raise data.max_tokens where rows are cut",
    "sampled_otherwise": "look at `mmpr check --model MODEL BUILD`; likely causes: other weights than those that "
    "sampled, another chat template, another number of tiles or pixels (data.processor), another precision",
    "reference_mismatch": "reference and policy were computed differently; likely causes: another precision "
    "(compute.precision), dropout or model.drop_path in the policy, references cached from other weights",
    "all_padding": "look at the responses of these rows: they encode to no token",
    "non_finite": "start again in another --out with a lower optimizer.learning_rate, or with "
    "compute.precision=float32; the last checkpoint is whole",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A trouble: its name, the step at which it was found, and the figures that show it."""

    name: str
    step: int
    detail: str

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return REMEDIES[self.name]

    def __str__(self) -> str:
        return f"step {self.step}: {self.name}: {self.detail}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Answers:
    """Greedy answers to the watched questions at one step; ``right`` is None where the truth is not known."""

    step: int
    texts: tuple[str, ...]
    tokens: tuple[int, ...]
    right: tuple[bool | None, ...]


class Watch:
    """Looks at every step and every set of greedy answers; reports each trouble once."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._steps: list[Mapping[str, float]] = []
        self._first: Answers | None = None

    def see_step(self, line: Mapping[str, float]) -> list[Finding]:
        """New findings after a step, given its line of ``metrics.jsonl``."""
        self._steps = [*self._steps, line][-2 * WINDOW :]
        step = int(line["step"])
        found = []
        if not (math.isfinite(line["loss"]) and math.isfinite(line["grad_norm"])):
            found.append(Finding("non_finite", step, f"loss {line['loss']}, gradient norm {line['grad_norm']}"))
        if line.get("response_tokens", 1) == 0:
            found.append(Finding("all_padding", step, "the step holds no response token"))
        if step == 1:
            found += _at_first(line)
        if len(self._steps) >= WINDOW:
            found += self._trends(step)
        return self._new(found)

    def see_answers(self, answers: Answers) -> list[Finding]:
        """New findings in greedy answers, compared with those of the first call."""
        if self._first is None:
            self._first = answers
            return []
        found = []
        before, now = (sum(a.tokens) / len(a.tokens) for a in (self._first, answers))
        if not 1 / _LENGTH_DRIFT <= (now + 1) / (before + 1) <= _LENGTH_DRIFT:
            detail = f"{now:.0f} tokens an answer, {before:.0f} at the start"
            found.append(Finding("length_drift", answers.step, detail))
        was, is_ = (sum(map(repeats, a.texts)) / len(a.texts) for a in (self._first, answers))
        if is_ > was + _MORE_REPEATED:
            detail = f"{is_:.0%} of greedy answers run in circles, {was:.0%} at the start"
            found.append(Finding("repetition", answers.step, detail))
        return self._new(found)

    def see_drops(self, counts: Mapping[str, int], rows: int) -> list[Finding]:
        """New findings in the number of rejects by reason."""
        wrong = counts.get("image_token_mismatch", 0)
        return self._new([Finding("image_mismatch", 0, f"{wrong} of {rows} rows")] if wrong else [])

    def _trends(self, step: int) -> list[Finding]:
        now = self._steps[-WINDOW:]
        before = self._steps[:-WINDOW]
        found = []
        losses = [line["loss"] for line in now]
        if max(map(abs, losses)) < _ZERO_LOSS:
            found.append(Finding("loss_zero", step, f"the loss is {losses[-1]:.2g} for {WINDOW} steps"))
        elif all(abs(line["rewards/margins"]) < _STILL and abs(line["rewards/chosen"]) < _STILL for line in now):
            found.append(Finding("loss_zero", step, f"rewards are 0 for {WINDOW} steps: the model does not change"))
        margin = _mean(now, "rewards/margins")
        if _mean(now, "rewards/accuracies") >= _SATURATED and margin > _EXPLODED_MARGIN:
            found.append(Finding("rewards_saturated", step, f"reward accuracy 1.0 and a margin of {margin:.1f}"))
        chosen = _mean(now, "rewards/chosen")
        if len(before) == WINDOW and chosen < _FALLEN_REWARD and chosen < _mean(before, "rewards/chosen"):
            detail = f"rewards/chosen {chosen:.2f}, {_mean(before, 'rewards/chosen'):.2f} before"
            found.append(Finding("chosen_falling", step, detail))
        lengths = _mean(now, "lengths/chosen"), _mean(now, "lengths/rejected")
        if not 1 / _LENGTH_GAP <= (lengths[0] + 1) / (lengths[1] + 1) <= _LENGTH_GAP:
            found.append(Finding("length_gap", step, f"chosen {lengths[0]:.0f} tokens, rejected {lengths[1]:.0f}"))
        return found

    def _new(self, found: Sequence[Finding]) -> list[Finding]:
        known = {finding.name for finding in self.findings}
        new = [finding for finding in found if finding.name not in known]
        self.findings += new
        return new


def _at_first(line: Mapping[str, float]) -> list[Finding]:
    """What is wrong at the first step, before the model has moved."""
    found = []
    difference = line.get("sampled/difference", 0.0)
    if difference > _SAMPLED_DIFFERENCE:
        detail = f"log-probabilities differ by {difference:.3f} nats a token, at worst by {line['sampled/worst']:.3f}"
        found.append(Finding("sampled_otherwise", 1, detail))
    reward = max(abs(line["rewards/chosen"]), abs(line["rewards/rejected"]))
    if reward > _REFERENCE_REWARD:
        found.append(Finding("reference_mismatch", 1, f"a reward of {reward:.3f} before the first update, not 0"))
    return found


def repeats(text: str) -> bool:
    """Whether a text ends in the same few words, or the same few characters, over and over."""
    words = text.split()
    sequences: tuple[tuple[Sequence[str], int], ...] = ((words, 6), (text, 24))
    for sequence, shortest in sequences:
        for period in range(1, _LONGEST_PERIOD + 1):
            run = 0
            while run + period < len(sequence) and sequence[-1 - run] == sequence[-1 - run - period]:
                run += 1
            if run + period >= max(shortest, 4 * period):
                return True
    grams = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    return len(grams) >= 12 and len(set(grams)) < _REPEATED * len(grams)


def _mean(lines: Sequence[Mapping[str, float]], name: str) -> float:
    return sum(line[name] for line in lines) / len(lines)
