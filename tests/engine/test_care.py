"""Requests that fail, hang or kill: who is asked again, who is asked alone, who is given up; and never for ever."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mmpr.engine import Reply, Request, Tokenization
from mmpr.engine.care import HARMLESS, Careful, Watched
from mmpr.engine.lives import (
    DEATHS_OF_SUSPECTS,
    MOST_ATTEMPTS,
    MOST_DEATHS_ALONE,
    MOST_STARTS,
    History,
    Life,
    begin_unit,
    end_unit,
    request_key,
)
from mmpr.engine.turns import Turns
from mmpr.errors import EngineDeadError, EngineError, EngineStartError, RowError
from mmpr.schema import Response, TokenIds
from mmpr.storage.shards import Unit

UNIT = Unit("train", 3, 9)
QUESTIONS = [Request(f"question {i}", (), 2, i) for i in range(8)]
TIMEOUT_S = 0.1


class ScriptedEngine:
    """A fake whose answers ``act`` scripts (None: never); it knows who was in it together."""

    samples_at_once = 4
    about = Tokenization()

    def __init__(self, act: Callable[[Request], Reply | None]) -> None:
        self._act = act
        self.asked: list[str] = []
        self.inside: set[str] = set()
        self.together: dict[str, set[str]] = {}

    async def generate(self, request: Request) -> Reply:
        self.asked.append(request.prompt)
        self.inside.add(request.prompt)
        for prompt in self.inside:
            self.together.setdefault(prompt, set()).update(self.inside - {prompt})
        try:
            await asyncio.sleep(0.001)
            reply = self._act(request)
            if reply is None:
                await asyncio.sleep(60)
            return reply or answer(request)
        finally:
            self.inside.discard(request.prompt)

    def spelling(self, response: Response) -> tuple[TokenIds, list[int]]:
        return (7,), [len(response.text)]


def answer(request: Request, samples: int | None = None) -> Reply:
    count = request.samples if samples is None else samples
    return Reply(tuple(Response("text", request.seed + i, "stop", 1) for i in range(count)), 1)


def live(out: Path, engine: ScriptedEngine, name: str) -> dict[str, Reply | RowError] | None:
    """One engine's life with the unit: what came of each question; None when the engine died."""

    async def run() -> dict[str, Reply | RowError] | None:
        history, life = begin_unit(out, UNIT, name), Life(out, name)
        life.up()
        careful = Careful(Turns(Watched(engine, life, TIMEOUT_S)).of(0), history)
        results: dict[str, Reply | RowError] = {}

        async def ask(request: Request) -> None:
            try:
                results[request.prompt] = await careful.generate(request)
            except RowError as error:
                results[request.prompt] = error

        try:
            async with asyncio.TaskGroup() as group:
                for request in QUESTIONS:
                    group.create_task(ask(request))
        except BaseExceptionGroup as errors:
            if errors.subgroup(EngineDeadError) is None:
                raise
            return None
        end_unit(out, UNIT)
        return results

    return asyncio.run(run())


def live_until_done(out: Path, act: Callable[[Request], Reply | None]) -> tuple[dict[str, Reply | RowError], int]:
    """Lives of engines until the unit is done; returns what came of it and how many died."""
    for deaths in range(100):
        results = live(out, ScriptedEngine(act), f"engine-{deaths}.log")
        if results is not None:
            return results, deaths
    raise AssertionError("the unit is retried for ever")


def reasons(results: dict[str, Reply | RowError]) -> dict[str, str]:
    return {prompt: item.reason for prompt, item in results.items() if isinstance(item, RowError)}


@pytest.mark.parametrize("poisons", [{0}, {7}, {2, 3}, {0, 3, 4, 7}])
def test_who_kills_the_engine_is_given_up_and_all_others_are_answered(tmp_path: Path, poisons: set[int]) -> None:
    def act(request: Request) -> Reply | None:
        if request.seed in poisons and request != replace(HARMLESS, caution=request.caution):
            raise EngineDeadError("dead")
        return answer(request)

    results, deaths = live_until_done(tmp_path, act)
    assert reasons(results) == {f"question {i}": "engine_killed" for i in poisons}
    assert set(results) == {request.prompt for request in QUESTIONS}
    assert deaths <= len(poisons) * (DEATHS_OF_SUSPECTS + MOST_DEATHS_ALONE)


def test_who_hangs_the_engine_is_given_up_and_all_others_are_answered(tmp_path: Path) -> None:
    frozen: set[int] = set()
    engines: list[ScriptedEngine] = []

    def engine() -> ScriptedEngine:
        def act(request: Request) -> Reply | None:
            if request.prompt == "question 5":
                frozen.add(id(made))
            return None if id(made) in frozen else answer(request)

        made = ScriptedEngine(act)
        engines.append(made)
        return made

    for place in range(1 + DEATHS_OF_SUSPECTS + MOST_DEATHS_ALONE):
        results = live(tmp_path, engine(), f"engine-{place}.log")
        if results is not None:
            break
    assert results is not None
    assert reasons(results) == {"question 5": "engine_killed"}
    assert len(engines) <= 1 + DEATHS_OF_SUSPECTS + MOST_DEATHS_ALONE


def test_who_was_in_two_engines_that_died_is_asked_alone_and_cleared_by_an_answer(tmp_path: Path) -> None:
    def die(request: Request) -> Reply | None:
        raise EngineDeadError("the machine went down")

    for place in range(DEATHS_OF_SUSPECTS):
        first = ScriptedEngine(die)
        assert live(tmp_path, first, f"engine-{place}.log") is None
        assert max(map(len, first.together.values())) > 0
    history = begin_unit(tmp_path, UNIT, "engine-x.log")
    alone = [request.prompt for request in QUESTIONS if history.deaths_alone(request) == 0]
    assert alone
    last = ScriptedEngine(answer)
    results = live(tmp_path, last, "engine-y.log")
    assert results is not None
    assert reasons(results) == {}
    assert [prompt for prompt in alone if last.together[prompt]] == []


def test_who_was_in_one_engine_that_died_is_no_suspect(tmp_path: Path) -> None:
    """A node that was taken away: nothing of what was in its engines is asked alone."""

    def die(request: Request) -> Reply | None:
        raise EngineDeadError("the machine went down")

    assert live(tmp_path, ScriptedEngine(die), "engine-0.log") is None
    history = begin_unit(tmp_path, UNIT, "engine-1.log")
    assert [history.deaths_alone(request) for request in QUESTIONS] == [None] * len(QUESTIONS)
    assert history.together.total() > 1


@pytest.mark.parametrize(
    ("lives", "expected"),
    [
        ([], None),
        (["asked"], None),
        (["asked", "asked"], 0),
        (["asked", "asked ended"], None),
        (["asked", "asked ended", "asked"], None),
        (["asked", "asked", "alone"], 1),
        (["asked", "asked", "alone", "alone"], 2),
        (["asked", "asked", "alone", "alone ended"], None),
        (["asked", "asked", "alone", "alone ended", "asked"], None),
        (["alone"], 1),
    ],
)
def test_deaths_count_until_a_request_comes_out(tmp_path: Path, lives: list[str], expected: int | None) -> None:
    """Each is an engine that died: how the request went in, and whether it had come out."""
    for place, course in enumerate(lives):
        begin_unit(tmp_path, UNIT, f"engine-{place}.log")
        life = Life(tmp_path, f"engine-{place}.log")
        life.up()
        life.asks(replace(QUESTIONS[0], caution=int("alone" in course)))
        if "ended" in course:
            life.ended(QUESTIONS[0])
    assert begin_unit(tmp_path, UNIT, "engine-x.log").deaths_alone(QUESTIONS[0]) == expected


def test_an_engine_that_dies_over_everything_ends_the_build(tmp_path: Path) -> None:
    def act(request: Request) -> Reply | None:
        raise EngineDeadError("dead")

    log = tmp_path / "logs" / f"engine-{MOST_ATTEMPTS}.log"
    log.parent.mkdir()
    log.write_text("CUDA error: an illegal memory access\n")
    with pytest.raises(EngineError, match="its engine died every time") as caught:
        live_until_done(tmp_path, act)
    assert "CUDA error: an illegal memory access" in str(caught.value)


def test_questions_that_kill_one_after_the_other_end_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that answers what is harmless and dies over every question: the questions are not to blame."""

    def act(request: Request) -> Reply | None:
        if request.prompt != HARMLESS.prompt:
            raise EngineDeadError("dead")
        return answer(request)

    many = [Request(f"question {i}", (), 2, i) for i in range(3 * MOST_ATTEMPTS)]
    monkeypatch.setattr("tests.engine.test_care.QUESTIONS", many)
    with pytest.raises(EngineError, match="its engine died every time"):
        live_until_done(tmp_path, act)


def test_engines_that_die_before_they_are_up_end_the_build_with_their_last_words(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for place in range(MOST_STARTS):
        begin_unit(tmp_path, UNIT, f"engine-{place}.log")
        Life(tmp_path, f"engine-{place}.log")
        (tmp_path / "logs" / f"engine-{place}.log").write_text(f"out of memory {place}\n")
    with pytest.raises(EngineStartError, match=rf"out of memory {MOST_STARTS - 1}"):
        begin_unit(tmp_path, UNIT, "engine-9.log")


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (RowError("engine_refused", "no"), "engine_refused"),
        ("short", "engine_short"),
        ("hang", "engine_timeout"),
        *((ended, "engine_error") for ended in ("error", "abort", "repetition", "unknown", "")),
    ],
)
def test_what_fails_is_asked_once_more_and_then_given_up(tmp_path: Path, failure: object, reason: str) -> None:
    def failing(request: Request) -> Reply | None:
        if isinstance(failure, RowError):
            raise failure
        if failure == "hang":
            return None
        if failure == "short":
            return answer(request, samples=1)
        first, last = answer(request).responses
        return Reply((first, replace(last, finish_reason=str(failure))), 1)

    for times, expected in ((1, {}), (99, {"question 6": reason})):
        failed: list[int] = []

        def act(request: Request, failed: list[int] = failed, times: int = times) -> Reply | None:
            if request.prompt == "question 6" and len(failed) < times:
                failed.append(1)
                return failing(request)
            return answer(request)

        engine = ScriptedEngine(act)
        results = live(tmp_path / str(times), engine, "engine-0.log")
        assert results is not None
        assert reasons(results) == expected
        assert engine.asked.count("question 6") == 2


REFUSED, LATE = RowError("engine_refused", "no"), None


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        pytest.param([REFUSED], "", id="refused-once"),
        pytest.param([REFUSED, REFUSED], "engine_refused", id="refused-twice"),
        pytest.param([LATE], "", id="late-among-others"),
        pytest.param([LATE, LATE], "engine_timeout", id="late-alone-too"),
        pytest.param([REFUSED, LATE], "", id="refused-and-then-held-up-by-another"),
        pytest.param([REFUSED, LATE, LATE], "engine_timeout", id="refused-late-late-alone"),
    ],
)
def test_what_was_late_among_others_is_never_given_up_unasked_alone(
    tmp_path: Path, happens: list[RowError | None], reason: str
) -> None:
    left = list(happens)

    def act(request: Request) -> Reply | None:
        if request.seed != QUESTIONS[3].seed or not left:
            return answer(request)
        event = left.pop(0)
        if event is not None:
            raise event
        return None

    results, deaths = live_until_done(tmp_path, act)
    assert reasons(results) == ({QUESTIONS[3].prompt: reason} if reason else {})
    assert (len(results), deaths, left) == (len(QUESTIONS), 0, [])


def test_time_that_the_process_slept_through_is_not_the_engines(tmp_path: Path) -> None:
    """A disk that hangs, or a machine that pauses, for longer than an answer may take: nobody is asked again."""

    class Slow(ScriptedEngine):
        async def generate(self, request: Request) -> Reply:
            self.asked.append(request.prompt)
            if request.prompt == "question 3":
                time.sleep(2 * TIMEOUT_S)
            await asyncio.sleep(TIMEOUT_S / 2)
            return answer(request)

    engine = Slow(answer)
    results = live(tmp_path, engine, "engine-0.log")
    assert results is not None
    assert reasons(results) == {}
    assert sorted(engine.asked) == [request.prompt for request in QUESTIONS]


def test_a_process_that_stands_still_is_ended() -> None:
    code = """
import asyncio, time
from mmpr.engine.care import watch_loop
async def main():
    task = asyncio.create_task(watch_loop(0.5))
    await asyncio.sleep(1.5)
    print("alive", flush=True)
    time.sleep(60)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 1
    assert done.stdout == "alive\n"
    assert "in main" in done.stderr


def test_the_record_outlives_half_a_line(tmp_path: Path) -> None:
    life = Life(tmp_path, "engine-0.log")
    begin_unit(tmp_path, UNIT, "engine-0.log")
    life.up()
    life.asks(QUESTIONS[0])
    with (tmp_path / "attempts" / "engine-0.log").open("a") as file:
        file.write("ended " + request_key(QUESTIONS[0])[:7])
    assert begin_unit(tmp_path, UNIT, "engine-1.log") == History(Counter({request_key(QUESTIONS[0]): 1}))
