"""One row of docs/models.md for each family of models, measured on tiny random checkpoints of them.

    python -m benchmarks.families                      all families, without an engine: 20 to 60 s each
    python -m benchmarks.families gemma3 qwen3_vl      these
    python -m benchmarks.families gemma3 --engine      with the commands build, train and evaluate, on vLLM: minutes

Each family is measured in a process of its own. Rows that are not measured stay in the table as they are. What differs
or is refused is told in full on stderr. The exit status is 1 if a cell says WRONG.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.families.checkpoints import ALL, ROOT
from benchmarks.families.packages import installed
from benchmarks.families.table import COLUMNS, PAGE, RESULTS, Row, read_rows, row_text, today, versions, write_table

WORK = ROOT / ".families"
"""Packages and checkpoints, in the repository but not in git."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.families", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=f"of {', '.join(ALL)} (default: all)")
    parser.add_argument("--engine", action="store_true", help="also build, train with LoRA, evaluate: minutes a family")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # what this command starts
    args = parser.parse_args()
    if unknown := sorted(set(args.families) - set(ALL)):
        parser.error(f"no family {', '.join(unknown)}; there are {', '.join(ALL)}")
    if args.one:
        return _measure_here(args.families[0], engine=args.engine)
    environment = _environment(installed(WORK / "packages"))
    rows = read_rows(RESULTS)
    wrong = []
    for family in args.families or ALL:
        row = _measure(family, args.engine, environment, rows.get(family))
        rows[family] = row
        print(row_text(family, row), flush=True)
        write_table({name: rows[name] for name in ALL if name in rows}, RESULTS, PAGE)
        wrong += [family] if any("WRONG" in cell for cell in row.cells.values()) else []
    print(f"wrong: {', '.join(wrong)}" if wrong else f"the table is in {PAGE.relative_to(ROOT)}")
    return 1 if wrong else 0


def _environment(packages: Path) -> dict[str, str]:
    """Of the processes: with the packages, quiet, and with few threads."""
    path = os.pathsep.join([str(ROOT), str(packages), *filter(None, [os.environ.get("PYTHONPATH")])])
    quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "TRANSFORMERS_VERBOSITY": "error", "PYTHONWARNINGS": "ignore"}
    return {**os.environ, **quiet, "PYTHONPATH": path, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}


def _measure(family: str, engine: bool, environment: dict[str, str], before: Row | None) -> Row:
    command = [sys.executable, "-m", "benchmarks.families", family, "--one", *(["--engine"] if engine else [])]
    done = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        return Row(dict.fromkeys(COLUMNS[:3], "WRONG: the process failed"), today(), versions())
    kept = {} if before is None else {name: cell for name, cell in before.cells.items() if name not in COLUMNS[:3]}
    return Row({**kept, **json.loads(lines[-1])}, today(), versions())


def _measure_here(family: str, *, engine: bool) -> int:
    """Measure a family in this process; its cells are the last line of stdout, as JSON."""
    from transformers.utils import logging

    from benchmarks.families.measure import measure

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    cells = measure(family, WORK.relative_to(ROOT) / "models")  # messages name no folder of this machine
    if engine:
        from benchmarks.families.commands import run_commands

        cells |= run_commands(family, WORK / "models" / family, WORK / "runs" / family)
    print(f"\n{json.dumps(cells)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
