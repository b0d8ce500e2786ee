"""Show verdicts of a build, so that a person can check the judge.

    python -m mmpr.answers.audit OUT --sample 200

Reads ``verdicts/``, ``rollouts/`` and ``questions/`` of a build; prints the tail of each response with the extracted
answer, the truth, the verdict and its reason, by comparator, and writes the same as CSV. Where Math-Verify is
installed, the verdicts with which it disagrees come first.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from mmpr.cli.command import printable, run_command
from mmpr.errors import OutputError

_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?%?")
_TAIL = 160  # characters of a response that are shown


@dataclass(frozen=True, slots=True)
class Line:
    """One verdict as it is shown.

    ``math_verify`` is ``correct``, ``incorrect`` or, where it is not installed or there is no answer, empty.
    """

    comparator: str
    status: str
    math_verify: str
    answer: str
    gold: str
    reason: str
    tail: str
    source: str
    id: str
    response: int

    @property
    def disagrees(self) -> bool:
        """Whether Math-Verify says otherwise."""
        return bool(self.math_verify) and (self.math_verify == "correct") != (self.status == "correct")


def sample(out: Path, count: int, seed: int = 0) -> list[Line]:
    """``count`` verdicts of a build, spread evenly over comparators and statuses; the same ones for the same seed.

    Raises OutputError when the build has no verdicts yet or a shard cannot be read.
    """
    groups: dict[tuple[str, str], list[tuple[str, Line]]] = {}
    for line in _lines(out):
        key = hashlib.blake2b(f"{seed}:{line.id}:{line.response}".encode(), digest_size=8).hexdigest()
        group = groups.setdefault((line.comparator, line.status), [])
        group.append((key, line))
        if len(group) > 2 * count:  # keep the smallest keys only: a uniform sample in bounded memory
            group.sort(key=lambda entry: entry[0])
            del group[count:]
    ordered = [[line for _, line in sorted(group, key=lambda entry: entry[0])] for group in groups.values()]
    chosen: list[Line] = []
    for rank in range(max(map(len, ordered), default=0)):
        chosen += [group[rank] for group in ordered if rank < len(group)]
        if len(chosen) >= count:
            break
    return chosen[:count]


def compare(lines: Sequence[Line], judge: Callable[[str, str], bool] | None) -> list[Line]:
    """The lines with Math-Verify's verdict, disagreements first, then the unsure, then by comparator and status."""
    told = [
        replace(line, math_verify="correct" if judge(line.answer, line.gold) else "incorrect")
        if judge is not None and line.answer
        else line
        for line in lines
    ]
    return sorted(
        told,
        key=lambda line: (
            not line.disagrees, line.status != "unsure", line.comparator, line.status, line.id, line.response
        ),
    )  # fmt: skip


def math_verify() -> Callable[[str, str], bool] | None:
    """Math-Verify's judgement of (answer, gold); None when it is not installed."""
    try:
        from math_verify import parse, verify
    except ImportError:
        return None

    def judge(answer: str, gold: str) -> bool:
        left, right = (parse(text if "$" in text else f"${text}$") for text in (gold, answer))
        return bool(verify(left, right) or verify(right, left))

    return judge


def _lines(out: Path) -> Iterator[Line]:
    shards = sorted((out / "verdicts").glob("*.parquet"))
    if not shards:
        raise OutputError(f"{out}: no verdicts to audit; run the build up to its verify stage first")
    for shard in shards:
        verdicts = _rows(shard, ["id", "source", "verdicts"])
        rollouts = {row["id"]: row["responses"] for row in _rows(out / "rollouts" / shard.name, ["id", "responses"])}
        golds = {row["id"]: row["answer"] for row in _rows(out / "questions" / shard.name, ["id", "answer"])}
        for row in verdicts:
            responses = rollouts.get(row["id"], [])
            for place, verdict in enumerate(row["verdicts"]):
                text = responses[place]["text"] if place < len(responses) else ""
                yield Line(
                    comparator=verdict["comparator"],
                    status=verdict["status"],
                    math_verify="",
                    answer=verdict["answer"] or "",
                    gold=golds.get(row["id"]) or "",
                    reason=verdict["reason"],
                    tail=_one_line(text[-_TAIL:]),
                    source=row["source"],
                    id=row["id"],
                    response=place,
                )


def _rows(path: Path, columns: list[str]) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: list[dict[str, Any]] = pq.read_table(path, columns=columns).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise OutputError(f"{path}: cannot be read ({error}); run the build again") from error
    return rows


def _one_line(text: str) -> str:
    """The text on one line, without what a terminal would take for a command."""
    return printable(" ".join(text.split()))


def _cell(value: object) -> object:
    """A value for the CSV, without what a terminal would take for a command.

    It is quoted when a spreadsheet would take it for a formula, unless it is a plain number.
    """
    if isinstance(value, str):
        value = "".join(char if char in "\t\n" else printable(char) for char in value)
    if not isinstance(value, str) or not value.lstrip().startswith(_FORMULA) or _NUMBER.fullmatch(value):
        return value
    return f"'{value}"


def show(lines: Sequence[Line]) -> None:
    """Print the lines under their comparators."""
    heading = ""
    for line in lines:
        title = "Math-Verify disagrees" if line.disagrees else line.comparator
        if title != heading:
            heading = title
            print(f"\n== {_one_line(heading)}")
        other = f"  (Math-Verify: {line.math_verify})" if line.disagrees else ""
        answer, gold, reason = map(_one_line, (line.answer, line.gold, line.reason))
        print(f"{line.status:12} {answer!r} against {gold!r}: {reason}{other}")
        print(f"{'':12} … {line.tail}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="mmpr audit", description="Show verdicts of a build.")
    parser.add_argument("out", type=Path, metavar="OUT", help="directory of a build")
    parser.add_argument("--sample", type=int, default=200, metavar="N", help="how many verdicts (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (default 0)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="where the CSV goes (default: audit.csv in OUT)")
    options = parser.parse_args(arguments)

    def work() -> None:
        lines = compare(sample(options.out, max(1, options.sample), options.seed), math_verify())
        show(lines)
        path = options.csv or options.out / "audit.csv"
        try:
            with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
                writer = csv.DictWriter(file, [field.name for field in fields(Line)])
                writer.writeheader()
                writer.writerows({name: _cell(value) for name, value in asdict(line).items()} for line in lines)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from None
        disagreements = sum(line.disagrees for line in lines)
        print(f"\n{len(lines)} verdicts, {disagreements} with which Math-Verify disagrees; as CSV in {path}")

    return run_command(work)


if __name__ == "__main__":
    raise SystemExit(main())
