"""What tests of whole builds share: a small recipe over real pictures, and a build of it without Ray and a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from mmpr.build import build
from mmpr.config import Recipe, load_recipe, parse_recipe
from mmpr.pipeline.plan import make_plan
from mmpr.storage.manifest import read_manifest
from mmpr.storage.shards import Stage

REPOSITORY = Path(__file__).resolve().parent.parent
QUICKSTART = REPOSITORY / "pipelines" / "quickstart.yaml"

OWN_ROWS = 17
OWN_REJECTS = {
    "bad_json": 1,
    "not_an_object": 1,
    "bad_text": 2,
    "duplicate": 1,
    "image_missing": 1,
    "image_outside_root": 1,
    "image_empty": 1,
    "empty_question": 1,
    "image_marks": 1,
}
"""What becomes of the bad rows of ``own_source``, by reason; the other seven are questions."""


T = TypeVar("T")


def known(value: T | None) -> T:
    """The value, which must not be None."""
    assert value is not None
    return value


def own_source(folder: Path) -> dict[str, Any]:
    """A JSONL source of every kind of row, good and bad, with its pictures; returns its entry in a recipe."""
    from sklearn.datasets import load_sample_image

    folder.mkdir(parents=True, exist_ok=True)
    for name in ("china", "flower"):
        from PIL import Image

        Image.fromarray(load_sample_image(f"{name}.jpg")).resize((64, 43)).save(folder / f"{name}.jpg")
    (folder / "empty.jpg").write_bytes(b"")
    (folder.parent / "outside.jpg").write_bytes((folder / "china.jpg").read_bytes())
    good: list[dict[str, Any]] = [
        {"question": "How many?", "answer": "3", "image": "china.jpg", "id": "a"},
        {"question": "图中有几个数字？🙂", "answer": "5", "image": "china.jpg"},
        {
            "question": "<image> or <image>: which?",
            "answer": "B",
            "image": ["china.jpg", "flower.jpg"],
            "choices": "ABC",
        },
        {"question": "What is 2 + 2?", "answer": "4"},
        {"question": "Describe the picture.", "image": "flower.jpg"},
        {"question": "描述这张图片。", "answer": " ", "image": "flower.jpg"},
        {"question": "How many?", "answer": 7, "image": "flower.jpg"},
    ]
    for row in good:
        if "choices" in row:
            row["choices"] = list(row["choices"])
    bad = [
        "{broken",
        "[1]",
        json.dumps({"question": "a\0b", "answer": "1"}),
        '{"question": "\\ud800", "answer": "1"}',
        json.dumps(good[1]),
        json.dumps({"question": "Where?", "answer": "1", "image": "nowhere.jpg"}),
        json.dumps({"question": "Where?", "answer": "1", "image": "../outside.jpg"}),
        json.dumps({"question": "Where?", "answer": "1", "image": "empty.jpg"}),
        json.dumps({"question": "<image>", "answer": "1", "image": "china.jpg"}),
        json.dumps({"question": "<image><image> Where?", "answer": "1", "image": "china.jpg"}),
    ]
    lines = [json.dumps(row, ensure_ascii=False) for row in good] + bad
    assert len(lines) == OWN_ROWS
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {
        "name": "own",
        "type": "jsonl",
        "path": str(folder / "rows.jsonl"),
        "columns": {"id": "id", "choices": "choices"},
        "template": "zh",
        "samples": 32,
    }


def small_tree(folder: Path, **settings: Any) -> dict[str, Any]:
    """A small recipe as a tree: the quickstart's sources in small, and ``own_source``; replayed, not sampled."""
    return {
        "name": "small",
        "seed": 7,
        "model": {"path": "none"},
        "engine": {"type": "replay", "args": {"answers": [2, 3, 4, 5, 7, "B", "yes", "no", "red"]}},
        "sampling": {"samples": 8, "max_tokens": 64},
        "unit_questions": 12,
        "sources": [
            {"name": "digits", "type": "digits", "split": "train", "questions": 18},
            {"name": "easy-vqa", "type": "easy_vqa", "split": "train", "questions": 8, "max_questions": 5},
            {"name": "open", "type": "digits", "split": "train", "questions": 6, "kinds": ["describe"], "seed": 1},
            own_source(folder / "own"),
        ],
        "heldout": [{"name": "digits-heldout", "type": "digits", "split": "heldout", "questions": 14}],
        **settings,
    }


def small_recipe(folder: Path, *overrides: str, **settings: Any) -> Recipe:
    """``small_tree`` as a recipe."""
    return parse_recipe(small_tree(folder, **settings), overrides, folder=folder)


def small_quickstart() -> Recipe:
    """The quickstart recipe with fewer questions, replayed."""
    numbers = {"sources": (24, 12, 6, 4), "heldout": (30, 12)}
    overrides = [f"{part}.{i}.questions={n}" for part, many in numbers.items() for i, n in enumerate(many)]
    return load_recipe(QUICKSTART, ["engine.type=replay", *overrides])


def build_without_ray(recipe: Recipe, out: Path, start: Stage | None = None) -> dict[str, Any]:
    """A build by the local runner; returns the manifest."""
    build(make_plan(recipe, "recipe"), out, start, "local")
    return read_manifest(out)
