"""A big question's responses in groups: the plan itself, without a model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mmpr.train.shared_prefix.splitting import Groups, in_chunks, plan_groups

pytestmark = pytest.mark.slow


def by(*lengths: int) -> Any:
    return lengths.__getitem__


def test_pairs_that_share_nothing_go_together_and_nothing_is_computed_twice() -> None:
    pairs = [(0, 1), (2, 3), (4, 5)]
    assert plan_groups(pairs, by(2, 2, 3, 3, 1, 1), 10) == Groups(((0, 1, 2, 3), (4, 5)), ())
    assert plan_groups(pairs, by(9, 9, 9, 9, 9, 9), 10) == Groups(((0, 1), (2, 3), (4, 5)), ())


def test_of_linked_pairs_the_few_that_all_have_a_side_in_come_last_and_are_needed_early() -> None:
    star = [(0, 1), (0, 2), (0, 3), (0, 4)]
    assert plan_groups(star, lambda _: 1, 2) == Groups(((1, 2), (3, 4), (0,)), ((0,),))
    assert plan_groups(star, lambda _: 1, 5) == Groups(((0, 1, 2, 3, 4),), ())
    grid = [(chosen, rejected) for chosen in (0, 1, 2) for rejected in range(3, 9)]
    assert plan_groups(grid, lambda _: 1, 4) == Groups(((3, 4, 5, 6), (0, 1, 7, 8), (2,)), ((0, 1, 2),))


PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(10, 19)), min_size=1, max_size=20)


@example(
    pairs=[(0, 12), (0, 13), (1, 12), (2, 13), (3, 10), (3, 11), (4, 10), (5, 11)], lengths=[1] * 20, room=1
)  # of which the greedy choice covers all pairs with six responses
@given(pairs=PAIRS, lengths=st.lists(st.integers(1, 9), min_size=20, max_size=20), room=st.integers(1, 60))
def test_groups(pairs: list[tuple[int, int]], lengths: list[int], room: int) -> None:
    groups = plan_groups(pairs, by(*lengths), room)
    members = [i for group in groups.members for i in group]
    assert sorted(members) == sorted({i for pair in pairs for i in pair})
    for group in groups.members:
        fits = sum(lengths[i] for i in group) <= room
        assert fits or len(group) == 1 or (len(group) == 2 and group in {tuple(sorted(pair)) for pair in pairs})
    turn = {i: n for n, group in enumerate(groups.members) for i in group}
    early = {i for chunk in groups.early for i in chunk}
    assert early == {max(pair, key=turn.__getitem__) for pair in pairs if turn[pair[0]] != turn[pair[1]]}
    assert len(early) <= min(len({chosen for chosen, _ in pairs}), len({rejected for _, rejected in pairs})) + 1


def test_chunks() -> None:
    assert in_chunks((3, 1, 2), by(0, 4, 4, 5), 8) == ((3,), (1, 2))
    assert in_chunks((), by(), 8) == ()
