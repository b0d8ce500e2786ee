"""``python -m mmpr.check OUT``: print schema, counts and some pairs of a build, and check its files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from mmpr.audit.precision import WIDTH
from mmpr.cli.command import RULE_HELP, printable, run_command

if TYPE_CHECKING:
    from mmpr.storage.integrity import Problem

_SHOWN = 100


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status: 0 all is well, 1 something is wrong, 130 stopped."""
    args = _arguments().parse_args(argv)

    def work() -> int:
        if args.model:
            from mmpr.check.prompts import print_prompts

            return 0 if print_prompts(args.out, args.model, args.prompts, args.trust_remote_code) else 1
        if not args.verify:
            from mmpr.check.print_build import print_build

            print_build(args.out, args.pairs, args.seed, args.width / 100)
        return _check(args.out, args.verify, args.rule)

    return run_command(work, stopped="stopped")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmpr check",
        description="Look at a finished build: schema, counts, random pairs, checksums.",
        epilog="Exit status 1 when anything is wrong; each problem names its file and what to do.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="a finished build, such as builds/quickstart")
    parser.add_argument(
        "--verify",
        action="store_true",
        help="prove it: checksums, every picture decodes, ids, counts, and every pair judged again",
    )
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="show some prompts as they were sampled beside those that training MODEL would make of them",
    )
    parser.add_argument("--prompts", type=int, default=6, metavar="N", help="how many, with --model (default: 6)")
    parser.add_argument("--trust-remote-code", action="store_true", help="run code that comes with MODEL")
    parser.add_argument("--pairs", type=int, default=3, metavar="N", help="how many random pairs to show (default: 3)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which random pairs (default: 0)")
    parser.add_argument(
        "--width",
        type=_points,
        default=100 * WIDTH,
        metavar="POINTS",
        help="how narrow the intervals of the audit should be, to say how many judgements lack (default: 5)",
    )
    parser.add_argument("--rule", action="append", default=[], metavar="NAME=module:function", help=RULE_HELP)
    return parser


def _points(text: str) -> float:
    """A width in points."""
    try:
        points = float(text)
    except ValueError:
        points = 0.0
    if not 0.1 <= points <= 100:
        raise argparse.ArgumentTypeError("name a number of points from 0.1 to 100")
    return points


def _check(out: Path, everything: bool, rules: list[str]) -> int:
    """Check the checksums, or everything, and print the problems; returns the exit status."""
    from mmpr.check.verify import verify
    from mmpr.extension import from_options
    from mmpr.pipeline.progress import Steps
    from mmpr.storage.integrity import check_files

    with Steps(sys.stderr) as steps:
        found = _tell(verify(out, steps, from_options(rules).rules) if everything else check_files(out))
    if found:
        print(f"\n{found:,} problem{'s' if found > 1 else ''} in {out}")
        return 1
    if everything:
        print("verified: checksums, pictures, ids, counts, and every pair judged again")
    else:
        print("integrity  all files are as they were written (--verify proves more)")
    return 0


def _tell(problems: Iterable[Problem]) -> int:
    """Print the first problems as they are found; returns how many there are."""
    rest = iter(problems)
    shown = 0
    for problem in islice(rest, _SHOWN):
        print(printable(f"problem    {problem}"), flush=True)
        shown += 1
    more = sum(1 for _ in rest)
    if more:
        print(f"           and {more:,} more")
    return shown + more


if __name__ == "__main__":
    sys.exit(main())
