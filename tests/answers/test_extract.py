"""Extraction: (response, template, answer); None where no final answer is named."""

from __future__ import annotations

import pytest

from mmpr.answers import extract

TABLE = [
    # what the quickstart's model writes
    ("The numbers are 3, 8 and 5. 3 + 8 = 11. 11 + 5 = 16. Final answer: 16", "en", "16"),
    ("It is the largest. Final answer: B", "en", "B"),
    ("There is one. Final answer: yes", "en", "yes"),
    ("The shape is teal. Final answer: teal", "en", "teal"),
    ("I see a rectangle. Final answer: rectangle.", "en", "rectangle"),
    ("Final answer:", "en", None),
    ("The numbers are 3 and 8. 3 + 8 = 11.", "en", None),
    ("", "en", None),
    ("Final answer: -5", "en", "-5"),
    ("Final answer: 3.5", "en", "3.5"),
    ("Final answer: 3, 4", "en", "3, 4"),
    # forms of the marker
    ("final answer: 5", "en", "5"),
    ("FINAL ANSWER: 5", "en", "5"),
    ("Final Answer：5", "en", "5"),
    ("**Final Answer**: 5", "en", "5"),
    ("**Final Answer:** 5", "en", "5"),
    ("**Final answer: 5**", "en", "5"),
    ("### Final Answer\n\n5", "en", "5"),
    ("Final answer\n5", "en", "5"),
    ("Final answer:\n\n**5 cm**\n\nLet me know!", "en", "5 cm"),
    ("Final answer is 5", "en", "5"),
    ("The final answer is 5.", "en", "5"),
    ("My final answer: 5", "en", "5"),
    ("Final Answer: The final answer is $28 \\%$. I hope it is correct.", "en", "28 \\%"),
    ("Final answer: $\\frac{1}{2}$", "en", "\\frac{1}{2}"),
    ("Final answer: \\(x = 5\\)", "en", "x = 5"),
    ("Final answer: \\[ 12 \\]", "en", "12"),
    ("Final answer:\n\\[\n\\frac{1}{2}\n\\]", "en", "\\frac{1}{2}"),
    ("Final answer: \\boxed{5}", "en", "5"),
    ("Final answer: `5`", "en", "5"),
    ('Final answer: "STOP"', "en", "STOP"),
    # what follows it
    ("Final answer: 16. The sum of 7 and 9 is 16.", "en", "16"),
    ("Final answer: B. Paris", "en", "B. Paris"),
    ("Final answer: B, because it is the largest.", "en", "B"),
    ("Final answer: yes, since both sides are equal", "en", "yes"),
    ("Final answer: U.S. Army", "en", "U.S. Army"),
    ("Final answer: Dr. Smith", "en", "Dr. Smith"),
    ("Final answer: 3.5. That is all.", "en", "3.5"),
    ("Final answer: 5\n\nNote: check the units.", "en", "5"),
    ("Final answer: 5<|im_end|>", "en", "5"),
    ("Final answer: 5 <|im_start|>user\nWhat is 2 + 2? Final answer: 4", "en", "5"),
    # several
    ("Final answer: 3\nWait, I was wrong.\nFinal answer: 5", "en", "5"),
    ("Final answer: 5. I hope the answer is correct.", "en", "5"),
    ("So \\boxed{3} is the first. Then \\boxed{5}.", "en_v2", "5"),
    ("\\boxed{-2} \\quad \\text{and} \\quad \\boxed{1}.", "en_v2", "-2, 1"),
    ("\\boxed{3} or \\boxed{4}", "en_v2", "3 or 4"),
    ("The answer is 3. No: the answer is 5.", None, "5"),
    # boxes
    ("Answer: \\boxed{42}", "en_v2", "42"),
    ("Answer: $\\boxed{42}$.", "en_v2", "42"),
    ("Answer: \\boxed{\\frac{1}{2}}", "en_v2", "\\frac{1}{2}"),
    ("Answer: \\boxed{\\text{Paris}}", "en_v2", "\\text{Paris}"),
    ("Answer: \\boxed{\\boxed{5}}", "en_v2", "5"),
    ("Answer: \\fbox{5}", "en_v2", "5"),
    ("\\boxed{\\{1, 2\\}}", "en_v2", "\\{1, 2\\}"),
    ("\\boxed{5} cm", "en_v2", "5 cm"),
    ("$\\boxed{5}$ cm", "en_v2", "5 cm"),
    ("$\\boxed{20}\\%$", "en_v2", "20 %"),
    ("\\boxed{5}\\text{ cm}^2.", "en_v2", "5 cm^2"),
    ("\\boxed{5} is our answer.", "en_v2", "5"),
    ("\\boxed{}", "en_v2", None),
    ("\\boxed{5", "en_v2", None),
    ("The result is 5 and nothing is boxed.", "en_v2", None),
    ("\\boxed{\\begin{pmatrix}1\\\\2\\end{pmatrix}}", "en_v2", "\\begin{pmatrix}1\\\\2\\end{pmatrix}"),
    ("\\boxed{\n5\n}", "en_v2", "5"),
    # thinking
    ("<think>\nThe answer is 3.\n</think>\n\nAnswer: \\boxed{7}", "en_r1", "7"),
    ("<think>I get \\boxed{3}</think> so \\boxed{7}", "en_r1", "7"),
    ("<think> Final answer: 3", "en_r1", None),
    ("<think> still thinking \\boxed{3}", "zh_r1", None),
    ("reasoning </think> \\boxed{7}", "en_r1", "7"),
    ("<think>x</think><answer>B</answer>", "en_r1", "B"),
    # Chinese
    ("一共有3个，再加5个。答案：8", "zh", "8"),
    ("答案: 8。", "zh", "8"),
    ("答案是8", "zh", "8"),
    ("答案为 B", "zh", "B"),
    ("所以答案是：红色。", "zh", "红色"),
    ("最终答案：长颈鹿", "zh", "长颈鹿"),
    ("**答案：** 8", "zh", "8"),
    ("故选B", "zh", "B"),
    ("因此选择C。", "zh", "C"),
    ("答案：\\boxed{\\frac{1}{2}}", "zh_v2", "\\frac{1}{2}"),
    ("我觉得可能是8", "zh", None),
    # weak forms
    ("The answer is B. Because it is larger.", None, "B"),
    ("The correct answer is (C).", None, "(C)"),
    ("The correct option is (B) Paris.", None, "(B) Paris"),
    ("Therefore, the answer is: **5**", None, "5"),
    ("Answer: yes", None, "yes"),
    ("Ans: 12", None, "12"),
    ("The answer to the question is 12.", None, "12"),
    ("The answer is correct.", None, None),
    ("The answer is as follows.", None, None),
    ("I like cats.", None, None),
    ("So 3 + 4 = 7.", None, None),
    ("So 3 + 4 = 7.", "plain", None),
    ("Answer: 7", "plain", "7"),
    ("x" * 100_000 + " Final answer: 7", "en", "7"),
]


@pytest.mark.parametrize(("response", "template", "answer"), TABLE)
def test_extract(response, template, answer):
    assert extract(response, template) == answer


@pytest.mark.parametrize(("response", "template", "answer"), TABLE)
def test_any_known_form_is_read_without_a_template(response, template, answer):
    assert extract(response) == answer


def test_an_unknown_template_is_refused():
    with pytest.raises(ValueError, match="zh_v2"):
        extract("Final answer: 5", "fr")


def test_what_is_no_text_has_no_answer():
    assert extract(None) is None  # type: ignore[arg-type]
