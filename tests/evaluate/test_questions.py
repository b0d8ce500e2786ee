"""Direct answers: how they are asked for, and how they are found in a reply."""

from __future__ import annotations

import pytest

from mmpr.answers import extract
from mmpr.evaluate.benchmarks.options import LETTER
from mmpr.evaluate.questions import WORD, with_instruction
from mmpr.pipeline.judging import judge_rollout
from mmpr.prompts import strip_short_answer
from mmpr.schema import Question, Response, Rollout
from mmpr.templates import load_template


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("17", "17"),
        (" 17.\n", "17"),
        ("**B**", "B"),
        ("The answer is 17.", "17"),
        ("The digits are 3 and 14.\nFinal answer: 17", "17"),
        ("<think>\n3 + 14\n</think>\n17", "17"),
        ("a red bus", "a red bus"),
        ("", None),
        ("...", None),
        ("3 + 14\n17", "17"),
        # a long reply, or several lines that all could be meant, is no bare answer
        ("14\n17", None),
        ("3 and 14 " * 40, None),
    ],
)
def test_a_short_reply_is_the_answer(reply: str, answer: str | None) -> None:
    assert extract(reply, "direct") == answer


@pytest.mark.parametrize("template", ["plain", "en", None])
def test_elsewhere_a_bare_answer_is_one_too_and_a_sentence_is_not(template: str | None) -> None:
    assert extract("17", template) == "17"
    assert extract("There are 17 of them.", template) is None
    assert extract("There are 17 of them.", "direct") == "There are 17 of them"


def test_a_direct_reply_is_judged() -> None:
    question = Question("id", "s", "How many?", answer="17")
    replies = ("17", "18", "I count\nthem all")
    responses = tuple(Response(text, 0, "stop", 1) for text in replies)
    rollout = Rollout("id", "s", "How many?", "direct", "", "m", "r", 1, responses)
    assert [verdict.status for verdict in judge_rollout(question, rollout, "default", {})] == [
        "correct",
        "incorrect",
        "unparseable",
    ]


@pytest.mark.parametrize(
    ("question", "choices", "answer", "asked"),
    [
        ("How many?", (), "3", f"How many?\n{WORD}"),
        ("Which?\nA. 1\nB. 2", ("1", "2"), "A", f"Which?\nA. 1\nB. 2\n{LETTER}"),
        (f"Which?\nA. 1\nB. 2\n{LETTER}", ("1", "2"), "A", f"Which?\nA. 1\nB. 2\n{LETTER}"),
        ("Is it red? Please answer yes or no.", (), "yes", "Is it red? Please answer yes or no."),
        ("图中有几个人？请用一个单词或短语回答问题。", (), "3", "图中有几个人？请用一个单词或短语回答问题。"),
        ("Describe it.", (), None, "Describe it."),
    ],
)
def test_every_question_asks_for_a_short_answer(
    question: str, choices: tuple[str, ...], answer: str | None, asked: str
) -> None:
    made = with_instruction(Question("id", "s", question, answer=answer, choices=choices))
    assert made.question == asked
    assert load_template("direct").render(asked) == asked


@pytest.mark.parametrize("instruction", [WORD, LETTER])
def test_reasoning_prompts_are_those_of_the_build(instruction: str) -> None:
    question = "<image>\nHow many digits are even?"
    assert strip_short_answer(f"{question}\n{instruction}") == question
    en = load_template("en")
    assert en.render(f"{question}\n{instruction}") == en.render(question)
