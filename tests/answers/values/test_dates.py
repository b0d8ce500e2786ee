"""Dates and times: text → date, day, month, year or time."""

from __future__ import annotations

import pytest

from mmpr.answers.values.dates import (
    COUNTS_TO_24,
    agree,
    parse_date,
    parse_day,
    parse_month,
    parse_time,
    parse_year,
    same_time,
)
from tests.helpers import known


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("March 5, 2020", (2020, 3, 5)),
        ("5 March 2020", (2020, 3, 5)),
        ("the 5th of March", (None, 3, 5)),
        ("in March 2020", (2020, 3, None)),
        ("2020-03-05", (2020, 3, 5)),
        ("3/5/2020", (2020, 3, 5)),
        ("13/5/2020", (2020, 5, 13)),
        ("3/5/99", (1999, 3, 5)),
        ("Monday, March 5", (None, 3, 5)),
        ("2020年3月5日", (2020, 3, 5)),
        ("三月五日", (None, 3, 5)),
        ("March", None),
        ("March 35", None),
        ("13/13/2020", None),
        ("2020", None),
    ],
)
def test_parse_date(text, date):
    assert parse_date(text) == date


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("3:30 PM", (15, 30, 0, True)),
        ("15:30", (15, 30, 0, True)),
        ("3:30", (3, 30, 0, False)),
        ("3 o'clock", (3, 0, 0, False)),
        ("noon", (12, 0, 0, True)),
        ("12:15 a.m.", (0, 15, 0, True)),
        ("half past three", (3, 30, 0, False)),
        ("quarter to 1", (12, 45, 0, False)),
        ("下午3点半", (15, 30, 0, True)),
        ("三点一刻", (3, 15, 0, False)),
        ("3", None),
        ("25:00", None),
        ("15:00 am", None),
    ],
)
def test_parse_time(text, time):
    assert parse_time(text) == time


def test_what_stands_alone():
    assert parse_day("Monday") == parse_day("周一") == 0
    assert parse_month("Sept.") == parse_month("9月") == 9
    assert parse_year("in the year 1999") == 1999
    assert parse_day("red") is parse_month("red") is parse_year("red") is None


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [("3:30", "3:30 PM", True), ("3:30 AM", "3:30 PM", False), ("15:30", "3:30 PM", True), ("3:30", "3:31", False)],
)
def test_same_time(one, two, same):
    assert same_time(known(parse_time(one)), known(parse_time(two))) is same


@pytest.mark.parametrize(
    ("text", "counts"), [("21:30", True), ("0:15", True), ("12:30", False), ("9:30 PM", False), ("121:30", False)]
)
def test_counts_to_24(text, counts):
    assert (COUNTS_TO_24.search(text) is not None) is counts


@pytest.mark.parametrize(
    ("one", "two", "do"),
    [("May 1984", "May 5, 1984", True), ("May 1984", "June 1984", False), ("July 4", "July 4, 2020", True)],
)
def test_agree(one, two, do):
    assert agree(known(parse_date(one)), known(parse_date(two))) is do
