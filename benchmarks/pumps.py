"""Time of the judge on texts that repeat one piece: thousands of them, derived from mmpr's own patterns.

    python -m benchmarks.pumps --inputs 20000

A pump is a prefix that reaches a repeat of a pattern, the piece that it takes again and again, and a suffix that breaks
the match (``tests/test_patterns.py`` derives them from the parsed patterns). Each text goes through ``extract``,
``match`` (as the answer and as the truth) and ``entails``; the processor time of each call is taken, of several tries
the least. Exit status 1 when a call takes longer than it may.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mmpr.answers import entails, extract, match
from mmpr.storage.shards import write_json
from tests.test_patterns import Pump, collected, pumps

LONGEST = 32_768
MOST_MS = 50.0
TRIES = 5
TELL_EVERY = 1_000

CALLS: dict[str, Callable[[str], object]] = {
    "extract": extract,
    "match, answer": lambda text: match(text, "5 cm"),
    "match, truth": lambda text: match("It is 5 cm in the picture.", text),
    "entails": lambda text: entails(text, "5 cm"),
}


def texts(inputs: int, seed: int) -> list[tuple[Pump, int]]:
    """So many pumps of the answers' patterns with their lengths: each one at its longest before any at another."""
    found = {pump for used in collected("mmpr.answers")[0] for pump in pumps(used.text, used.flags)}
    dice = random.Random(seed)
    every = sorted(found)
    dice.shuffle(every)
    lengths = (LONGEST if at < len(every) else dice.randrange(64, LONGEST) for at in range(inputs))
    return [(every[at % len(every)], length) for at, length in zip(range(inputs), lengths, strict=True)]


def milliseconds(call: Callable[[str], object], text: str) -> float:
    """Processor time of a call; when it is over the limit, the least of some tries (none of them is remembered)."""
    best = float("inf")
    for attempt in range(TRIES):
        start = time.process_time()
        call(text + " " * attempt)
        best = min(best, (time.process_time() - start) * 1000)
        if best <= MOST_MS:
            break
    return best


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.pumps", description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=20_000, help="how many texts")
    parser.add_argument("--seed", type=int, default=0, help="their order, and lengths where there are more than pumps")
    parser.add_argument("--json", type=Path, help="write the figures there")
    args = parser.parse_args(argv)
    begun = time.monotonic()
    slowest = dict.fromkeys(CALLS, 0.0)
    late: list[tuple[str, float, Pump, int]] = []
    work = texts(args.inputs, args.seed)
    for done, (pump, length) in enumerate(work, start=1):
        text = pump.text(length)[:LONGEST]
        for name, call in CALLS.items():
            took = milliseconds(call, text)
            slowest[name] = max(slowest[name], took)
            if took > MOST_MS:
                late.append((name, took, pump, length))
        if done % TELL_EVERY == 0:
            left = (time.monotonic() - begun) / done * (len(work) - done)
            print(f"{done:,} of {len(work):,}, {len(late)} late, {left:,.0f} s left", file=sys.stderr, flush=True)
    for name, took, pump, length in late:
        print(f"{took:.0f} ms: {name} of {json.dumps(pump)} at {length:,} characters")
    for name, took in slowest.items():
        print(f"{name:<14} slowest {took:5.1f} ms")
    print(f"{len(work):,} texts, {len({pump for pump, _ in work}):,} pumps, {len(late)} over {MOST_MS:.0f} ms")
    if args.json:
        write_json(args.json, {"texts": len(work), "late": len(late), "slowest_ms": slowest})
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
