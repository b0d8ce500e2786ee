"""Pairs are judged again: what is wrong with the sides of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mmpr.check.words import Said
from mmpr.extension import RuleFunction
from mmpr.pipeline.judging import judge_rollout
from mmpr.pipeline.standing import ADJUDICATED
from mmpr.schema import RULES, Pair, PairedResponse, PreferenceRow, Question, Response, Rollout, Verdict
from mmpr.storage.integrity import Problem

REJUDGE = "run the build command again with --from verify"
REPAIR = "run the build command again with --from pair"


def pair_problems(
    row: PreferenceRow,
    question: Question,
    rollout: Rollout,
    said: Said,
    rule: str,
    rules: Mapping[str, RuleFunction],
) -> Iterator[Problem]:
    """Pairs that are wrong when judged again, and dropout pairs that do not share their beginning.

    ``said`` is what a model and people say of the question's verdicts, which is taken as it is stored.
    """
    verdicts: tuple[Verdict, ...] = ()
    if rule not in RULES and rule not in rules:
        return  # told by _rule_problems
    if question.answer is not None:
        again = tuple(sampled(response) for response in row.responses)
        judged = judge_rollout(question, replace(rollout, responses=again), rule, rules)
        verdicts = said.of_paired(row, judged)
    for place, pair in enumerate(row.pairs):
        what = _dropout(row, pair) if question.answer is None else _correctness(pair, verdicts)
        for side in ("chosen", "rejected"):
            if not what and row.responses[getattr(pair, side)].finish_reason != "stop":
                what = f"its {side} response is truncated"
        if what:
            yield Problem("", f"pair {place}: {what}", REJUDGE if verdicts else REPAIR)


def _correctness(pair: Pair, verdicts: Sequence[Verdict]) -> str:
    """What is wrong with a pair of a question with an answer; empty when nothing is."""
    chosen, rejected = verdicts[pair.chosen], verdicts[pair.rejected]
    if pair.method == "dropout":
        return "is a dropout pair, but the question has an answer"
    if chosen.status != "correct":
        return f"its chosen response is judged {chosen.status}, not correct"
    if rejected.status not in ("incorrect", "unparseable"):
        return f"its rejected response is judged {rejected.status}"
    by_word = ADJUDICATED in (chosen.comparator, rejected.comparator)
    if by_word != (pair.method == "adjudicated"):
        return f"is a {pair.method} pair, but {'a' if by_word else 'no'} side stands on the word of a model"
    return ""


def _dropout(row: PreferenceRow, pair: Pair) -> str:
    """What is wrong with a pair of an open-ended question; empty when nothing is."""
    chosen, rejected = row.responses[pair.chosen], row.responses[pair.rejected]
    if pair.method != "dropout":
        return f"is a {pair.method} pair, but the question has no answer"
    if chosen.continued or not rejected.continued or chosen.sample != rejected.sample:
        return "its rejected response does not continue the chosen one"
    if chosen.text[: rejected.prefix_chars] != rejected.text[: rejected.prefix_chars]:
        return "chosen and rejected do not share the beginning that was kept"
    if "".join(chosen.text.split()) == "".join(rejected.text.split()):
        return "chosen and rejected are the same"
    return ""


def sampled(paired: PairedResponse) -> Response:
    """A response of a pair as rollouts/ has it."""
    return Response(paired.text, paired.seed, paired.finish_reason, paired.tokens, paired.token_ids)
