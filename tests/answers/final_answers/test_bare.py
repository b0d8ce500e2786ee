"""Lines and replies that are nothing but an answer."""

from __future__ import annotations

import pytest

from mmpr.answers.final_answers.bare import bare_answer, bare_reply

LINES = [
    ("C", "letter", "C"),
    ("**(D)**", "letter", "(D)"),
    ("Option B.", "letter", "Option B."),
    ("B、D", "letter", "B、D"),
    ("ACD", "letter", "ACD"),
    ("F. K>0", "option", "F. K>0"),
    ("(B) Paris", "option", "(B) Paris"),
    ("D、上海", "option", "D、上海"),
    ("3.6 kg", "number", "3.6 kg"),
    ("$2,400", "number", "$2,400"),
    ("- 5", None, None),
    ("2.5 × 10^3 J", "number", "2.5 × 10^3 J"),
    ("9/20", "number", "9/20"),
    ("12厘米", "number", "12厘米"),
    ("(3, -2)", "number", "(3, -2)"),
    ("x = 12 cm", "equation", "x = 12 cm"),
    ("∴ y = 3", "equation", "y = 3"),
    ("$$A = 3 \\times 4 = 12$$", "equation", "A = 12"),
    ("$\\frac{5}{6}$", "formula", "\\frac{5}{6}"),
    ("Yes.", "word", "Yes"),
    ("**Brazil**", "bold", "Brazil"),
    # no answers
    ("", None, None),
    ("x + 4 = 10", None, None),
    ("3 + 4", None, None),
    ("3 + 4 =", None, None),
    ("x =", None, None),
    ("2. Subtract from 180.", None, None),
    ("- the red one", None, None),
    ("**Step 2**", None, None),
    ("**Conclusion:**", None, None),
    ("Brazil", None, None),
    ("5 apples are left", None, None),
    ("The sum is 12.", None, None),
    ("9" * 300, None, None),
]


@pytest.mark.parametrize(("line", "kind", "answer"), LINES)
def test_a_line(line, kind, answer):
    found = bare_answer(line)
    assert (found.kind, found.text) == (kind, answer) if found else kind is None


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("giraffe", "giraffe"),
        ("blue and white", "blue and white"),
        ("New York Yankees", "New York Yankees"),
        ("三角形", "三角形"),
        ("A", "A"),
        ("I like cats.", None),
        ("Sure, I can help", None),
        ("There are four", None),
        ("the cat is black", None),
        ("Hello!", None),
        ("你好", None),
        ("红色\n蓝色", None),
        ("one two three four five six seven", None),
    ],
)
def test_a_whole_reply(reply, answer):
    found = bare_reply(reply)
    assert (found.text if found else None) == answer
