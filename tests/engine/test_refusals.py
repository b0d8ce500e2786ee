"""An engine that refuses its first requests with the same words stops the build; one that answers any does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from mmpr.engine.refusals import MOST_REFUSALS, Listening
from mmpr.engine.request import Reply, Request, Tokenization
from mmpr.errors import EngineError, RowError
from mmpr.schema import Response, TokenIds


class Refusing:
    """Refuses request n with what ``says(n)`` gives, and answers where that is None."""

    samples_at_once = 4
    about = Tokenization()

    def __init__(self, says: Callable[[int], str | None]) -> None:
        self._says, self._asked = says, 0

    async def generate(self, request: Request) -> Reply:
        self._asked += 1
        words = self._says(self._asked)
        if words is None:
            return Reply((), 0)
        raise RowError("engine_refused", words)

    def spelling(self, response: Response) -> tuple[TokenIds, list[int]]:
        return (7,), [len(response.text)]


def ask(says: Callable[[int], str | None], times: int) -> list[str]:
    engine = Listening(Refusing(says))
    ends = []
    for _ in range(times):
        try:
            asyncio.run(engine.generate(Request("?", (), 1, 0)))
            ends.append("answered")
        except RowError:
            ends.append("refused")
        except EngineError as error:
            return [*ends, str(error)]
    return ends


def test_the_hundredth_refusal_with_the_same_words_stops() -> None:
    ends = ask(lambda n: f"{n} tokens, the context has 8", 200)
    assert ends[:-1] == ["refused"] * (MOST_REFUSALS - 1)
    assert ends[-1] == (
        "the engine refused the first 100 requests with the same words: engine_refused: 100 tokens, the context has 8"
    )


@pytest.mark.parametrize(
    "says",
    [
        lambda n: None if n == 99 else "too long",
        lambda n: "another reason" if n == 2 else "too long",
    ],
)
def test_others_go_on(says: Callable[[int], str | None]) -> None:
    assert len(ask(says, 300)) == 300
    assert Listening(Refusing(says)).spelling(Response("ab", 0, "stop", 1)) == ((7,), [2])
