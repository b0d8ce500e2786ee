"""Which of the possible pairs are kept by the settings under ``pairing``: tables, and what holds for all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpr.config import PairingSpec, parse_recipe
from mmpr.errors import RecipeError
from mmpr.pipeline.choosing import LENGTH_TOLERANCE, WINS_TOLERANCE, balance, is_kept
from mmpr.pipeline.pairing import balanced, pair_by_correctness, pair_by_dropout
from mmpr.report.make import make_report
from mmpr.schema import PreferenceRow
from mmpr.storage.counts import total
from mmpr.storage.manifest import read_manifest
from mmpr.storage.tables import read_rows
from tests.helpers import build_without_ray, small_recipe, small_tree
from tests.pipeline.test_pairing import ORIGINALS, completion, judged, pairs_of
from tests.report.planted import Fault, make_build, talk


def with_tokens(words: str, *tokens: int):
    """``judged``, its responses with these many tokens."""
    rollout, verdicts = judged(words)
    drawn = tuple(
        replace(one, tokens=many, text=one.text.replace("_", " "))
        for one, many in zip(rollout.responses, tokens, strict=True)
    )
    return replace(rollout, responses=drawn), verdicts


# responses, their tokens, settings, outcome, pairs as sample positions, what was skipped
GOLDEN = [
    # the window of pass rates, both ends included
    ("+3 -4", (5, 5), {"pass_rate": (0.5, 0.5)}, "paired", {(0, 1)}, {}),
    ("+3 -4 ?", (5, 5, 5), {"pass_rate": (0.5, 0.9)}, "all_left_out", set(), {"pass_rate": 2}),
    ("+3 +3 -4 -5!", (5, 5, 5, 5), {"pass_rate": (0.0, 0.4)}, "all_left_out", set(), {"pass_rate": 2, "truncated": 2}),
    ("+3 +5", (5, 5), {"pass_rate": (0.0, 0.5)}, "all_correct", set(), {}),
    # lengths
    ("+3 -4 -5", (10, 15, 16), {"length_balance": 1.5}, "paired", {(0, 1)}, {"lengths_differ": 1}),
    ("+3 -4", (16, 10), {"length_balance": 1.5}, "all_left_out", set(), {"lengths_differ": 1}),
    ("+3 ?", (0, 1), {"length_balance": 1.0}, "paired", {(0, 1)}, {}),
    # the pair that brings the two sides together: 20 against 10, and then 10 against 20
    (
        "+3 +3 -4 -4",
        (20, 10, 10, 20),
        {"length_balance": 9.0, "max_pairs": 2},
        "paired",
        {(0, 3), (1, 2)},
        {"capped": 2},
    ),
    # the commonest wrong answer is the hardest
    (
        "+3 -4 -5 -5 -6",
        (5,) * 5,
        {"rejected": "commonest", "max_pairs": 2},
        "paired",
        {(0, 2), (0, 3)},
        {"capped": 2},
    ),
    # the chosen that says something else
    (
        "+3/a_b_c +3/x_y_z -4/a_b_d",
        (5,) * 3,
        {"chosen": "most_different", "max_pairs": 1},
        "paired",
        {(1, 2)},
        {"capped": 1},
    ),
    # at most so many pairs a response, on each side
    ("+3 -4 -5", (5,) * 3, {"max_pairs_a_response": 1}, "paired", 1, {"response_used_up": 1}),
    ("+3 +3 -4 -5", (5,) * 4, {"max_pairs_a_response": 1}, "paired", 2, {"response_used_up": 2}),
    ("+3 -4 ?", (5,) * 3, {"max_pairs_a_response": 1}, "paired", {(0, 1)}, {"response_used_up": 1}),
]


@pytest.mark.parametrize(("words", "tokens", "settings", "outcome", "pairs", "skipped"), GOLDEN)
def test_golden(words: str, tokens: tuple, settings: dict, outcome: str, pairs: set | int, skipped: dict) -> None:
    rollout, verdicts = with_tokens(words, *tokens)
    spec = PairingSpec(**{name: value for name, value in settings.items() if name != "max_pairs"})
    pairing = pair_by_correctness(rollout, verdicts, max_pairs=settings.get("max_pairs", 15), spec=spec)
    found = {pair[:2] for pair in pairs_of(pairing)}
    assert (pairing.outcome, pairing.skipped) == (outcome, skipped)
    assert found == pairs if isinstance(pairs, set) else len(found) == pairs


@pytest.mark.parametrize(
    ("settings", "pairs", "skipped"),
    [
        ({}, 3, {}),
        ({"max_pairs_a_response": 1}, 2, {"response_used_up": 1}),
        ({"length_balance": 1.4}, 1, {"lengths_differ": 2}),  # 5 and 4 tokens against 6
    ],
)
def test_dropout_pairs_are_chosen_too(settings: dict, pairs: int, skipped: dict) -> None:
    done = [completion(0, "a", " x"), completion(0, "a", " y", 0.25), completion(1, "a", " z")]
    if "length_balance" in settings:
        done[0] = replace(done[0], prefix_tokens=20)
    pairing = pair_by_dropout(ORIGINALS, done, spec=PairingSpec(**settings))
    assert (len(pairing.pairs), pairing.skipped) == (pairs, skipped)


@given(st.lists(st.tuples(st.integers(1, 200), st.integers(1, 200)), max_size=60))
def test_balance_leaves_no_side_longer(lengths: list[tuple[int, int]]) -> None:
    margins, tokens = [one - other for one, other in lengths], sum(map(sum, lengths))
    out = balance(margins, tokens)
    kept = [margin for at, margin in enumerate(margins) if at not in out]
    assert abs(sum(kept)) <= LENGTH_TOLERANCE * tokens / 2
    ahead = sum(margin > 0 for margin in kept) - sum(margin < 0 for margin in kept)
    assert abs(ahead) <= max(1, WINS_TOLERANCE * len(kept))
    assert {at for at, margin in enumerate(margins) if margin == 0} & out == set()
    if not sum(margins) and abs(sum(m > 0 for m in margins) - sum(m < 0 for m in margins)) <= 1:
        assert not out


def test_balanced_questions_keep_the_responses_of_their_pairs_only() -> None:
    pairings = [pair_by_correctness(*with_tokens("+3 +3 -4", 90, 20, 20)), pair_by_correctness(*judged("-1 -2"))]
    first, second = balanced(pairings)
    assert [response.tokens for response in first.responses] == [20, 20]
    assert (len(first.pairs), first.skipped) == (1, {"length_balance": 1})
    assert second is pairings[1]
    [lost] = balanced([pair_by_correctness(*with_tokens("+3 -4", 90, 20))])
    assert (lost.outcome, lost.responses, lost.pairs) == ("all_left_out", (), ())


def test_shares_are_drawn_by_id() -> None:
    spec = PairingSpec.model_validate_json('{"keep": {"source": {"a": 0.5}, "kind": {"sum": 0.5, "none": 0}}}')
    ids = [f"q{i}" for i in range(1000)]
    kept = {name: {id for id in ids if is_kept(spec, id, *name)} for name in (("a", ""), ("a", "sum"), ("b", "none"))}
    assert 430 < len(kept["a", ""]) < 570
    assert 190 < len(kept["a", "sum"]) < 310
    assert kept["a", "sum"] < kept["a", ""]
    assert not kept["b", "none"]
    assert all(is_kept(spec, id, "b", "") for id in ids)


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("pairing.pass_rate=[0.5,0.2]", "the first rate must not be above the second"),
        ("pairing.length_balance=0.5", "greater than or equal to 1"),
        ("pairing.keep.source={a: 2}", "less than or equal to 1"),
        ("pairing.hardest=true", "not a setting"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, setting: str, problem: str) -> None:
    with pytest.raises(RecipeError, match=problem):
        parse_recipe(small_tree(tmp_path), [setting], folder=tmp_path)


def test_settings_that_are_off_leave_no_trace() -> None:
    assert PairingSpec().model_dump(mode="json") == {"max_pairs": 15, "format_pairs": True}
    assert not PairingSpec().chooses
    assert PairingSpec(max_pairs=3).chooses is False
    assert PairingSpec(rejected="commonest").chooses


LONGER = Fault(spoil=lambda text, right, dice: talk(dice, dice.randrange(28, 60) if right else dice.randrange(15, 40)))


@pytest.mark.slow
def test_length_balance_heals_a_planted_build(tmp_path: Path) -> None:
    """Chosen sides that are longer make two findings; pairs made again without them make none."""
    out = make_build(tmp_path, LONGER)
    levels = {line.key: line.level for line in make_report(out).findings}
    assert {levels["length_bias"], levels["longer_wins"]} & {"look", "bad"}
    recipe = parse_recipe(read_manifest(out)["recipe"], ["pairing.length_balance=2.0"], folder=tmp_path)
    counts = build_without_ray(recipe, out, "pair")["counts"]["pair"]
    report = make_report(out)
    healed = {line.key: line.level for line in report.findings}
    assert (healed["length_bias"], healed["longer_wins"], healed["unaccounted"]) == ("ok", "ok", "ok")
    assert total(counts, "skipped/length_balance") > 0
    assert total(counts, "pairs/") > 200  # of 690


@pytest.mark.slow
def test_a_build_with_every_choice_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mmpr.check.__main__ import main

    out = tmp_path / "out"
    build_without_ray(small_recipe(tmp_path), out)
    before = total(read_manifest(out)["counts"]["pair"], "pairs/")
    choices = ["pass_rate=[0.05, 0.9]", "length_balance=1.8", "rejected=commonest", "chosen=most_different"]
    choices += ["max_pairs_a_response=2", "keep.source={digits: 0.7}"]
    recipe = small_recipe(tmp_path, *(f"pairing.{choice}" for choice in choices))
    counts = build_without_ray(recipe, out, "pair")["counts"]["pair"]
    said = capsys.readouterr().out
    assert f"pairs changed: pairs {before:,} to {total(counts, 'pairs/'):,}" in said
    assert "over its share" in said
    assert main([str(out), "--verify"]) == 0
    assert {line.key: line.level for line in make_report(out).findings}["unaccounted"] == "ok"
    for path in (out / "pairs").glob("*.parquet"):
        for row in read_rows(path, PreferenceRow):
            uses = Counter(("c", p.chosen) for p in row.pairs) + Counter(("r", p.rejected) for p in row.pairs)
            assert max(uses.values()) <= 2
            assert row.pass_rate is None or 0.05 <= row.pass_rate <= 0.9
