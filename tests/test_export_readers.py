"""Exports as the tools read them that they are for: datasets and TRL, LLaMA-Factory and ms-swift where installed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmpr.export.run import export
from tests.conftest import SmallBuild
from tests.helpers import REPOSITORY
from tests.test_export import pairs_of

pytestmark = pytest.mark.slow

DEMO = REPOSITORY / "data" / "demo_model"


def pixels(data: bytes) -> bytes:
    return Image.open(io.BytesIO(data)).convert("RGB").tobytes()


def load_trl(to: Path, images: str) -> Any:
    from datasets import load_dataset

    if images == "bytes":
        return load_dataset("parquet", data_files=str(to / "pairs/*.parquet"), split="train")
    return load_dataset("imagefolder", data_dir=str(to), split="train")


@pytest.mark.parametrize("images", ["bytes", "files"])
def test_datasets_loads_what_is_for_trl(images: Any, small_build: SmallBuild, tmp_path: Path, offline: None) -> None:
    export(small_build.out, "trl", tmp_path / "to", images)
    found = load_trl(tmp_path / "to", images)
    assert {"images", "prompt", "chosen", "rejected"} < set(found.column_names)
    expected = pairs_of(small_build.out)
    assert len(found) == len(expected)
    for row, (id, pictures, _, chosen, rejected) in zip(found, expected, strict=True):
        assert row["id"] == id
        assert [image.convert("RGB").tobytes() for image in row["images"]] == [pixels(data) for data in pictures]
        assert [part["type"] for part in row["prompt"][0]["content"]].count("image") == len(pictures)
        assert row["chosen"][0]["content"][0]["text"] == chosen
        assert row["rejected"][0]["content"][0]["text"] == rejected


def test_the_card_makes_the_folder_loadable(small_build: SmallBuild, tmp_path: Path, offline: None) -> None:
    from datasets import load_dataset

    done = export(small_build.out, "trl", tmp_path / "to")
    assert len(load_dataset(str(tmp_path / "to"), split="train")) == done["counts"]["pairs"]


@pytest.mark.parametrize("images", ["bytes", "files"])
def test_trl_trains_on_it(images: Any, small_build: SmallBuild, tmp_path: Path, offline: None) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from trl import DPOConfig, DPOTrainer
    from trl.trainer.dpo_trainer import DataCollatorForVisionPreference

    export(small_build.out, "trl", tmp_path / "to", images)
    pairs = load_trl(tmp_path / "to", images)
    processor = AutoProcessor.from_pretrained(DEMO)
    collate = DataCollatorForVisionPreference(processor)
    for wanted in (0, 1, 2):
        rows = [row for row in pairs if len(row["images"]) == wanted][:2]
        assert rows
        batch = collate([dict(row) for row in rows])
        assert batch["input_ids"].shape[0] == 2 * len(rows)
        assert ("pixel_values" in batch) == (wanted > 0)
        texts = processor.tokenizer.batch_decode(batch["input_ids"] * batch["completion_mask"])
        for text, row in zip(texts, rows, strict=False):
            assert row["chosen"][0]["content"][0]["text"].split()[-1] in text
    trainer = DPOTrainer(
        model=AutoModelForImageTextToText.from_pretrained(DEMO),
        args=DPOConfig(
            output_dir=str(tmp_path / "run"), max_steps=2, per_device_train_batch_size=2, use_cpu=True, report_to=[],
            bf16=False, gradient_checkpointing=False, save_strategy="no", logging_steps=1, max_length=None,
            remove_unused_columns=False,
        ),
        train_dataset=pairs.filter(lambda row: len(row["images"]) == 1),
        processing_class=processor,
    )  # fmt: skip
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 2
    assert losses[0] == pytest.approx(0.6931, abs=0.01)  # log 2: both models are the same at the first step


def test_llama_factory_reads_it(small_build: SmallBuild, tmp_path: Path, offline: None) -> None:
    """Its own list of data sets, loader and converter, up to its standard columns."""
    pytest.importorskip("llamafactory.data.converter")
    from llamafactory.data.loader import _load_single_dataset
    from llamafactory.data.mm_plugin import BasePlugin
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.hparams import DataArguments, ModelArguments
    from transformers import Seq2SeqTrainingArguments

    to = tmp_path / "to"
    export(small_build.out, "llama-factory", to)
    [about] = get_dataset_list(["out"], str(to))
    arguments = DataArguments(dataset_dir=str(to), media_dir=str(to))
    training = Seq2SeqTrainingArguments(output_dir=str(tmp_path / "run"), use_cpu=True, report_to=[])
    found = _load_single_dataset(about, ModelArguments(model_name_or_path=str(DEMO)), arguments, training)
    expected = pairs_of(small_build.out)
    assert len(found) == len(expected)
    seen = []
    for row in found:
        pictures = tuple(Path(path).read_bytes() for path in row["_images"] or ())
        [turn] = row["_prompt"]
        chosen, rejected = row["_response"]
        assert (turn["role"], chosen["role"], rejected["role"]) == ("user", "assistant", "assistant")
        assert turn["content"].count("<image>") == len(pictures)
        BasePlugin._validate_messages(None, [turn, chosen], row["_images"] or [], [], [])  # type: ignore[arg-type]
        seen.append((pictures, turn["content"], chosen["content"], rejected["content"]))
    assert sorted(seen) == sorted(pair[1:] for pair in expected)


@pytest.mark.parametrize("images", ["files", "bytes"])
def test_ms_swift_reads_it(
    images: Any, small_build: SmallBuild, tmp_path: Path, offline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own loader and preprocessor, up to its standard columns, and its own way of opening pictures."""
    pytest.importorskip("swift.dataset")
    from swift.dataset import load_dataset
    from swift.template.vision_utils import load_image

    to = tmp_path / "to"
    export(small_build.out, "ms-swift", to, images)
    monkeypatch.setenv("ROOT_IMAGE_DIR", str(to))
    found, _ = load_dataset([str(path) for path in sorted((to / "pairs").iterdir())], num_proc=1, strict=True)
    expected = pairs_of(small_build.out)
    assert len(found) == len(expected)
    seen = []
    for row in found:
        user, assistant = row["messages"]
        pictures = tuple(load_image(image["bytes"] or image["path"]).tobytes() for image in row["images"] or ())
        seen.append((pictures, user["content"], assistant["content"], row["rejected_response"]))
    assert sorted(seen) == sorted((tuple(map(pixels, pictures)), *texts) for _, pictures, *texts in expected)
