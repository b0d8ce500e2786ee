"""The plan of steps: exact numbers, no question too often in a step, the same for any number of processes."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpr.errors import MmprError
from mmpr.train.data.step_plan import Pairs, StepPlan, hold_out, plan_steps


def columns(
    counts: list[int], sources: list[int] | None = None, lengths: int = 0, kinds: list[int] | None = None
) -> Pairs:
    """Rows with so many pairs each: chosen responses 0, 2, 4, ..., rejected 1, 3, 5, ..."""
    rng = np.random.default_rng(lengths)
    total = sum(counts)
    row = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    place = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    names = sources or [0] * len(counts)
    asked = kinds or [0] * len(counts)
    return Pairs(
        row=row,
        chosen=(2 * place).astype(np.int16),
        rejected=(2 * place + 1).astype(np.int16),
        source=np.array(names, np.int16),
        sources=tuple(f"s{i}" for i in range(max(names, default=0) + 1)),
        kind=np.array(asked, np.int16),
        kinds=tuple(f"k{i}" for i in range(max(asked, default=0) + 1)),
        prompt_tokens=rng.integers(10, 1000, len(counts)).astype(np.int32),
        response_tokens=rng.integers(5, 400, 2 * total).astype(np.int32),
        first_response=np.concatenate([[0], np.cumsum(2 * np.array(counts, np.int64))]),
    )


def seen(plan: StepPlan, epoch: int) -> Counter[int]:
    first = epoch * plan.steps_an_epoch
    return Counter(pair for step in range(first, first + plan.steps_an_epoch) for pair in plan.pairs_of(step).tolist())


@settings(max_examples=200)
@given(
    counts=st.lists(st.integers(0, 15), min_size=1, max_size=60),
    per_step=st.integers(1, 24),
    cap=st.one_of(st.none(), st.integers(1, 15)),
    seed=st.integers(0, 2**63),
    epochs=st.integers(1, 3),
)
def test_every_pair_once_an_epoch_in_full_steps_under_the_cap(
    counts: list[int], per_step: int, cap: int | None, seed: int, epochs: int
) -> None:
    pairs = columns(counts)
    try:
        plan = plan_steps(pairs, pairs_a_step=per_step, max_pairs_a_question=cap, epochs=epochs, seed=seed)
        all_steps = [plan.pairs_of(step).tolist() for step in range(len(plan))]
        refused = False
    except MmprError:
        refused = True
    if refused:
        assert not sum(counts) or not feasible(counts, per_step, min(cap or per_step, per_step))
        return
    for epoch in range(epochs):
        assert seen(plan, epoch) == Counter(range(sum(counts)))
    sizes = [len(step) for step in all_steps]
    rest = sum(counts) % per_step
    assert sizes == ([per_step] * (sum(counts) // per_step) + ([rest] if rest else [])) * epochs
    for step in all_steps:
        assert max(Counter(pairs.row[step].tolist()).values()) <= (cap or per_step)


def feasible(counts: list[int], per_step: int, cap: int) -> bool:
    """Whether there is any way, by a maximum flow from questions to steps, independent of how the plan is made."""
    total = sum(counts)
    sizes = [per_step] * (total // per_step) + ([total % per_step] if total % per_step else [])
    flow = [[0] * len(sizes) for _ in counts]
    room, left = sizes[:], counts[:]

    def push(question: int, seen_steps: set[int], seen_questions: set[int]) -> bool:
        """Give the question one more pair in some step, moving others if need be."""
        for step in range(len(sizes)):
            if step in seen_steps or flow[question][step] >= cap:
                continue
            seen_steps.add(step)
            if room[step]:
                room[step] -= 1
                flow[question][step] += 1
                return True
            for other in range(len(counts)):
                if flow[other][step] and other not in seen_questions:
                    seen_questions.add(other)
                    if push(other, seen_steps, seen_questions):
                        flow[other][step] -= 1
                        flow[question][step] += 1
                        return True
        return False

    for question in range(len(counts)):
        while left[question]:
            if not push(question, set(), {question}):
                return False
            left[question] -= 1
    return True


def test_the_last_steps_shortness_is_reckoned_with() -> None:
    # 3 + 3 + 3 of the large question in the full steps, and its last pair in the step of one.
    plan = plan_steps(columns([1, 2, 10]), pairs_a_step=4, max_pairs_a_question=3)
    assert [len(plan.pairs_of(step)) for step in range(len(plan))] == [4, 4, 4, 1]


def test_a_tight_fit_is_found() -> None:
    # Every question must have exactly two pairs in each step.
    plan = plan_steps(columns([10] * 6), pairs_a_step=12, max_pairs_a_question=2, epochs=20)
    for step in range(len(plan)):
        assert set(Counter(columns([10] * 6).row[plan.pairs_of(step)].tolist()).values()) == {2}


@pytest.mark.parametrize(
    ("counts", "per_step", "cap", "says"),
    [
        ([15], 8, 4, "raise max_pairs_a_question or lower pairs_a_step"),
        ([15, 1, 1], 8, 4, "one has 15"),
        ([], 8, 4, "no pair to train on"),
    ],
)
def test_what_cannot_be_done_is_refused(counts: list[int], per_step: int, cap: int, says: str) -> None:
    with pytest.raises(MmprError, match=says):
        plan_steps(columns(counts), pairs_a_step=per_step, max_pairs_a_question=cap)


def test_an_unknown_source_or_kind_is_refused_with_the_known_ones() -> None:
    pairs = columns([1, 1], [0, 1], kinds=[0, 1])
    with pytest.raises(MmprError, match=r"no source other; it has: s0, s1"):
        plan_steps(pairs, pairs_a_step=1, source_weights={"other": 2})
    with pytest.raises(MmprError, match=r"kind_weights: the data has no kind s1; it has: k0, k1"):
        plan_steps(pairs, pairs_a_step=1, kind_weights={"s1": 2})


@pytest.mark.parametrize(
    ("weight", "times"), [(0, {0: 90}), (0.5, {1: 45, 0: 45}), (1, {1: 90}), (2.5, {3: 45, 2: 45})]
)
def test_weights_of_sources(weight: float, times: dict[int, int]) -> None:
    counts, sources = [1, 2, 3, 4, 5] * 12, [0, 1] * 30
    pairs = columns(counts, sources)
    plan = plan_steps(pairs, pairs_a_step=16, max_pairs_a_question=3, epochs=2, seed=3, source_weights={"s0": weight})
    of_pair = pairs.source[pairs.row]
    first, second = seen(plan, 0), seen(plan, 1)
    assert first == second, "a share is the same in all epochs"
    assert Counter(first[pair] for pair in np.flatnonzero(of_pair == 0).tolist()) == times
    assert all(first[pair] == 1 for pair in np.flatnonzero(of_pair == 1).tolist())
    assert set(plan.rows.tolist()) == {int(pairs.row[pair]) for pair in first}


def test_weights_of_kinds_multiply_those_of_sources() -> None:
    sources, kinds = [0, 0, 1, 1] * 20, [0, 1, 1, 2] * 20
    pairs = columns([2] * 80, sources, kinds=kinds)
    weights: dict[str, Any] = {"source_weights": {"s0": 2.0}, "kind_weights": {"k1": 0.25, "k2": 0.0}}
    times = seen(plan_steps(pairs, pairs_a_step=8, seed=3, **weights), 0)
    by_group: Counter[tuple[int, int]] = Counter()
    for pair, count in times.items():
        row = int(pairs.row[pair])
        by_group[sources[row], kinds[row]] += count
    assert by_group == {(0, 0): 2 * 40, (0, 1): 40 // 2, (1, 1): 40 // 4}


def test_a_share_is_made_of_whole_questions_and_changes_with_the_seed() -> None:
    pairs = columns([5] * 100)
    shares = []
    for seed in (1, 2):
        plan = plan_steps(pairs, pairs_a_step=10, seed=seed, source_weights={"s0": 0.3})
        by_row = Counter(pairs.row[list(seen(plan, 0))].tolist())
        assert set(by_row.values()) == {5}
        assert len(by_row) == 30
        shares.append(set(by_row))
    assert shares[0] != shares[1]


def test_order_follows_seed_and_epoch_alone() -> None:
    pairs = columns([3] * 40)
    plan = plan_steps(pairs, pairs_a_step=8, epochs=2, seed=1)
    again = plan_steps(pairs, pairs_a_step=8, epochs=2, seed=1)
    other = plan_steps(pairs, pairs_a_step=8, epochs=2, seed=2)
    steps = [plan.pairs_of(k).tolist() for k in range(len(plan))]
    backwards = [again.pairs_of(k).tolist() for k in reversed(range(len(again)))][::-1]
    assert steps == backwards, "a run that resumes at any step goes on as the first would have"
    assert steps != [other.pairs_of(k).tolist() for k in range(len(other))]
    assert steps[:15] != steps[15:]


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_processes_share_a_step(world: int) -> None:
    pairs = columns([6] * 50, lengths=1)
    plans = [
        plan_steps(pairs, pairs_a_step=32, max_pairs_a_question=4, seed=5, rank=rank, world=world)
        for rank in range(world)
    ]
    alone = plan_steps(pairs, pairs_a_step=32, max_pairs_a_question=4, seed=5)
    for step in range(len(alone)):
        of_all = [(part.row, both) for plan in plans for part in plan[step] for both in part.pairs]
        assert sorted(of_all) == sorted((part.row, both) for part in alone[step] for both in part.pairs)
        loads = [sum(pairs.tokens(*part) for part in plan[step]) for plan in plans]
        if len(alone[step]) >= 3 * world:
            largest = max(pairs.tokens(*part) for part in alone[step])
            assert max(loads) - min(loads) <= largest


def test_no_process_waits_while_there_are_pairs() -> None:
    pairs = columns([8, 8])
    shares = [plan_steps(pairs, pairs_a_step=16, rank=rank, world=8)[0] for rank in range(8)]
    assert all(shares)
    assert sorted(both for share in shares for part in share for both in part.pairs if part.row == 0) == [
        (2 * k, 2 * k + 1) for k in range(8)
    ]


def test_many_pairs_are_planned_in_seconds() -> None:
    rng = np.random.default_rng(0)
    pairs = columns(rng.integers(1, 16, 75_000).tolist())
    before = time.process_time()
    plan = plan_steps(pairs, pairs_a_step=256, max_pairs_a_question=4)
    assert len(plan.pairs_of(0)) == 256
    assert len(plan.pairs_of(len(plan) // 2)) == 256
    assert time.process_time() - before < 20


def test_the_rows_of_the_first_steps_are_few() -> None:
    plan = plan_steps(columns([2] * 40), pairs_a_step=4, epochs=2, seed=1)
    for steps in (1, 3, plan.steps_an_epoch - 1):
        wanted = {row for step in range(steps) for row, _ in plan[step]}
        assert set(plan.rows_until(steps).tolist()) == wanted
        assert plan.rows_until(steps).tolist() == sorted(wanted)
    assert len(plan.rows_until(1)) <= 4
    assert plan.rows_until(len(plan)).tolist() == plan.rows.tolist() == list(range(40))


def test_held_out_questions_are_whole_and_even_over_sources() -> None:
    pairs = columns([1, 2, 3, 4] * 30)
    rows = np.arange(0, 120, 2)  # the others have a weight of 0, say
    held, left = hold_out(pairs, rows, many=20, seed=3)
    kept = np.isin(pairs.row, held)
    assert held.tolist() == sorted(set(held.tolist()) & set(rows.tolist()))
    assert 20 <= kept.sum() < 20 + 4
    assert len(left) == len(pairs) - kept.sum()
    assert not set(left.row.tolist()) & set(held.tolist())
    by_source = np.bincount(pairs.source[held], minlength=len(pairs.sources))
    assert by_source.max() - by_source.min() <= 1
    assert hold_out(pairs, rows, 20, 3)[0].tolist() == held.tolist()
    assert hold_out(pairs, rows, 20, 4)[0].tolist() != held.tolist()
    assert len(hold_out(pairs, rows, 10**6, 3)[0]) == len(rows)


def test_rows_have_weights_of_their_data_set() -> None:
    """Beside those of sources, which both data sets may have in common; without them all is as it was."""
    pairs = columns([2] * 20, sources=[0, 1] * 10)
    plain = plan_steps(pairs, pairs_a_step=5, seed=2, source_weights={"s0": 0.5})
    ones = plan_steps(pairs, pairs_a_step=5, seed=2, source_weights={"s0": 0.5}, row_weights=np.ones(20))
    assert [plain.pairs_of(k).tolist() for k in range(4)] == [ones.pairs_of(k).tolist() for k in range(4)]
    weights = np.repeat([2.0, 0.0, 1.0], [5, 5, 10])
    times = seen(plan_steps(pairs, pairs_a_step=5, seed=2, source_weights={"s1": 2.0}, row_weights=weights), 0)
    for pair, row in enumerate(pairs.row.tolist()):
        assert times[pair] == weights[row] * (1 + row % 2), row
