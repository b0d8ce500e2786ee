"""MathVista's rows in both layouts, and its metric: multiple choice, precision, lists, units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmpr.answers import match
from mmpr.errors import RowError
from mmpr.evaluate.benchmarks.mathvista import _listed, right
from tests.evaluate.benchmarks.bench_helpers import (
    answer_all,
    embedded,
    in_base64,
    opened,
    pictures,
    rejected,
    values,
    write_parquet,
    write_tsv,
)


def row(place: int, **more: Any) -> dict[str, Any]:
    return {
        "pid": str(place + 1),
        "question": "How much is it?",
        "image": f"images/{place + 1}.jpg",
        "decoded_image": embedded(pictures()[place]),
        "choices": None,
        "unit": None,
        "precision": None,
        "answer": "7",
        "question_type": "free_form",
        "answer_type": "integer",
        "metadata": {
            "category": "math-targeted-vqa",
            "task": "geometry problem solving",
            "skills": ["geometry reasoning"],
            "source": "x",
        },
        "query": "Hint: ...",
        **more,
    }


OTHER = {
    "category": "general-vqa",
    "task": "figure question answering",
    "skills": ["statistical reasoning", "geometry reasoning"],
    "source": "y",
}
ROWS = [
    row(0, question_type="multi_choice", answer_type="text", choices=["97°", "102°"], answer="102°"),
    row(1, answer="1.45", answer_type="float", precision=2.0, unit="$"),
    row(2, answer="0.2", answer_type="float", precision=1.0, metadata=OTHER),
    row(3, answer="14", metadata=OTHER),
    row(4, answer="[2007, 2008]", answer_type="list", metadata=OTHER),
]


def test_mathvista_from_parquet(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data" / "testmini-00000-of-00001.parquet", ROWS)
    write_parquet(tmp_path / "data" / "test-00000-of-00001.parquet", [row(5)])
    benchmark, questions = opened("mathvista", tmp_path)
    assert [question.answer for question in questions] == ["B", "1.45 $", "0.2", "14", "[2007, 2008]"]
    assert [question.images[0] for question in questions] == pictures()[:5]
    assert questions[0].choices == ("97°", "102°")
    assert questions[1].question.endswith("How much is it? (Unit: $)\nGive the answer with two decimal places.")
    # B; rounds to 1.45; rounds to 0.3, not 0.2; 14 after its decimals are dropped; the years.
    metrics = benchmark.metrics(answer_all(benchmark, questions, ["B", "$1.449", "0.26", "14.7", "2007 and 2008"]))
    assert values(metrics) == {
        ("accuracy", ""): 4 / 5,
        ("accuracy", "task: geometry problem solving"): 1,
        ("accuracy", "task: figure question answering"): 2 / 3,
        ("accuracy", "skill: geometry reasoning"): 4 / 5,
        ("accuracy", "skill: statistical reasoning"): 2 / 3,
        ("accuracy", "question_type: multi_choice"): 1,
        ("accuracy", "question_type: free_form"): 3 / 4,
        ("accuracy", "answer_type: text"): 1,
        ("accuracy", "answer_type: float"): 1 / 2,
        ("accuracy", "answer_type: integer"): 1,
        ("accuracy", "answer_type: list"): 1,
        ("accuracy", "category: math-targeted-vqa"): 1,
        ("accuracy", "category: general-vqa"): 2 / 3,
    }


def test_mathvista_from_vlmevalkit(tmp_path: Path) -> None:
    common = {"question_type": "free_form", "answer_type": "integer", "choices": "", "answer_option": ""}
    asked = "Hint: Please provide the correct option letter at the end.\nQuestion: Which?\nChoices:\n"
    rows = [
        {
            "index": 1,
            "image": in_base64(pictures()[0]),
            "question": f"{asked}(A) it's\n(B) red, or not",
            **common,
            "question_type": "multi_choice",
            "answer_type": "text",
            "choices": "[\"it's\", 'red, or not']",
            "answer": "red, or not",
            "answer_option": "B",
            "task": "visual question answering",
            "skills": "['scientific reasoning', 'numeric commonsense']",
        },
        {
            "index": 2,
            "image": "1",
            "question": "Hint: Please answer the question requiring an integer answer.\nQuestion: How many?",
            **common,
            "answer": "3",
            "task": "visual question answering",
            "skills": "['scientific reasoning']",
        },
    ]
    benchmark, questions = opened("mathvista", write_tsv(tmp_path / "MathVista_MINI.tsv", rows))
    assert [question.answer for question in questions] == ["B", "3"]
    assert questions[0].choices == ("it's", "red, or not")
    assert questions[0].question == f"<image>\n{rows[0]['question']}"
    assert questions[1].images == questions[0].images
    found = values(benchmark.metrics(answer_all(benchmark, questions, ["(B)", "4"])))
    assert found["accuracy", ""] == 1 / 2
    assert found["accuracy", "skill: scientific reasoning"] == 1 / 2
    assert found["accuracy", "skill: numeric commonsense"] == 1


@pytest.mark.parametrize(
    ("said", "truth", "answer_type", "precision", "expected"),
    [
        ("1.449", "1.45", "float", 2, True),
        ("1.444", "1.45", "float", 2, False),
        ("1.46", "1.4", "float", 1, False),
        ("1.35", "1.4", "float", 1, True),
        ("1.449", "1.45", "float", None, False),
        ("about 1.449", "1.45", "float", 2, True),
        ("14.7", "14", "integer", None, True),
        ("13.9", "14", "integer", None, False),
        ("14", "14", "integer", None, True),
        ("fourteen", "14", "integer", None, True),
        ("145.1 cm", "1.45 m", "float", 2, False),
        ("1.449 m", "1.45 m", "float", 2, True),
        ("145 cm", "1.45 m", "float", 2, True),
        ("1.449 kg", "1.45 m", "float", 2, False),
        ("9" * 400, "14", "integer", None, False),
        ("2007 and 2008", "[2007, 2008]", "list", None, True),
        ("[2007, 2008]", "[2007, 2008]", "list", None, True),
        ("2008, 2007", "[2007, 2008]", "list", None, False),
        ("from 2007 to 2008", "[2007, 2008]", "list", None, False),
        ("[0, 2, 0, 2]", "[0, 2, 0, 2]", "list", None, True),
        ("no idea", "14", "integer", None, False),
    ],
)
def test_what_is_right(said: str, truth: str, answer_type: str, precision: int | None, expected: bool) -> None:
    assert right(match(said, truth), truth, answer_type, precision) is expected


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("['a', 'b']", ["a", "b"]),
        ('["it\'s", \'say "x"\']', ["it's", 'say "x"']),
        (r"['it\'s', 'a, b']", ["it's", "a, b"]),
        ("[1, 2.5]", ["1", "2.5"]),
        ("[]", []),
        ("nan", []),
        ("", []),
        (None, []),
        ("scientific reasoning", ["scientific reasoning"]),
    ],
)
def test_lists_in_pythons_notation(text: str | None, items: list[str]) -> None:
    assert _listed(text) == items


@pytest.mark.parametrize("text", ["[__import__('os')]", "['a' 'b']", "['a]", "[[1], 2]"])
def test_what_is_no_list_of_texts(text: str) -> None:
    with pytest.raises(RowError, match="wrong_type"):
        _listed(text)


def test_rows_that_are_wrong(tmp_path: Path) -> None:
    rows = [
        row(0, question_type="essay"),
        row(1, question_type="multi_choice"),
        row(2, precision=2.5),
        row(3, question=""),
    ]
    path = write_parquet(tmp_path / "testmini.parquet", rows)
    reasons = ["missing_field", "missing_field", "wrong_type", "empty_question"]
    assert rejected("mathvista", path) == [(f"testmini.parquet[{place}]", why) for place, why in enumerate(reasons)]
