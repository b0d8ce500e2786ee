"""Nobody is told what is done here, no secret is written down, and foreign code is never run in silence."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from mmpr import build as build_module
from mmpr.config import parse_recipe
from mmpr.errors import MmprError, OutputError, RecipeError
from mmpr.pipeline.plan import make_plan
from mmpr.train.recipe import parse_train_recipe
from tests.helpers import REPOSITORY, small_recipe

pytestmark = pytest.mark.slow

MARKER = "hf_MarkerOfATokenThatNobodyMaySee0123"
WARNING = "trust_remote_code is on"

_TELEMETRY = ("DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY", "RAY_USAGE_STATS_ENABLED", "VLLM_NO_USAGE_STATS")

_BUILD = """
import sys
from pathlib import Path
from tests.helpers import build_without_ray, small_recipe
folder = Path(sys.argv[1])
build_without_ray(small_recipe(folder), folder / "out")
assert (folder / "out/report/index.html").exists()
"""


def run(code: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        check=True,
    )


def test_a_token_is_nowhere(tmp_path: Path) -> None:
    done = run(_BUILD, str(tmp_path), HF_TOKEN=MARKER, HUGGING_FACE_HUB_TOKEN=MARKER)
    assert MARKER not in done.stdout + done.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"manifest.json", "build.json", "report.json", "index.html"} <= {path.name for path in written}
    assert [path for path in written if MARKER.encode() in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("override", "place"),
    [
        (f"engine.args.hf_token={MARKER}", "engine.args.hf_token"),
        (f"model.path=https://user:{MARKER}@host/model", "model.path"),
        (f"model.revision={MARKER}", "model.revision"),
        ("engine.args.api_key=sesame", "engine.args.api_key"),
        ("engine.args.deep=[{password: sesame}]", "engine.args.deep.0.password"),
        ("token=sesame", "token"),
    ],
)
def test_secrets_in_recipes_are_refused_and_not_repeated(override: str, place: str) -> None:
    tree = {"name": "r", "model": {"path": "m"}, "sources": [{"name": "s", "type": "jsonl", "path": "x"}]}
    with pytest.raises(RecipeError) as caught:
        parse_recipe(tree, [override])
    assert [problem.split(":")[0] for problem in caught.value.problems] == [place]
    assert MARKER not in str(caught.value)
    assert "sesame" not in str(caught.value)
    with pytest.raises(RecipeError, match="holds a secret"):
        parse_train_recipe({"name": "r"}, [override])


@pytest.mark.parametrize(
    "override", ["engine.args.hf_token=true", "engine.args.image_token=<img>", "engine.args.max_tokens=5"]
)
def test_what_only_sounds_like_a_secret_is_none(override: str) -> None:
    tree = {"name": "r", "model": {"path": "m"}, "sources": [{"name": "s", "type": "jsonl", "path": "x"}]}
    parse_recipe(tree, [override])


def test_no_telemetry_unless_it_is_asked_for() -> None:
    shown = (
        "import json, os, mmpr, huggingface_hub.constants as hub\n"
        f"print(json.dumps([[os.environ[name] for name in {_TELEMETRY}], bool(hub.HF_HUB_DISABLE_TELEMETRY)]))"
    )
    # The suite has imported mmpr, so the settings stand in the environment already.
    bare = f"import os\nfor name in {_TELEMETRY}: os.environ.pop(name, None)\n"
    assert json.loads(run(bare + shown).stdout) == [["1", "1", "0", "1"], True]
    assert json.loads(run(shown, RAY_USAGE_STATS_ENABLED="1").stdout)[0][2] == "1"


def test_builds_say_that_foreign_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise OutputError("far enough")

    monkeypatch.setattr("mmpr.pipeline.plan.prepare", stop)
    for trusted in (True, False):
        recipe = small_recipe(tmp_path, f"model.trust_remote_code={str(trusted).lower()}")
        with pytest.raises(OutputError, match="far enough"):
            build_module.build(make_plan(recipe, "recipe"), tmp_path / "out")
        assert (WARNING in capsys.readouterr().err) == trusted


def test_training_says_that_foreign_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mmpr.train.run import train

    def stop(*_: object, **__: object) -> None:
        raise MmprError("far enough")

    monkeypatch.setitem(sys.modules, "mmpr.train.session", types.SimpleNamespace(run_session=stop))
    for trusted in (True, False):
        recipe = parse_train_recipe({"name": "r", "model": {"trust_remote_code": trusted}})
        with pytest.raises(MmprError, match="far enough"):
            train(recipe, data=str(tmp_path), model=str(REPOSITORY / "data/demo_model"), out=tmp_path / f"{trusted}")
        assert (WARNING in capsys.readouterr().err) == trusted


def test_evaluations_say_that_foreign_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mmpr.evaluate import run as evaluation

    def stop(*_: object, **__: object) -> None:
        raise OutputError("far enough")

    monkeypatch.setattr(evaluation, "locked", stop)
    (tmp_path / "x.jsonl").write_text('{"question": "q", "answer": "a"}\n')
    for trusted in ("true", "false"):
        overrides = ["engine.type=replay", f"model.trust_remote_code={trusted}"]
        with pytest.raises(OutputError, match="far enough"):
            evaluation.evaluate(["none"], str(tmp_path / "x.jsonl"), tmp_path / "out", overrides=overrides)
        assert (WARNING in capsys.readouterr().err) == (trusted == "true")
