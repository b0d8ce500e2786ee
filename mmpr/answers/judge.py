"""Judge a cleaned answer against the truth: by the rule, as multiple choice, or by the comparator for its kind."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

from mmpr.answers.algebra.equality import Prove
from mmpr.answers.choices import choose, is_choice
from mmpr.answers.compare import Judgement, compare
from mmpr.answers.extract import extract
from mmpr.answers.final_answers.boxes import boxed_answer
from mmpr.answers.final_answers.families import last_turn
from mmpr.answers.text.wrapping import peel

ANLS_THRESHOLD = 0.9


def judge(prediction: str, gold: str, choices: Sequence[str], rule: str, prove: Prove) -> Judgement:
    """Judge one cleaned answer against the truth.

    The rules ``exact`` and ``anls`` compare characters. Otherwise a truth that is an option (or looks like a letter)
    is judged as a choice, and any other by the comparator of its kind. May raise what ``prove`` raises.
    """
    if rule == "exact":
        equal = prediction == gold
        return Judgement(equal, "exact", "identical" if equal else "not identical")
    prediction = _final(prediction)
    truth = peel(_final(gold) if len(gold) > 200 or "boxed" in gold else gold)
    answer = peel(prediction)
    if not answer:
        return Judgement(False, "none", "nothing in it")
    if rule == "anls":
        return _anls(answer, truth)
    if choices or rule == "multiple_choice" or is_choice(truth):

        def same_option(option: str, text: str) -> bool:
            return compare(text, option, text, False, prove).right

        judgement = choose(answer, truth, [peel(option) for option in choices], rule, same_option)
        if judgement is not None:
            return judgement
    return compare(answer, truth, prediction, rule == "relaxed", prove)


def _final(text: str) -> str:
    """The final answer that a longer text marks or puts in a box; a text without one as it is."""
    if "<|" in text:
        text = last_turn(text)
    if "boxed" in text or len(text) > 40:
        found = boxed_answer(text) if "boxed" in text else None
        return extract(text) or found or text
    return text


def _anls(answer: str, truth: str) -> Judgement:
    left, right = " ".join(answer.casefold().split()), " ".join(truth.casefold().split())
    similarity = Levenshtein.normalized_similarity(left, right)
    if re.findall(r"\d+", left) != re.findall(r"\d+", right):
        return Judgement(False, "anls", f"other digits (similarity {similarity:.2f})")
    return Judgement(
        similarity >= ANLS_THRESHOLD, "anls", f"similarity {similarity:.2f}, at least {ANLS_THRESHOLD} is right"
    )
