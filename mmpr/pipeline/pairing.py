"""Verdicts become pairs: who is chosen, who is rejected, and why the rest makes no pair.

Correctness pairs set a right answer against a wrong one, format pairs a right answer against a response that names no
answer, dropout pairs a response against its own beginning continued without the picture (paper, section 3.1).
Adjudicated pairs are those of which a side stands on the word of a verifier model.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from textwrap import shorten

from mmpr.answers.killable import entailments
from mmpr.pipeline.standing import ADJUDICATED, AUDITED
from mmpr.schema import Completion, Method, Pair, PairedResponse, Response, Rollout, Verdict, content_id
from mmpr.storage.counts import JUDGED, UNKNOWN

_REASON_CHARS = 60


@dataclass(frozen=True, slots=True)
class Pairing:
    """The pairs of one question, with positions in ``responses``, and what made no pair.

    ``outcome`` says in a word how the question fared: ``paired``, or why it has no pair. ``skipped`` counts possible
    pairs (not questions) that were left out, by reason.
    """

    responses: tuple[PairedResponse, ...] = ()
    pairs: tuple[Pair, ...] = ()
    outcome: str = "paired"
    skipped: dict[str, int] = field(default_factory=dict)


def pair_by_correctness(
    rollout: Rollout,
    verdicts: Sequence[Verdict],
    *,
    choices: Sequence[str] = (),
    max_pairs: int = 15,
    format_pairs: bool = True,
) -> Pairing:
    """Pair right responses with wrong ones.

    Chosen: ``correct``. Rejected: ``incorrect``, or ``unparseable`` (format pairs, which fill the cap only after all
    correctness pairs). What did not end by itself is on neither side: nobody knows what a truncated response would have
    answered. Equal texts count once. A pair is left out when the rejected response may be right: its answer (in a
    format pair its last line) entails the chosen one, or that could not be decided in time. At most ``max_pairs`` are
    kept; they spread evenly over the distinct responses of both sides, and over the distinct wrong answers. The choice
    depends on the question's id alone.

    A pair with a verdict that stands on a model's word (``ADJUDICATED``) has a method of its own, and fills the cap
    last: it takes the place of no pair of which the judge is sure.
    """
    first = distinct(rollout.responses)
    whole = [i for i in first if rollout.responses[i].finish_reason == "stop"]
    rejectable = ("incorrect", "unparseable") if format_pairs else ("incorrect",)
    by_word = {i for i in whole if verdicts[i].comparator == ADJUDICATED}
    chosen = [i for i in whole if verdicts[i].status == "correct"]
    rejected = [i for i in whole if verdicts[i].status in rejectable]
    truncated = [i for i in first if i not in whole and verdicts[i].status in rejectable]
    left_out = {"truncated": len(chosen) * len(truncated)}
    if not chosen or not rejected:
        return Pairing(outcome=_why_not(verdicts, bool(chosen), bool(truncated)), skipped=_some(left_out))

    order = random.Random(content_id("pairs", rollout.id))
    judged = [i for i in chosen if i not in by_word]
    wrong = [i for i in rejected if i not in by_word and verdicts[i].status == "incorrect"]
    unclear = [i for i in rejected if verdicts[i].status == "unparseable"]
    for side in (judged, wrong, unclear, chosen, rejected):
        order.shuffle(side)
    wrong = _by_turns(wrong, lambda i: verdicts[i].answer or "")

    possible: dict[Method, list[tuple[int, int]]] = {
        "correctness": [(c, r) for c in judged for r in wrong],
        "format": [(c, r) for c in judged for r in unclear],
        "adjudicated": [(c, r) for c in chosen for r in rejected if c in by_word or r in by_word],
    }
    all_possible = [pair for of_method in possible.values() for pair in of_method]
    without = {i for i in (*chosen, *rejected) if i in unclear or verdicts[i].answer is None}
    last_lines = {i: _last_line(rollout.responses[i].text) for i in without}
    named = {i: last_lines.get(i, verdicts[i].answer or "") for i in (*chosen, *rejected)}
    answers = {(c, r): (named[r], named[c]) for c, r in all_possible}
    distinct_answers = list(dict.fromkeys(answers.values()))  # fewer than responses; each comparison may cost a proof
    told = dict(zip(distinct_answers, entailments(distinct_answers, choices), strict=True))
    kept: dict[tuple[int, int], Method] = {}
    for method, of_method in possible.items():
        fit = [pair for pair in of_method if told[answers[pair]] is False]
        kept |= dict.fromkeys(_spread(fit, max_pairs - len(kept), used=list(kept)), method)
    entailed = [told[answers[pair]] for pair in all_possible]
    left_out |= {
        "entailed": entailed.count(True),
        "undecided": entailed.count(None),
        "capped": entailed.count(False) - len(kept),
    }
    places = sorted({i for pair in kept for i in pair})
    position = {i: place for place, i in enumerate(places)}
    said = {i: _in_words(verdicts[i], named[i]) for i in places}
    pairs = [Pair(position[c], position[r], method, f"{said[c]}, {said[r]}") for (c, r), method in kept.items()]
    responses = tuple(_paired(rollout.responses[i], i, verdicts[i]) for i in places)
    outcome = "paired" if pairs else "all_entailed"
    return Pairing(responses, tuple(pairs), outcome, _some(left_out))


def pair_by_dropout(rollout: Rollout, completions: Sequence[Completion], *, max_pairs: int = 15) -> Pairing:
    """Pair each continued response (chosen) with its continuation (rejected).

    Left out: truncated responses and continuations, and continuations that are empty, equal to any of the question's
    responses up to white space (what is chosen in one pair must not be rejected in another), or repeat what another
    variant wrote.
    """
    skipped: dict[str, int] = {}
    responses: list[PairedResponse] = []
    pairs: list[Pair] = []
    position: dict[int, int] = {}
    originals = {_letters(response.text) for response in rollout.responses}
    seen: set[tuple[int, str]] = set()
    for completion in completions:
        original = rollout.responses[completion.response]
        rejected = _letters(completion.prefix + completion.continuation.text)
        text = (completion.response, rejected)
        if len(pairs) >= max_pairs:
            reason = "capped"
        elif {original.finish_reason, completion.continuation.finish_reason} != {"stop"}:
            reason = "truncated"
        elif not completion.continuation.text.strip():
            reason = "empty_continuation"
        elif rejected in originals:
            reason = "same" if rejected == _letters(original.text) else "same_as_another"
        else:
            reason = "repeated" if text in seen else ""
        if reason:
            skipped[reason] = skipped.get(reason, 0) + 1
            continue
        seen.add(text)
        if completion.response not in position:
            position[completion.response] = len(responses)
            responses.append(_paired(original, completion.response))
        responses.append(_continued(completion))
        image = "with" if completion.with_image else "without"
        reason = f"continued from {completion.start_ratio:g} {image} the image"
        pairs.append(Pair(position[completion.response], len(responses) - 1, "dropout", reason))
    outcome = "paired" if pairs else "no_continuation"
    return Pairing(tuple(responses), tuple(pairs), outcome, skipped)


def pass_rate(verdicts: Sequence[Verdict]) -> float | None:
    """correct / (correct + incorrect + unparseable); None when nothing could be judged."""
    judged = [verdict.status for verdict in verdicts if verdict.status in JUDGED]
    return judged.count("correct") / len(judged) if judged else None


def distinct(responses: Sequence[Response]) -> list[int]:
    """The position of one of each different text, up to surrounding white space: the first that is not truncated."""
    first: dict[str, int] = {}
    for i in sorted(range(len(responses)), key=lambda i: responses[i].finish_reason != "stop"):
        first.setdefault(responses[i].text.strip(), i)
    return sorted(first.values())


def _in_words(verdict: Verdict, answer: str) -> str:
    """What stands behind a side of a pair, for people."""
    if verdict.status == "unparseable":
        return "the other names no clear answer"
    ruled = "right" if verdict.status == "correct" else "wrong"
    by = {ADJUDICATED: " by the word of a model", AUDITED: " by the word of a person"}.get(verdict.comparator, "")
    return f"{shorten(answer, _REASON_CHARS, placeholder='…')} is {ruled}{by}"


def _last_line(text: str) -> str:
    """The last line that is not empty: where an answer would stand."""
    return text.rstrip().rpartition("\n")[2].strip()


def _why_not(verdicts: Sequence[Verdict], has_chosen: bool, has_truncated: bool) -> str:
    """Why a question has nothing to pair, in a word; ``has_truncated``: there is a truncated one to reject."""
    statuses = {verdict.status for verdict in verdicts}
    if has_chosen and has_truncated:
        return "wrong_only_truncated"
    if has_chosen:
        return "all_correct" if statuses == {"correct"} else "nothing_to_reject"
    if "correct" in statuses:
        return "correct_only_truncated"
    if statuses <= set(UNKNOWN):
        return "not_judged"
    return "all_unparseable" if statuses == {"unparseable"} else "none_correct"


def _some(counts: dict[str, int]) -> dict[str, int]:
    """The counts that are not 0."""
    return {name: count for name, count in counts.items() if count}


def _letters(text: str) -> str:
    """A text without its white space."""
    return "".join(text.split())


def _by_turns(places: Sequence[int], group: Callable[[int], str]) -> list[int]:
    """The places reordered so that every group comes once before any comes twice; order within a group stays."""
    turns: dict[str, int] = {}
    turn: list[int] = []
    for place in places:
        name = group(place)
        turn.append(turns.get(name, 0))
        turns[name] = turn[-1] + 1
    return [place for _, place in sorted(zip(turn, places, strict=True), key=lambda item: item[0])]


def _spread(
    possible: Sequence[tuple[int, int]], most: int, used: Sequence[tuple[int, int]] = ()
) -> list[tuple[int, int]]:
    """At most ``most`` of the possible pairs, each next one the pair whose two sides have been used least so far."""
    uses: dict[tuple[str, int], int] = {}

    def use(pair: tuple[int, int]) -> None:
        for key in (("chosen", pair[0]), ("rejected", pair[1])):
            uses[key] = uses.get(key, 0) + 1

    for pair in used:
        use(pair)
    left = list(possible)
    kept: list[tuple[int, int]] = []
    while left and len(kept) < most:
        best = min(left, key=lambda pair: uses.get(("chosen", pair[0]), 0) + uses.get(("rejected", pair[1]), 0))
        left.remove(best)
        use(best)
        kept.append(best)
    return kept


def _paired(response: Response, sample: int, verdict: Verdict | None = None) -> PairedResponse:
    return PairedResponse(
        text=response.text,
        tokens=response.tokens,
        finish_reason=response.finish_reason,
        seed=response.seed,
        sample=sample,
        status=verdict.status if verdict else "",
        answer=verdict.answer if verdict else None,
        token_ids=response.token_ids,
        logprob=sum(response.logprobs) if response.logprobs else None,
    )


def _continued(completion: Completion) -> PairedResponse:
    continuation = completion.continuation
    return PairedResponse(
        text=completion.prefix + continuation.text,
        tokens=completion.prefix_tokens + continuation.tokens,
        finish_reason=continuation.finish_reason,
        seed=continuation.seed,
        sample=completion.response,
        continued=True,
        prefix_chars=len(completion.prefix),
        token_ids=(*completion.prefix_token_ids, *continuation.token_ids) if continuation.token_ids else (),
    )
