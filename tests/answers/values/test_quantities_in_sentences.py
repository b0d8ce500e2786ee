"""The quantity that an answer states: number, or the reason for which it is not read."""

from __future__ import annotations

import pytest

from mmpr.answers.values.quantities import Quantity
from mmpr.answers.values.quantities_in_sentences import quantity_said


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("5", 5),
        ("x = 5", 5),
        ("2 + 3 = 5", 5),
        ("It is 5 cm", 5),
        ("There are 5 birds on the wire", 5),
        ("He walks 5 km every day", 5),
        ("The train is fast, so the answer is 5", 5),
        ("We add them. It is 5.", 5),
        ("一共有5个", 5),
    ],
)
def test_quantity_said(answer, number):
    found = quantity_said(answer)
    assert isinstance(found, Quantity)
    assert found.number == number


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("not 5", "negation 'not'"),
        ("at least 5", "bound 'at least'"),
        ("5 or 6", "hedge 'or'"),
        ("3 birds, 5 cats", None),
    ],
)
def test_what_must_not_be_read(answer, why):
    assert quantity_said(answer) == why
