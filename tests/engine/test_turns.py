"""Turns at the engine: the oldest unit first, never more than there is room for, nothing lost when one gives up."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpr.engine import Reply, Request, Tokenization
from mmpr.engine.turns import ROOM, Turns
from mmpr.errors import RowError
from mmpr.schema import Response, TokenIds


class CountingEngine:
    """A fake that says who is with it; names in ``refused`` are refused."""

    def __init__(self, samples_at_once: int, refused: frozenset[str] = frozenset()) -> None:
        self.samples_at_once = samples_at_once
        self.about = Tokenization()
        self.refused = refused
        self.begun: list[str] = []
        self.inside = self.most_inside = 0

    async def generate(self, request: Request) -> Reply:
        self.begun.append(request.prompt)
        self.inside += request.samples
        self.most_inside = max(self.most_inside, self.inside)
        try:
            await asyncio.sleep(0.001 * (1 + len(request.prompt) % 3))
        finally:
            self.inside -= request.samples
        if request.prompt in self.refused:
            raise RowError("refused")
        return Reply((), 0)

    def spelling(self, response: Response) -> tuple[TokenIds, list[int]]:
        return (7,), [len(response.text)]


def request(name: str, samples: int) -> Request:
    return Request(name, (), samples, 0)


async def ask_all(engine: CountingEngine, units: list[list[int]]) -> list[object]:
    turns = Turns(engine)
    lanes = [turns.of(number) for number in range(len(units))]
    # The youngest unit asks first, so that only turns can put the older ones before it.
    asked = [
        lanes[number].generate(request(f"{number}/{place}", samples))
        for number in reversed(range(len(units)))
        for place, samples in enumerate(units[number])
    ]
    return await asyncio.gather(*asked, return_exceptions=True)


@settings(max_examples=60)
@given(st.lists(st.lists(st.integers(1, 40), max_size=12), max_size=5), st.integers(1, 12), st.booleans())
def test_all_are_answered_and_the_room_is_kept(units: list[list[int]], at_once: int, some_refused: bool) -> None:
    refused = frozenset(f"{number}/0" for number in range(0, len(units), 2)) if some_refused else frozenset()
    engine = CountingEngine(at_once, refused)
    replies = asyncio.run(ask_all(engine, units))
    assert len(replies) == len(engine.begun) == sum(map(len, units))
    failed = [reply for reply in replies if isinstance(reply, BaseException)]
    assert all(isinstance(reply, RowError) for reply in failed)
    assert len(failed) == len(refused & set(engine.begun))
    # A request that is bigger than the room goes in alone.
    assert engine.most_inside <= max(ROOM * at_once, *(samples for unit in units for samples in unit), 0)
    assert engine.inside == 0


def test_the_oldest_unit_goes_first() -> None:
    engine = CountingEngine(samples_at_once=4)
    asyncio.run(ask_all(engine, [[4] * 6, [4] * 6, [4] * 6]))
    # The youngest asked first and found room; all that had to wait went by age.
    waited = [name.split("/")[0] for name in engine.begun[ROOM:]]
    assert waited == sorted(waited)


def test_within_a_unit_the_first_to_ask_is_the_first_to_go() -> None:
    engine = CountingEngine(samples_at_once=1)
    asyncio.run(ask_all(engine, [[1] * 20]))
    assert engine.begun == [f"0/{place}" for place in range(20)]


def test_who_gives_up_takes_no_room() -> None:
    async def scene() -> None:
        engine = CountingEngine(samples_at_once=1)
        lane = Turns(engine).of(0)
        tasks = [asyncio.create_task(lane.generate(request(str(number), 1))) for number in range(ROOM + 4)]
        await asyncio.sleep(0)
        for task in tasks[ROOM:-1]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert engine.begun == [*map(str, range(ROOM)), str(ROOM + 3)]
        # All the room is free again: as many as it holds are let in at once.
        engine.most_inside = 0
        await asyncio.gather(*(lane.generate(request("again", 1)) for _ in range(3 * ROOM)))
        assert engine.most_inside == ROOM

    asyncio.run(scene())


def test_a_turn_knows_the_engines_tokens() -> None:
    assert Turns(CountingEngine(1)).of(3).spelling(Response("abc", 0, "stop", 1)) == ((7,), [3])


@pytest.mark.parametrize("samples", [1, 7, 1000])
def test_a_request_of_any_size_is_let_in(samples: int) -> None:
    engine = CountingEngine(samples_at_once=3)
    asyncio.run(asyncio.wait_for(Turns(engine).of(0).generate(request("big", samples)), timeout=5))
    assert engine.begun == ["big"]
