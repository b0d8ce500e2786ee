"""Numbers: text → exact value; None for what is no single number."""

from __future__ import annotations

from fractions import Fraction

import pytest

from mmpr.answers.text.numerals import parse_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("-7", -7),
        ("3.50", Fraction(7, 2)),
        (".5", Fraction(1, 2)),
        ("1,234", 1234),
        ("1 234", 1234),
        ("12,34,567", 1234567),
        ("1.234.567", 1234567),
        ("2,74", Fraction(137, 50)),
        ("0,5", Fraction(1, 2)),
        ("3/4", Fraction(3, 4)),
        ("1 1/2", Fraction(3, 2)),
        ("1e3", 1000),
        ("2 × 10^{-3}", Fraction(1, 500)),
        ("5k", 5000),
        ("2 million", 2_000_000),
        ("0.\\overline{3}", Fraction(1, 3)),
        ("twenty-five", 25),
        ("two hundred and five", 205),
        ("minus three", -3),
        ("three quarters", Fraction(3, 4)),
        ("three and a half", Fraction(7, 2)),
        ("two point five", Fraction(5, 2)),
        ("point five", Fraction(1, 2)),
        ("minus point zero five", Fraction(-1, 20)),
        ("1万2千", 12_000),
        ("3万5", 35_000),
        ("三万五", 35_000),
        ("3万5000", 35_000),
        ("3千零5", 3_005),
        ("1亿2千万", 120_000_000),
        ("a dozen", 12),
        ("3 out of 4", Fraction(3, 4)),
        ("三百零五", 305),
        ("十二", 12),
        ("两万", 20_000),
        ("三分之二", Fraction(2, 3)),
        ("负五", -5),
        ("1.5万", 15_000),
    ],
)
def test_a_number(text, value):
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "x", "1,2", "1, 2", "five two", "3-4", "1e999999", "half past", "1/0", "dozens", "A1", "5 cm", "三五个"],
)
def test_no_number(text):
    assert parse_number(text) is None
