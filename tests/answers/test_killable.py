"""Judging in a process that is killed when it is late: the other responses are judged as if nothing had been."""

from __future__ import annotations

import os
import signal
import time

import pytest

from mmpr.answers import extract, killable, match
from mmpr.answers.match import NO_ANSWER
from mmpr.answers.processes import Processes

RIGHT, WRONG, UNCLEAR = "It is six.\nFinal answer: 6", "Final answer: 7", "I cannot see it"


@pytest.fixture
def failing(monkeypatch):
    """The stand-in's processes in place of the real ones, and short limits."""
    pool = Processes("tests.answers.stand_in", 1)
    monkeypatch.setattr(killable, "_processes", pool)
    monkeypatch.setattr(killable, "RESPONSE_S", 0.5)
    killable.judge_responses([RIGHT], None, "6", (), "default")  # it has started when the time counts
    yield pool
    pool.close()


def statuses(*responses):
    return [verdict.status for verdict in killable.judge_responses(responses, None, "6", (), "default")]


@pytest.mark.parametrize("rule", ["default", "exact", "nonsense"])
def test_verdicts_are_those_of_extract_and_match(rule):
    responses = [
        RIGHT,
        WRONG,
        UNCLEAR,
        "Final answer: \ud800",
        "",
        "\\boxed{6}",
        "Final answer: $4\\cos\\frac{\\pi}{5}$",
    ]
    answers = [extract(response, None) for response in responses]
    expected = [NO_ANSWER if a is None else match(a, "6", rule=rule) for a in answers]
    assert killable.judge_responses(responses, None, "6", (), rule) == expected
    assert killable.extract_answers(responses, None) == answers


def test_choices_are_passed_on():
    (verdict,) = killable.judge_responses(["Final answer: (B)"], None, "red", ("blue", "red"), "default")
    assert verdict.status == "correct"


@pytest.mark.parametrize(
    ("responses", "expected"),
    [
        (["HANG", RIGHT, WRONG], ["timeout", "correct", "incorrect"]),
        ([RIGHT, "HANG", WRONG, "HANG"], ["correct", "timeout", "incorrect", "timeout"]),
        ([RIGHT, "DIE", WRONG], ["correct", "error", "incorrect"]),
        (["DIE", "DIE", RIGHT], ["error", "error", "correct"]),
        ([RIGHT, "SWELL", WRONG], ["correct", "error", "incorrect"]),
    ],
)
def test_one_response_spoils_no_other(failing, responses, expected):
    assert statuses(*responses) == expected


def test_a_question_has_a_budget_too(failing, monkeypatch):
    monkeypatch.setattr(killable, "QUESTION_S", 2.0)
    start = time.monotonic()
    assert statuses(RIGHT, *["HANG"] * 30, RIGHT) == ["correct", *["timeout"] * 31]
    assert time.monotonic() - start < 30


def test_a_process_that_died_between_two_questions_is_replaced(failing):
    (pid,) = failing.pids()
    os.kill(pid, signal.SIGKILL)
    assert statuses(RIGHT, WRONG) == ["correct", "incorrect"]


def test_a_process_that_stands_still_is_replaced(failing):
    (pid,) = failing.pids()
    os.kill(pid, signal.SIGSTOP)
    assert statuses(RIGHT, WRONG) == ["correct", "incorrect"]


def test_entailments(failing):
    pairs = [("3, 4", "3"), ("10", "1"), ("HANG", "1"), ("DIE", "1"), ("Paris, France", "Paris")]
    assert killable.entailments(pairs, ()) == [True, False, None, None, True]
    assert killable.entailments([("B", "red")], ("blue", "red")) == [True]


def test_a_request_larger_than_a_pipe_arrives():
    responses = ["x" * 300_000 + "\nFinal answer: 6"] * 3
    assert killable.judge_responses(responses, None, "6", (), "default") == [match("6", "6")] * 3
