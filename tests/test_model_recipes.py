"""The recipes of ``pipelines/models``: each is checked by a dry run with a tiny checkpoint of its family.

Most picture processors want torchvision, which is not in the locks (``benchmarks.families.packages``).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.families.__main__ import WORK, _environment
from benchmarks.families.packages import installed
from mmpr.config import load_recipe
from mmpr.resources import PIPELINES

FAMILIES = {
    "qwen2.5-vl-7b": "qwen2_5_vl",
    "qwen3-vl-8b": "qwen3_vl",
    "internvl3.5-8b-hf": "internvl_qwen3",
    "glm-4.6v-flash": "glm4v",
    "gemma-3-12b": "gemma3",
}
"""By the name of a recipe: the family of ``benchmarks.families``."""

PICTURE_TOKENS = {
    "qwen2.5-vl-7b": range(1_200, 1_281),
    "qwen3-vl-8b": range(1_200, 1_281),
    "internvl3.5-8b-hf": range(7 * 4, 7 * 4 + 1),  # 3 x 2 tiles and the whole, of 4 tokens here
    "glm-4.6v-flash": range(2_450, 2_561),
    "gemma-3-12b": range(4, 5),
}
"""Tokens that a picture of 3,000 x 2,000 pixels may become: as many as ``processor`` allows, and no more."""

ENCODE = """
import sys
from pathlib import Path
from benchmarks.families.checkpoints import make
from mmpr.config import load_recipe
from mmpr.prompts import to_messages
from mmpr.schema import Question
from mmpr.templates import load_template
from mmpr.train.data.encoding import Encoder
from mmpr.train.model import load_config, load_processor
from mmpr.train.rows import TrainRow
recipe, family, folder, picture = sys.argv[1:]
make(family, Path(folder))
recipe = load_recipe(Path(recipe))
[spec] = recipe.sources
asked = load_template(spec.template).ask(Question("1", "mine", "<image>\\nHow many?", "3"))
encoder = Encoder(load_processor(folder, False), load_config(folder, False), {"mine": spec.processor}, chat=recipe.chat)
messages = tuple(to_messages(asked.text, recipe.chat.system))
ids, _ = encoder.encode_prompt(TrainRow("1", "mine", (Path(picture).read_bytes(),), messages, (), ()))
print(len(ids), ids.count(encoder.image_token_id))
"""
"""A program that makes the checkpoint and prints how many tokens training makes of the prompt, and of its picture."""


def test_every_recipe_is_here() -> None:
    files = {path.stem for path in (PIPELINES / "models").glob("*.yaml")}
    assert files == set(FAMILIES) == set(PICTURE_TOKENS)
    for name in files:
        recipe = load_recipe(Path(name))  # by its bare name, from any folder
        assert recipe.name == name
        assert recipe.engine.args["max_model_len"] > recipe.sampling.max_tokens
        assert recipe.sampling.temperature > 0
        assert recipe.sampling.samples > 1


@pytest.mark.vllm
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_dry_run_with_a_checkpoint_of_the_family(name: str, tmp_path: Path) -> None:
    try:
        environment = _environment(installed(WORK / "packages"))
    except SystemExit as error:
        pytest.skip(str(error))
    recipe = PIPELINES / "models" / f"{name}.yaml"
    Image.effect_noise((3_000, 2_000), 60).convert("RGB").save(tmp_path / "a.jpg")
    row = {"image": "a.jpg", "question": "How many?", "answer": "3"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")

    def run(*words: object) -> str:
        command = [sys.executable, *map(str, words)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=190)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    told = run("-c", ENCODE, recipe, FAMILIES[name], tmp_path / "model", tmp_path / "a.jpg")
    tokens, of_picture = map(int, told.split()[-2:])
    settings = [f"model.path={tmp_path / 'model'}", f"sources.mine.path={tmp_path / 'rows.jsonl'}"]
    settings.append("engine.args.max_model_len=4096")  # the checkpoint's most
    seen = run("-m", "mmpr", "build", recipe, "--dry-run", "--out", tmp_path / "out", *settings)
    assert "problem" not in seen
    assert f"the first, {tokens:,} tokens of 4,096" in seen, "as many as in training"
    [shown] = re.findall(r"> \(x (\d+)\)", seen)
    assert int(shown) == of_picture
    assert of_picture in PICTURE_TOKENS[name]
