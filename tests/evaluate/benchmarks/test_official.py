"""The published rules for right answers, response by response, and how they stand beside the matcher's word.

Each expectation was worked out by hand from the published description.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmpr.evaluate.benchmarks import LAYOUTS, hrbench, mathvista, mmstar, xlrs
from mmpr.evaluate.benchmarks.layout import LocalBenchmark
from mmpr.evaluate.benchmarks.mathvista import chosen_option, rounded
from mmpr.schema import Question
from tests.evaluate.benchmarks.bench_helpers import answer, opened, values, write_parquet
from tests.evaluate.benchmarks.test_benchmarks import hrbench_rows, mmstar_parquet
from tests.evaluate.benchmarks.test_benchmarks import xlrs as xlrs_files
from tests.evaluate.benchmarks.test_mathvista import row


def asked(truth: str, choices: tuple[str, ...] = (), **meta: Any) -> Question:
    return Question("id", "source", "?", truth, choices, meta=json.dumps(meta))


# --- MathVista --------------------------------------------------------------------------------------------------------

ANGLES = ("97°", "102°", "107°", "112°")


@pytest.mark.parametrize(
    ("extraction", "options", "chosen", "how"),
    [
        ("B", ANGLES, "102°", "letter"),
        ("(B)", ANGLES, "102°", "letter"),
        ("(b) 102°", ANGLES, "102°", "letter"),
        ("102°", ANGLES, "102°", "the text of an option"),
        ("102", ANGLES, "102°", "nearest option"),
        ("102 degrees", ANGLES, "102°", "nearest option"),
        ("b", ("Yes", "No"), "No", "nearest option"),  # a small letter is a text
        ("E", ("Yes", "No"), "No", "nearest option"),  # beyond the options: one of two letters is nearer than three
        ("(F)", ("Yes", "No"), "No", "nearest option"),
        ("", ("Yes", "No"), "No", "no answer, nearest option"),  # the shortest
        ("", ("red", "tan"), "red", "no answer, nearest option"),  # the first of the nearest
        ("It cannot be determined from the picture", ("larger", "smaller"), "larger", "refusal, nearest option"),
        ("B) 102°", ANGLES, "102°", "nearest option"),
    ],
)
def test_mathvista_takes_the_nearest_option(extraction: str, options: tuple[str, ...], chosen: str, how: str) -> None:
    assert chosen_option(extraction, options) == (chosen, how)


@pytest.mark.parametrize(
    ("extraction", "answer_type", "precision", "compared"),
    [
        ("14", "integer", None, "14"),
        ("14.9", "integer", None, "14"),
        ("-3.9", "integer", None, "-3"),
        ("14 cm", "integer", None, None),
        ("fourteen", "integer", None, None),
        ("", "integer", None, None),
        ("nan", "integer", None, None),
        ("1e999", "integer", None, None),
        ("1.449", "float", 2, "1.45"),
        ("1.5", "float", 2, "1.5"),
        ("2", "float", 1, "2.0"),
        ("0.25", "float", 1, "0.2"),  # as Python rounds a half
        ("1.449", "float", None, None),
        ("$1.45", "float", 2, None),
        ("[1, 2]", "list", None, "[1, 2]"),
        ("1, 2", "list", None, "1, 2"),
    ],
)
def test_mathvista_rounds(extraction: str, answer_type: str, precision: int | None, compared: str | None) -> None:
    assert rounded(extraction, answer_type, precision)[0] == compared


CHOICE: dict[str, Any] = {"question_type": "multi_choice", "answer_type": "text", "precision": None, "unit": ""}
WHOLE: dict[str, Any] = {"question_type": "free_form", "answer_type": "integer", "precision": None, "unit": "cm"}
DECIMAL: dict[str, Any] = {"question_type": "free_form", "answer_type": "float", "precision": 2, "unit": "$"}


@pytest.mark.parametrize(
    ("question", "response", "right", "how"),
    [
        (asked("B", ANGLES, **CHOICE), "B", True, "letter"),
        (asked("B", ANGLES, **CHOICE), "The angles add up to 180°.\nFinal answer: 102 degrees", True, "nearest option"),
        (asked("B", ANGLES, **CHOICE), "I see two lines.\nThey do not meet, I think, because", False,
         "no answer, nearest option"),
        (asked("A", ANGLES, **CHOICE), "I see two lines.\nThey do not meet, I think, because", True,
         "no answer, nearest option"),
        (asked("A", ("larger", "smaller"), **CHOICE), "The answer cannot be determined from the picture", True,
         "refusal, nearest option"),
        (asked("14 cm", **WHOLE), "14", True, "without its decimals"),
        (asked("14 cm", **WHOLE), "14.2", True, "without its decimals"),
        (asked("14 cm", **WHOLE), "14 cm", False, "no number alone"),  # one line is the extraction itself
        (asked("14 cm", **WHOLE), "It is 7 + 7.\nFinal answer: 14 cm", True, "without its decimals"),
        (asked("1.45 $", **DECIMAL), "1.449", True, "rounded to 2 decimal places"),
        (asked("1.45 $", **DECIMAL), "It is half of 2.90.\nThe answer is $1.45.", True, "rounded to 2 decimal places"),
        (asked("1.50", **DECIMAL), "1.50", False, "rounded to 2 decimal places"),  # 1.5 is another text
    ],
)  # fmt: skip
def test_mathvista_officially(question: Question, response: str, right: bool, how: str) -> None:
    assert mathvista.official(question, response) == (right, how)


# --- MMStar, HR-Bench, XLRS-Bench -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "right", "how"),
    [
        ("B", True, "the first character"),
        ("b) blue", True, "the first character"),
        ("Because it is red, A.", True, "the first character"),  # the B of Because
        ("(B) blue", True, "behind a bracket"),
        ("Option B", True, 'behind "option"'),
        ("The answer is B.", True, 'behind "the answer is"'),
        ("The answer is (B).", False, "the letter is not at the beginning"),
        ("It is blue.\nFinal answer: B", False, "the letter is not at the beginning"),
        ("", False, "the letter is not at the beginning"),
        ("A", False, "the letter is not at the beginning"),
    ],
)
def test_mmstar_reads_the_beginning(response: str, right: bool, how: str) -> None:
    assert mmstar.official(asked("B", ("red", "blue")), response) == (right, how)


LETTER, TEXT, NOTHING = (
    "the only letter, among the last words",
    "the only option in it",
    "no letter and no option inferred",
)


@pytest.mark.parametrize(
    ("response", "right", "how"),
    [
        ("B", True, LETTER),
        ("B.", True, LETTER),
        ("The answer is (B).", True, LETTER),
        ("It is light blue", True, TEXT),
        ("It is LIGHT BLUE, not red.", False, NOTHING),
        ("A or B", False, NOTHING),
        ("B is what I would say it is", False, NOTHING),  # six words from the end
        ("B is what I say", False, NOTHING),
        ("B is what I", True, LETTER),
        ("red", False, TEXT),
        ("A cat is light blue here, so I say so", True, TEXT),  # the article is not among the last words
        ("A cat", False, LETTER),  # the article is the only letter
        ("Cannot determine the answer B", False, "refusal"),
        ("", False, NOTHING),
    ],
)
def test_hrbench_infers_a_letter_or_an_option(response: str, right: bool, how: str) -> None:
    assert hrbench.official(asked("B", ("red", "light blue")), response) == (right, how)


BRACKETED, EVERY, NO_CAPITAL = (
    "letters in brackets",
    "every letter from A to E, also within words",
    "no capital letter from A to E",
)


@pytest.mark.parametrize(
    ("truth", "response", "right", "how"),
    [
        ("A, C", "A C", True, EVERY),
        ("A, C", "(A)(C)", True, BRACKETED),
        ("A, C", "(C), (A) and B", True, BRACKETED),
        ("A, C", "A, B, C", False, EVERY),
        ("B", "The answer is B", True, EVERY),
        ("B", "The best option is B", False, EVERY),  # the letters of "best"
        ("B", "It shows a lake: (B)", True, BRACKETED),
        ("B", "B. a lake", False, EVERY),  # a and e
        ("B", "b", False, NO_CAPITAL),
        ("B", "I do not know", False, NO_CAPITAL),
    ],
)
def test_xlrs_takes_every_letter(truth: str, response: str, right: bool, how: str) -> None:
    assert xlrs.official(asked(truth), response) == (right, how)


# --- beside the matcher's word ----------------------------------------------------------------------------------------


def differing(benchmark: LocalBenchmark, questions: list[Question], *texts: str) -> list[str]:
    answered = [answer(one, text, rule=benchmark.rule) for one, text in zip(questions, texts, strict=True)]
    return [one.reason for one in benchmark.differing(answered)]


def test_score_and_official_stand_side_by_side(tmp_path: Path) -> None:
    options = ["97°", "102°"]
    rows = [
        row(0, question_type="multi_choice", answer_type="text", choices=options, answer="97°"),
        row(1, question_type="multi_choice", answer_type="text", choices=options, answer="102°"),
        row(2, answer="14"),
        row(3, answer="14", unit="cm"),
    ]
    benchmark, questions = opened("mathvista", write_parquet(tmp_path / "testmini.parquet", rows))
    texts = ("It cannot be determined.", "(B)", "14.7", "1.4 dm")
    answered = [answer(one, text, rule="default") for one, text in zip(questions, texts, strict=True)]
    metrics = benchmark.metrics(answered)
    assert values(metrics)["accuracy", ""] == 3 / 4
    assert {(m.name, m.group): m.official for m in metrics}["accuracy", ""] == 3 / 4
    assert {(m.name, m.group): m.official for m in metrics}["accuracy", "question_type: multi_choice"] == 1
    found = benchmark.differing(answered)
    assert [(one.id, one.sample, one.truth, one.reason) for one in found] == [
        (questions[0].id, 0, "A", "right officially only: refusal, nearest option"),
        (questions[3].id, 0, "14 cm", "right here only: no number alone"),
    ]


def test_the_reasons_of_the_other_rules(tmp_path: Path) -> None:
    benchmark, questions = opened("mmstar", mmstar_parquet(tmp_path / "mmstar"))
    assert differing(
        benchmark, questions, "B", "It is 10.\nFinal answer: A", "Can it be A? Yes.\nFinal answer: A", "B"
    ) == [
        "right here only: the letter is not at the beginning",
        "right officially only: the first character",
    ]
    benchmark, questions = opened("hrbench_4k", write_parquet(tmp_path / "hr_bench_4k.parquet", hrbench_rows()).parent)
    late = "Final answer: A\nThe first of them is far from us and the other one near."
    assert differing(benchmark, questions, "A", "I do not know whether right", "B", "A", late) == [
        "right officially only: the only option in it",
        "right here only: no letter and no option inferred",
    ]
    benchmark, questions = opened("xlrs", xlrs_files(tmp_path / "xlrs"))
    assert differing(benchmark, questions, "A C", "(B)(D)", "A", "The best option is D", "B") == [
        "right here only: every letter from A to E, also within words"
    ]


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_benchmark_whose_rule_asks_a_model_has_no_official_number(name: str, tmp_path: Path) -> None:
    known = LAYOUTS[name].official is not None
    assert known == (name in ("mathvista", "mmstar", "hrbench_4k", "hrbench_8k", "xlrs"))


def test_several_samples_and_questions_without_a_truth(tmp_path: Path) -> None:
    rows = [{**row, "answer": truth} for row, truth in zip(hrbench_rows()[:2], ("A", None), strict=True)]
    benchmark, questions = opened("hrbench_4k", write_parquet(tmp_path / "hr_bench_4k.parquet", rows))
    answered = [
        answer(questions[0], "A", "red", "A or B", "blue", rule="multiple_choice"),
        answer(questions[1], "A", rule="multiple_choice"),
    ]
    [whole, *_] = benchmark.metrics(answered)
    assert (whole.score, whole.official) == (1 / 4, 1 / 4)
    assert benchmark.differing(answered) == []
