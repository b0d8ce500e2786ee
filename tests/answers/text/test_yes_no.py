"""Yes and no: answer → True, False or neither."""

from __future__ import annotations

import pytest

from mmpr.answers.text.yes_no import polarity


@pytest.mark.parametrize(
    ("answer", "yes"),
    [
        ("yes", True),
        ("Yes, it is.", True),
        ("The statement is true", True),
        ("是的", True),
        ("对，因为它是红的", True),
        ("no", False),
        ("No, they are not.", False),
        ("not correct", False),
        ("不是", False),
        ("yes and no", None),
        ("No, but maybe", None),
        ("red", None),
    ],
)
def test_polarity(answer, yes):
    assert polarity(answer) is yes
