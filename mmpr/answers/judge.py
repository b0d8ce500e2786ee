"""Judge a cleaned answer against the truth: by the rule, as multiple choice, or by the comparator for its kind."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

from mmpr.answers.algebra.equality import Prove
from mmpr.answers.choices import choose, is_choice
from mmpr.answers.compare import compare
from mmpr.answers.extract import extract
from mmpr.answers.final_answers.boxes import boxed_answer
from mmpr.answers.final_answers.families import last_turn
from mmpr.answers.judgement import Judgement
from mmpr.answers.structured import STRUCTURED
from mmpr.answers.text.remembered import remembered
from mmpr.answers.text.wrapping import peel

ANLS_THRESHOLD = 0.9
_ANSWER_A = re.compile(r"(?:Q: ?\S.{0,300}? )?A: ?(?=\S)")
"""The A of "A: No", which stands for answer where there are no options."""
_LABELLED_VALUE = re.compile(r"(?:\([A-H]\)|[A-H][.)]) ?(?=[-+.]?\d|[-+]?\\)")
"""The label of "(A) -5", where no options are known."""
_LABEL_BEGINS = frozenset("(QABCDEFGH")
_DECIMAL_COMMA = re.compile(r"(?<=\d)\{,\}(?=\d)(?!\d{3}(?!\d))")
"""The comma of LaTeX's 3{,}5; that of 1{,}000 separates thousands."""
_MONEY = re.compile(r"\$\s?[-\d.]")
_MONEY_IN_MATH = re.compile(r"^\$\s*+(\\\$[^$]*)\$$")
_DOLLAR = re.compile(r"(?<!\\)\$")
_DELIMITERS = ((r"\(", r"\)"), (r"\[", r"\]"))


def judge(prediction: str, gold: str, choices: Sequence[str], rule: str, prove: Prove) -> Judgement:
    """Judge one cleaned answer against the truth.

    The rules ``exact`` and ``anls`` compare characters. Otherwise a truth that is an option (or looks like a letter)
    is judged as a choice, and any other by the comparator of its kind. May raise what ``prove`` raises.
    """
    if rule == "exact":
        equal = prediction == gold
        return Judgement(equal, "exact", "identical" if equal else "not identical")
    if rule in STRUCTURED:
        return STRUCTURED[rule](prediction, gold, lambda answer, truth: judge(answer, truth, (), "default", prove))
    prediction = _plain(_final(prediction))
    truth = _truth(gold)
    answer = peel(prediction)
    if not answer:
        return Judgement(False, "none", "nothing in it")
    if rule == "anls":
        return max(_anls(answer, truth), _anls(prediction, gold))
    if choices or rule == "multiple_choice" or is_choice(truth):
        known: dict[tuple[str, str], bool | None] = {}

        def same_option(option: str, text: str) -> bool | None:
            if (option, text) not in known:
                known[option, text] = compare(text, option, text, False, prove).right
            return known[option, text]

        judgement = choose(answer, truth, [peel(option) for option in choices], rule, same_option)
        if judgement is not None:
            return judgement
    elif answer[:1] in _LABEL_BEGINS:
        for label in (_ANSWER_A, _LABELLED_VALUE):
            found = label.match(answer)
            if found and not label.match(truth):
                answer = peel(answer[found.end() :])
    return compare(answer, truth, prediction, rule == "relaxed", prove)


@remembered(4096)
def _truth(gold: str) -> str:
    """A truth as it is compared."""
    return peel(_plain(_final(gold) if len(gold) > 200 or "boxed" in gold else gold))


def _final(text: str) -> str:
    """The final answer that a longer text marks or puts in a box; a text without one as it is."""
    if "<|" in text:
        text = last_turn(text)
    if "boxed" in text or len(text) > 40:
        found = boxed_answer(text) if "boxed" in text else None
        return extract(text) or found or text
    return text


def _plain(text: str) -> str:
    """A text with a point for LaTeX's decimal comma, and without math delimiters that open or close nothing."""
    if "{,}" in text:
        text = _DECIMAL_COMMA.sub(".", text)
    return _without_stray_marks(text) if "$" in text or "\\" in text else text


def _without_stray_marks(text: str) -> str:
    """A text without the math delimiter that opens or closes nothing at its end or beginning; ``$5`` is money."""
    text = _MONEY_IN_MATH.sub(r"\1", text)
    if len(_DOLLAR.findall(text)) % 2:
        if text.endswith("$") and len(text) > 1:
            text = text[:-1]
        elif text.startswith("$") and ("\\" in text or not _MONEY.match(text)):
            text = text[1:]
    elif text.startswith("$$") and text.count("$") == 2:
        text = text[2:]
    for opening, closing in _DELIMITERS:
        if text.startswith(opening) and closing not in text:
            text = text[len(opening) :]
        elif text.endswith(closing) and opening not in text:
            text = text[: -len(closing)]
    return text.strip()


def _anls(answer: str, truth: str) -> Judgement:
    """The similarity of characters as ANLS is published, in the case and the spaces that both have."""
    left, right = " ".join(answer.casefold().split()), " ".join(truth.casefold().split())
    similarity = Levenshtein.normalized_similarity(left, right)
    return Judgement(
        similarity >= ANLS_THRESHOLD, "anls", f"similarity {similarity:.2f}, at least {ANLS_THRESHOLD} is right"
    )
