"""Fixtures of the whole suite."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mmpr.config import Recipe
from tests.helpers import build_without_ray, small_recipe


@dataclass(frozen=True)
class SmallBuild:
    """A finished build, not to be changed."""

    recipe: Recipe
    out: Path
    manifest: dict[str, Any]


@pytest.fixture(scope="session")
def small_build(tmp_path_factory: pytest.TempPathFactory) -> SmallBuild:
    """One small build that all tests read."""
    folder = tmp_path_factory.mktemp("small")
    recipe = small_recipe(folder)
    return SmallBuild(recipe, folder / "out", build_without_ray(recipe, folder / "out"))
