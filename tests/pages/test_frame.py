"""The frame of a page: numbers, JSON, scripts, colours."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from mmpr.pages import frame

anything = st.text(st.characters(exclude_categories=()), max_size=80)


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (None, "share", "–"),
        (0.0, "share", "0%"),
        (1.0, "share", "100%"),
        (0.5, "share", "50.0%"),
        (0.9998, "share", "99.98%"),
        (0.99999, "share", ">99.99%"),
        (0.0002, "share", "0.02%"),
        (0.0000001, "share", "<0.01%"),
        (-0.031, "share", "−3.1%"),
        (1234567, "count", "1,234,567"),
        (1.315, "ratio", "1.31"),
        (-20.0, "tokens", "−20"),
        (1234.5, "tokens", "1,234"),
    ],
)
def test_number(value: float | None, unit: str, said: str) -> None:
    assert frame.number(value, unit) == said


@given(st.recursive(anything, lambda inner: st.lists(inner) | st.dictionaries(anything, inner), max_leaves=8))
def test_json_block_holds_data_and_no_markup(value: object) -> None:
    block = frame.json_block({"value": value})
    assert not set(block) & set("<>&\u2028\u2029")
    assert json.loads(block) == {"value": value}


@pytest.mark.parametrize("own", [{"script": "x = '</script>'"}, {"style": "</STYLE>"}, {"script": "<!--"}])
def test_a_script_cannot_end_itself(own: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="would end its element"):
        frame.page("title", Markup(), **own)


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_contrast(scheme: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", frame.asset("frame.css"), re.S)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", blocks[scheme]))
    grounds = {
        "paper": ("ink", "muted", "accent", "ok", "look", "bad", "chosen", "rejected"),
        "accent-soft": ("ink", "muted", "accent"),
        "chosen-soft": ("ink",),
        "rejected-soft": ("ink",),
        "answer-soft": ("ink",),
    }
    for ground, inks in grounds.items():
        for ink in inks:
            dark, light = sorted((luminance(colours[ground]), luminance(colours[ink])))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)
