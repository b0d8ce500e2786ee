"""``python -m mmpr.export OUT --format FORMAT --to DIR``: hand the pairs to another trainer, or to the hub."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmpr.cli.command import printable, run_command


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status: 0 done, 1 failed, 2 wrong usage, 130 stopped."""
    parser = _arguments()
    args = parser.parse_args(argv)
    if (args.format is None) != (args.to is None):
        parser.error("--format and --to go together")
    if args.format is None and args.push_to_hub is None:
        parser.error("name a --format and --to a folder, or --push-to-hub a name")

    def work() -> None:
        if args.format is not None:
            from mmpr.export.run import export

            done = export(args.out, args.format, args.to, args.images)
            left_out = sum(done["counts"]["rejects"].values())
            rest = f"; {left_out:,} left out, see rejects/" if left_out else ""
            print(printable(f"exported   {done['counts']['pairs']:,} pairs for {args.format} in {args.to}{rest}"))
            if done.get("without_system_prompt"):
                print("left out   the build's system prompt, for which this format has no place", file=sys.stderr)
            print(printable(f"read it    {args.to / 'README.md'} has the lines"))
        if args.push_to_hub is not None:
            from mmpr.hub import push_folder

            folder = args.to or args.out
            print(printable(f"on the hub  {push_folder(folder, args.push_to_hub, private=args.private)}"))

    return run_command(work)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmpr export",
        description="Write the pairs of a build, or of an MMPR release, in the format of another trainer.",
        epilog="Run the same command again to go on after a stop. The hub wants `hf auth login` or HF_TOKEN.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="a finished build, or MMPR's meta.json or its folder")
    parser.add_argument("--format", choices=("trl", "mmpr", "llama-factory", "ms-swift"), help="who is to read it")
    parser.add_argument("--to", type=Path, metavar="DIR", help="a new folder, or one that this command began")
    parser.add_argument(
        "--images",
        choices=("bytes", "files"),
        help="pictures inside the rows or beside them (default: bytes for trl, files for the others)",
    )
    parser.add_argument(
        "--push-to-hub",
        metavar="NAME",
        help="send DIR, or without --format the build itself, to this data set on the hub (user/name)",
    )
    parser.add_argument("--private", action="store_true", help="make the data set private when it is new")
    return parser


if __name__ == "__main__":
    sys.exit(main())
