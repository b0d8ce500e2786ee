"""The bounded process: one target's inputs, one after the other, and a line on standard output for each.

    python -m benchmarks.fuzz.worker TARGET SEED START STOP LIMIT_MIB [FILE]

A line is a JSON list: number, outcome (``accepted``, ``refused``, ``crashed``), CPU seconds, the process's peak
resident size in MiB, and a traceback or "". With FILE, that file is the only input.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from pathlib import Path

from benchmarks.fuzz import files
from benchmarks.fuzz.targets import TARGETS, Target, input_of
from mmpr.errors import MmprError


def main(words: list[str]) -> int:
    """Feed the inputs; returns the exit status."""
    name, seed, start, stop, limit_mib = words[0], *map(int, words[1:5])
    target = TARGETS[name]
    faulthandler.enable()
    inputs: Iterable[tuple[int, bytes]]
    if len(words) > 5:
        inputs = [(0, Path(words[5]).read_bytes())]
    else:
        fixed = list(target.fixed())
        inputs = ((number, input_of(target, fixed, seed, number)) for number in range(start, stop))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints
    with tempfile.TemporaryDirectory() as folder:
        files.prepare(Path(folder))
        _judge(target, target.seeds()[0], Path(folder))  # everything is imported
        _bound_memory(limit_mib)
        print(json.dumps([-1, "ready", 0, _peak_mib(), ""]), file=answers, flush=True)
        for number, data in inputs:
            began_s = time.process_time()
            outcome, detail = _judge(target, data, Path(folder))
            line = [number, outcome, time.process_time() - began_s, _peak_mib(), detail]
            print(json.dumps(line), file=answers, flush=True)
    return 0


def _judge(target: Target, data: bytes, folder: Path) -> tuple[str, str]:
    try:
        return ("accepted" if target.check(data, folder) else "refused"), ""
    except MmprError:
        return "refused", ""
    except BaseException:  # noqa: BLE001 - that is what is looked for
        return "crashed", traceback.format_exc(limit=-8)


def _bound_memory(limit_mib: int) -> None:
    """Let this process have ``limit_mib`` more than it has now."""
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    limit = used + (limit_mib << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
