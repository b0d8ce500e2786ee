"""What the tests of sources share: photographs as files, recipes of one source, and a whole ingest."""

import io
from pathlib import Path
from typing import Any

from PIL import Image
from sklearn.datasets import load_sample_images

from mmpr.config import Recipe, parse_recipe
from mmpr.errors import RowError
from mmpr.schema import Question, Reject, question_id
from mmpr.sources import Source, open_source
from mmpr.sources.ingest import to_question
from mmpr.sources.selection import select_rows


def photograph(place: int = 0, size: tuple[int, int] = (80, 50), kind: str = "JPEG") -> bytes:
    """One of scikit-learn's two photographs as a file."""
    file = io.BytesIO()
    Image.fromarray(load_sample_images().images[place]).resize(size).save(file, kind)
    return file.getvalue()


CHINA = photograph(0)
FLOWER = photograph(1, kind="PNG")


def recipe_of(folder: Path, settings: dict[str, Any] | None = None, /, **source: Any) -> Recipe:
    """A recipe with one source named ``s``; paths start at ``folder``."""
    tree = {"name": "t", "model": {"path": "./model"}, "sources": [{"name": "s", **source}], **(settings or {})}
    return parse_recipe(tree, folder=folder)


def opened(folder: Path, settings: dict[str, Any] | None = None, /, **source: Any) -> Source:
    """That recipe's source."""
    recipe = recipe_of(folder, settings, **source)
    return open_source(recipe.sources[0], recipe)


def ingest(folder: Path, settings: dict[str, Any] | None = None, /, **source: Any) -> list[Question | Reject]:
    """Everything that becomes of a source's rows."""
    recipe = recipe_of(folder, settings, **source)
    [spec] = recipe.sources
    source_object = open_source(spec, recipe)
    found: list[Question | Reject] = []
    for row in select_rows(source_object, spec, recipe.seed):
        if isinstance(row, Reject):
            found.append(row)
            continue
        try:
            found.append(to_question(row, question_id(spec.name, row), spec, source_object, recipe))
        except RowError as error:
            found.append(Reject("ingest", spec.name, row.where, error.reason, error.detail))
    return found
