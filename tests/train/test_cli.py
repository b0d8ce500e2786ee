"""The command: at once where it can be, whole at the end, locked, and the same command goes on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from mmpr.errors import MmprError, OutputError, RecipeError
from mmpr.train.__main__ import _MALLOC, main
from mmpr.train.recipe import parse_train_recipe
from mmpr.train.run import describe, train
from tests.helpers import REPOSITORY
from tests.train.digits_table import MODEL, SETTINGS, digits_table

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_table(tmp_path_factory.mktemp("data"))


def small_run(data: Path, out: Path, **settings: Any) -> dict[str, Any]:
    recipe = parse_train_recipe({**SETTINGS, **settings})
    return train(recipe, data=str(data / "pairs.jsonl"), model=str(MODEL), out=out)


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    small_run(data, out)
    return out


def test_a_run_leaves_what_it_says(finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text())
    assert result["steps"] == 3
    assert result["pairs"] == 18
    assert len((finished / "metrics.jsonl").read_text().splitlines()) == 3
    assert (finished / "checkpoints" / "checkpoint-3").is_dir()
    assert not (finished / "writing").exists()
    about = json.loads((finished / "model" / "mmpr.json").read_text())
    assert about["model"]["revision"].startswith("sha256:")
    assert about["recipe"]["name"] == "tiny"
    sets = [json.loads(line) for line in (finished / "samples.jsonl").read_text().splitlines()]
    assert [answers["step"] for answers in sets] == [0, 3]


def test_the_result_is_a_stock_checkpoint(finished: Path) -> None:
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(finished / "model")
    processor = AutoProcessor.from_pretrained(finished / "model")
    base = AutoModelForImageTextToText.from_pretrained(MODEL)
    assert {name: p.dtype for name, p in model.named_parameters()} == {n: p.dtype for n, p in base.named_parameters()}
    assert any(not torch.equal(a, b) for a, b in zip(model.parameters(), base.parameters(), strict=True))
    names = {path.name for path in (finished / "model").iterdir()}
    assert names == {path.name for path in MODEL.iterdir()} | {"mmpr.json"}
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How many?"}]}]
    text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    inputs = processor(text=[text], images=[[Image.new("RGB", (64, 64))]], return_tensors="pt")
    assert model.generate(**inputs, max_new_tokens=3).shape[1] > inputs["input_ids"].shape[1]


def test_the_report_stands_alone_and_escapes(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    assert "<svg" in page
    assert "rewards/chosen" in page
    assert "Questions of the training data, answered greedily" in page  # a table of pairs holds nothing out
    assert "Held-out" not in page
    assert not re.search(r"(src|href)=\"https?:", page)
    assert "prefers-color-scheme: dark" in page


def test_a_finished_run_says_so_in_a_second(finished: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(json.dumps(SETTINGS))
    words = [
        str(tmp_path / "r.yaml"),
        "--data",
        str(data / "pairs.jsonl"),
        "--model",
        str(MODEL),
        "--out",
        str(finished),
    ]
    code = (
        "import resource, sys\nfrom mmpr.train.__main__ import main\n"
        f"status = main({words!r})\nusage = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(status, 'torch' in sys.modules, usage.ru_utime + usage.ru_stime)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    status, torch_there, seconds = done.stdout.split()[-3:]
    assert (status, torch_there) == ("0", "False")
    assert float(seconds) < 1.0
    assert "finished  3 steps, 18 pairs" in done.stdout


def test_another_run_in_the_same_folder_is_refused(finished: Path, data: Path) -> None:
    with pytest.raises(OutputError, match=r"recipe\.optimizer\.learning_rate: was 0\.0001, is 0\.001"):
        small_run(data, finished, optimizer={"learning_rate": 1e-3, "weight_decay": 0.0})


def test_settings_that_change_no_number_may_change(finished: Path, data: Path) -> None:
    result = small_run(data, finished, save={"every_steps": 7, "keep": 1}, report_to=["tensorboard"], name="renamed")
    assert result["steps"] == 3
    about = json.loads((finished / "run.json").read_text())
    assert about["recipe"]["name"] == "tiny"  # what a finished run was is not written over


def test_a_second_trainer_is_refused(data: Path, tmp_path: Path) -> None:
    from mmpr.storage.shards import locked

    with locked(tmp_path), pytest.raises(OutputError, match="another run"):
        small_run(data, tmp_path)


def test_a_stopped_run_goes_on_with_the_same_command(finished: Path, data: Path, tmp_path: Path) -> None:
    """Killed at its second step by a signal that cannot be caught; the end equals the undisturbed one bit by bit."""
    (tmp_path / "r.yaml").write_text(json.dumps(SETTINGS))
    command = [sys.executable, "-m", "mmpr.train", str(tmp_path / "r.yaml"), "--data", str(data / "pairs.jsonl")]
    command += ["--model", str(MODEL), "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline_s = time.monotonic() + 200
    while not (tmp_path / "run" / "checkpoints" / "checkpoint-2").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "run" / "result.json").exists()
    small_run(data, tmp_path / "run")
    from safetensors.torch import load_file

    one, two = (load_file(run / "model" / "model.safetensors") for run in (finished, tmp_path / "run"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_lora_is_merged_into_a_stock_checkpoint(data: Path, tmp_path: Path) -> None:
    small_run(data, tmp_path, lora={"rank": 2, "alpha": 4}, reference="on_the_fly", optimizer={"learning_rate": 1e-2})
    from safetensors.torch import load_file

    assert (tmp_path / "model" / "adapter" / "adapter_model.safetensors").exists()
    trained, base = load_file(tmp_path / "model" / "model.safetensors"), load_file(MODEL / "model.safetensors")
    assert trained.keys() == base.keys()
    changed = {name for name in base if not torch.equal(trained[name], base[name])}
    assert changed
    assert all("text_model" in name for name in changed)  # vision tower and projector have no adapters


@pytest.mark.parametrize("part", ["vision", "projector", "decoder"])
def test_frozen_parts_stay(part: str) -> None:
    from mmpr.train.model import load_model, part_of

    model = load_model(str(MODEL), parse_train_recipe({**SETTINGS, "model": {"freeze": [part]}}))
    trained = {part_of(name): p.requires_grad for name, p in model.named_parameters()}
    assert {name for name, trains in trained.items() if not trains} == {part}


def test_what_the_model_does_not_have_is_refused() -> None:
    from mmpr.train.model import load_model

    with pytest.raises(RecipeError, match="drop_path"):
        load_model(str(MODEL), parse_train_recipe({**SETTINGS, "model": {"drop_path": 0.1}}))


@pytest.mark.parametrize(
    ("data_path", "model", "problem"),
    [("nowhere", str(MODEL), "--data nowhere"), (str(REPOSITORY), str(REPOSITORY / "data"), "no model in this folder")],
)
def test_missing_things_are_named(data_path: str, model: str, problem: str) -> None:
    with pytest.raises(MmprError, match=problem):
        describe(parse_train_recipe(SETTINGS), data_path, model)


def test_help_answers_at_once_and_nothing_heavy_is_imported() -> None:
    code = (
        "import resource, runpy, sys\nsys.argv = ['mmpr.train', '--help']\n"
        "try:\n    runpy.run_module('mmpr.train', run_name='__main__')\n"
        "except SystemExit as end:\n    status = end.code\n"
        "usage = resource.getrusage(resource.RUSAGE_SELF)\n"
        "heavy = {'torch', 'transformers', 'pydantic', 'numpy', 'pyarrow'} & set(sys.modules)\n"
        "print(status, len(heavy), usage.ru_utime + usage.ru_stime)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    status, heavy, seconds = done.stdout.split()[-3:]
    assert (status, heavy) == ("0", "0")
    assert float(seconds) < 0.5


def test_a_wrong_recipe_ends_with_status_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["optimizer.learning_rat=1", "--data", "x", "--model", "y", "--out", str(tmp_path)]
    assert main(words) == 2
    assert "do you mean 'learning_rate'" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
@pytest.mark.parametrize("own", [{}, {"MALLOC_TOP_PAD_": "1"}], ids=["unset", "set by the user"])
def test_malloc_settings_are_there_where_they_help(own: dict[str, str]) -> None:
    """The process starts itself again once, with its own arguments, unless the user has settings of their own."""
    code = (
        "import json, os, sys\nimport mmpr.train.__main__ as m\nm._GPUS = ()\nm.use_memory_well()\n"
        "print(json.dumps([{n: os.environ.get(n) for n in m._MALLOC}, sys.argv[1:]]))"
    )
    environment = {name: value for name, value in os.environ.items() if name not in _MALLOC} | own
    done = subprocess.run(
        [sys.executable, "-c", code, "a b", "c"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=environment,
    )
    settings, words = json.loads(done.stdout)
    assert words == ["a b", "c"]
    assert settings == (_MALLOC if not own else {**dict.fromkeys(_MALLOC), **own})


def test_several_data_sets_are_trained_on_together(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was read of each, in which layout, and what not, is said before the first step."""
    swift = {
        "messages": [
            {"role": "user", "content": "What is 1 + 1?"},
            {"role": "assistant", "content": "Final answer: 2"},
        ],
        "rejected_response": "Final answer: 3",
        "channel": "x",
    }
    (tmp_path / "more.jsonl").write_text(json.dumps(swift) + "\n")
    (tmp_path / "r.yaml").write_text(json.dumps(SETTINGS))
    first, second = str(data / "pairs.jsonl"), str(tmp_path / "more.jsonl")
    words = [str(tmp_path / "r.yaml"), "--data", first, "--data", second, "--model", str(MODEL)]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    told = capsys.readouterr()
    assert "finished  4 steps, 19 pairs" in told.out
    by_hand = re.search(r"step 1: loss ([0-9.]+); by hand ([0-9.]+) = 0\.832 \(policy = reference\) \+ 1 x", told.err)
    assert by_hand
    assert float(by_hand[1]) == pytest.approx(float(by_hand[2]), abs=0.002)
    assert f"data      {first}: 9 questions" in told.err
    assert "data      more: 1 pairs, read as messages (or query, response), rejected_response or" in told.err
    assert "data      more: columns that are not read: channel" in told.err
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (about["data"]["path"], about["more_data"]["2"]["path"]) == (first, second)
    assert main([*words[:3], *words[5:], "--out", str(tmp_path / "run")]) == 1
    assert "holds another run" in capsys.readouterr().err


def test_the_same_data_twice_is_refused(data: Path) -> None:
    path = data / "pairs.jsonl"
    with pytest.raises(MmprError, match="is named twice"):
        describe(parse_train_recipe(SETTINGS), [str(path), str(path.parent / ".." / data.name / path.name)], str(MODEL))


def test_data_without_a_usable_pair_is_told_with_reasons_and_examples(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.jsonl").write_text(
        json.dumps({"prompt": "?", "image": "gone.png", "chosen": "a", "rejected": "b"})
    )
    words = ["--data", str(tmp_path / "pairs.jsonl"), "--model", str(MODEL), "--out", str(tmp_path / "run")]
    assert main(words) == 1
    assert "no pair is left to train on: 1 x image_missing (pairs.jsonl:1: 'gone.png'" in capsys.readouterr().err
