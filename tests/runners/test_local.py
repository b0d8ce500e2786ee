"""The local runner gives what Ray gives, to the byte, in this very process."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from mmpr.build import build
from mmpr.errors import MmprError
from mmpr.pipeline.plan import make_plan
from tests.conftest import SmallBuild
from tests.helpers import small_recipe


def shards(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.parquet"))}


@pytest.mark.ray
def test_ray_gives_the_same_bytes(small_build: SmallBuild, tmp_path: Path) -> None:
    build(make_plan(small_build.recipe, "recipe"), tmp_path / "ray", runner="ray")
    assert shards(tmp_path / "ray") == shards(small_build.out)


def test_it_goes_on_where_ray_or_it_stopped(small_build: SmallBuild, tmp_path: Path) -> None:
    recipe, out = small_recipe(tmp_path), tmp_path / "out"
    build(make_plan(recipe, "recipe"), out, runner="local")
    for folder in ("rollouts", "verdicts", "heldout"):
        next((out / folder).iterdir()).unlink()
    for path in (out / "pairs").iterdir():
        path.unlink()
    (out / "manifest.json").unlink()
    build(make_plan(recipe, "recipe"), out, runner="local")
    assert shards(out) == shards(small_build.out)


def test_a_build_never_asks_the_clock_that_can_be_set_back(
    small_build: SmallBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: pytest.fail("it asked for the time of day"))
    build(make_plan(small_recipe(tmp_path), "recipe"), tmp_path / "out", runner="local")
    assert shards(tmp_path / "out") == shards(small_build.out)


def test_inside_a_loop_it_says_so(tmp_path: Path) -> None:
    async def notebook() -> None:
        build(make_plan(small_recipe(tmp_path), "recipe"), tmp_path / "out", runner="local")

    with pytest.raises(MmprError, match="does not work inside a running event loop"):
        asyncio.run(notebook())
