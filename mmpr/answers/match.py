"""Compare an answer with the truth. There is always one verdict, within bounded time."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from mmpr.answers.algebra.equality import Prove
from mmpr.answers.choices import names_option
from mmpr.answers.compare import compare
from mmpr.answers.extract import extract
from mmpr.answers.final_answers.found import LAST_SENTENCE, ONE_SENTENCE, Found
from mmpr.answers.final_answers.languages import words as words_of
from mmpr.answers.formula.tree import Tree
from mmpr.answers.judge import judge
from mmpr.answers.prover import pool
from mmpr.answers.structured import STRUCTURED
from mmpr.answers.text.characters import clean, lower
from mmpr.answers.text.lists import split_list
from mmpr.answers.text.numerals import parse_number
from mmpr.answers.text.remembered import SHORT
from mmpr.answers.text.sentences import is_refusal
from mmpr.answers.text.words import contains_words, words
from mmpr.answers.text.wrapping import peel
from mmpr.schema import RULES, Status, Verdict

MAX_TRUTHS = 64
VQA_ANNOTATORS = 3
"""Who agree for the full score."""
MAX_ANSWER = 4_000
"""Characters: a longer answer or truth is searched for its final answer, never compared whole."""
_OF_SEVERAL: tuple[Status, ...] = ("correct", "timeout", "error", "unsure", "incorrect", "unparseable")
"""What an answer is beside several truths: the first of these that one of them makes it."""
_CACHE_SIZE = 16_384
_PROVABLE = re.compile(r"[\\√]|\b(?:sqrt|sin|cos|tan|log|ln)(?![a-z])")
"""What only formulas have that the prover may be asked about; the first of them starts a worker."""
_PART = re.compile(r"(?:(?<!\s)\s++)?(?:,(?!\d)|;|\bor\b|\band\b|/|或|、)\s*+")
_CONCLUSION = re.compile(
    rf"(?:and |y |et |und |e )?(?:(?:{words_of('so', True)})(?![^\W\d_])|(?:{words_of('so', False)})"
    r"|(?:in total|altogether|in all|overall)\b)"
)
"""How a sentence begins that says what follows from all before it."""
_ANSWER_LAST = re.compile(
    r".{1,80}? (?:is|are) (?:the|our|my) (?:(?:final|correct|right|best) )?(?:answer|option|choice)"
)
NO_ANSWER = Verdict("unparseable", None, "extract", "no clear final answer")
_PROOF_BUDGET_S = pool.LIMIT_S


def match(
    prediction: str, gold: str | Sequence[str], *, choices: Sequence[str] | None = None, rule: str = "default"
) -> Verdict:
    """Judge an answer (extracted, or a whole response) against the truth, or against several acceptable ones.

    ``correct`` and ``incorrect`` are certain: an answer of the truth's kind that agrees or differs. ``unsure`` is what
    nobody can tell without the question: a sentence with the truth in it, several candidates, an answer of another
    kind. Of several truths one that agrees makes an answer correct, and it is incorrect when it differs from all.

    ``choices`` are the options' texts in order (A, B, …). ``rule`` is one of ``default``, ``relaxed`` (numbers within
    5 %, years exact), ``anls`` (similarity at least 0.9), ``exact`` (the same characters), ``multiple_choice``,
    ``vqa`` (``gold`` are the words of the annotators, three of whom must agree), ``iou`` (boxes that overlap by half),
    ``point_in_box``, ``count`` and ``json`` (the same fields).
    Never raises: what cannot be judged is ``timeout`` or ``error``, and so is an unknown rule.
    """
    if not choices and rule != "vqa" and isinstance(prediction, str) and isinstance(gold, str):
        return _match_one(prediction, gold, (), rule)
    options = tuple(choices) if choices is not None and not isinstance(choices, str) else ()
    truths = tuple(gold) if isinstance(gold, (list, tuple)) else (gold,)
    try:
        hash((prediction, truths, options, rule))
    except TypeError:  # what has no hash is no text either
        return Verdict("error", None, "none", "the answer, the truth and the choices must be text")
    if not 0 < len(truths) <= MAX_TRUTHS:
        return Verdict("error", None, "none", f"{len(truths)} truths: there must be 1 to {MAX_TRUTHS}")
    if rule == "vqa":
        return _vqa(prediction, truths, options)
    verdicts = []
    for truth in dict.fromkeys(truths):
        verdicts.append(_match_one(prediction, truth, options, rule))
        if verdicts[-1].status == "correct":
            break
    return best_of(verdicts)


def best_of(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict on an answer beside several truths, given that beside each: correct when it is so beside any."""
    return min(verdicts, key=lambda verdict: _OF_SEVERAL.index(verdict.status))


def match_found(
    found: Found, gold: str | Sequence[str], *, choices: Sequence[str] | None = None, rule: str = "default"
) -> Verdict:
    """Judge what ``find_answer`` found in a response.

    Where only the last sentence may be the answer, the response is ``correct`` when that sentence concludes ("So 5
    are left.") and says the truth, and ``unparseable`` when it says something else of the truth's kind: then there is
    no answer, or a wrong one. A reply of one sentence is judged as an answer. Anything else that is not sure is
    ``unsure``.
    """
    if found.answer is None:
        return NO_ANSWER if found.sure else Verdict("unsure", None, "extract", found.why)
    if found.sure:
        return match(found.answer, gold, choices=choices, rule=rule)
    unsure = Verdict("unsure", found.answer, "extract", found.why)
    if found.why != ONE_SENTENCE and _is_number_missed(found.answer, gold):
        return NO_ANSWER
    if found.why not in (LAST_SENTENCE, ONE_SENTENCE) or rule in STRUCTURED:
        return unsure
    verdict = match(found.answer, gold, choices=choices, rule=rule)
    if found.why == ONE_SENTENCE and verdict.status in ("correct", "incorrect"):
        return verdict
    if found.why == ONE_SENTENCE:
        return NO_ANSWER if _is_number_missed(found.answer, gold) else unsure
    if verdict.status == "correct" and _concludes(found):
        return replace(verdict, reason=f"{verdict.reason}; the last sentence concludes")
    return NO_ANSWER if verdict.status == "incorrect" else unsure


def _concludes(found: Found) -> bool:
    said = lower(found.answer or "")
    return _CONCLUSION.match(said) is not None or _ANSWER_LAST.fullmatch(said) is not None


def _is_number_missed(maybe: str, gold: str | Sequence[str]) -> bool:
    """Whether what may be an answer is no truth in any reading: every truth is a number, and none is in it."""
    truths = [gold] if isinstance(gold, str) else list(gold)
    numbers = [one for one in truths if isinstance(one, str) and parse_number(one.strip()) is not None]
    return 0 < len(numbers) == len(truths) and not any(entails(maybe, one) for one in numbers)


def is_option(truth: str, choices: Sequence[str]) -> bool:
    """Whether a truth is a letter of these options (of any, when there are none), or the text of one of them.

    A truth that is neither, such as an option's number, would make every answer wrong. No proof is tried.
    """
    readable = clean(truth[:MAX_ANSWER])
    if not readable:
        return False
    options = [peel(clean(option[:MAX_ANSWER]) or "") for option in choices]

    def same_option(option: str, text: str) -> bool | None:
        return compare(text, option, text, False, lambda left, right: False).right

    return names_option(peel(readable), options, same_option)


def _vqa(prediction: str, truths: tuple[str, ...], options: tuple[str, ...]) -> Verdict:
    """The soft score of VQA, a third for each annotator who agrees: 1 is correct, less than that is unsure."""
    verdicts = {truth: _match_one(prediction, truth, options, "default") for truth in dict.fromkeys(truths)}
    agree = sum(verdicts[truth].status == "correct" for truth in truths)
    best = best_of(list(verdicts.values()))
    reason = f"score {min(agree / VQA_ANNOTATORS, 1):.2f}: {agree} of {len(truths)} agree"
    status: Status = "unsure" if 0 < agree < VQA_ANNOTATORS else best.status
    return Verdict(status, best.answer, "vqa", reason if agree or status == "incorrect" else f"{reason}; {best.reason}")


def _match_one(prediction: str, gold: str, options: tuple[str, ...], rule: str) -> Verdict:
    try:
        short = len(str(prediction)) <= SHORT and len(str(gold)) <= SHORT
        return (_match_short if short else _match)(prediction, gold, options, rule)
    except pool.SymbolicTimeoutError as error:
        return Verdict("timeout", prediction, "symbolic", str(error))
    except pool.SymbolicCrashError as error:
        return Verdict("error", prediction, "symbolic", str(error))
    except Exception as error:  # noqa: BLE001 - total: what nobody foresaw is an error, never a wrong answer
        return Verdict("error", None, "none", f"{type(error).__name__}: {error}")


def match_many(rows: Iterable[Mapping[str, Any]]) -> list[Verdict]:
    """The verdicts of many rows in order, each with ``pred`` (or ``prediction``), ``gold``, ``choices`` and ``rule``.

    ``choices`` and ``rule`` may be missing. The prover's worker starts at once when a row may need it.
    """
    asked = [(row["pred"] if "pred" in row else row["prediction"], row) for row in rows]
    if any(isinstance(text, str) and _PROVABLE.search(text) for pred, row in asked for text in (pred, row["gold"])):
        pool.processes.warm()
    return [
        match(pred, row["gold"], choices=row.get("choices"), rule=row.get("rule") or "default") for pred, row in asked
    ]


def entails(rejected: str, chosen: str, *, choices: Sequence[str] | None = None) -> bool:
    """Whether the rejected answer contains the chosen one, compared as answers (paper, section 3.1).

    ``3`` is contained in ``3, 4``, ``Paris`` in ``Paris, France``, ``B`` in ``B or C``; ``1`` is not in ``10``.
    """
    if match(rejected, chosen, choices=choices).status == "correct":
        return True
    left, right = clean(rejected[:MAX_ANSWER]), clean(chosen[:MAX_ANSWER])
    if not left or not right:
        return False
    left, right = peel(left), peel(right)
    parts = [*(split_list(left) or ()), *_PART.split(left)]
    if any(
        part and len(part) < 200 and match(part, right, choices=choices).status == "correct"
        for part in parts[:40]
        if part != left
    ):
        return True
    value = parse_number(right)
    if value is not None:
        return any(parse_number(word) == value for word in words(left))
    return contains_words(left, right)


def _match(prediction: str, gold: str, choices: tuple[str, ...], rule: str) -> Verdict:
    if rule not in RULES:
        return Verdict("error", prediction, "none", f"unknown rule {rule!r}: one of {', '.join(RULES)}")
    if not isinstance(prediction, str):
        return Verdict("unparseable", None, "none", "no answer")
    answer = prediction
    if len(answer) > MAX_ANSWER:
        found = extract(answer)
        if found is None:
            return Verdict("unparseable", None, "none", f"no final answer in {len(answer)} characters")
        answer = found
    elif rule not in STRUCTURED and ("\n" in answer or "</think>" in answer):
        # a response: its marked answer, or what follows the reasoning
        answer = extract(answer) or answer.rpartition("</think>")[2]
    readable = clean(answer)
    if readable is None:
        return Verdict("unparseable", None, "none", "hidden or control characters")
    if not readable:
        return Verdict("unparseable", None, "none", "empty")
    if isinstance(gold, str) and len(gold) > MAX_ANSWER:
        marked = extract(gold)
        if marked is None:
            return Verdict("error", readable, "none", f"no final answer in the {len(gold)} characters of the truth")
        gold = marked
    truth = clean(gold)
    if not truth:
        return Verdict("error", readable, "none", "the truth is empty or has control characters")
    if (len(readable) > 1 and _PROVABLE.search(readable)) or (len(truth) > 1 and _PROVABLE.search(truth)):
        pool.processes.warm()
    options = [clean(str(option)[:MAX_ANSWER]) or "" for option in choices]
    judgement = judge(readable, truth, options, rule, _prover())
    if judgement.right:
        return Verdict("correct", readable, judgement.comparator, judgement.reason)
    status: Status = "incorrect"
    if judgement.right is None:
        status = "unsure"
    elif judgement.comparator == "none" or (judgement.comparator != "multiple_choice" and is_refusal(readable)):
        status = "unparseable"
    return Verdict(status, readable, judgement.comparator, judgement.reason)


_match_short = lru_cache(maxsize=_CACHE_SIZE)(_match)  # remembers verdicts, but nothing that was raised


def _prover() -> Prove:
    """What ``judge`` asks for proofs: all proofs of one match share one budget of time."""
    end: list[float] = []

    def prove(left: Tree, right: Tree) -> bool:
        if not end:
            end.append(time.monotonic() + _PROOF_BUDGET_S)
        left_s = end[0] - time.monotonic()
        if left_s <= 0:
            raise pool.SymbolicTimeoutError(f"no proof within {_PROOF_BUDGET_S} s")
        return pool.prove_equal(left, right, left_s)

    return prove
