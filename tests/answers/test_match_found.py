"""What becomes of a response whose answer is not named: its last sentence beside the truth."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from mmpr.answers import find_answer
from mmpr.answers.match import match_found
from tests.answers.pairs import load

CARS = ("blue", "red", "green")


@pytest.mark.parametrize(
    ("response", "truth", "choices", "status"),
    [
        # a sentence that concludes, and says the truth
        ("He has 3 apples and gets 2 more.\nSo he has 5 apples.", "5", None, "correct"),
        ("We count four and one.\nAltogether there are 5 chairs.", "5", None, "correct"),
        ("3 + 4 is what we look for. Therefore, the total is 7.", "7", None, "correct"),
        ("Each box holds 12.\nThus, 3 boxes hold 36 pencils.", "12", None, "unparseable"),
        ("It has stripes.\nTherefore, the animal is a zebra.", "zebra", None, "correct"),
        ("It has the longest bar.\nHence, the car is red.", "B", CARS, "correct"),
        ("从图可见影子很短。因此拍摄时间是中午。", "中午", None, "correct"),
        ("Le total est 3 + 2.\nDonc il reste 5.", "5", None, "unsure"),  # read in English and Chinese
        # one that concludes, and says something else
        ("He has 3 apples and gets 2 more.\nSo he has 6 apples.", "5", None, "unparseable"),
        ("It has the longest bar.\nHence, the car is blue.", "B", CARS, "unparseable"),
        ("It has stripes.\nTherefore, the animal is a horse.", "zebra", None, "unparseable"),
        # one that does not conclude
        ("Looking at the kitchen, I see a table. There are four chairs around it.", "4", None, "unsure"),
        ("The picture shows a street. The car is red.", "B", CARS, "unsure"),
        ("The picture shows a street. The car is blue.", "B", CARS, "unparseable"),
        ("The picture shows a street. There are three cars.", "7", None, "unparseable"),
        ("The dog lies on a sofa. It is a golden retriever.", "dog", None, "unsure"),
        # the truth of another kind, a hedge, a refusal
        ("I look at the sign.\nSo it may say OPEN.", "open", None, "unsure"),
        ("I look at the sign.\nSo it cannot be determined.", "open", None, "unparseable"),
        ("The picture is dark.\nTherefore, there might be 5 people.", "5", None, "unsure"),
        # a polite end is no sentence of the answer
        ("He has 3 and gets 2. So he has 5 apples. I hope this helps.", "5", None, "correct"),
        # what is named stays what it is
        ("So we have 5.\nFinal answer: 6", "5", None, "incorrect"),
        ("The answer is not B.", "B", CARS, "unsure"),
        ("", "5", None, "unparseable"),
        # a reply of one sentence is an answer
        ("There are four people in the boat.", "4", None, "correct"),
        ("There are three people in the boat.", "4", None, "incorrect"),
        ("Derek spent $10.40 on pepper.", "10.40", None, "correct"),
        ("The animal is a horse.", "zebra", None, "incorrect"),
        ("B, because the current is the same everywhere.", "B", CARS, "correct"),
        ("The man is holding an umbrella.", "umbrella", None, "correct"),
        ("The man holds an umbrella against the rain.", "umbrella", None, "unsure"),
        ("x = 2 or x = -2", "\\pm 2", None, "correct"),
        ("We solve it.\nx = 2 or x = -2", "\\pm 2", None, "correct"),
        ("We solve it.\na = 2, b = 3", "b = 3, a = 2", None, "correct"),
        ("We solve it.\nx = 5 + 2 = 7", "7", None, "correct"),
        ("x = 3.5, because 2 + 1.5 = 3.5", "3.5", None, "correct"),
        ("We count.\nFinal answer: (n+1)!", "(n+1)!", None, "correct"),
    ],
)
def test_the_last_sentence(response: str, truth: str, choices: tuple[str, ...] | None, status: str) -> None:
    verdict = match_found(find_answer(response), truth, choices=choices)
    assert verdict.status == status, verdict


def test_a_rule_about_boxes_reads_no_sentence() -> None:
    found = find_answer("I look at it. So it is at the left.")
    assert match_found(found, "[1, 2, 3, 4]", rule="iou").status == "unsure"


def test_several_truths_are_asked_one_by_one() -> None:
    found = find_answer("He looks.\nSo the colour is grey.")
    assert match_found(found, ["silver", "gray"]).status == "correct"


WRAPPED = (
    "Therefore, the answer is {}.",
    "{} is the answer.",
    "I first thought 3 or 4, but it is {}.",
    "Looking at the picture, we see that it is {}.",
    "We look at it carefully.\nSo it is {}.",
    "In total we get {} here.",
    "{}, because 2 + 2 = 4 and 3 is odd.",
    "{} (not 17)",
    "It says 17 at first and {} at the end.",
    "The chart has 3 bars and 12 labels.\n{}",
)
KINDS = ("number", "unit", "choice", "option", "text", "chart", "latex", "date", "ocr", "yesno")


@pytest.mark.parametrize("words", WRAPPED)
def test_a_right_answer_in_a_sentence_is_not_wrong(words: str) -> None:
    right = [
        pair
        for pair in load()
        if pair["label"] is True and pair["kind"] in KINDS and "rule" not in pair and len(pair["pred"]) <= 60
    ]
    statuses: Counter[str] = Counter()
    for pair in random.Random(words).sample(right, 500):
        response = words.format(pair["pred"].rstrip("."))
        statuses[match_found(find_answer(response), pair["gold"], choices=pair.get("choices")).status] += 1
    assert statuses["incorrect"] <= 4, statuses
