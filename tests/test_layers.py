"""The arrows of the house: who imports whom, and what nobody calls."""

from __future__ import annotations

import ast
import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mmpr

PACKAGE = Path(mmpr.__file__).parent

# Each room imports only rooms before it; rooms in one line do not know each other.
ROOMS: tuple[tuple[str, ...], ...] = (
    ("errors", "resources"),
    ("cli",),
    ("schema",),
    ("extension", "tokens"),
    ("config",),
    ("prompts",),
    ("answers",),
    ("audit",),
    ("storage",),
    ("templates",),
    ("sources",),
    ("engine",),
    ("models",),
    ("pipeline",),
    ("runners",),
    ("hub",),
    ("inputs", "pages"),
    ("report", "export"),
    ("build", "evaluate", "serve"),
    ("derive",),
    ("train",),
    ("check",),
    ("api",),
    ("__main__",),
)
RANKS = {room: rank for rank, rooms in enumerate(ROOMS) for room in rooms}

# The same for the parts of ``answers``: folders and files.
ANSWERS: tuple[tuple[str, ...], ...] = (
    ("text", "processes", "judgement"),
    ("formula",),
    ("values", "algebra", "prover"),
    ("compare_calendar", "compare_quantities", "compare_texts", "final_answers"),
    ("extract",),
    ("compare",),
    ("choices", "structured"),
    ("judge",),
    ("match",),
    ("killable", "audit"),
)
ANSWER_RANKS = {part: rank for rank, parts in enumerate(ANSWERS) for part in parts}

# Heavy libraries and the only modules that import them.
LEAVES = {
    "vllm": ("engine/vllm_engine.py",),
    "ray": ("runners/",),
    "torch": ("engine/", "train/", "train.py"),
    "accelerate": ("train/", "train.py"),
    "sympy": ("answers/",),
    "sklearn": ("sources/", "report/measure/shortcuts.py"),
    "easy_vqa": ("sources/",),
}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
FORBIDDEN_NAMES = {"eval", "exec", "sympify", "parse_expr", "parse_latex", "lambdify", "literal_eval"}
FORBIDDEN_BUILTINS = {"compile", "__import__"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    """Full names of everything that a module imports, wherever in it."""
    package = ["mmpr", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            assert node.args, f"{name_of(path)}:{node.lineno}: name the module in the call"
            if isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_rooms_import_only_rooms_before_them(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        inside = {name.rpartition(".")[2] for name in imported(path) if name.startswith("mmpr.")}
        assert inside == set(mmpr.__all__)  # for type checkers only, see test_importing_mmpr_imports_nothing_else
        return
    assert room in RANKS, f"{room}: give the new room its place in the list above"
    for name in imported(path):
        parts = name.split(".")
        if parts[0] != "mmpr" or len(parts) == 1 or parts[1] in (room, "__version__"):
            continue
        assert parts[1] in RANKS, f"{name_of(path)} imports {name}, which has no place"
        assert RANKS[parts[1]] < RANKS[room], f"{name_of(path)} imports {name}, which comes after it"


def test_parts_of_answers_import_only_parts_before_them() -> None:
    for path in modules():
        if room_of(path) != "answers" or name_of(path) == "answers/__init__.py":
            continue
        part = path.relative_to(PACKAGE).parts[1].removesuffix(".py")
        assert part in ANSWER_RANKS, f"{part}: give the new part of answers its place in the list above"
        for name in imported(path):
            parts = name.split(".")
            if parts[:2] != ["mmpr", "answers"] or parts[2] == part:
                continue
            assert parts[2] in ANSWER_RANKS, f"{name_of(path)} imports {name}, which has no place"
            assert ANSWER_RANKS[parts[2]] < ANSWER_RANKS[part], f"{name_of(path)} imports {name}, which comes after it"


def module_of(path: Path) -> str:
    return ".".join(["mmpr", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")


def circle(imports: dict[str, set[str]]) -> list[str]:
    """The modules of one circle of imports, in order; empty when there is none."""
    clear: set[str] = set()

    def follow(module: str, trail: list[str]) -> list[str]:
        if module in trail:
            return trail[trail.index(module) :]
        if module not in clear:
            for name in sorted(imports[module]):
                found = follow(name, [*trail, module])
                if found:
                    return found
            clear.add(module)
        return []

    return next(filter(None, (follow(module, []) for module in sorted(imports))), [])


def test_no_import_circles() -> None:
    known = {module_of(path): path for path in modules() if path != PACKAGE / "__init__.py"}
    imports = {
        module: {
            found
            for name in imported(path)
            for found in [name if name in known else name.rpartition(".")[0]]
            if found in known and found != module
        }
        for module, path in known.items()
    }
    found = circle(imports)
    assert not found, " imports ".join([*found, *found[:1]])


def test_a_circle_of_imports_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_heavy_libraries_have_one_leaf(path: Path) -> None:
    for name in imported(path):
        places = LEAVES.get(name.split(".")[0])
        if places is not None:
            assert any(name_of(path).startswith(place) for place in places), f"{name_of(path)} imports {name}"


def test_these_tests_see_imports() -> None:
    importers = {
        top: {name_of(path) for path in modules() for name in imported(path) if name.split(".")[0] == top}
        for top in ("vllm", "ray", "sklearn")
    }
    assert importers["vllm"] == {"engine/vllm_engine.py"}
    assert importers["ray"] == {"runners/ray_graph.py", "runners/ray_feed.py", "runners/ray_session.py"}
    assert "sources/digits.py" in importers["sklearn"]


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_no_text_is_ever_run(path: Path) -> None:
    for name in imported(path):
        assert not FORBIDDEN_MODULES & set(name.split(".")), f"{name_of(path)} imports {name}"
        assert name.split(".")[-1] not in FORBIDDEN_NAMES, f"{name_of(path)} imports {name}"
    for node in ast.walk(tree_of(path)):
        where = f"{name_of(path)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Name):
            assert node.id not in FORBIDDEN_NAMES | FORBIDDEN_BUILTINS, f"{where}: {node.id}"
        elif isinstance(node, ast.Attribute):
            # `model.eval()` is how a network is told to stop learning
            called = FORBIDDEN_NAMES - ({"eval"} if room_of(path) in ("train", "engine") else set())
            assert node.attr not in called, f"{where}: .{node.attr}"
        elif isinstance(node, ast.keyword):
            true = isinstance(node.value, ast.Constant) and node.value.value is True
            assert not (node.arg in ("allow_pickle", "shell") and true), f"{where}: {node.arg}=True"


def run(code: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_help_answers_at_once() -> None:
    seen = run(
        "import json, resource, runpy, sys\n"
        "sys.argv = ['mmpr.build', '--help']\n"
        "try:\n    runpy.run_module('mmpr.build', run_name='__main__')\n"
        "except SystemExit as end:\n    status = end.code\n"
        "usage = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(json.dumps({'status': status, 'cpu_s': usage.ru_utime + usage.ru_stime, 'modules': list(sys.modules)}))"
    )
    assert seen["status"] == 0
    heavy = {"pydantic", "ray", "vllm", "torch", "pyarrow", "datasets", "transformers", "PIL", "numpy", "sympy", "rich"}
    assert not heavy & set(seen["modules"])
    assert seen["cpu_s"] < 0.5


def test_a_plan_is_made_without_an_engine() -> None:
    seen = run(
        "import json, sys\nimport mmpr.storage.flat, mmpr.storage.card\n"
        "from mmpr.pipeline import plan, progress, stages\n"
        "print(json.dumps({'modules': list(sys.modules)}))"
    )
    assert not {"ray", "vllm", "torch", "transformers", "datasets", "sklearn"} & set(seen["modules"])


def test_importing_mmpr_imports_nothing_else() -> None:
    seen = run("import json, sys\nimport mmpr\nprint(json.dumps({'modules': list(sys.modules)}))")
    assert [name for name in seen["modules"] if name.startswith("mmpr")] == ["mmpr"]


def test_no_module_shadows_a_library() -> None:
    """A file's own folder comes first on ``sys.path`` when it is run, as an editor's Run does."""
    libraries = {*sys.stdlib_module_names, *LEAVES, "PIL", "datasets", "jinja2", "matplotlib", "numpy", "pandas"}
    libraries |= {"peft", "psutil", "pyarrow", "pydantic", "rapidfuzz", "rich", "scipy", "transformers", "trl", "yaml"}
    names = {part.removesuffix(".py") for path in modules() for part in path.relative_to(PACKAGE).parts}
    assert not names & libraries


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_functions_take_few_positional_parameters(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            parameters = [item.arg for item in (*node.args.posonlyargs, *node.args.args)]
            many = [name for name in parameters if name not in ("self", "cls")]
            assert len(many) <= 7, f"{name_of(path)}:{node.lineno}: {node.name} takes {len(many)}"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_files_read_in_one_sitting(path: Path) -> None:
    """But for the one parser, which is one grammar."""
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 400 or name_of(path) == "answers/formula/parser.py"
