"""Engines: a request goes in, its samples come out.

``vllm`` is the real one, ``replay`` answers from a hash of the request and exists for tests of failure and load.
"""

from __future__ import annotations

from pathlib import Path

from mmpr.config import Recipe
from mmpr.engine.request import Engine, Reply, Request, Tokenization

__all__ = ["Engine", "Reply", "Request", "Tokenization", "start_engine"]


def start_engine(recipe: Recipe, model_path: str, log: Path | None) -> Engine:
    """Start the engine that the recipe names; this process's output goes to ``log`` from then on, if there is one.

    Raises:
        EngineStartError: with the engine's own last lines.
    """
    if recipe.engine.type == "replay":
        from mmpr.engine.replay import ReplayEngine

        return ReplayEngine(recipe)
    from mmpr.engine.vllm_engine import VllmEngine

    return VllmEngine(recipe, model_path, log)
