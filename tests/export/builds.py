"""Four builds of mixed shape for the tools that read exports, and what they hold."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from mmpr.config import parse_recipe
from mmpr.export.formats import Format, Images
from mmpr.schema import PreferenceRow
from mmpr.storage.tables import read_rows
from tests.helpers import build_without_ray

FlatPair = tuple[str, tuple[bytes, ...], str, str, str]
"""Id, pictures, prompt, chosen, rejected."""

CASES: list[tuple[Format, Images]] = [
    ("trl", "bytes"),
    ("trl", "files"),
    ("mmpr", "files"),
    ("llama-factory", "files"),
    ("ms-swift", "files"),
    ("ms-swift", "bytes"),
]
"""Each format, with each way in which it can hold pictures."""

_ROWS = 24
_UNIT = 6
"""Questions a file: the first file of a build of several shapes holds none with pictures."""


def pairs_of(out: Path) -> list[FlatPair]:
    """What a build holds, read without the code under test."""
    return [
        (row.id, row.images, row.prompt, row.responses[pair.chosen].text, row.responses[pair.rejected].text)
        for path in sorted((out / "pairs").glob("*.parquet"))
        for row in read_rows(path, PreferenceRow)
        for pair in row.pairs
    ]


def mixed_builds(folder: Path) -> dict[str, Path]:
    """The four builds, by name, in a new folder: only text, up to two pictures, Chinese, without a truth."""
    shapes = {
        "text": (lambda n: (f"What is {n} + 1?", str(n % 5), 0), "en"),
        "two": (lambda n: (f'How many "red" ones, {n}?', str(n % 5), (0, 1, 2, n % 3)[n // _UNIT]), "en"),
        "chinese": (lambda n: (f"图中有几个数字（{n}）？🙂", str(n % 5), (0, 1, 1, 2)[n // _UNIT]), "zh"),
        "open": (lambda n: (f"Describe it\nin {n} words.", None, (0, 2, 1, n % 3)[n // _UNIT]), "en"),
    }
    return {name: _build(folder / name, name, *shape) for name, shape in shapes.items()}


def _build(folder: Path, name: str, row: Any, template: str) -> Path:
    """A build of rows that ``row(n)`` gives as question, answer and number of pictures."""
    rows = folder / "rows"
    rows.mkdir(parents=True)
    (rows / "rows.jsonl").write_text("".join(_lines(rows, row)), encoding="utf-8")
    source = {"name": name, "type": "jsonl", "path": str(rows / "rows.jsonl"), "template": template}
    recipe = {
        "name": name,
        "model": {"path": "none"},
        "engine": {"type": "replay", "args": {"answers": [0, 1, 2, 3, 4]}},
        "sampling": {"samples": 8, "max_tokens": 64},
        "unit_questions": _UNIT,
        "sources": [source],
    }
    build_without_ray(parse_recipe(recipe), folder / "build")
    return folder / "build"


def _lines(folder: Path, row: Any) -> Iterator[str]:
    for number in range(_ROWS):
        question, answer, pictures = row(number)
        names = [f"{number}-{k}.{('png', 'jpg')[k]}" for k in range(pictures)]
        for k, name in enumerate(names):
            Image.new("RGB", (9 + k, 7), (number * 10, 20, 90 * k)).save(folder / name)
        yield json.dumps({"question": question, "answer": answer, "image": names}, ensure_ascii=False) + "\n"


def pixels(data: bytes) -> bytes:
    """The pixels of an encoded picture."""
    return Image.open(io.BytesIO(data)).convert("RGB").tobytes()
