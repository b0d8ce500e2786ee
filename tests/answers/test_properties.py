"""Properties of match: total, deterministic, reflexive, symmetric where it should be, blind to harmless formatting."""

from __future__ import annotations

from fractions import Fraction
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpr.answers import entails, extract, match
from mmpr.answers.text.characters import clean
from mmpr.answers.text.numerals import parse_number
from mmpr.schema import Status

pytestmark = pytest.mark.slow

SETTINGS = settings(max_examples=150)
NUMBERS = st.one_of(
    st.integers(-(10**9), 10**9).map(str),
    st.integers(-(10**6), 10**6).map(lambda n: f"{n:,}"),
    st.decimals(-1000, 1000, allow_nan=False, allow_infinity=False, places=3).map(str),
    st.tuples(st.integers(-99, 99), st.integers(1, 99)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    st.tuples(st.integers(-99, 99), st.integers(1, 99)).map(lambda pair: rf"\frac{{{pair[0]}}}{{{pair[1]}}}"),
)
SETS = st.lists(st.integers(-50, 50), min_size=1, max_size=5, unique=True)
WORDS = st.sampled_from(
    ["giraffe", "red", "rectangle", "Paris", "umbrella", "tennis", "kitchen", "photosynthesis", "teal", "oxygen"]
)


@st.composite
def expressions(draw, depth=2):
    if depth == 0:
        return draw(st.sampled_from(["x", "y", "1", "2", "3", "7", r"\pi", r"\sqrt{2}", "0.5"]))
    left, right = draw(expressions(depth=depth - 1)), draw(expressions(depth=depth - 1))
    form = draw(
        st.sampled_from(
            [
                "({0})+({1})",
                "({0})-({1})",
                r"({0})\cdot({1})",
                r"\frac{{{0}}}{{{1}+11}}",
                "({0})^2",
                r"\sqrt{{({0})^2+1}}",
            ]
        )
    )
    return form.format(left, right)


ANSWERS = st.one_of(
    NUMBERS,
    expressions(),
    WORDS,
    st.sampled_from(["yes", "no", "B", "(0,1]", "5 cm", "3:30", "March 5, 2020", "red, blue", "红色"]),
)


def right(prediction, gold, **more):
    return match(prediction, gold, **more).status == "correct"


@SETTINGS
@given(st.text(max_size=300), st.text(min_size=1, max_size=60))
def test_match_is_total_and_deterministic(prediction, gold):
    first = match(prediction, gold)
    assert first.status in get_args(Status)
    assert match(prediction, gold) == first


@SETTINGS
@given(
    st.text(alphabet=r"\{}()[]^_$,.|&0123456789xyabfracsqrtboxedpi+-*/=<> ", max_size=120),
    st.sampled_from(["5", "x", "B", r"\frac{1}{2}", "(0,1)"]),
)
def test_match_is_total_on_near_formulas(prediction, gold):
    assert match(prediction, gold).status in ("correct", "incorrect", "unsure", "unparseable", "timeout")


@SETTINGS
@given(st.text(max_size=400))
def test_extract_is_total(response):
    answer = extract(response)
    assert answer is None or (answer == answer.strip() and answer)


@SETTINGS
@given(ANSWERS)
def test_reflexive(answer):
    assert right(answer, answer)


@SETTINGS
@given(NUMBERS, NUMBERS)
def test_numbers_are_compared_by_value_both_ways(one, two):
    def value(text):
        text = text.replace(",", "")
        if text.startswith("\\"):
            top, bottom = text[6:-1].split("}{")
            return Fraction(int(top), int(bottom))
        return Fraction(text)

    assert right(one, two) == right(two, one) == (value(one) == value(two))


@SETTINGS
@given(expressions(), expressions())
def test_expressions_are_symmetric(one, two):
    assert match(one, two).status == match(two, one).status


@SETTINGS
@given(expressions())
def test_rewriting_an_expression_keeps_it(text):
    assert right(f"({text})+x-x", text)
    assert right(rf"2\cdot({text})\cdot\frac{{1}}{{2}}", text)
    assert not right(f"({text})+1", text)


@SETTINGS
@given(SETS, st.randoms(use_true_random=False))
def test_sets_have_no_order_and_tuples_do(items, random):
    shuffled = items[:]
    random.shuffle(shuffled)
    as_set = r"\{" + ", ".join(map(str, items)) + r"\}"
    other = r"\{" + ", ".join(map(str, shuffled)) + r"\}"
    assert right(other, as_set)
    assert right(as_set, other)
    if len(items) > 1:
        one, two = f"({', '.join(map(str, items))})", f"({', '.join(map(str, shuffled))})"
        assert right(two, one) == right(one, two) == (items == shuffled)
        assert not right(as_set, f"{', '.join(map(str, [*items, 99]))}")


WRAPPINGS = [
    "{}",
    " {} ",
    "{}.",
    "**{}**",
    "${}$",
    r"\boxed{{{}}}",
    r"$\boxed{{{}}}$",
    r"\({}\)",
    r"\[{}\]",
    "Final answer: {}",
    "The answer is {}.",
    "**Answer:** {}",
    "{}\n",
]


@SETTINGS
@given(ANSWERS, st.sampled_from(WRAPPINGS))
def test_harmless_formatting_changes_nothing(answer, wrapping):
    assert right(wrapping.format(answer), answer)


@SETTINGS
@given(
    st.integers(2, 10**6),
    st.sampled_from(
        [
            "not {}",
            "less than {}",
            "at least {}",
            "either {} or {}1",
            "maybe {}",
            "{} or {}0",
            "between 0 and {}",
            "{}?",
        ]
    ),
)
def test_hedged_numbers_are_wrong(number, form):
    assert not right(form.format(number, number), str(number))


@SETTINGS
@given(st.integers(0, 10**12))
def test_numbers_survive_grouping(number):
    assert parse_number(f"{number:,}") == number
    assert parse_number(str(number)) == number


@SETTINGS
@given(st.text(max_size=80))
def test_cleaning_twice_is_cleaning_once(text):
    once = clean(text)
    assert once is None or clean(once) == once


@pytest.mark.parametrize(
    ("rejected", "chosen", "contained"),
    [
        ("10", "1", False),
        ("1", "1", True),
        ("3, 4", "3", True),
        ("3 or 4", "4", True),
        ("Paris, France", "Paris", True),
        ("Parisian", "Paris", False),
        ("B or C", "B", True),
        ("C", "B", False),
        ("B. Paris", "B", True),
        ("5 cm", "5", True),
        ("50", "5", False),
        ("3.5", "3", False),
        ("13", "3", False),
        ("between 3 and 4", "3", True),
        ("1/2", "0.5", True),
        ("red and blue", "blue", True),
        ("a red car", "red", True),
        ("reddish", "red", False),
        ("no", "yes", False),
        ("", "5", False),
        ("12,345", "12", False),
        ("1,000", "1000", True),
        ("cats and dogs", "dog", True),
        ("x = 7", "7", True),
    ],
)
def test_entails(rejected, chosen, contained):
    assert entails(rejected, chosen) is contained


def test_entails_by_choices():
    assert entails("B", "Paris", choices=["London", "Paris"])
    assert not entails("A", "Paris", choices=["London", "Paris"])


_BABBLE = [
    "omp medi",
    "are omp answer medi its first",
    "walks then blue",
    "is one the of it",
    "they mine answer go",
    "so wall the sky ran him",
]


@pytest.mark.parametrize("babble", _BABBLE)
@pytest.mark.parametrize("gold", ["4", "B", "yes", "5 cm", "blue", "x+1"])
def test_an_answer_before_unrelated_words_is_none(gold, babble):
    assert match(f"{gold} {babble}", gold).status != "correct"
    assert match(f"{gold} {babble}", gold, choices=["red", "green", "white"]).status != "correct"
