"""What the model will be shown, without an engine: vLLM's own renderer, tried in a process of its own.

    preview(recipe, model_path, requests) ─▶ a process: python -m mmpr.engine.preview ─▶ Preview

The process bounds time: a chat template is a program, and a model may bring code of its own. It takes as long as
importing vLLM does, 10 to 30 seconds on a CPU.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmpr.config import Recipe, parse_recipe
from mmpr.engine.request import Request
from mmpr.schema import Turn

LIMIT_S = 300.0
_SETTINGS = ("name", "model", "engine", "chat", "sampling", "images")


@dataclasses.dataclass(frozen=True, slots=True)
class ShownPrompt:
    """A prompt as text with its number of tokens, pictures included; or the ``error`` with which it is refused."""

    text: str = ""
    tokens: int = 0
    error: str = ""

    def problem(self, context: int) -> str:
        """Why the engine will refuse it; empty when it will not."""
        if self.error:
            return self.error
        if context and self.tokens >= context:
            return f"{self.tokens:,} tokens with its pictures, the context has {context:,} (engine.args.max_model_len)"
        return ""


@dataclasses.dataclass(frozen=True, slots=True)
class Preview:
    """What was seen.

    Attributes:
        problems: why the engine will not start, or not sample.
        note: why nothing could be seen, where that says nothing of the recipe.
        context: the most tokens of prompt and answer; 0: unknown.
        takes_pictures: whether the model does; True where it is unknown.
        prompts: of the requests, in their order; none when the model could not be looked at.
    """

    problems: tuple[str, ...] = ()
    note: str = ""
    context: int = 0
    takes_pictures: bool = True
    prompts: tuple[ShownPrompt, ...] = ()


def preview(recipe: Recipe, model_path: str, requests: Sequence[Request], limit_s: float = LIMIT_S) -> Preview:
    """How vLLM takes the recipe's arguments, and what it makes of some requests."""
    if recipe.engine.type != "vllm":
        return Preview(note=f"engine.type {recipe.engine.type} shows no model anything")
    tree = {name: value for name, value in recipe.as_json().items() if name in _SETTINGS}
    samples = max(recipe.samples(source.name) for source in recipe.sources)
    asked = {
        "recipe": {**tree, "sources": [{"name": "s", "type": "jsonl", "path": "none", "samples": samples}]},
        "model": model_path,
        "requests": [_packed(request) for request in requests],
    }
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.json"
        try:
            done = subprocess.run(
                [sys.executable, "-m", __name__, str(told)],
                input=json.dumps(asked),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=limit_s,
                env={"VLLM_LOGGING_LEVEL": "ERROR", **os.environ},
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Preview(problems=(f"model.path: its chat template or processor took more than {limit_s:g} s",))
        if not told.exists():
            lines = done.stderr.strip().splitlines()
            return Preview(note=f"vLLM cannot be asked here: {lines[-1][:300] if lines else done.returncode}")
        tree = json.loads(told.read_text(encoding="utf-8"))
    shown = tuple(ShownPrompt(**prompt) for prompt in tree.pop("prompts", ()))
    return Preview(tuple(tree.pop("problems", ())), prompts=shown, **tree)


def _packed(request: Request) -> dict[str, Any]:
    images = [base64.b64encode(image).decode() for image in request.images]
    context = [dataclasses.asdict(turn) for turn in request.context]
    return {"prompt": request.prompt, "context": context, "images": images, "processor": dict(request.processor)}


def _unpacked(one: dict[str, Any]) -> Request:
    images = tuple(map(base64.b64decode, one["images"]))
    context = tuple(Turn(**turn) for turn in one["context"])
    return Request(one["prompt"], images, 1, 0, processor=one["processor"], context=context)


def main() -> None:
    """The process: reads what is asked from stdin, writes what was seen to the file that it is given."""
    from mmpr.engine.vllm_engine import look_at

    asked = json.load(sys.stdin)
    seen = look_at(parse_recipe(asked["recipe"]), asked["model"], list(map(_unpacked, asked["requests"])))
    path = Path(sys.argv[1])
    written = path.with_suffix(".tmp")
    written.write_text(json.dumps(seen), encoding="utf-8")
    written.rename(path)


if __name__ == "__main__":
    main()
