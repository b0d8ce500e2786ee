"""What texts are told to be like."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

from mmpr.pages.responses import find_answer, shorten
from mmpr.report.measure.text_checks import (
    SCRIPTS,
    NearDuplicates,
    answer_kind,
    instruction_lines,
    leaks,
    loops,
    plain_question,
    scripts,
)
from tests.report.planted import WORDS, talk

PROSE = talk(random.Random(1), 150)


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("", False),
        ("no", False),
        (PROSE, False),
        (PROSE + " and so on and on" * 60, True),
        ("I think so. " * 40, True),
        ("I think so. " * 5, False),
        ("我觉得是这样。" * 30, True),
        (" ".join(f"{a} + {a + 3} = {2 * a + 3}." for a in range(10, 60)), False),
        ("a" * 5_000 + PROSE, True),
    ],
)
def test_loops(text: str, loop: bool) -> None:
    assert loops([text]).tolist() == [loop]


@pytest.mark.parametrize(
    ("text", "leak"),
    [
        ("Final answer: 3", False),
        ("if a < b then [1, 2] and <b>", False),
        ("He asked the User: who?", False),
        ("3<|im_end|>", True),
        ("3</s>", True),
        ("[INST] 3", True),
        ("It is 3.\nUser: and now?", True),
        ("It is 3.\n用户：然后呢", True),
        ("user\nwhat is it", True),
        ("Write your conclusion on the last line, in this form. It is 3.", True),
        ("The <image> shows 3", True),
        (r"Answer: \boxed{$FINAL_ANSWER}", True),
    ],
)
def test_leaks(text: str, leak: bool) -> None:
    assert leaks([text], ["Write your conclusion on the last line, in this form"]).tolist() == [leak]


def test_instructions_are_the_lines_that_the_question_did_not_say() -> None:
    question = "<image>\nA long question, which goes on for more than forty characters, twice."
    prompt = f"Please read all of this with care before you answer.\n\nQuestion:\n{question}\n"
    assert instruction_lines(prompt, question) == ["Please read all of this with care before you answer."]


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("3", ""),
        ("The answer is three", "latin"),
        ("图中有三个数字", "cjk"),
        (r"所以 $\frac{a}{b} = \sqrt{abcdef}$ 就是答案", "cjk"),
        ("答案是 GDP 的一半左右", "cjk"),
        ("Ответ равен трем", "cyrillic"),
        ("답은 세 개입니다 그래서", "hangul"),
        ("الجواب هو ثلاثة", "arabic"),
        (r"$\alpha\beta\gamma\delta\epsilon$", ""),
    ],
)
def test_scripts(text: str, script: str) -> None:
    assert SCRIPTS[scripts([text])[0]] == script


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("<image>\nHow many?", "how many", True),
        ("Ｈｏｗ many ？", "how many?", True),
        ("How many?", "How few?", False),
        ("2 + 2", "2 - 2", True),  # the documented bound: punctuation does not count
        ("图中有几个？", "图中有几个", True),
        ("+", "-", False),
    ],
)
def test_questions_that_are_the_same(left: str, right: str, same: bool) -> None:
    assert (plain_question(left) == plain_question(right)) is same


def test_near_duplicates_among_different_texts() -> None:
    dice = random.Random(3)
    texts = [talk(dice, 40) for _ in range(3_000)]
    copies = [text.replace(".", " indeed.") for text in texts[:200]]
    found = NearDuplicates()
    found.add(texts, np.arange(3_000))
    found.add(copies, np.arange(3_000, 3_200))
    owners, alike = found.found()
    planted = (owners < 200) | (owners >= 3_000)
    assert alike[planted].mean() > 0.9
    assert not alike[~planted].any()


def test_a_text_is_no_duplicate_within_its_question_nor_with_other_numbers() -> None:
    text = " ".join(WORDS)
    within, numbers = NearDuplicates(), NearDuplicates()
    within.add([text] * 5, np.zeros(5, dtype=np.int64))
    numbers.add([f"{text} {i}" for i in range(5)], np.arange(5))
    assert not within.found()[1].any()
    assert not numbers.found()[1].any()


@pytest.mark.parametrize("hostile", ["\n" * 200_000, "$" * 200_000, "<|" * 100_000, "\\boxed{" * 30_000, "a" * 200_000])
def test_hostile_texts_take_no_time(hostile: str) -> None:
    before = time.process_time()
    loops([hostile]), leaks([hostile], []), scripts([hostile + "图"])
    NearDuplicates().add([hostile], np.array([0]))
    plain_question(hostile), find_answer(*[shorten(hostile)[0], "a"])
    assert time.process_time() - before < 3


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (None, "open-ended"),
        ("Yes", "yes or no"),
        ("B", "letter"),
        ("(C)", "letter"),
        ("-1,234.5", "number"),
        ("50%", "number"),
        (r"\frac{1}{2}", "expression"),
        ("red", "word"),
        ("a man on a horse", "words"),
    ],
)
def test_answer_kinds(answer: str | None, kind: str) -> None:
    assert answer_kind(answer) == kind
