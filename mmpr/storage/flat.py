"""A build as a dataset with one row for each pair, as trainers take it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmpr.prompts import to_messages
from mmpr.schema import PreferenceRow
from mmpr.storage.manifest import read_manifest
from mmpr.storage.tables import read_rows

if TYPE_CHECKING:
    from datasets import Dataset


def load_pairs(out: str | os.PathLike[str]) -> Dataset:
    """A finished build as a Hugging Face dataset with one row for each pair.

    Columns: ``id``, ``source``, ``method``, ``images`` (list of pictures), ``prompt``, ``chosen`` and ``rejected``
    (lists of messages, as TRL's vision preference format has them), ``answer``, and ``answers`` where several are
    acceptable.

    Raises:
        OutputError: the folder holds no finished build.
    """
    from datasets import Dataset, Features, Image, List, Value

    folder = Path(out).absolute()
    manifest = read_manifest(folder)
    files = {name: about["sha256"] for name, about in manifest["files"].items() if name.startswith("pairs/")}
    part = {"type": Value("string"), "text": Value("string")}
    messages = List({"role": Value("string"), "content": List(part)})
    text = Value("string")
    system = ((manifest.get("recipe") or {}).get("chat") or {}).get("system", "")
    features = Features(
        {
            "id": text,
            "source": text,
            "method": text,
            "images": List(Image()),
            "prompt": messages,
            "chosen": messages,
            "rejected": messages,
            "answer": text,
            "answers": List(text),
        }
    )
    # datasets caches by these arguments; with the checksums, another build in the same folder is another dataset.
    about = {"folder": str(folder), "files": sorted(files.items()), "system": system}
    return Dataset.from_generator(_flat_rows, features=features, gen_kwargs=about)


def _flat_rows(folder: str, files: list[tuple[str, str]], system: str) -> Iterator[dict[str, Any]]:
    for name, _ in files:
        for row in read_rows(Path(folder) / name, PreferenceRow):
            for pair in row.pairs:
                yield {
                    "id": row.id,
                    "source": row.source,
                    "method": pair.method,
                    "images": [{"bytes": image, "path": None} for image in row.images],
                    "prompt": to_messages(row.prompt, system, row.context),
                    "chosen": _answer(row.responses[pair.chosen].text),
                    "rejected": _answer(row.responses[pair.rejected].text),
                    "answer": row.answer,
                    "answers": list(row.answers),
                }


def _answer(text: str) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": [{"type": "text", "text": text}]}]
