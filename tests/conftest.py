"""Fixtures of the whole suite."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from mmpr.config import Recipe
from tests.helpers import build_without_ray, small_recipe

# A busy machine is no defect: what an example takes is bounded by the test's own time limit.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


@dataclass(frozen=True)
class SmallBuild:
    """A finished build, not to be changed."""

    recipe: Recipe
    out: Path
    manifest: dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def as_it_was() -> Iterator[None]:
    """The environment and torch's threads after a module as before it: vLLM sets both in the process that imports it.

    The last bits of a sum depend on the number of threads, and processes that a later test starts have the environment.
    """
    environment = dict(os.environ)
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else len(os.sched_getaffinity(0))
    yield
    os.environ.clear()
    os.environ.update(environment)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def small_build(tmp_path_factory: pytest.TempPathFactory) -> SmallBuild:
    """One small build that all tests read."""
    folder = tmp_path_factory.mktemp("small")
    recipe = small_recipe(folder)
    return SmallBuild(recipe, folder / "out", build_without_ray(recipe, folder / "out"))


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`datasets` asks nobody and keeps what it makes in the test's own folder."""
    import datasets
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
