"""``python -m mmpr.evaluate --model M [--model M2 …] --data D --out R``: measure models, and compare them."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from mmpr.cli.command import RULE_HELP, RUNNER_HELP, RUNNERS, run_command


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status: 0 done, 1 failed, 2 wrong settings, 130 stopped."""
    args = _arguments().parse_intermixed_args(argv)

    def work() -> None:
        from mmpr.evaluate.results import STYLES
        from mmpr.evaluate.run import evaluate
        from mmpr.evaluate.terminal import show
        from mmpr.extension import from_options

        evaluation = evaluate(
            args.model,
            args.data,
            args.out,
            samples=args.samples,
            styles=STYLES if args.style == "both" else (args.style,),
            template=args.template,
            overrides=args.override,
            runner=args.runner,
            extensions=from_options(args.rule),
        )
        show(evaluation)
        out = args.out.absolute()
        shown = os.path.relpath(out) if out.is_relative_to(Path.cwd()) else str(out)
        print(f"report    {shown}/index.html, {shown}/report.json; every response under {shown}/runs/")

    return run_command(work)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmpr evaluate",
        description="Measure models on held-out questions, with the build's engine, templates and matcher.",
        epilog="Run the same command again to go on after a stop; other models, data and styles are added beside.",
    )
    parser.add_argument(
        "--model",
        required=True,
        action="append",
        metavar="[NAME=]MODEL",
        help="a folder, or a name on the hub (NAME@REVISION); several are compared",
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="D",
        help="a build (its held-out questions), JSONL or Parquet, or BENCHMARK:PATH such as mmstar:PATH",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="R", help="where responses and report go")
    parser.add_argument(
        "--samples", type=_at_least_one, metavar="K", help="draw K answers at temperature 1 (default: one, greedily)"
    )
    parser.add_argument(
        "--style",
        choices=("reason", "direct", "both"),
        default="reason",
        help="ask for reasoning, for the bare answer, or both (default: reason)",
    )
    parser.add_argument(
        "--template", metavar="T", help="the template that asks for reasoning (default: the source's, en)"
    )
    parser.add_argument("--runner", choices=RUNNERS, default="ray", help=RUNNER_HELP)
    parser.add_argument("--rule", action="append", default=[], metavar="NAME=module:function", help=RULE_HELP)
    parser.add_argument(
        "override",
        nargs="*",
        metavar="key.path=value",
        help="settings as in a recipe: engine.args.dtype=bfloat16, sampling.max_tokens=512, data.rule=relaxed",
    )
    return parser


def _at_least_one(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
