"""Responses in rounds: when a question has enough, and that the responses are the first ones of the fixed build."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mmpr.check.__main__ import main as check
from mmpr.config import AdaptiveSpec, Recipe
from mmpr.pipeline.adaptive import chance_of_another, counts_of, enough_to_pair, next_round
from mmpr.pipeline.progress import cost_line
from mmpr.schema import Completions, Rollout
from mmpr.storage.counts import total
from mmpr.storage.manifest import read_manifest
from tests.pipeline.test_growth import (
    CountingEngine,
    asked,
    contents,
    is_whole,
    make,
    no_page,
    recipe_of,
    same_rows,
    write_rows,
)
from tests.pipeline.test_pairing import judged

__all__ = ["CountingEngine", "asked", "no_page"]  # fixtures

ADAPTIVE = {"first": 4, "step": 4, "distinct": 2, "chance": 0.3}


def adaptive_of(folder: Path, *names: str, samples: int = 16, **settings: Any) -> Recipe:
    sampling = {"samples": samples, "max_tokens": 64, "adaptive": {**ADAPTIVE, **settings}}
    return recipe_of(folder, *names, sampling=sampling, pairing={"max_pairs": 4}, dropout={"max_pairs": 5})


# spec, responses so far, most, the round after
ROUNDS = [
    ((8, 8), 0, 32, 8),
    ((8, 8), 8, 32, 16),
    ((8, 8), 16, 20, 20),
    ((8, 4), 8, 32, 12),
    ((8, 4), 9, 32, 12),  # a build that grew from another number
    ((8, 8), 3, 32, 8),
    ((8, 8), 0, 4, 4),
]


@pytest.mark.parametrize(("spec", "have", "most", "upto"), ROUNDS)
def test_rounds(spec: tuple[int, int], have: int, most: int, upto: int) -> None:
    adaptive = AdaptiveSpec(first=spec[0], step=spec[1])
    assert next_round(adaptive, have, most) == upto
    assert upto in counts_of(adaptive, most)


# responses, pairs that are wanted, settings, responses at most, why to stop
RULE = [
    ("+3 +3 -4 -4", 4, {}, 16, "enough"),
    ("+3 +3 -4 -4", 5, {}, 16, None),
    ("+3 +3 -4 ?", 4, {}, 16, "enough"),  # a format pair
    ("+3 +3 +3 +3 -4", 4, {}, 16, None),  # one wrong response is no variety
    ("+3/a +3/a -4 -4", 2, {}, 16, None),  # nor is the same text twice
    ("+3 +3 -4 -4!", 2, {}, 16, None),  # a truncated one is in no pair
    ("-4 -4 -4 -4", 4, {"chance": 0.0}, 16, None),
    ("-4 -4 -4 -4", 4, {"chance": 1.0}, 16, "hopeless"),
    ("+3 +3 +3 +3", 4, {"chance": 1.0}, 16, "hopeless"),
    ("+3 -4 -4 -4", 4, {"chance": 1.0}, 16, None),  # there is a pair
    ("t t", 4, {"chance": 0.3}, 16, None),  # nothing is known
    ("-4 " * 8, 4, {"chance": 0.3, "prior": 0.25}, 16, "hopeless"),
    ("-4 " * 8, 4, {"chance": 0.3, "prior": 1.0}, 16, None),
]


@pytest.mark.parametrize(("words", "pairs", "settings", "most", "why"), RULE)
def test_the_rule(words: str, pairs: int, settings: dict, most: int, why: str | None) -> None:
    rollout, verdicts = judged(words)
    spec = AdaptiveSpec(**{"distinct": 2, "chance": 0.0, **settings})
    assert enough_to_pair(spec, rollout.responses, verdicts, most, pairs, True) == why


@pytest.mark.parametrize("prior", [0.1, 0.25, 1.0, 2.0])
@pytest.mark.parametrize(("same", "others", "draws"), [(8, 0, 24), (1, 0, 1), (3, 2, 5), (0, 0, 4), (16, 0, 1)])
def test_the_chance_is_that_of_the_posterior(same: int, others: int, draws: int, prior: float) -> None:
    """Against the product of one draw after the other, each by the mean of the posterior before it."""
    stays = math.prod((prior + same + i) / (2 * prior + same + others + i) for i in range(draws))
    assert chance_of_another(same, others, draws, prior) == pytest.approx(1 - stays, rel=1e-9)


@pytest.mark.slow
def test_an_adaptive_build_has_the_first_responses_of_the_fixed_one(
    tmp_path: Path, asked: Counter, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    write_rows(folder, "charts", range(20))
    write_rows(folder, "open", range(30, 34), answered=False)
    fixed = recipe_of(folder, "charts", "open", samples=16, pairing={"max_pairs": 4}, dropout={"max_pairs": 5})
    out = tmp_path / "out"
    manifest = make(adaptive_of(folder, "charts", "open"), out)
    said = capsys.readouterr().out
    adaptive = Counter(asked)
    asked.clear()
    make(fixed, tmp_path / "fixed")
    whole = contents(tmp_path / "fixed", "rollouts")
    part: dict[str, Rollout] = contents(out, "rollouts")
    assert part.keys() == whole.keys()
    counts = Counter(len(rollout.responses) for rollout in part.values())
    assert set(counts) <= {4, 8, 12, 16}
    assert len(counts) > 1
    for id, rollout in part.items():
        assert rollout.responses == whole[id].responses[: len(rollout.responses)]
    sampled = {key for key in adaptive if not key[1]}
    assert sampled < set(asked)
    assert is_whole(out)
    cost, fixed_cost = manifest["counts"]["sample"], read_manifest(tmp_path / "fixed")["counts"]["sample"]
    assert total(cost, "tokens") < 0.8 * total(fixed_cost, "tokens")
    assert total(cost, "adaptive/fixed_tokens") == pytest.approx(total(fixed_cost, "tokens"), rel=0.2)
    assert sum(total(cost, f"adaptive/{why}") for why in ("enough", "hopeless", "most")) == 24
    assert cost_line(manifest) in said
    # the rest is drawn when it grows to the fixed build, and nothing else
    asked.clear()
    asked.update(adaptive)
    make(fixed, out, "grow")
    assert set(asked.values()) == {1}
    assert read_manifest(out)["files"] == read_manifest(tmp_path / "fixed")["files"]


@pytest.mark.slow
def test_an_adaptive_build_goes_on_with_more(tmp_path: Path, asked: Counter) -> None:
    """More samples at most: questions that had enough are asked no more, as in the build made at once."""
    folder = tmp_path / "data"
    write_rows(folder, "charts", range(12))
    make(adaptive_of(folder, "charts", samples=8, chance=0.0), tmp_path / "out")
    make(adaptive_of(folder, "charts", samples=16, chance=0.0), tmp_path / "out", "grow")
    assert set(asked.values()) == {1}
    make(adaptive_of(folder, "charts", samples=16, chance=0.0), tmp_path / "once")
    assert same_rows(tmp_path / "out", tmp_path / "once")
    assert check([str(tmp_path / "out"), "--verify"]) == 0


@pytest.mark.slow
def test_open_questions_stop_when_enough_can_be_continued(tmp_path: Path, asked: Counter) -> None:
    folder = tmp_path / "data"
    write_rows(folder, "open", range(6), answered=False)
    out = tmp_path / "out"
    make(adaptive_of(folder, "open"), out)
    completions: dict[str, Completions] = contents(out, "completions")
    assert all(len(row.completions) == 5 for row in completions.values())
    assert max(len(rollout.responses) for rollout in contents(out, "rollouts").values()) < 16
    assert is_whole(out)
