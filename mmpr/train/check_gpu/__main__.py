"""``mmpr check-gpu``: a line of JSON for each check, as soon as it is done; status 1 if one has failed."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmpr.cli.command import run_command


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status: 0 all is right, 1 a check failed or there is no GPU."""
    args = _arguments().parse_args(argv)
    return run_command(lambda: _work(args))


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmpr check-gpu",
        description="Check that training computes on this machine's GPU what it should: random weights, no network.",
    )
    parser.add_argument(
        "--tiny", action="store_true", help="tiny sizes, also without a GPU: only what is right, no speed"
    )
    parser.add_argument("--only", action="append", metavar="CHECK", help="this check alone; may be given several times")
    parser.add_argument("--limit-s", type=float, default=480, help="start no check later than that (default: 480)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all lines there as well, as a list")
    return parser


def _work(args: argparse.Namespace) -> int:
    import torch
    import transformers

    from mmpr.errors import MmprError
    from mmpr.train.check_gpu.checks import CHECKS, Machine
    from mmpr.train.check_gpu.shapes import EIGHT_BILLION, HALF_BILLION, TINY, TWO_BILLION

    on_gpu = torch.cuda.is_available()
    if not on_gpu and not args.tiny:
        raise MmprError("this machine has no GPU that torch can use; --tiny checks the code on the CPU")
    if unknown := sorted(set(args.only or ()) - CHECKS.keys()):
        raise MmprError(f"--only: there is no check {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    transformers.utils.logging.set_verbosity_error()
    device = torch.device("cuda" if on_gpu else "cpu")
    sizes = (TINY, TINY, TINY) if args.tiny else (HALF_BILLION, TWO_BILLION, EIGHT_BILLION)
    machine = Machine(device, *sizes)
    name = torch.cuda.get_device_name() if on_gpu else "CPU"
    lines: list[dict[str, Any]] = [
        {"check": "machine", "ok": True, "device": name, "tiny": args.tiny, "torch": torch.__version__,
         "transformers": transformers.__version__}
    ]  # fmt: skip
    print(json.dumps(lines[0]), flush=True)
    started_s = time.monotonic()
    for check in args.only or CHECKS:
        if time.monotonic() - started_s > args.limit_s:
            lines.append({"check": check, "ok": False, "error": f"not run: {args.limit_s:g} seconds had passed"})
        else:
            lines.append(_run(check, lambda check=check: CHECKS[check](machine)))  # type: ignore[misc]
        print(json.dumps(lines[-1]), flush=True)
        if on_gpu:
            torch.cuda.empty_cache()
    if args.json is not None:
        args.json.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")
    return 0 if all(line["ok"] for line in lines) else 1


def _run(name: str, check: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The line of a check, whatever happens in it."""
    started_s = time.monotonic()
    try:
        found = {"ok": True, **check()}
    except Exception as error:  # noqa: BLE001 - a check that fails must not keep the others from running
        found = {"ok": False, "error": f"{type(error).__name__}: {error}"[:500]}
    return {"check": name, "seconds_in_all": round(time.monotonic() - started_s, 2), **found}


if __name__ == "__main__":
    sys.exit(main())
