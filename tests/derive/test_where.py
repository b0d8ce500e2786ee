"""Conditions on columns: what holds, what cannot be understood, and what is said of it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpr.derive.where import MAX_CHARS, MAX_DEPTH, Type, parse_condition
from mmpr.errors import RecipeError

COLUMNS: dict[str, Type] = {"rate": "number", "other": "number", "source": "text", "kind": "text", "old": "flag"}
ROW = {"rate": 0.5, "other": None, "source": "charts", "kind": "", "old": True}

HOLDS = [
    ("rate == 0.5", True),
    ("rate = .5", True),
    ("rate != 5e-1", False),
    ("rate>=0.5 and rate<=0.5", True),
    ("rate < 0.5 or rate > 0.5", False),
    ("rate > -1", True),
    ("source == 'charts'", True),
    ('source == "Charts"', False),
    ("source contains 'art'", True),
    ("source in ('maps', 'charts')", True),
    ("source not in ('maps', 'charts')", False),
    ("rate in (1, 0.5)", True),
    ("source < 'd'", True),
    ("kind == ''", True),
    ("old", True),
    ("not old", False),
    ("old == false", False),
    # and binds before or
    ("old or rate > 1 and source == 'x'", True),
    ("(old or rate > 1) and source == 'x'", False),
    ("NOT (rate > 1) AND old", True),
    # no value: no comparison holds
    ("other > 0", False),
    ("other != 0", False),
    ("other in (0)", False),
    ("other not in (0)", False),
    ("other is null", True),
    ("other is not null", False),
    ("rate is null", False),
    ("rate > other", False),
    ("rate == rate", True),
    ("not other > 0", True),
    (r"source != 'it\'s'", True),
]


@pytest.mark.parametrize(("text", "holds"), HOLDS)
def test_holds(text: str, holds: bool) -> None:
    assert parse_condition(text, COLUMNS).holds(ROW) is holds


def test_the_columns_that_are_looked_at_are_known() -> None:
    assert parse_condition("rate > other or source == 'x'", COLUMNS).columns == {"rate", "other", "source"}


WRONG = [
    ("", "a column is expected at character 0, where the end stands"),
    ("   ", "a column is expected"),
    ("ratio > 1", r"there is no column 'ratio'; do you mean rate\? .*the columns are rate, other, source, kind, old"),
    ("source == charts", "there is no column 'charts'.*a text stands in quotes"),
    ("zzz", "there is no column 'zzz' .*the columns are"),
    ("rate > 'a'", "rate is a number, and 'a' at character 7 is a text"),
    ("source > 1", "source is a text, and 1 at character 9 is a number"),
    ("rate > source", "rate is a number, source is a text"),
    ("rate contains 'a'", "rate is a number; only a text contains"),
    ("rate", r"a comparison .* is expected at character 4, where the end stands"),
    ("rate >", "a number, as rate is one is expected at character 6, where the end"),
    ("(rate > 1", r"'\)' is expected at character 9"),
    ("rate > 1)", "nothing is expected at character 8"),
    ("rate > 1 rate", "nothing is expected at character 9, where 'rate' stands"),
    ("rate not 1", "in is expected"),
    ("rate is 1", "'null' is expected"),
    ("rate in ()", "a number, as rate is one is expected"),
    ("1 < rate", "a column is expected at character 0, where '1' stands"),
    ("rate > 1; drop", "cannot be read at character 8: '; drop'"),
    ("source == 'open", "cannot be read at character 10"),
    ("__import__('os')", "there is no column '__import__'"),
    ("rate.__class__ == 1", "cannot be read at character 4"),
    ("rate > 1 and", "a column is expected at character 12, where the end"),
    ("rate > 12abc", "cannot be read"),
    ("not " * (MAX_DEPTH + 2) + "old", "nested more than"),
    ("(" * (MAX_DEPTH + 2) + "old" + ")" * (MAX_DEPTH + 2), "nested more than"),
    ("old or " * MAX_CHARS + "old", "at most 4,000 are read"),
]


@pytest.mark.parametrize(("text", "problem"), WRONG)
def test_wrong_conditions_are_told(text: str, problem: str) -> None:
    with pytest.raises(RecipeError, match=problem):
        parse_condition(text, COLUMNS)


WORDS = st.sampled_from(
    ["rate", "source", "old", "and", "or", "not", "(", ")", "==", "<", "in", "is", "null", "1", "'a'"]
)


@given(st.lists(WORDS, max_size=30).map(" ".join) | st.text(max_size=60))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        condition = parse_condition(text, COLUMNS)
    except RecipeError:
        return
    assert condition.holds(ROW) in (True, False)


@pytest.mark.parametrize("piece", ["(", "'", "\\", "'\\", "not ", "1.", "1e", "old and ", " ", "=", "a"])
def test_hostile_texts_take_no_time(piece: str) -> None:
    started = time.monotonic()
    with pytest.raises(RecipeError):
        parse_condition((piece * MAX_CHARS)[:MAX_CHARS], COLUMNS)
    assert time.monotonic() - started < 1
