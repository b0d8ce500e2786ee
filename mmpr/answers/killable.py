"""Judge responses in a process of its own, so that none of them can hold a build up, whatever is in it.

All patterns and readers take linear time (``tests/test_patterns.py``); this bounds what nobody foresaw. A response over
its time is ``timeout``, one that kills the process or exhausts its memory is ``error``: on neither side of a pair. The
others are judged as if it were not there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from typing import Any

from mmpr.answers import processes
from mmpr.answers.extract import find_answer
from mmpr.answers.match import entails, match_found
from mmpr.answers.processes import DiedError, LateError
from mmpr.schema import Verdict

RESPONSE_S = 10.0
"""Wall-clock seconds for one response. Ordinary ones take a millisecond, one with a proof up to 3.6 s."""
QUESTION_S = 60.0
"""Wall-clock seconds for all responses of a question together; those that come later are ``timeout``."""
MEMORY_BYTES = 1 << 30
MAX_PROCESSES = 2
_SEND_EVERY_S = 0.1

_processes = processes.Processes(__name__, MAX_PROCESSES)


def judge_responses(
    responses: Sequence[str], form: str | None, truth: str | Sequence[str], choices: Sequence[str], rule: str
) -> list[Verdict]:
    """The verdict on each response to one question.

    One that names no final answer is ``unparseable``, one that may name the right one is ``unsure``. ``form`` is as for
    ``extract``, the rest as for ``match``.
    """
    said = _ask("judge", responses, form=form, truth=truth, choices=list(choices), rule=rule)
    return [_failed(item) if isinstance(item, Exception) else Verdict(*item) for item in said]


def extract_answers(responses: Sequence[str], form: str | None) -> list[str | Verdict | None]:
    """The final answer in each response; None: none is named. A verdict where nobody can tell."""
    said = _ask("extract", responses, form=form)
    return [
        _failed(item) if isinstance(item, Exception) else Verdict(*item) if isinstance(item, list) else item
        for item in said
    ]


def entailments(pairs: Sequence[tuple[str, str]], choices: Sequence[str]) -> list[bool | None]:
    """Whether the rejected answer contains the chosen one, for (rejected, chosen) pairs; None: could not be told."""
    said = _ask("entails", pairs, choices=list(choices))
    return [None if isinstance(item, Exception) else item for item in said]


def _ask(call: str, items: Sequence[Any], **rest: Any) -> list[Any]:
    """What the process says of each item, or the LateError or DiedError in its place."""
    said: list[Any] = []
    end = time.monotonic() + QUESTION_S
    one_by_one = False
    while len(said) < len(items):
        waited = time.monotonic()
        try:
            with _processes.lend() as process:
                asked = {"call": call, "items": items[len(said) :], "one_by_one": one_by_one, **rest}
                process.send(json.dumps(asked, default=str).encode())
                end += time.monotonic() - waited  # a process that starts costs the question nothing
                while len(said) < len(items):
                    left = end - time.monotonic()
                    if left <= 0:
                        raise LateError(f"the responses to the question took more than {QUESTION_S:g} s")
                    said.append(json.loads(process.receive(min(RESPONSE_S, left))))
        except (LateError, DiedError) as error:
            if time.monotonic() >= end:
                return said + [error] * (len(items) - len(said))
            if one_by_one:
                said.append(error)
            one_by_one = True  # to see which item it is, or that the process had died before
    return said


def _failed(error: Exception) -> Verdict:
    late = isinstance(error, LateError)
    return Verdict("timeout" if late else "error", None, "none", f"could not be judged: {error}")


def _answer(request: str) -> Iterable[str]:
    asked = json.loads(request)
    sent = time.monotonic()
    for item in asked["items"]:
        yield json.dumps(_one(asked, item))
        if asked["one_by_one"] or time.monotonic() > sent + _SEND_EVERY_S:
            yield ""
            sent = time.monotonic()


def _one(asked: dict[str, Any], item: Any) -> Any:
    if asked["call"] == "entails":
        return entails(item[0], item[1], choices=asked["choices"] or None)
    found = find_answer(item, asked["form"])
    if asked["call"] == "judge":
        return astuple(match_found(found, asked["truth"], choices=asked["choices"] or None, rule=asked["rule"]))
    return found.answer if found.sure else astuple(Verdict("unsure", found.answer, "extract", found.why))


def serve() -> None:
    """Answer the requests on standard input (``mmpr.answers.processes``)."""
    processes.serve(_answer, memory_bytes=MEMORY_BYTES, cpu_s=int(QUESTION_S))
