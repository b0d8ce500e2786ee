"""From the place where an answer is named to the answer itself."""

from __future__ import annotations

import pytest

from mmpr.answers.final_answers.clip import clip, finish, first_sentence, is_option, is_prose, last_sentence


@pytest.mark.parametrize(
    ("behind", "answer"),
    [
        (" B\n\nIt is the largest.", "B"),
        (" **B** – trilobite", "B"),
        (" I** (nucleus)", "I"),
        ("** 5 cm", "5 cm"),
        (" **5** cm", "5** cm"),
        (" D. The answer is not B.", "D"),
        (" B. Paris", "B. Paris"),
        (" B, as the graph falls.", "B"),
        (" 60, because each hour has 60 minutes.", "60"),
        (" B 解析：温度升高。", "B"),
        ("\n\\[\n\\frac{1}{2}\n\\]", "\n\\frac{1}{2}\n"),
        ("12です。", "12"),
        (" 12입니다.", "12"),
        (" The answer is 7.", "7."),
        (" No. The circles are equal.", " No"),
        (" No. 5", "No. 5"),
        (" 3.5. That is all.", "3.5"),
        ("} 3.2$", "3.2$"),
    ],
)
def test_clip(behind, answer):
    assert clip(behind).strip() == answer.strip()


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        ("**5**.", "5"),
        ("(A)}", "(A)"),
        ("D} \\]", "D"),
        ('D"', "D"),
        ('5"', '5"'),
        ("3.2$", "3.2"),
        ("a } b", "a"),
        ("Option (C)", "(C)"),
        ("选项C", "C"),
        ("\\{1, 2\\}", "\\{1, 2\\}"),
        ("...", None),
        ("}", None),
        ("x" * 2_001, None),
    ],
)
def test_finish(raw, answer):
    assert finish(raw) == answer


def test_sentences_and_their_kinds():
    assert last_sentence("It is E. coli. The closest option is G. $1,003.68.") == "The closest option is G. $1,003.68."
    assert first_sentence("Dr. Smith came. He left.") == "Dr. Smith came"
    assert is_option("(C) 7 cm")
    assert is_option("B")
    assert not is_option("40 m^2")
    assert not is_option("A good day")
    assert is_prose("The momentum is conserved, so v = 2 m/s")
    assert not is_prose("(C) the momentum is conserved")
    assert not is_prose("12 square cm")
