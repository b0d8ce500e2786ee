"""What a description claims of a picture whose contents are known, and what counts as made up."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.prove.claims import claims, measure
from data.demo_text import describe_digits
from mmpr.schema import Pair, PairedResponse, PreferenceRow, Question
from mmpr.storage.manifest import FORMAT, file_table
from mmpr.storage.shards import Unit, shard, write_json, write_shard

DIGITS = {"digits": [3, 8, 5]}
SHAPE = {"shape": "circle", "colour": "black"}


@pytest.mark.parametrize(
    ("facts", "text", "wanted"),
    [
        (DIGITS, "In the top row stand a 3 and an 8.", {"top": [True, True]}),
        (DIGITS, "In the top row stand an 8 and a 3.", {"top": [False, False]}),
        (DIGITS, "In the bottom row stands a 5 alone.", {"bottom": [True]}),
        (DIGITS, "In the bottom row stand a 5 and a 2.", {"bottom": [True, False]}),
        (DIGITS, "The bottom row is empty.", {"empty": [False]}),
        ({"digits": [1, 1]}, "The bottom row is empty.", {"empty": [True]}),
        (DIGITS, "The largest digit is 8 and the smallest is 5.", {"largest": [True], "smallest": [False]}),
        (DIGITS, "The last digit is a 5. The last digit is 3.", {"last": [True, False]}),
        (DIGITS, "The number of even digits is 1.", {"even": [True]}),
        (DIGITS, "The first digit is smaller than the last digit.", {"relation": [True]}),
        (DIGITS, "The first digit is equal to the last digit.", {"relation": [False]}),
        (DIGITS, "There are four handwritten digits in the picture, white on black.", {"number": [False]}),
        (DIGITS, "The picture shows a red circle.", {"shape": [False], "colour": [False]}),
        (SHAPE, "There is a blue shape. It is a circle.", {"shape": [True], "colour": [False]}),
        (SHAPE, "The largest digit is 8.", {"largest": [False]}),
        ({"shape": "circle"}, "a red circle on a light background", {"shape": [True]}),
        ({}, "The picture shows a red circle.", {}),
        (SHAPE, "It stands in the upper left of the picture.", {}),
    ],
)
def test_claims(facts: dict[str, object], text: str, wanted: dict[str, list[bool]]) -> None:
    found: dict[str, list[bool]] = {}
    for claim in claims(text, facts):
        found.setdefault(claim.what, []).append(claim.holds)
        assert text[claim.place :]
    assert found == wanted


@given(st.lists(st.integers(0, 9), min_size=2, max_size=4), st.integers())
def test_true_descriptions_hold(digits: list[int], seed: int) -> None:
    found = list(claims(describe_digits(digits, random.Random(seed)), {"digits": digits}))
    assert len(found) >= 4
    assert all(claim.holds for claim in found), found


def response(text: str, prefix: int = 0) -> PairedResponse:
    return PairedResponse(text, 5, "stop", 0, 0, continued=prefix > 0, prefix_chars=prefix)


def test_only_what_is_claimed_after_the_shared_half_counts(tmp_path: Path) -> None:
    kept = "In the top row stand a 9 and a"
    unit = Unit("train", 0, 1)
    rows = [
        PreferenceRow(
            id=f"{number}",
            source="open",
            kind="describe",
            images=(),
            question="Describe.",
            prompt="Describe.",
            answer=None,
            pass_rate=None,
            responses=(
                response(f"{kept}n 8. In the bottom row stands a 5 alone."),
                response(f"{kept} 2. The largest digit is 8. The last digit is a 7.", len(kept)),
            ),
            pairs=(Pair(0, 1, "dropout"),),
        )
        for number in range(3)
    ]
    questions = [Question(row.id, "open", row.question, meta='{"digits": [3, 8, 5]}') for row in rows]
    write_shard(shard(tmp_path, "ingest", unit), Question, questions, {})
    write_shard(shard(tmp_path, "pair", unit), PreferenceRow, rows, {})
    write_json(tmp_path / "manifest.json", {"format": FORMAT, "files": dict(file_table(tmp_path))})
    whole, same = measure(tmp_path)
    assert (whole.source, same.source, whole.pairs, whole.questions) == ("open", "all", 3, 3)
    assert whole.claims == (6, 9), "the 9 stands in the half that both share"
    chosen, rejected, difference = whole.false_claims
    assert (chosen.value, chosen.low, chosen.high) == (0, 0, 0)
    assert np.allclose([rejected.value, difference.value, difference.low], 2 / 3)
    assert [mean.value for mean in whole.responses] == [0, 1, 1]
