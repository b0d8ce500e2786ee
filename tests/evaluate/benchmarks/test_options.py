from __future__ import annotations

import pytest

from mmpr.errors import RowError
from mmpr.evaluate.benchmarks.options import letters_of, option_columns, read_options, unlabelled

READ = [
    ("Which?\nOptions: A: x, B: y, C: z, D: w", "D", ("x", "y", "z", "w")),
    (
        "Which?\nOptions: A: On the book., B: Beneath the cat., C: Nowhere",
        "A",
        ("On the book.", "Beneath the cat.", "Nowhere"),
    ),
    ("Which?\n(A) rubber\n(B) cotton\nAnswer with the letter.", "B", ("rubber", "cotton")),
    ("Which? A. 1/2 B. 0.25 C. 3", "C", ("1/2", "0.25", "3")),
    ("Choices: (A) 5 cm (B) 6 cm", "A", ("5 cm", "6 cm")),
    ("e.g., A, B, C, D, at the end.\nChoices:\n(A) up\n(B) down", "A", ("up", "down")),
    ("Which?\nOptions: A: x, B: y", "D", ()),  # the truth is not among them
    ("Which?\nOptions: A: x, B: x", "A", ()),  # two are the same
    ("Which?\nOptions: A: , B: x", "A", ()),
    ("What is vitamin A: a word or a letter?", "A", ()),
    ("What is it?", "A", ()),
    ("", None, ()),
]


@pytest.mark.parametrize(("question", "answer", "options"), READ)
def test_options_are_read_or_left(question: str, answer: str | None, options: tuple[str, ...]) -> None:
    assert read_options(question, answer) == options


LETTERS = [
    ("A", "A"),
    ("AC", "A, C"),
    ("C A", "A, C"),
    ("A,C", "A, C"),
    ("(A)(D)", "A, D"),
    ("B and A", "A, B"),
    ("AA", "A"),
]


@pytest.mark.parametrize(("answer", "letters"), [*LETTERS, ("a tree", "a tree"), ("", "")])
def test_letters(answer: str, letters: str) -> None:
    assert letters_of(answer) == letters


def test_labels_go_only_when_all_have_theirs() -> None:
    assert unlabelled(["(A) Road", "(B) Lake"]) == ("Road", "Lake")
    assert unlabelled(["A. Road", "B: Lake"]) == ("Road", "Lake")
    assert unlabelled(["Road ", "(B) Lake"]) == ("Road", "(B) Lake")
    assert unlabelled(["(B) Road", "(A) Lake"]) == ("(B) Road", "(A) Lake")


@pytest.mark.parametrize(
    ("row", "answer", "reason"),
    [
        ({"A": "x", "B": None, "C": "z"}, "A", "wrong_type"),
        ({"A": "x", "B": ["y"]}, "A", "wrong_type"),
        ({"A": "x", "B": "y"}, "C", "wrong_answer"),
    ],
)
def test_columns_that_are_no_options(row: dict[str, object], answer: str, reason: str) -> None:
    with pytest.raises(RowError) as caught:
        option_columns(row, answer)
    assert caught.value.reason == reason


def test_columns_of_options() -> None:
    assert option_columns({"A": "x", "B": 2, "C": None, "question": "?"}, "b") == ("x", "2")
    assert option_columns({"question": "?"}, "A") == ()
