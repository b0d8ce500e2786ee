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
