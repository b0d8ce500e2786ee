"""Every labelled pair of pairs.jsonl, and how the whole table comes out.

The labels were written by hand before the matcher was run on them. A label may be wrong; then it is changed with a
reason,
never because the matcher disagrees.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from mmpr.answers import match, match_many

PAIRS = [json.loads(line) for line in (Path(__file__).parent / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
KINDS = sorted({pair["kind"] for pair in PAIRS})


def _verdict(pair):
    for _ in range(5):  # a proof may come late on a busy machine, and is never remembered then
        verdict = match(pair["pred"], pair["gold"], choices=pair.get("choices"), rule=pair.get("rule", "default"))
        if verdict.status != "timeout":
            break
    return verdict


@pytest.mark.parametrize("kind", KINDS)
def test_pairs(kind):
    wrong = []
    for pair in PAIRS:
        if pair["kind"] == kind:
            verdict = _verdict(pair)
            if (verdict.status == "correct") != pair["label"]:
                wrong.append((pair, verdict))
    assert not wrong, "\n".join(map(str, wrong))


def test_table_is_wide_enough():
    counts = Counter(pair["kind"] for pair in PAIRS)
    assert len(PAIRS) >= 1_500
    assert min(counts.values()) >= 50
    assert 0.4 < sum(pair["label"] for pair in PAIRS) / len(PAIRS) < 0.65


def test_verdicts_say_what_decided():
    for pair in PAIRS:
        verdict = _verdict(pair)
        assert verdict.status in ("correct", "incorrect", "unparseable"), pair
        assert verdict.comparator, pair
        assert verdict.reason, pair


def test_match_many_is_match_in_order():
    rows = PAIRS[:300]
    assert match_many(rows) == [_verdict(pair) for pair in rows]
