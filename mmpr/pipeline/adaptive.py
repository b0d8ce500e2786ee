"""Adaptive sampling: a question's responses are drawn in rounds, and no more than it needs (``sampling.adaptive``).

The rule looks at responses in the order of their seeds, so an adaptive build's responses are the first ones of the
build that draws all, and growing it draws only the rest.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Mapping, Sequence
from typing import Literal

from mmpr.config import AdaptiveSpec, Recipe
from mmpr.extension import RuleFunction
from mmpr.pipeline.job import max_pairs_of
from mmpr.pipeline.judging import judge_rollout
from mmpr.pipeline.pairing import distinct, sides_of
from mmpr.schema import Question, Response, Rollout, Verdict
from mmpr.storage.counts import JUDGED

_JUDGING = threading.Lock()

Stop = Literal["enough", "hopeless"]
"""Why a question was asked no more before all samples were drawn: its pairs are there, or unlikely to come."""


def next_round(spec: AdaptiveSpec, have: int, most: int) -> int:
    """How many responses a question has after the round that follows ``have`` responses."""
    later = spec.first + spec.step * max(0, math.ceil((have + 1 - spec.first) / spec.step))
    return min(most, later)


def counts_of(spec: AdaptiveSpec, most: int) -> set[int]:
    """How many responses a question may have."""
    return {*range(spec.first, most, spec.step), most}


async def why_stop(question: Question, rollout: Rollout, recipe: Recipe) -> Stop | None:
    """Why a question needs no more responses; None if it does. They are judged in a thread, one question at a time."""
    spec, source = recipe.sampling.adaptive, recipe.source(question.source)
    assert spec is not None
    most = recipe.samples(source.name)
    if question.answer is None:
        return enough_to_continue(rollout.responses, recipe, source.name)
    verdicts = await asyncio.to_thread(_judge, question, rollout, source.rule, recipe.extensions.rules)
    pairs = max_pairs_of(recipe, source.name, recipe.pairing.max_pairs)
    return enough_to_pair(spec, rollout.responses, verdicts, most, pairs, recipe.pairing.format_pairs)


def _judge(question: Question, rollout: Rollout, rule: str, rules: Mapping[str, RuleFunction]) -> tuple[Verdict, ...]:
    with _JUDGING:  # a rule of the user's own need not stand several threads
        return judge_rollout(question, rollout, rule, rules)


def enough_to_pair(
    spec: AdaptiveSpec,
    responses: Sequence[Response],
    verdicts: Sequence[Verdict],
    most: int,
    pairs: int,
    format_pairs: bool,
) -> Stop | None:
    """Whether a question with a truth has responses for all ``pairs`` that are kept, or will hardly have any."""
    sides = sides_of(responses, verdicts, format_pairs)
    right, wrong = len(sides.chosen), len(sides.wrong) + len(sides.unclear)
    if min(right, wrong) >= spec.distinct and right * wrong >= pairs:
        return "enough"
    if right and wrong:
        return None
    judged = [verdict.status for verdict in verdicts if verdict.status in JUDGED]
    correct = judged.count("correct")
    same = correct if right else len(judged) - correct
    chance = chance_of_another(same, len(judged) - same, most - len(responses), spec.prior)
    return "hopeless" if chance < spec.chance else None


def enough_to_continue(responses: Sequence[Response], recipe: Recipe, source: str) -> Stop | None:
    """Whether an open-ended question has as many different whole responses as are continued."""
    dropout = recipe.dropout
    pairs = max_pairs_of(recipe, source, dropout.max_pairs)
    whole = [at for at in distinct(responses) if responses[at].finish_reason == "stop" and responses[at].text.strip()]
    return "enough" if len(whole) * len(dropout.variants) >= pairs else None


def chance_of_another(same: int, others: int, draws: int, prior: float) -> float:
    """The chance that one of so many further draws is of the other kind.

    The share of the kind that ``same`` draws were of has a Beta(prior, prior) distribution before them, and
    Beta(prior + same, prior + others) after them: 1 - E[share ** draws].
    """
    a, b = prior + same, prior + others
    log = math.lgamma(a + draws) - math.lgamma(a) + math.lgamma(a + b) - math.lgamma(a + b + draws)
    return -math.expm1(log)
