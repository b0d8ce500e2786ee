"""What the model is shown, and why it will not work, by the real vLLM without an engine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mmpr.config import Recipe, parse_recipe
from mmpr.engine.preview import Preview, preview
from mmpr.engine.request import Request
from mmpr.schema import Turn
from tests.engine.demo_models import DEMO, png

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(300)]

ARGS = {"dtype": "bfloat16", "max_model_len": 64}
ASKED = (Request("<image>\nHow many?", (png("red"),), 1, 0), Request("How many? " * 30, (), 1, 0))


def recipe_of(args: dict[str, Any] | None = None, **settings: Any) -> Recipe:
    tree = {"name": "r", "model": {"path": str(DEMO)}, "engine": {"args": {**ARGS, **(args or {})}}, **settings}
    return parse_recipe({**tree, "sources": [{"name": "s", "type": "jsonl", "path": "x", "samples": 4}]})


def test_the_prompt_is_shown_as_the_model_gets_it() -> None:
    seen = preview(recipe_of(), str(DEMO), ASKED)
    assert (seen.problems, seen.note, seen.context, seen.takes_pictures) == ((), "", 64, True)
    first, second = seen.prompts
    assert first.text == (
        "<|im_start|>User:\n<fake_token_around_image><global-img><image> (x 16)<fake_token_around_image>"
        "How many?<end_of_utterance>\nAssistant:\n"
    )
    assert (first.problem(64), first.tokens < 64) == ("", True)
    assert "64" in second.problem(64), "it is longer than the context"


def test_turns_before_the_prompt_are_shown() -> None:
    context = (Turn("system", "Look."), Turn("user", "<image>\nHow many?"), Turn("assistant", "Two."))
    request = Request("And <image>?", (png("red"), png("blue")), 1, 0, context=context)
    [seen] = preview(recipe_of({"max_model_len": 128}, chat={"system": "Be brief."}), str(DEMO), [request]).prompts
    picture = "<fake_token_around_image><global-img><image> (x 16)<fake_token_around_image>"
    assert seen.text == (
        f"<|im_start|>System:\nBe brief.\n\nLook.<end_of_utterance>\nUser:\n{picture}How many?<end_of_utterance>\n"
        f"Assistant:\nTwo.<end_of_utterance>\nUser:\nAnd {picture}?<end_of_utterance>\nAssistant:\n"
    )


@pytest.mark.parametrize(
    ("args", "settings", "says"),
    [
        (
            {"max_modle_len": 3},
            {},
            "engine.args.max_modle_len: vLLM's AsyncEngineArgs have no 'max_modle_len'; do you mean",
        ),
        ({"max_model_len": 10**9}, {}, "engine: "),
        ({}, {"sampling": {"temperature": 0}}, "sampling: "),
        ({}, {"sampling": {"args": {"min_tokens": 9}, "max_tokens": 8}}, "sampling: "),
    ],
)
def test_what_vllm_will_refuse_is_told(args: dict[str, Any], settings: dict[str, Any], says: str) -> None:
    [problem] = preview(recipe_of(args, **settings), str(DEMO), ASKED).problems
    assert problem.startswith(says)


def test_a_model_of_text_alone_is_known(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(DEMO / name, folder / name)
    text = json.loads((DEMO / "config.json").read_text())["text_config"]
    (folder / "config.json").write_text(json.dumps({**text, "architectures": ["LlamaForCausalLM"]}))
    seen = preview(recipe_of(), str(folder), ASKED)
    assert (seen.problems, seen.takes_pictures) == ((), False)


def test_an_engine_without_a_model_shows_nothing() -> None:
    recipe = parse_recipe({**recipe_of().as_json(), "engine": {"type": "replay"}})
    assert preview(recipe, "none", ASKED) == Preview(note="engine.type replay shows no model anything")


def test_a_model_that_takes_for_ever_is_a_problem() -> None:
    assert preview(recipe_of(), str(DEMO), ASKED, limit_s=0.5).problems[0].endswith("took more than 0.5 s")
