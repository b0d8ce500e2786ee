"""A chat template or a tokenizer that does not end is found before the first question."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from mmpr.engine.start_budget import see_that_it_ends
from mmpr.errors import EngineStartError
from tests.engine.demo_models import demo_model, recipe_of

_LOOPS = "ijk"
ENDLESS = "".join(f"{{% for {i} in range(99999) %}}" for i in _LOOPS) + "{% endfor %}" * len(_LOOPS)


def test_the_step_that_does_not_end_is_named() -> None:
    steps = {"chat template": str.upper, "tokenizer": lambda text: time.sleep(60)}
    start = time.monotonic()
    with pytest.raises(EngineStartError, match=r"the tokenizer of org/model took more than 0\.2 s"):
        see_that_it_ends("org/model", steps, 0.2)
    assert time.monotonic() - start < 10


def test_what_refuses_the_text_has_ended() -> None:
    see_that_it_ends("org/model", {"chat template": int}, 10)


@pytest.mark.vllm
@pytest.mark.timeout(300)
def test_an_endless_template_ends_a_build(tmp_path: Path) -> None:
    model = demo_model(tmp_path / "model", ENDLESS)
    recipe = recipe_of(model)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe.as_json()))
    command = [sys.executable, "-m", "mmpr.build", str(tmp_path / "recipe.yaml"), "--runner", "local"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "the chat template of" in done.stderr
    assert "Traceback" not in done.stderr
