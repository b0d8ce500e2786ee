"""How right and how fast the answer matcher is, beside Math-Verify and any other.

    python benchmarks/answers.py                                     # the project's own labelled pairs
    python benchmarks/answers.py --pairs FILE --against package.module:function --json out.json

FILE (or each ``.jsonl`` file of a folder) has one JSON object a line: ``pred``, ``gold`` (a text, or a list of
acceptable ones), ``label`` (right, wrong, or null for what nobody can tell), ``kind`` and perhaps ``choices`` and
``rule``. A pair that nobody can tell must not be called right. A matcher given as ``module:function`` is called with
(pred, gold, choices, rule) and returns a truth value or a Verdict. Each pair is seen once in a process that is warm
(modules loaded, workers up); processor seconds include those of the symbolic workers. Math-Verify is wrapped as it does
best: formulas in dollars, both orders.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmpr.answers import match
from mmpr.answers.prover import pool
from mmpr.schema import Verdict

Matcher = Callable[[str, Any, Sequence[str] | None, str], Any]
PAIRS = Path(__file__).resolve().parent.parent / "tests" / "answers" / "pairs"
WARM_UP = [("5 cm", "5"), (r"4\cos\frac{\pi}{5}", r"1+\sqrt{5}"), ("(B) Paris", "B"), ("a cat", "cat"), ("三个", "3")]


@dataclass(frozen=True)
class Score:
    """One matcher on one kind of pairs (``all``: every kind); rates in per cent, None where nothing was to be found.

    ``rejected`` is the share of wrong answers that are called incorrect, not unsure.
    """

    matcher: str
    kind: str
    pairs: int
    accuracy: float
    precision: float | None
    recall: float | None
    rejected: float | None
    pairs_per_cpu_s: float
    slowest_ms: float
    slowest: str


@dataclass(frozen=True)
class Row:
    """A pair, whether it was called right (``said``) or wrong (``rejected``), and the time it took."""

    pair: dict[str, Any]
    said: bool
    rejected: bool
    cpu_s: float
    wall_s: float


def ours(pred: str, gold: str | list[str], choices: Sequence[str] | None, rule: str) -> Verdict:
    """This project's matcher."""
    return match(pred, gold, choices=choices, rule=rule)


def math_verify() -> Matcher:
    """Math-Verify, formulas put in dollars where they are not, gold first and prediction first."""
    from math_verify import parse, verify

    logging.disable(logging.ERROR)

    def dollars(text: str) -> str:
        return text if "$" in text or "\\boxed" in text or "\\(" in text else f"${text}$"

    def judge(pred: str, gold: str | list[str], choices: Sequence[str] | None, rule: str) -> bool:
        right = parse(dollars(pred))
        golds = [parse(dollars(one)) for one in ([gold] if isinstance(gold, str) else gold)]
        return any(verify(left, right) or verify(right, left) for left in golds)

    return judge


def load(reference: str) -> Matcher:
    """The function that ``module:function`` names."""
    module, _, name = reference.partition(":")
    function: Matcher = getattr(importlib.import_module(module), name)
    return function


def measure(name: str, matcher: Matcher, pairs: Sequence[dict[str, Any]]) -> list[Score]:
    """Run one matcher over all pairs, each once; scores for all and for each kind."""
    for pred, gold in WARM_UP:
        matcher(pred, gold, None, "default")
    rows = []
    for pair in pairs:
        start, cpu, workers = time.perf_counter(), time.process_time(), pool.processes.cpu_s()
        try:
            verdict = matcher(pair["pred"], pair["gold"], pair.get("choices"), pair.get("rule") or "default")
        except Exception as error:  # noqa: BLE001 - a matcher that raises has not found the answer right
            verdict = False
            print(f"{name} raised {type(error).__name__} on {pair['pred'][:60]!r}")
        cpu_s = time.process_time() - cpu + max(0.0, pool.processes.cpu_s() - workers)
        known = isinstance(verdict, Verdict)
        said = verdict.status == "correct" if known else bool(verdict)
        rejected = verdict.status in ("incorrect", "unparseable") if known else not said
        rows.append(Row(pair, said, rejected, cpu_s, time.perf_counter() - start))
    kinds = ["all", *dict.fromkeys(pair["kind"] for pair in pairs)]
    return [_score(name, kind, [row for row in rows if kind in ("all", row.pair["kind"])]) for kind in kinds]


def _score(name: str, kind: str, rows: list[Row]) -> Score:
    right = [row for row in rows if row.pair["label"] is True]
    wrong = [row for row in rows if row.pair["label"] is False]
    found, said_right = sum(row.said for row in right), sum(row.said for row in rows)
    slowest = max(rows, key=lambda row: row.wall_s)
    return Score(
        matcher=name,
        kind=kind,
        pairs=len(rows),
        accuracy=round(100 * sum(row.said == bool(row.pair["label"]) for row in rows) / len(rows), 2),
        precision=round(100 * found / said_right, 2) if said_right else None,
        recall=round(100 * found / len(right), 2) if right else None,
        rejected=round(100 * sum(row.rejected for row in wrong) / len(wrong), 2) if wrong else None,
        pairs_per_cpu_s=round(len(rows) / max(1e-9, sum(row.cpu_s for row in rows)), 1),
        slowest_ms=round(1000 * slowest.wall_s, 1),
        slowest=slowest.pair["pred"][:60],
    )


def show(scores: Sequence[Score]) -> None:
    """One table a kind, one line a matcher."""
    for kind in dict.fromkeys(score.kind for score in scores):
        lines = [score for score in scores if score.kind == kind]
        print(f"\n{kind} ({lines[0].pairs} pairs)")
        rates = f"{'accuracy':>9} {'precision':>9} {'recall':>9} {'rejected':>9}"
        print(f"{'matcher':24} {rates} {'pairs/CPU-s':>12} {'slowest ms':>11}  slowest pair")
        for score in lines:
            numbers = (score.accuracy, score.precision, score.recall, score.rejected)
            rates = " ".join(f"{'-' if number is None else format(number, '.2f'):>9}" for number in numbers)
            speed = f"{score.pairs_per_cpu_s:12,.0f} {score.slowest_ms:11,.1f}"
            print(f"{score.matcher:24} {rates} {speed}  {score.slowest!r}")


def main() -> None:
    """Parse the command line, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, default=PAIRS, help="labelled pairs, JSON lines, or a folder of them")
    parser.add_argument("--against", action="append", default=[], metavar="MODULE:FUNCTION", help="another matcher")
    parser.add_argument("--without-math-verify", action="store_true", help="leave Math-Verify out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores as rows")
    options = parser.parse_args()
    files = sorted(options.pairs.glob("*.jsonl")) if options.pairs.is_dir() else [options.pairs]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    pairs = [json.loads(line) for line in lines if line.strip()]
    matchers: list[tuple[str, Matcher]] = [("mmpr", ours)]
    if not options.without_math_verify:
        matchers.append(("math-verify", math_verify()))
    matchers += [(reference, load(reference)) for reference in options.against]
    scores = [score for name, matcher in matchers for score in measure(name, matcher, pairs)]
    show(scores)
    if options.json:
        options.json.write_text(json.dumps([asdict(score) for score in scores], ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
