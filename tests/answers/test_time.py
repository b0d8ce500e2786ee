"""No text takes ``extract`` or ``match`` long, whatever is repeated in it."""

from __future__ import annotations

import random
import time
from functools import cache

import pytest

from mmpr.answers import extract, match
from mmpr.answers.match import MAX_ANSWER
from tests.test_patterns import Pump, collected, pumps

LONG = 32_768
MOST_S = 0.05  # processor seconds
TRIES = 5
SEVERAL = 240
_BY_HAND = [
    Pump("Final answer", " ", "x"),
    Pump("So the answer", " ", "x"),
    Pump("Final answer: a", " ", "b"),
    Pump("Final answer: ", "a. ", ""),
    Pump("Final answer: ", "a.b.", "c"),
    Pump("", "Final answer: }", ""),
    Pump("", "the answer is }\n", ""),
    Pump("选择", " ", "x"),
    Pump("", ":", "}"),
    Pump("", ":", " because"),
    Pump("", ": ", "x"),
    Pump("", ", ", "x"),
    Pump("", "; ", "x"),
    Pump("", "one-", "x"),
    Pump("", "one ", "x"),
    Pump("", "... ", "x"),
    Pump("", "so, ", "x"),
    Pump("5", ".;", ""),
    Pump("5", " (rounded)", ""),
    Pump("", "<answer>", ""),
    Pump("", "<answer>a</answer>", ""),
    Pump("", "\\boxed{1} ", "x"),
    Pump("", "\\boxed{", "}" * 4_000),
    Pump("", "\\text{", "}" * 500),
    Pump("", "\\begin{a}\n\\end{a}", ""),
    Pump("", "$", "x"),
    Pump("", "$a. ", ""),
    Pump("", "\\(a", ""),
    Pump("", "(because ", ""),
    Pump("", " and is", ""),
    Pump("", "**a** ", ""),
    Pump("", "A, ", "x"),
    Pump("", "1,", "x"),
    Pump("", "U.S.", "x"),
]


@cache
def _families() -> list[Pump]:
    """Pumps by hand, and some of those of every pattern of the answers room."""
    found = [
        random.Random(used.place).choice(derived)
        for used in collected("mmpr.answers")[0]
        if (derived := pumps(used.text, used.flags))
    ]
    return [*_BY_HAND, *sorted(set(found))[:SEVERAL]]


def _seconds(work, text):
    """The least processor time of some tries; no verdict is remembered from one to the next."""
    best = float("inf")
    for attempt in range(TRIES):
        start = time.process_time()
        work(text + " " * attempt)
        best = min(best, time.process_time() - start)
        if best < MOST_S:
            break
    return best


@pytest.mark.parametrize(
    "work",
    [
        extract,
        lambda text: extract(text, "en_v2"),
        lambda text: match(text, "5 cm"),
        lambda text: match("It is 5 cm in the picture.", text),
        lambda text: match(text[:MAX_ANSWER], "5 cm"),
        lambda text: match(text[:MAX_ANSWER], "Paris", choices=["Paris", "Rome"]),
        lambda text: match("It is 5 cm in the picture.", text[:MAX_ANSWER]),
        lambda text: match(text[:MAX_ANSWER], text[: MAX_ANSWER - 1]),
    ],
    ids=["extract", "extract_box", "answer", "truth", "short_answer", "choice", "short_truth", "both"],
)
def test_no_text_takes_long(work):
    late = {pump: took for pump in _families() if (took := _seconds(work, pump.text(LONG))) > MOST_S}
    assert not late, "\n".join(f"{took * 1000:.0f} ms: {pump}" for pump, took in late.items())


def test_a_truth_that_is_too_long_is_searched_for_its_final_answer():
    essay = "It is long. " * 400
    assert match("5", f"{essay}\nFinal answer: 5").status == "correct"
    verdict = match("5", essay)
    assert verdict.status == "error"
    assert "4800 characters of the truth" in verdict.reason
