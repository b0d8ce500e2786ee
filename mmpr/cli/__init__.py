"""``mmpr COMMAND ...``: the one command, from which all others are reached. ``python -m mmpr.COMMAND`` is the same."""

from __future__ import annotations

import sys
from importlib import import_module

import mmpr

# What each command does, and the module whose main() does it. A module is imported when its command is asked for.
COMMANDS = {
    "build": ("mmpr.build", "sample answers, judge and pair them: from a recipe to a preference dataset"),
    "report": ("mmpr.report.__main__", "show what is in a build or an MMPR release: one HTML page"),
    "serve": ("mmpr.serve", "show a build's report in the browser, and keep what is said on its audit page"),
    "check": ("mmpr.check.__main__", "look into a build; --verify proves every byte, count and picture"),
    "rejects": ("mmpr.check.rejects", "say what a build left out and why, with an example of each reason"),
    "select": ("mmpr.derive.selecting", "make a build of a part of one: the questions or pairs that fit a condition"),
    "merge": ("mmpr.derive.merging", "put builds together, of one model or several"),
    "train": ("mmpr.train.__main__", "train a model on preference data by MPO"),
    "check-gpu": ("mmpr.train.check_gpu.__main__", "check that this GPU computes what training needs, and how fast"),
    "evaluate": ("mmpr.evaluate.__main__", "measure and compare models on held-out questions or benchmarks"),
    "export": ("mmpr.export.__main__", "write pairs for TRL, MMPR, LLaMA-Factory or ms-swift, or push them to the hub"),
    "audit": ("mmpr.answers.audit", "show verdicts of a build with the answers that they are about"),
}


def main() -> int:
    """Run the command that ``sys.argv`` names; returns its exit status (2: there is no such command)."""
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        lines = [f"  {command:<{width}}  {does}" for command, (_, does) in COMMANDS.items()]
        print("\n".join(["usage: mmpr COMMAND ...", "", *lines, "", "mmpr COMMAND --help tells more."]))
        return 0
    if name in ("-V", "--version"):
        print(f"mmpr {mmpr.__version__}")
        return 0
    if name not in COMMANDS:
        print(f"mmpr: there is no command {name!r}; there are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    sys.argv = [f"mmpr {name}", *rest]
    status: int = import_module(COMMANDS[name][0]).main()
    return status


if __name__ == "__main__":
    sys.exit(main())
