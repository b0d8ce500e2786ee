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
    # long responses as models write them
    ("<think>Let me see. The answer is 4? No.\n</think>\n\n<answer>\\boxed{6}</answer>", "en_r1", "6"),
    (
        "<think>a</think>\nThe two triangles are similar, so \\boxed{\\dfrac{3}{5}}.\n\nHence three to five.",
        "en_r1",
        "\\dfrac{3}{5}",
    ),
    ("Step 1: compute 3 × 4 = 12.\nStep 2: subtract 2.\n\n**Final Answer:** $10$", "en", "10"),
    ("Final answer: \\(\\boxed{7}\\)", "en", "7"),
    ("### Final Answer:\n**(C) 12 cm**", "en", "(C) 12 cm"),
    ("...so we pick B.\n\nFinal answer: **B**\n\nExplanation: the bar is the tallest.", "en", "B"),
    ("Final answer: The answer is 7.", "en", "7"),
    ("Final answer: Yes, the two are equal.", "en", "Yes, the two are equal"),
    ("Final Answer: 3.14", "en", "3.14"),
    ("Final answer: $5\\text{ cm}$.", "en", "5\\text{ cm}"),
    ("最终答案：B", "zh", "B"),
    ("答案：\n\n5厘米", "zh", "5厘米"),
    ("所以，答案是 $\\frac{3}{4}$。", "zh", "\\frac{3}{4}"),
    ("因此，\\boxed{12}", "zh_v2", "12"),
    ("<think>先看图。</think>\n\n答案是\\boxed{B}", "zh_r1", "B"),
    ("因为 AB=AC，所以∠B=∠C=50°。\n\n故答案为：50°．", "zh", "50°"),
    ("故答案为：80", "zh", "80"),
    ("So the sum is 12. \\boxed{12} Let me double check: 5+7=12. Yes. \\boxed{12}", "en_v2", "12"),
    ("\\boxed{A}\n\nwait, the other one is right: \\boxed{C}", "en_v2", "C"),
    ("The area is\n\\[\n\\boxed{24\\text{ cm}^2}\n\\]", "en_v2", "24\\text{ cm}^2"),
    ("Therefore $x = \\boxed{-\\frac{2}{3}}$.", "en_v2", "-\\frac{2}{3}"),
    ("I think the answer may be 5 or 6, hard to say", "en_v2", None),
    ("The picture shows a man on a horse.", "en", None),
    ("Let's compute: 5 + 6 = 11, then we still need to", "en", None),
    ("Final answer: ", "en", None),
    ("Final answer is", "en", None),
    ("\\boxed{\\text{The answer is } 5", "en_v2", None),
    ("<think>\nOkay so I need to find x. \\boxed{3}\nHmm", "en_r1", None),
    ("Answer: \\boxed{3}. Note that 4 would be wrong.", "en_v2", "3"),
    ("**Answer:** \\boxed{\\text{blue}}", "en_v2", "\\text{blue}"),
    ("The final answer is $\\boxed{42}$.", "en", "42"),
    ("Final answer: 1,200 dollars.", "en", "1,200 dollars"),
    ("Final answer: A, C", "en", "A, C"),
    ("final answer - 12", "en", "12"),
    ("FINAL ANSWER: `stop`", "en", "stop"),
    ('Final answer: "Hello World!"', "en", "Hello World"),
    ("Final answer: 3:45 p.m.", "en", "3:45 p.m"),
    ("Final answer: x = 3 or x = -3", "en", "x = 3 or x = -3"),
    ("Final answer: $(-\\infty, 2) \\cup (3, \\infty)$", "en", "(-\\infty, 2) \\cup (3, \\infty)"),
    ("Thus, the correct answer is:\n\n(B) Paris", None, "(B) Paris"),
    ("Therefore, the correct option is B.", None, "B"),
    ("So the answer is $\\frac{1}{2}$, which is 50%.", None, "\\frac{1}{2}"),
    ("The answer is 5 because 2 + 3 = 5.", None, "5"),
    ("综上，选C．", None, "C"),
    ("Final answer: 16\n\n---\n\n*I hope this helps!*", "en", "16"),
    ("Final answer:\n$$x = 4$$", "en", "x = 4"),
    ("Final answer: \\$45", "en", "\\$45"),
    ("Final answer: 5. 3 is too small.", "en", "5"),
    ("Final answer: None of the above", "en", "None of the above"),
    ("Final answer: not enough information", "en", "not enough information"),
    (
        "The final answer is: $\\boxed{\\begin{array}{c} 1 \\\\ 2 \\end{array}}$",
        "en",
        "\\begin{array}{c} 1 \\\\ 2 \\end{array}",
    ),
    ("Final answer: **12 m/s²**", "en", "12 m/s²"),
    ("Reasoning: final answers vary. Final answer: 9", "en", "9"),
    ("Final answer: 9 Final answer: 9", "en", "9"),
    ("Final answer: The sum is 9 and so on. It equals nine.", "en", "The sum is 9 and so on"),
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
