"""Verdicts become pairs: who is chosen, who is rejected, and why the rest makes no pair.

Correctness pairs set a right answer against a wrong one, format pairs a right answer against a response that names no
answer, dropout pairs a response against its own beginning continued without the picture (paper, section 3.1).
Adjudicated pairs are those of which a side stands on the word of a verifier model.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from textwrap import shorten

from mmpr.answers.killable import entailments
from mmpr.config import PairingSpec
from mmpr.pipeline.choosing import Facts, balance, choose, in_window, lengths_fit
from mmpr.pipeline.standing import ADJUDICATED, AUDITED
from mmpr.schema import Completion, Method, Pair, PairedResponse, Response, Rollout, Verdict, content_id
from mmpr.storage.counts import JUDGED, UNKNOWN

_REASON_CHARS = 60
_EVERY = PairingSpec()


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
    spec: PairingSpec = _EVERY,
) -> Pairing:
    """Pair right responses with wrong ones.

    Chosen: ``correct``. Rejected: ``incorrect``, or ``unparseable`` (format pairs, which fill the cap only after all
    correctness pairs). What did not end by itself is on neither side: nobody knows what a truncated response would have
    answered. Equal texts count once. A pair is left out when the rejected response may be right: its answer (in a
    format pair its last line) entails the chosen one, or that could not be decided in time. At most ``max_pairs`` are
    kept; they spread evenly over the distinct responses of both sides, and over the distinct wrong answers. ``spec``
    may choose otherwise and leave more out (``mmpr.pipeline.choosing``; its ``max_pairs`` and ``format_pairs`` are not
    looked at). The choice depends on the question's id alone.

    A pair with a verdict that stands on a model's word (``ADJUDICATED``) has a method of its own, and fills the cap
    last: it takes the place of no pair of which the judge is sure.
    """
    sides = sides_of(rollout.responses, verdicts, format_pairs)
    chosen, rejected = list(sides.chosen), sorted((*sides.wrong, *sides.unclear))
    by_word = {i for i in (*chosen, *rejected) if verdicts[i].comparator == ADJUDICATED}
    left_out = {"truncated": len(chosen) * sides.truncated}
    if not chosen or not rejected:
        return Pairing(outcome=_why_not(verdicts, bool(chosen), bool(sides.truncated)), skipped=_some(left_out))
    if not in_window(spec, pass_rate([verdict for verdict in verdicts if verdict.comparator != ADJUDICATED])):
        left_out["pass_rate"] = len(chosen) * len(rejected)
        return Pairing(outcome="all_left_out", skipped=_some(left_out))

    order = random.Random(content_id("pairs", rollout.id))
    judged = [i for i in chosen if i not in by_word]
    wrong, unclear = [i for i in sides.wrong if i not in by_word], list(sides.unclear)
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
    sure = {method: [pair for pair in of if told[answers[pair]] is False] for method, of in possible.items()}
    facts = _facts(rollout, verdicts, [*chosen, *rejected], spec)
    kept: dict[tuple[int, int], Method] = {}
    fitting = 0
    for method, of_method in sure.items():
        fit = [pair for pair in of_method if lengths_fit(spec, facts.tokens[pair[0]], facts.tokens[pair[1]])]
        kept |= dict.fromkeys(choose(fit, max_pairs - len(kept), spec, facts, before=list(kept)), method)
        fitting += len(fit)
    entailed = [told[answers[pair]] for pair in all_possible]
    left_out |= {
        "entailed": entailed.count(True),
        "undecided": entailed.count(None),
        "lengths_differ": sum(map(len, sure.values())) - fitting,
        "capped" if len(kept) == max_pairs else "response_used_up": fitting - len(kept),
    }
    places = sorted({i for pair in kept for i in pair})
    position = {i: place for place, i in enumerate(places)}
    said = {i: _in_words(verdicts[i], named[i]) for i in places}
    pairs = [Pair(position[c], position[r], method, f"{said[c]}, {said[r]}") for (c, r), method in kept.items()]
    responses = tuple(_paired(rollout.responses[i], i, verdicts[i]) for i in places)
    outcome = "paired" if pairs else "all_left_out" if spec.chooses else "all_entailed"
    return Pairing(responses, tuple(pairs), outcome, _some(left_out))


def pair_by_dropout(
    rollout: Rollout, completions: Sequence[Completion], *, max_pairs: int = 15, spec: PairingSpec = _EVERY
) -> Pairing:
    """Pair each continued response (chosen) with its continuation (rejected).

    Left out: truncated responses and continuations, and continuations that are empty, equal to any of the question's
    responses up to white space (what is chosen in one pair must not be rejected in another), or repeat what another
    variant wrote; by ``spec``, sides whose lengths differ too much, and a response that is in enough pairs.
    """
    uses: Counter[int] = Counter()
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
        elif text in seen:
            reason = "repeated"
        elif not lengths_fit(spec, original.tokens, completion.prefix_tokens + completion.continuation.tokens):
            reason = "lengths_differ"
        elif spec.max_pairs_a_response is not None and uses[completion.response] >= spec.max_pairs_a_response:
            reason = "response_used_up"
        else:
            reason = ""
        if reason:
            skipped[reason] = skipped.get(reason, 0) + 1
            continue
        seen.add(text)
        uses[completion.response] += 1
        if completion.response not in position:
            position[completion.response] = len(responses)
            responses.append(_paired(original, completion.response))
        responses.append(_continued(completion))
        image = "with" if completion.with_image else "without"
        reason = f"continued from {completion.start_ratio:g} {image} the image"
        pairs.append(Pair(position[completion.response], len(responses) - 1, "dropout", reason))
    outcome = "paired" if pairs else "all_left_out" if spec.chooses else "no_continuation"
    return Pairing(tuple(responses), tuple(pairs), outcome, skipped)


def left_out(pairing: Pairing, reason: str) -> Pairing:
    """A question of which no pair is kept, for one reason."""
    return without(pairing, range(len(pairing.pairs)), reason)


def balanced(pairings: Sequence[Pairing]) -> list[Pairing]:
    """The pairings of a unit's questions without the pairs that make one side longer (``choosing.balance``)."""
    places = [(at, number) for at, pairing in enumerate(pairings) for number in range(len(pairing.pairs))]
    lengths = [
        tuple(pairings[at].responses[place].tokens for place in (pair.chosen, pair.rejected))
        for at, number in places
        for pair in [pairings[at].pairs[number]]
    ]
    gone = {places[at] for at in balance([one - other for one, other in lengths], sum(map(sum, lengths)))}
    return [
        without(pairing, [number for where, number in gone if where == at], "length_balance")
        for at, pairing in enumerate(pairings)
    ]


def without(pairing: Pairing, numbers: Iterable[int], reason: str) -> Pairing:
    """A pairing without some of its pairs, which are counted under ``reason``; responses in no pair go too."""
    gone = set(numbers)
    if not gone:
        return pairing
    responses, pairs = only_pairs(
        pairing.responses, [pair for number, pair in enumerate(pairing.pairs) if number not in gone]
    )
    skipped = {**pairing.skipped, reason: pairing.skipped.get(reason, 0) + len(gone)}
    return Pairing(responses, pairs, pairing.outcome if pairs else "all_left_out", skipped)


def only_pairs(
    responses: Sequence[PairedResponse], pairs: Sequence[Pair]
) -> tuple[tuple[PairedResponse, ...], tuple[Pair, ...]]:
    """The responses that stand in these pairs, in their order, and the pairs with their new positions."""
    places = sorted({place for pair in pairs for place in (pair.chosen, pair.rejected)})
    position = {place: at for at, place in enumerate(places)}
    moved = (replace(pair, chosen=position[pair.chosen], rejected=position[pair.rejected]) for pair in pairs)
    return tuple(responses[place] for place in places), tuple(moved)


@dataclass(frozen=True, slots=True)
class Sides:
    """The responses that may be chosen, rejected as wrong, and rejected as unclear; of each text one.

    ``truncated`` is how many more would be rejected if they had ended by themselves.
    """

    chosen: tuple[int, ...]
    wrong: tuple[int, ...]
    unclear: tuple[int, ...]
    truncated: int

    @property
    def possible(self) -> int:
        """Pairs that there could be, those with a truncated response among them: kept and skipped ones add up to it."""
        return len(self.chosen) * (len(self.wrong) + len(self.unclear) + self.truncated)


def sides_of(responses: Sequence[Response], verdicts: Sequence[Verdict], format_pairs: bool) -> Sides:
    """Who may stand on which side of the pairs of a question with a truth."""
    first = distinct(responses)
    whole = [i for i in first if responses[i].finish_reason == "stop"]

    def of(places: Sequence[int], status: str) -> tuple[int, ...]:
        return tuple(i for i in places if verdicts[i].status == status)

    cut = [i for i in first if i not in whole]
    truncated = len(of(cut, "incorrect")) + (len(of(cut, "unparseable")) if format_pairs else 0)
    return Sides(
        of(whole, "correct"), of(whole, "incorrect"), of(whole, "unparseable") if format_pairs else (), truncated
    )


def why_unpaired(rollout: Rollout, verdicts: Sequence[Verdict] | None, format_pairs: bool) -> str:
    """The outcome of a question without a pair in a build that was made of others; None: it has no truth."""
    if verdicts is None:
        return "all_left_out"
    sides = sides_of(rollout.responses, verdicts, format_pairs)
    if sides.chosen and (sides.wrong or sides.unclear):
        return "all_left_out"
    return _why_not(verdicts, bool(sides.chosen), bool(sides.truncated))


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


def _facts(rollout: Rollout, verdicts: Sequence[Verdict], places: Sequence[int], spec: PairingSpec) -> Facts:
    """What ``choose`` looks at, of the responses at these places."""
    wrong = Counter(verdict.answer for verdict in verdicts if verdict.status == "incorrect")
    compared = places if spec.chosen == "most_different" else ()
    return Facts(
        {place: rollout.responses[place].tokens for place in places},
        {place: frozenset(rollout.responses[place].text.casefold().split()) for place in compared},
        {place: wrong[verdicts[place].answer] for place in places},
    )


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
