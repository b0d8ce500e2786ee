"""Marks of model families: what stands in a block of reasoning is no answer, whether the block ends or not."""

from __future__ import annotations

import pytest

from mmpr.answers.extract import find_answer
from mmpr.answers.final_answers.families import FAMILIES, after_reasoning, last_turn, reasoning_opened


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.opening)
@pytest.mark.parametrize("shape", [str.lower, str.upper])
def test_only_what_follows_the_reasoning_counts(family, shape):
    opening, closing = shape(family.opening), shape(family.closing)
    musing = "The answer is 3? Final answer: 4. \\boxed{5}"
    assert find_answer(f"{opening}{musing}{closing}The answer is 6.").answer == "6"
    assert find_answer(f"{opening}{musing}{closing}\n\n**6**").answer == "6"
    assert find_answer(f"{musing}{closing}Answer: 6").answer == "6"
    for unfinished in (f"{opening}{musing}", f"{opening}a{closing}{opening}{musing}", f"Okay. {opening}{musing}"):
        found = find_answer(unfinished)
        assert (found.answer, found.sure) == (None, True), unfinished


def test_the_table_names_its_sources_and_has_each_mark_once():
    assert all(family.name and family.source for family in FAMILIES)
    marks = [mark for family in FAMILIES for mark in (family.opening, family.closing)]
    assert len(set(marks)) == len(marks)
    assert all(mark == mark.lower() for mark in marks)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "<|channel|>analysis<|message|>3?<|end|><|start|>assistant<|channel|>final<|message|>It is 5.<|return|>",
            "It is 5.",
        ),
        ("<|channel|>analysis<|message|>3?<|end|><|start|>assistant<|channel|>commentary<|message|>4", None),
        ("analysisThe user asks. It is 3.assistantfinalIt is 5.", "It is 5."),
        ("analysisThe user asks. It is 3.", None),
        ("Analysis of the picture", "Analysis of the picture"),
        ("5<|im_end|>\n<|im_start|>user\nAnd now?", "5"),
        ("no mark", "no mark"),
    ],
)
def test_what_is_shown(text, shown):
    assert after_reasoning(text)[0] == shown


BOXED = [
    ("Final answer: {}", "42"),
    ("The answer is {}.", "42"),
    ("\\boxed{{{}}}", "42"),
    ("$\\boxed{{{}}}$", "(B)"),
    ("<answer>{}</answer>", "B"),
    ("**Answer:** {}", "3.5 cm"),
    ("The correct answer is **{}**.", "B"),
    ("答案：{}", "红色"),
    ("故选{}。", "B"),
    ("正确答案是 {}，因为它最大。", "C"),
    ("Die Antwort lautet {}.", "3,5"),
    ("The area is {}, as was to be shown.", "\\frac{1}{2}"),
    ("### Final Answer\n\n{}", "x < 5"),
    ("{}", "7"),
]


@pytest.mark.parametrize(("form", "answer"), BOXED)
def test_a_box_of_glm_is_a_box_within_every_other_form(form, answer):
    response = "<think>Maybe 3.</think>Look at the picture.\n\n" + form.format(
        f"<|begin_of_box|>{answer}<|end_of_box|>"
    )
    assert find_answer(response).answer == answer


def test_a_turn_ends_at_its_mark_unless_nothing_stands_before_it():
    assert last_turn("5</s> 6") == "5"
    assert last_turn("<|im_start|>5") == "<|im_start|>5"


@pytest.mark.parametrize(
    ("prompt", "opened"),
    [
        ("<|im_start|>assistant\n<think>\n", "<think>"),
        ("[/INST][THINK]", "[THINK]"),
        ("Assistant: ◁think▷", "◁think▷"),
        ("<think>\n\n</think>\n\n", ""),
        ("Assistant:", ""),
        ("", ""),
    ],
)
def test_a_prompt_may_open_the_reasoning(prompt, opened):
    assert reasoning_opened(prompt) == opened
