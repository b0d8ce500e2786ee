"""What goes into one pass: the plan itself, without a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from mmpr.train.rows import EncodedRow
from mmpr.train.shared_prefix.attention import Block
from mmpr.train.shared_prefix.packing import Piece, make_batch, pack, tokens_of, unshared_tokens_of
from mmpr.train.shared_prefix.splitting import Groups, in_chunks, plan_groups
from tests.train.models import make_part

PIXELS = {"pixel_values": 0}


def row(prompt: int, *responses: int, **extras: Any) -> EncodedRow:
    start = 100 * prompt
    ids = tuple(torch.arange(start + 10 * i, start + 10 * i + length) for i, length in enumerate(responses, 1))
    return EncodedRow("row", "test", torch.arange(start, start + prompt), ids, extras)


def test_a_batch_is_laid_out_token_by_token() -> None:
    first = row(3, 2, 1, 2, pixel_values=torch.zeros(2, 3))
    second = row(2, 1)
    third = row(1, 1, pixel_values=torch.ones(1, 3))
    pieces = [
        Piece(first, (0, 2), torch.arange(5)),
        Piece(second, (0,), torch.arange(3)),
        Piece(third, (0,), torch.arange(2)),
    ]
    batch = make_batch(pieces, PIXELS)
    assert batch.ids.tolist() == [[300, 301, 302, 310, 311, 330, 331, 200, 201, 210, 100, 110]]
    assert batch.positions.tolist() == [[0, 1, 2, 3, 4, 3, 4, 0, 1, 2, 0, 1]]
    assert batch.blocks == (
        Block(0, 3),
        Block(3, 5, 0, 3),
        Block(5, 7, 0, 3),
        Block(7, 9),
        Block(9, 10, 7, 9),
        Block(10, 11),
        Block(11, 12, 10, 11),
    )
    assert batch.targets.tolist() == [310, 311, 330, 331, 210, 110]
    assert batch.sources.tolist() == [2, 3, 2, 5, 8, 10]  # a response's first token follows its prompt's last
    assert batch.lengths == (2, 2, 1, 1)
    assert batch.pictures["pixel_values"].tolist() == [[0, 0, 0], [0, 0, 0], [1, 1, 1]]


def test_a_prompt_alone_and_answers_alone() -> None:
    own = row(3, 2, 1, 2, pixel_values=torch.zeros(2, 3))
    positions = torch.arange(5).expand(3, -1)
    prompt = make_batch([Piece(own, (), positions)], PIXELS)
    assert prompt.positions.shape == (3, 1, 3)
    assert (prompt.blocks, prompt.lengths, prompt.targets.tolist()) == ((Block(0, 3),), (), [])
    answers = make_batch([Piece(own, (1, 2), positions, prompt=False)], PIXELS)
    assert answers.ids.tolist() == [[320, 330, 331]]
    assert answers.positions.tolist() == [[[3, 3, 4]]] * 3
    assert answers.blocks == (Block(0, 1), Block(1, 3))
    assert answers.sources.tolist() == [0, 0, 2]  # 0 is the prompt's last token
    assert not answers.pictures


def test_tokens_are_counted() -> None:
    part = make_part(row(3, 2, 1, 2), [(0, 2), (0, 1)])
    assert tokens_of(part) == 3 + 2 + 1 + 2
    assert unshared_tokens_of(part) == 2 * 3 + 4 + 2 * 3 + 3
    assert tokens_of(make_part(part.row, [(0, 2)])) == 3 + 4


@given(sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=12), budget=st.integers(1, 30))
def test_packs_hold_each_part_once_and_keep_to_the_budget(sizes: list[tuple[int, int]], budget: int) -> None:
    parts = [make_part(row(prompt, answer, answer), [(0, 1)]) for prompt, answer in sizes]
    packs = pack(parts, range(len(parts)), budget, PIXELS)
    assert sorted(i for members in packs for i in members) == list(range(len(parts)))
    for members in packs:
        assert len(members) == 1 or sum(tokens_of(parts[i]) for i in members) <= budget
    sums = sorted(sum(tokens_of(parts[i]) for i in members) for members in packs)
    assert len(sums) < 2 or sums[0] + sums[1] > budget  # first fit leaves no two that would go together


def test_only_pictures_of_one_shape_are_packed_together() -> None:
    small = row(2, 1, 1, pixel_values=torch.zeros(2, 3))
    rows = [small, row(2, 1, 1, pixel_values=torch.zeros(1, 4)), row(2, 1, 1), replace(small, id="more")]
    packs = pack([make_part(own, [(0, 1)]) for own in rows], range(4), 100, PIXELS)
    assert sorted(packs) == [[0, 2, 3], [1]]


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
