"""Hostile answers: never right, never slow, nothing run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mmpr.answers import entails, extract, match
from mmpr.answers.formula.parser import parse_formula
from mmpr.answers.prover import pool
from tests.answers.hostile import HOSTILE

LIMIT_S = 1.0


@pytest.fixture(scope="module", autouse=True)
def _warm():
    pool.prove_equal(parse_formula("|x|"), parse_formula("x"), 30)  # the symbolic worker is up


@pytest.mark.parametrize(("name", "answer", "gold"), HOSTILE, ids=[name for name, _, _ in HOSTILE])
def test_hostile_answers_are_not_right(name, answer, gold):
    start = time.process_time()
    verdict = match(answer, gold)
    assert time.process_time() - start < LIMIT_S
    assert verdict.status in ("incorrect", "unsure", "unparseable", "timeout"), verdict


@pytest.mark.parametrize(("name", "answer", "gold"), HOSTILE, ids=[name for name, _, _ in HOSTILE])
def test_hostile_truths_choices_and_rules_do_no_harm(name, answer, gold):
    start = time.process_time()
    assert match(gold, answer).status != "correct"
    match(answer, "B", choices=["red", "blue", gold])
    for rule in ("relaxed", "anls", "multiple_choice"):
        assert match(answer, gold, rule=rule).status != "correct"
    extract(answer)
    assert isinstance(entails(answer, gold), bool)
    assert time.process_time() - start < 4 * LIMIT_S


def test_nothing_was_run():
    assert not Path("mmpr-was-here").exists()


def test_there_are_enough_of_them():
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize("prediction", [None, 5, b"5", ["5"], {}, 1.5])
def test_what_is_no_text_gets_a_verdict(prediction):
    assert match(prediction, "5").status in ("unparseable", "error")


@pytest.mark.parametrize("gold", [None, 5, b"5", [], [5], ["5"] * 65, "", "\x00"])
def test_a_bad_truth_is_an_error(gold):
    assert match("5", gold).status == "error"


def test_an_unknown_rule_is_an_error_that_says_so():
    verdict = match("5", "5", rule="fuzzy")
    assert verdict.status == "error"
    assert "multiple_choice" in verdict.reason
