"""A family through the commands of mmpr on a handful of questions: build, train with LoRA, evaluate, with real vLLM.

Each is a command of its own, as a user gives it. What it printed goes to ``log.txt`` in the folder of the runs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks.families.checkpoints import ROOT
from benchmarks.families.measure import build_settings, trusted
from mmpr.storage.counts import METHODS

_MINUTES = 30  # a limit for commands that hang


class _FailedError(Exception):
    """A command failed; says its last lines."""


def run_commands(family: str, model: Path, work: Path) -> dict[str, str]:
    """The cells ``build``, ``dropout``, ``lora``, ``reload`` and ``evaluate``; after a failure the rest is not run."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    out, run = work / "build", work / "run"
    build_recipe, training_recipe = _recipes(family, model, work)
    cells: dict[str, str] = {}
    try:
        _run(work, "mmpr.build", build_recipe, "--out", out, "--runner", "local")
        cells["build"], cells["dropout"] = _what_was_built(out)
        trust = ["--trust-remote-code"] if trusted(family) else []
        # Status 1: also where a random model has written half a letter, which no text keeps.
        said = _run(work, "mmpr.check", out, "--model", model, "--prompts", 20, *trust, fine=(0, 1))
        for kind in ("prompts", "responses"):
            found = re.search(rf"^{kind} +(.+) are the tokens", said, re.M)
            cells["build"] += f", {found[1] if found else '?'} {kind} as sampled"
        _run(work, "mmpr.train", training_recipe, "--data", out, "--model", model, "--out", run)
        cells["lora"] = f"ok, {json.loads((run / 'result.json').read_text())['pairs']} pairs"
        models = ["--model", f"before={model}", "--model", f"after={run / 'model'}"]
        to = ["--out", work / "evaluation", "--samples", 4, "--runner", "local"]
        _run(work, "mmpr.evaluate", *models, "--data", out, *to)
        cells["evaluate"], cells["reload"] = map(_what_was_answered, _results(work / "evaluation"))
    except _FailedError as error:
        column = next(name for name in ("build", "lora", "reload") if name not in cells)
        cells[column] = f"refused: {error}"
    return cells


def _recipes(family: str, model: Path, work: Path) -> tuple[Path, Path]:
    """Recipes of a build with closed, open and held-out questions, and of two steps of training with LoRA."""
    digits = {"type": "digits", "split": "train"}
    build = build_settings(family, Path("..") / ".." / ".." / model) | {
        "sampling": {"samples": 6, "max_tokens": 24},
        "sources": [
            {"name": "closed", **digits, "questions": 8, "template": "plain"},
            {"name": "open", **digits, "questions": 4, "kinds": ["describe"], "seed": 1},
        ],
        "heldout": [{"name": "held", "type": "digits", "split": "heldout", "questions": 6}],
        "dropout": {"variants": [{"start_ratio": 0.5}, {"start_ratio": 0.5, "with_image": True}]},
    }
    training: dict[str, Any] = {
        "name": family,
        "model": {"trust_remote_code": trusted(family)},
        "data": {"pairs_a_step": 8, "max_steps": 2, "max_tokens": 2048},
        "compute": {"precision": "float32"},
        "lora": {"rank": 4, "alpha": 8},
        "watch": {"questions": 2, "max_new_tokens": 8},
    }
    files = work / "build.yaml", work / "train.yaml"
    for file, settings in zip(files, (build, training), strict=True):
        file.write_text(yaml.safe_dump(settings))
    return files


def _run(work: Path, module: str, *arguments: object, fine: tuple[int, ...] = (0,)) -> str:
    """What a command printed.

    Raises:
        _FailedError: its status was not one of ``fine``.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with (work / "log.txt").open("a+") as log:
        begin = log.seek(0, os.SEEK_END)
        status = subprocess.run(
            command, cwd=ROOT, stdout=log, stderr=log, check=False, timeout=60 * _MINUTES
        ).returncode
        log.seek(begin)
        said = log.read()
    print(f"  {module}: status {status}", file=sys.stderr, flush=True)
    if status not in fine:
        lines = said.splitlines()
        raise _FailedError(" ".join([line for line in lines if line.startswith("error")] or lines[-1:])[:300])
    return said


def _what_was_built(out: Path) -> tuple[str, str]:
    """The cells ``build`` and ``dropout`` of a finished build."""
    counts: dict[str, dict[str, int]] = json.loads((out / "manifest.json").read_text())["counts"]["pair"]
    pairs = {method: sum(own.get(f"pairs/{method}", 0) for own in counts.values()) for method in METHODS}
    dropout = sum(count for method, count in pairs.items() if method.startswith("dropout"))
    return f"ok, {sum(pairs.values())} pairs", f"ok, {dropout} pairs" if dropout else "no pairs"


def _results(evaluation: Path) -> list[dict[str, Any]]:
    """What the model before and the one after training did on all held-out questions."""
    results = json.loads((evaluation / "report.json").read_text())["results"]
    return [next(group for group in result["groups"] if group["by"] == "all") for result in results]


def _what_was_answered(group: dict[str, Any]) -> str:
    lost = group["unanswered"] + group["failed"]
    said = f"{group['samples']} answers of {group['mean_tokens']:.1f} tokens"
    return f"WRONG: {lost} questions without an answer" if lost else f"ok, {said}"
