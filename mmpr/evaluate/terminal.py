"""An evaluation as tables in the terminal: runs, kinds of questions, metrics of benchmarks, differences of models."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich import box
from rich.table import Table

from mmpr.cli.command import printable
from mmpr.evaluate.results import Difference, Evaluation, Result, Scores
from mmpr.pipeline.progress import print_tables

_COLUMNS, _WITH_ENDS = 8, 3  # runs side by side, and with their intervals


def show(evaluation: Evaluation) -> None:
    """Print an evaluation."""
    print_tables(*_tables(evaluation))


def share(value: float | None) -> str:
    """A share as a percentage."""
    return "-" if value is None else f"{100 * value:.1f}"


def points(value: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return f"{100 * value:+.1f}"


def ends(low: float | None, high: float | None, write: Callable[[float], str] = share) -> str:
    """An interval as text, by ``share`` or ``points``; empty when there is none."""
    return "" if low is None or high is None else f"[{write(low)}, {write(high)}]"


def _tables(evaluation: Evaluation) -> Iterator[Table]:
    for asked in evaluation.data:
        results = [result for result in evaluation.results if result.data == asked.name]
        yield _overview(f"{asked.name}: {asked.questions:,} questions, accuracy in %, 95 % interval", results)
        if len(results) <= _COLUMNS:
            yield _kinds(results)
        if any(result.metrics for result in results):
            yield _metrics(results)
        if any(result.differing for result in results):
            yield _differing(results)
    if evaluation.paired:
        yield _differences(evaluation)


def _overview(title: str, results: list[Result]) -> Table:
    table = _table(title, ("model", "asked"), ("accuracy", "95 %", "pass@k", "unclear", "truncated", "loops", "tokens"))
    for result in results:
        whole = result.groups[0]
        tokens = "-" if whole.mean_tokens is None else f"{whole.mean_tokens:.1f}"
        table.add_row(
            printable(result.model),
            f"{result.style}, {result.way}",
            share(whole.accuracy),
            ends(whole.low, whole.high),
            ", ".join(f"{k}: {share(chance)}" for k, chance in whole.pass_at[1:]),
            *(share(value) for value in (whole.unparseable, whole.truncated, whole.repetition)),
            tokens,
        )
        lost = ((whole.unanswered, "refused"), (whole.undecided, "undecided"), (whole.failed, "failed by the engine"))
        if any(n for n, _ in lost):
            table.add_row("", f"({', '.join(f'{n:,} {what}' for n, what in lost if n)})")
    return table


def _kinds(results: list[Result]) -> Table:
    names = [f"{printable(result.model)} {result.style} {result.way}" for result in results]
    table = _table("by source and kind", ("source", "kind"), ("questions", *names))
    lines = [{(group.source, group.kind): group for group in result.groups} for result in results]
    for source, kind in lines[0]:
        if source:
            found: list[Scores | None] = [line.get((source, kind)) for line in lines]
            brief = len(results) > _WITH_ENDS
            shown = [
                "-" if one is None else f"{share(one.accuracy)} {'' if brief else ends(one.low, one.high)}"
                for one in found
            ]
            table.add_row(printable(source), printable(kind) or "all", f"{lines[0][source, kind].questions:,}", *shown)
    return table


def _metrics(results: list[Result]) -> Table:
    table = _table(
        "the benchmark's own numbers", ("model", "asked", "number", "group"), ("score", "95 %", "official", "questions")
    )
    for result in results:
        for metric in result.metrics:
            table.add_row(
                printable(result.model),
                f"{result.style}, {result.way}",
                printable(metric.name),
                printable(metric.group),
                share(metric.score),
                ends(metric.low, metric.high),
                share(metric.official),
                f"{metric.count:,}",
            )
    return table


def _differing(results: list[Result]) -> Table:
    table = _table("score and official differ", ("model", "asked", "reason"), ("responses",))
    for result in results:
        for reason, count in result.differing:
            asked = f"{result.style}, {result.way}"
            table.add_row(printable(result.model), asked, printable(reason), f"{count:,}")
    return table


def _differences(evaluation: Evaluation) -> Table:
    title = "differences, in points of accuracy, second minus first"
    table = _table(
        title, ("first", "second", "asked"), ("difference", "95 %", "only first", "only second", "McNemar p")
    )
    for paired in evaluation.paired:
        if paired.groups:
            whole: Difference = paired.groups[0]
            table.add_row(
                printable(paired.first),
                printable(paired.second),
                f"{paired.style}, {paired.way}",
                points(whole.difference),
                ends(whole.low, whole.high, points),
                "-" if whole.only_first is None else f"{whole.only_first:,}",
                "-" if whole.only_second is None else f"{whole.only_second:,}",
                "-" if whole.p_value is None else f"{whole.p_value:.2g}",
            )
    return table


def _table(title: str, words: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    for name in words:
        table.add_column(name)
    for name in numbers:
        table.add_column(name, justify="right")
    return table
