"""The arrows within training: who imports whom, and how many things a function is given."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import mmpr.train
from tests.test_layers import imported, modules, tree_of

PACKAGE = Path(mmpr.train.__file__).parent

# Each module or folder imports only those before it; those in one line do not know each other.
ORDER: tuple[tuple[str, ...], ...] = (
    ("changes", "progress", "recipe", "rows", "losses", "run_folder", "distributed"),
    ("estimate",),
    ("private_names", "model"),
    ("shared_prefix", "data"),
    ("checks", "loop"),
    ("session", "plan"),
    ("run",),
    ("__main__",),
)
RANKS = {part: rank for rank, parts in enumerate(ORDER) for part in parts}
FOLDERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "data": (
        ("readers", "messages", "chat_format", "step_plan", "unit_cache"),
        ("layouts",),
        ("preference_data", "encoding"),
        ("token_lengths", "reference_logprobs"),
        ("prepare",),
    ),
    "shared_prefix": (("attention", "families", "logprobs"), ("packing", "splitting"), ("compute",)),
    "loop": (
        ("step_log", "checkpoints", "metrics", "watch"),
        ("greedy_answers", "trainer", "callback"),
        ("report",),
    ),
}
INSIDE = [path for path in modules() if PACKAGE in path.parents]


def named(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", INSIDE, ids=named)
def test_modules_import_only_those_before_them(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts
    if own[-1] == "__init__":
        return
    ranks = {part: rank for rank, parts in enumerate(FOLDERS.get(own[0], ())) for part in parts}
    assert own[0] in RANKS, f"{named(path)}: give it its place in the lists above"
    assert len(own) == 1 or own[1] in ranks, f"{named(path)}: give it its place in the lists above"
    for name in imported(path):
        parts = name.split(".")
        if parts[:2] != ["mmpr", "train"] or len(parts) < 3:
            continue
        if parts[2] != own[0]:
            assert RANKS[parts[2]] < RANKS[own[0]], f"{named(path)} imports {name}"
        elif len(own) > 1:
            assert ranks[parts[3]] < ranks[own[1]], f"{named(path)} imports {name}"


@pytest.mark.parametrize("path", INSIDE, ids=named)
def test_no_function_has_more_than_seven_positional_parameters(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            assert len([name for name in names if name not in ("self", "cls")]) <= 7, f"{named(path)}: {node.name}"
