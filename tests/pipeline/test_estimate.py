"""The dry run: what would go wrong is told before anything starts, each in a sentence, and ends with status 1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmpr.build import dry_run
from mmpr.config import parse_recipe
from mmpr.engine.preview import Preview, ShownPrompt
from mmpr.errors import RecipeError
from mmpr.pipeline import estimate as estimate_module
from mmpr.pipeline.estimate import LOOKED_AT, estimate, find_problems, prompts
from mmpr.pipeline.plan import Plan, make_plan

ROWS: list[dict[str, Any]] = [
    *({"question": f"How many, {n}?", "answer": str(n), "image": "a.png"} for n in range(5)),
    {"question": "Describe it.", "image": "a.png"},
]


def plan_of(folder: Path, rows: list[dict[str, Any]] | str = ROWS, **settings: Any) -> Plan:
    folder.mkdir(exist_ok=True)
    Image.new("RGB", (8, 8), "red").save(folder / "a.png")
    text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "rows.jsonl").write_text(text)
    tree = {
        "name": "mine",
        "model": {"path": "none"},
        "engine": {"type": "replay"},
        "sources": [{"name": "s", "type": "jsonl", "path": "rows.jsonl"}],
        **settings,
    }
    return make_plan(parse_recipe(tree, folder=folder), "r")


def problems_of(plan: Plan, out: Path, seen: Preview | None = None) -> list[str]:
    """The problems' texts; those that are not fatal begin with a ``~``."""
    found = find_problems(plan, estimate(plan), seen or Preview(), out, None)
    return [f"{'' if problem.is_fatal else '~'}{problem.text}" for problem in found]


def test_a_build_that_will_work_has_no_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of(tmp_path)
    [expected] = estimate(plan)
    assert (expected.questions, expected.with_answer, expected.looked_at, expected.lost) == (6, 5, 6, ())
    assert dry_run(plan, tmp_path / "out") == 0
    told = capsys.readouterr().out
    assert [line.split() for line in told.splitlines() if line.strip().startswith("s ")] == [
        ["s", "train", "6", "5", "0", "1", "192"]
    ]
    assert "prompt   not shown: engine.type replay" in told
    assert "GB free" in told
    assert "problem" not in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("", "source 's': no question; 0 rows rejected"),
        (
            [{"question": "q", "image": "gone.png"}],
            "source 's': 1 of 1 rows that were looked at will be rejected, image_",
        ),
    ],
)
def test_sources_that_hold_nothing_are_told(rows: Any, says: str, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, rows)
    assert problems_of(plan, tmp_path / "out")[0].startswith(says)
    assert dry_run(plan, tmp_path / "out") == 1


def test_missing_pictures_are_found_wherever_they_stand(tmp_path: Path) -> None:
    rows = [{"question": f"{n}?", "answer": "1", "image": "a.png" if n < 200 else "gone.png"} for n in range(400)]
    plan = plan_of(tmp_path, rows)
    [problem] = problems_of(plan, tmp_path / "out")
    assert problem.startswith("~source 's': ")
    assert dry_run(plan, tmp_path / "out") == 0, "the others can be asked"
    assert f"of {LOOKED_AT} rows that were looked at will be rejected, image_missing (first rows.jsonl:" in problem


def test_what_the_model_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(tmp_path)
    asked = prompts(plan, estimate(plan))
    assert [(source, len(request.images)) for source, request in asked] == [("s", 1)] * 4
    assert all("Final answer" in request.prompt for _, request in asked), "as the template has it"
    shown = (ShownPrompt("x", 70), ShownPrompt(error="ValueError: no"), ShownPrompt("x", 7), ShownPrompt("x", 8))
    seen = Preview(("engine.args.x: vLLM has no 'x'",), "", 64, takes_pictures=False, prompts=shown)
    assert problems_of(plan, tmp_path / "out", seen) == [
        "engine.args.x: vLLM has no 'x'",
        "model.path: none takes no pictures, and the questions have some",
        "~source 's': 2 of 4 prompts that were tried are refused: 70 tokens with its pictures, the context has 64 "
        "(engine.args.max_model_len)",
    ]
    monkeypatch.setattr(estimate_module, "preview", lambda *_: seen)
    assert dry_run(plan, tmp_path / "out") == 1


def test_an_output_folder_that_cannot_be_used_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(tmp_path / "data")
    (tmp_path / "file").write_text("x")
    assert problems_of(plan, tmp_path / "file") == [f"--out: {tmp_path / 'file'}: is a file; use another --out"]
    assert "nothing can be written" in problems_of(plan, tmp_path / "file" / "out")[0]
    assert "is not empty and holds no build" in problems_of(plan, tmp_path)[0]
    monkeypatch.setattr(estimate_module, "free_bytes", lambda _: 5)
    [problem] = problems_of(plan, tmp_path / "out")
    assert "out has 0.0 GB free, the build needs about" in problem


def test_greedy_samples_that_would_all_be_the_same_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="at 0 all 32 samples of a question are the same"):
        plan_of(tmp_path, engine={"type": "vllm"}, sampling={"temperature": 0}, model={"path": "./none"})
