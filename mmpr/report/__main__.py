"""``python -m mmpr.report DATA``: write the report of a build or of a release of MMPR."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mmpr.cli.command import printable, run_command

if TYPE_CHECKING:
    from mmpr.report.contents import Finding, Report


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status: 0 done, 1 failed, 130 stopped."""
    args = _arguments().parse_args(argv)

    def work() -> None:
        from mmpr.report.make import check_folder, make_report, report_folder, write_report

        def say(line: str) -> None:
            print(printable(line), file=sys.stderr, flush=True)

        folder = (args.out or report_folder(args.data, args.compare)).absolute()
        check_folder(folder)
        report = make_report(
            args.data, against=args.against, other=args.compare, seed=args.seed, unsure_first=args.unsure_first, say=say
        )
        _show(report, write_report(report, folder))

    return run_command(work, stopped="stopped; an earlier report is still there")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmpr report",
        description="Turn a dataset into a page: findings, flow, distributions, gallery, audit, contamination.",
        epilog="The page is index.html, its figures are report.json; where they are is said at the end.",
    )
    parser.add_argument(
        "data",
        type=Path,
        metavar="DATA",
        help="a finished build, such as builds/quickstart, or MMPR's meta.json or its folder",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where the report goes (default: DATA/report of a build, reports/NAME of a release; with -vs-B after "
        "it for --compare)",
    )
    parser.add_argument("--compare", type=Path, metavar="B", help="another build or release: show what moved")
    parser.add_argument(
        "--against",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="PATH",
        help="look for the training questions in these: Parquet, JSONL, a build, MMPR or a folder of pictures",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="draws what is shown (default 0)")
    parser.add_argument(
        "--unsure-first",
        action="store_true",
        help="draw the unsure verdicts for the audit before all others",
    )
    return parser


def _show(report: Report, page: Path) -> None:
    """Print the findings as a table, and where the page is."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from mmpr.pipeline.progress import print_tables

    table = Table(title=f"{report.name}: findings", title_justify="left", box=box.SIMPLE)
    for name in ("", "finding", "number", "threshold"):
        table.add_column(name, justify="right" if name == "number" else "left")
    table.add_column("what it says", overflow="fold")
    colours = {"ok": "green", "look": "yellow", "bad": "red", "not measured": "dim"}
    for finding in report.findings:
        level = Text(finding.level, style=colours[finding.level])
        number, threshold = _number(finding, finding.number), _threshold(finding)
        table.add_row(level, finding.title, number, threshold, Text(printable(finding.sentence)))
    print_tables(table)
    print(f"report    {os.path.relpath(page) if page.is_relative_to(Path.cwd()) else page}")


def _threshold(finding: Finding) -> str:
    beyond = "below" if finding.more_is_better else "above"
    if finding.look == finding.bad:
        return f"bad {beyond} {_number(finding, finding.bad)}"
    return f"look {beyond} {_number(finding, finding.look)}, bad {_number(finding, finding.bad)}"


def _number(finding: Finding, number: float | None) -> str:
    if number is None:
        return "-"
    if finding.unit == "share":
        return f"{100 * number:.3g} %"
    return f"{number:,.0f}" if finding.unit == "count" else f"{number:.2f}"


if __name__ == "__main__":
    sys.exit(main())
