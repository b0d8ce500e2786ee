"""Several acceptable truths, the score of VQA, and what is certain and what is not."""

from __future__ import annotations

import pytest

from mmpr.answers import match

ANNOTATORS = ["red"] * 3 + ["maroon"] * 2 + ["crimson"] * 5


@pytest.mark.parametrize(
    ("answer", "truths", "status"),
    [
        ("NY", ["New York", "NY"], "correct"),
        ("NY", ("New York", "NY"), "correct"),
        ("Boston", ["New York", "Albany"], "incorrect"),
        ("New York, USA", ["New York", "Albany"], "unsure"),
        ("I cannot tell", ["New York", "Albany"], "unparseable"),
        ("5", ["6", ""], "error"),
        ("5", ["5", ""], "correct"),
    ],
)
def test_of_several_truths_one_is_enough(answer, truths, status):
    assert match(answer, truths).status == status


def test_the_verdict_tells_the_truth_that_matched():
    assert match("NY", ["New York", "NY"]).comparator == "identical"


@pytest.mark.parametrize(
    ("answer", "status", "score"),
    [
        ("red", "correct", "score 1.00: 3 of 10"),
        ("crimson", "correct", "score 1.00: 5 of 10"),
        ("maroon", "unsure", "score 0.67: 2 of 10"),
        ("blue", "incorrect", "score 0.00: 0 of 10"),
    ],
)
def test_vqa_tells_its_score(answer, status, score):
    verdict = match(answer, ANNOTATORS, rule="vqa")
    assert verdict.status == status
    assert score in verdict.reason
    assert verdict.comparator == "vqa"


@pytest.mark.parametrize(
    ("rule", "truth"), [("iou", "top left"), ("point_in_box", "5"), ("count", "many"), ("json", "{")]
)
def test_a_truth_that_the_rule_cannot_read_is_an_error(rule, truth):
    assert match("5", truth, rule=rule).status == "error"


@pytest.mark.parametrize(
    ("answer", "truth"),
    [
        ("[" * 3_000, '{"a": 1}'),
        ('{"a": ' * 600, '{"a": 1}'),
        ("1e999 1e999 1e999 1e999", "[1, 2, 3, 4]"),
        ("9" * 3_000, "[1, 2, 3, 4]"),
    ],
)
@pytest.mark.parametrize("rule", ["json", "iou", "point_in_box", "count"])
def test_what_cannot_be_read_is_never_right_or_wrong(rule, answer, truth):
    assert match(answer, truth, rule=rule).status in ("unsure", "error")
