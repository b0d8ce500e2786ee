"""What a person sees while a build runs, and the table at its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TextIO, get_args

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from mmpr.schema import Word
from mmpr.storage.counts import JUDGED, methods_made, total

PLAIN_EVERY_S = 10.0
_POLL_S = 0.5
_RATE_WINDOW_S = 30.0


class BuildProgress:
    """One live line a stage on a terminal; elsewhere a plain line at the start, every ten seconds, and at the end.

    ``read`` gives the workers' sums so far (``ingested``, ``questions``, ``responses``, ``tokens``, ``continuations``,
    ``engines``), of this run alone; ``judged`` is fed by the driver. Shown on ``file``; it never decides anything.
    """

    def __init__(self, read: Callable[[], dict[str, int]], totals: dict[str, int], engines: int, file: TextIO) -> None:
        self._read = read
        self._totals = totals
        self._engines = engines
        self._statuses = {"correct": 0, "judged": 0}
        self._file = file
        self._console = Console(file=file)
        self._live = self._console.is_terminal
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="progress")
        self._started_s = time.monotonic()
        self._history: list[tuple[float, int, int]] = []

    def __enter__(self) -> BuildProgress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def judged(self, counts: dict[str, int]) -> None:
        """Add the counts of a judged unit."""
        for name, by in counts.items():
            what = name.split("/", 1)[1]
            if what in JUDGED:
                self._statuses["judged"] += by
                self._statuses["correct"] += by if what == "correct" else 0

    def _run(self) -> None:
        if not self._live:
            most = self._totals["questions"]
            if most:  # a short build ends before the next line
                self._print(f"{most:,} questions to ask: {self._details({})}")
            while not self._stop.wait(PLAIN_EVERY_S):
                sums = self._read()
                done = min(sums.get("questions", 0), most)  # units that are begun again count twice
                self._print(f"{done:,}/{most:,} questions  {self._details(sums)}  {self._time_left(done, most)}")
            self._print(
                f"done in {time.monotonic() - self._started_s:,.0f} s: {self._pass_rate() or 'nothing was judged'}"
            )
            return
        columns = [
            TextColumn("{task.description:<8}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[details]}"),
        ]
        with Progress(*columns, console=self._console, speed_estimate_period=_RATE_WINDOW_S) as progress:
            totals = {"ingest": self._totals["questions"], "sample": self._totals["questions"]}
            totals["judge"] = self._totals["to_judge"]
            bars = {name: progress.add_task(name, total=total, details="") for name, total in totals.items()}
            while not self._stop.wait(_POLL_S):
                self._draw(progress, bars)
            self._draw(progress, bars)

    def _draw(self, progress: Progress, bars: dict[str, TaskID]) -> None:
        sums = self._read()
        most = self._totals["questions"]  # units that are begun again count twice
        progress.update(bars["ingest"], completed=min(sums.get("ingested", 0), most))
        progress.update(bars["sample"], completed=min(sums.get("questions", 0), most), details=self._details(sums))
        progress.update(bars["judge"], completed=self._statuses["judged"], details=self._pass_rate())

    def _details(self, sums: dict[str, int]) -> str:
        if sums.get("engines", 0) == 0:
            return f"starting {self._engines} engine{'s' if self._engines > 1 else ''}"
        responses, tokens = self._rates(sums)
        again = sums["engines"] - self._engines  # in place of engines that have died, see logs/
        restarts = f", {again} engine restart{'s' if again > 1 else ''}" if again > 0 else ""
        return f"{responses:,.0f} responses/s, {tokens:,.0f} tokens/s{restarts}" + (
            "" if self._live else f"  {self._pass_rate()}"
        )

    def _pass_rate(self) -> str:
        judged = self._statuses["judged"]
        return f"pass rate {self._statuses['correct'] / judged:.2f}" if judged else ""

    def _rates(self, sums: dict[str, int]) -> tuple[float, float]:
        """Responses and tokens a second over the last half minute."""
        now = time.monotonic()
        self._history.append((now, sums.get("responses", 0) + sums.get("continuations", 0), sums.get("tokens", 0)))
        while len(self._history) > 2 and self._history[0][0] < now - _RATE_WINDOW_S:
            self._history.pop(0)
        (then, responses, tokens), last = self._history[0], self._history[-1]
        passed = max(now - then, 1e-9)
        return (last[1] - responses) / passed, (last[2] - tokens) / passed

    def _time_left(self, done: int, most: int) -> str:
        passed = time.monotonic() - self._started_s
        return f"{passed * (most - done) / done:,.0f} s left" if done else ""

    def _print(self, line: str) -> None:
        print(line.strip(), file=self._file, flush=True)


class Steps:
    """How far a command is, step by step: a live bar on a terminal, a plain line every ten seconds elsewhere."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._console = Console(file=file)
        self._bars = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._lock = threading.Lock()
        self._name, self._done, self._total, self._started_s, self._told_s = "", 0, 0, 0.0, 0.0
        self._bar: TaskID | None = None

    def __enter__(self) -> Steps:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    def begin(self, name: str, total: int, done: int = 0) -> None:
        """A step of ``total`` things, ``done`` of them before this run."""
        self._name, self._done, self._total = name, done, total
        self._started_s = self._told_s = time.monotonic()
        if self._console.is_terminal:
            self._bar = self._bars.add_task(name, total=total, completed=done)

    def advance(self) -> None:
        """One more thing is done; may be called from any thread."""
        with self._lock:
            self._done += 1
            now = time.monotonic()
            if self._console.is_terminal:
                if self._bar is not None:
                    self._bars.update(self._bar, completed=self._done)
            elif now - self._told_s >= PLAIN_EVERY_S:
                self._told_s = now
                passed = f"{now - self._started_s:,.0f} s"
                print(f"{self._name}  {self._done:,}/{self._total:,}  {passed}", file=self._file, flush=True)


def print_tables(*tables: Table | None) -> None:
    """Print tables, wide enough to read where the output is a file. Brackets in cells are text, never markup."""
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console = Console(width=120, markup=False, emoji=False, highlight=False)
    for table in tables:
        if table is not None:
            console.print(table)


def summary_table(manifest: dict[str, Any]) -> Table:
    """What a build holds, a line a source."""
    counts = manifest["counts"]
    table = Table(title=manifest["recipe"]["name"], title_justify="left", box=box.SIMPLE)
    table.add_column("source")
    methods = methods_made(lambda name: total(counts["pair"], name))
    for name in ("questions", "responses", "correct", "incorrect", "unclear", "pairs", *methods):
        table.add_column(name, justify="right")
    sources = [spec["name"] for spec in manifest["recipe"]["sources"]]
    for source in [*sources, None]:
        chosen = None if source is None else [source]

        def of(stage: str, what: str, chosen: list[str] | None = chosen) -> int:
            return total(counts[stage], what, chosen if chosen is not None else sources)

        judged = sum(of("verify", status) for status in JUDGED)
        shares = [f"{of('verify', status) / judged:.1%}" if judged else "-" for status in JUDGED]
        pairs = [of("pair", f"pairs/{method}") for method in methods]
        if source is None:
            table.add_section()
        table.add_row(
            source or "all",
            f"{of('ingest', 'questions'):,}",
            f"{of('sample', 'responses'):,}",
            *shares,
            *(f"{count:,}" for count in (sum(pairs), *pairs)),
        )
    return table


def cost_line(manifest: dict[str, Any]) -> str:
    """What a pair has cost, and what an adaptive build has saved, in a line; empty where there is no pair."""
    counts = manifest["counts"]
    pairs, tokens = total(counts["pair"], "pairs/"), total(counts["sample"], "tokens")
    if not pairs:
        return ""
    told = f"tokens    {(tokens + total(counts['complete'], 'tokens')) / pairs:,.0f} a pair"
    fixed = total(counts["sample"], "adaptive/fixed_tokens")
    if not fixed:
        return told
    stops = {name: total(counts["sample"], f"adaptive/{name}") for name in ("enough", "hopeless", "most")}
    why = f"{stops['enough']:,} questions had their pairs early, {stops['hopeless']:,} were given up"
    return (
        f"{told}; {tokens:,} for responses, about {tokens / fixed:.2f} of the {fixed:,} that all samples of each "
        f"question would have taken ({why}, {stops['most']:,} drew all)"
    )


def words_told(manifest: dict[str, Any]) -> str:
    """What a verifier said of the unsure verdicts, as a line; empty for a build without one."""
    counts = manifest["counts"].get("adjudicate")
    if counts is None:
        return ""
    said = ", ".join(f"{total(counts, word):,} {word}" for word in get_args(Word))
    return f"adjudicated: {said}\n"


def reasons_table(manifest: dict[str, Any]) -> Table | None:
    """What made no pair and what was dropped, with counts; None when nothing was."""
    counts = manifest["counts"]
    rows: list[tuple[str, str, int]] = []
    for stage, kinds in (
        ("index", ("rejected/", "not_selected")),
        ("ingest", ("rejected/",)),
        ("sample", ("rejected/",)),
        ("complete", ("rejected/",)),
        ("verify", ("rejected/",)),
        ("adjudicate", ("rejected/",)),
        ("pair", ("questions/", "skipped/")),
    ):
        names = sorted({name for source in counts.get(stage, {}).values() for name in source})
        for name in names:
            if name.startswith(kinds) and name != "questions/paired":
                what = name.replace("questions/", "questions without a pair: ").replace("skipped/", "pairs left out: ")
                rows.append(
                    (stage, what.replace("rejected/", "rejected: ").replace("_", " "), total(counts[stage], name))
                )
    if not rows:
        return None
    table = Table(title="What the dataset leaves out, and why", title_justify="left", box=box.SIMPLE)
    table.add_column("stage")
    table.add_column("reason")
    table.add_column("count", justify="right")
    for stage, what, count in rows:
        table.add_row(stage, what, f"{count:,}")
    return table
