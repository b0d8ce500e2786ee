"""``mmpr rejects BUILD``: what a build left out and why, in words, each reason with an example."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmpr.cli.command import printable, run_command


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status: 0 done, 1 there is no build, 130 stopped."""
    args = _arguments().parse_args(argv)
    return run_command(lambda: print_rejects(args.out, args.source), stopped="stopped")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmpr rejects",
        description="Show what a build left out: rows, responses, and questions without a pair; with an example each.",
        epilog="The build may still be running. All of it is in rejects/ (Parquet).",
    )
    parser.add_argument("out", type=Path, metavar="BUILD", help="a build, finished or not, such as builds/quickstart")
    parser.add_argument("--source", metavar="NAME", help="of this source alone")
    return parser


def print_rejects(out: Path, source: str | None = None) -> None:
    """Print the reasons of a build, the commonest first.

    Raises:
        OutputError: there is no build, or a file of it is damaged.
    """
    from mmpr.errors import OutputError
    from mmpr.pipeline.plan import read_build
    from mmpr.pipeline.reasons import Reason, reason_text, reject_reasons, unpaired_reasons
    from mmpr.storage.counts import by_source
    from mmpr.storage.shards import MANIFEST, stage_counts

    build = read_build(out)
    rejects = (out / "rejects").is_dir()
    if build is None and not rejects:
        raise OutputError(f"{out}: there is no build here")
    counts = by_source(stage_counts(out, "pair", build.of("train"))) if build else {}

    def tell(title: str, reasons: list[Reason]) -> None:
        shown = [reason for reason in reasons if source in (None, reason.source)]
        if not shown:
            return
        print(f"{title}: {sum(reason.count for reason in shown):,}")
        for reason in shown:
            where = f"{reason.source}, {reason.stage}"
            print(printable(f"  {reason.count:>8,}  {reason_text(reason.name)}  [{where}: {reason.name}]"))
            if reason.example:
                print(printable(f"            for example {reason.example}"))

    dropped, unpaired = reject_reasons(out), unpaired_reasons(out, counts)
    tell("dropped rows and responses", dropped)
    tell("questions without a pair", unpaired)
    if not dropped and not unpaired:
        print(f"nothing was left out{'' if (out / MANIFEST).exists() else ' so far'}")


if __name__ == "__main__":
    sys.exit(main())
