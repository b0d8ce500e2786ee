"""Exports as `datasets`, TRL and mmpr.train read them, whole and equal; `make test-readers` has the other tools."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmpr.export.formats import Format, Images
from mmpr.export.run import export
from mmpr.prompts import to_messages
from mmpr.train.data.preference_data import read_train_rows
from tests.conftest import SmallBuild
from tests.export.builds import CASES, FlatPair, mixed_builds, pairs_of, pixels
from tests.helpers import REPOSITORY

pytestmark = pytest.mark.slow

DEMO = REPOSITORY / "data" / "demo_model"
NAMES = ("text", "two", "chinese", "open")


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return mixed_builds(tmp_path_factory.mktemp("mixed"))


@pytest.fixture(scope="module")
def exports(builds: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Format, Images], Path]:
    """The export of a build, made when it is first asked for."""
    folder = tmp_path_factory.mktemp("exports")

    def made(name: str, format: Format, images: Images) -> Path:
        to = folder / f"{name}-{format}-{images}"
        if not to.exists():
            done = export(builds[name], format, to, images)
            assert done["counts"]["rejects"] == {}
        return to

    return made


def texts(pairs: list[FlatPair]) -> list[tuple[str, str, str]]:
    return sorted(pair[2:] for pair in pairs)


def load_trl(to: Path, images: str) -> Any:
    from datasets import load_dataset

    if images == "bytes":
        return load_dataset("parquet", data_files=str(to / "pairs/*.parquet"), split="train")
    return load_dataset("imagefolder", data_dir=str(to), split="train")


def check_trl_rows(found: Any, expected: list[FlatPair]) -> None:
    assert len(found) == len(expected)
    for row, (id, pictures, prompt, chosen, rejected) in zip(found, expected, strict=True):
        assert row["id"] == id
        assert [image.convert("RGB").tobytes() for image in row["images"]] == [pixels(data) for data in pictures]
        parts = [(part["type"], part["text"]) for part in row["prompt"][0]["content"]]
        assert parts == [(part["type"], part.get("text")) for part in to_messages(prompt)[0]["content"]]
        assert row["chosen"][0]["content"][0]["text"] == chosen
        assert row["rejected"][0]["content"][0]["text"] == rejected


@pytest.mark.parametrize("name", NAMES)
def test_the_builds_are_mixed(name: str, builds: dict[str, Path]) -> None:
    pairs = pairs_of(builds[name])
    assert {len(pair[1]) for pair in pairs} == ({0} if name == "text" else {0, 1, 2})
    assert pairs[0][1] == (), "the first rows have no picture"


@pytest.mark.parametrize("images", ["bytes", "files"])
@pytest.mark.parametrize("name", NAMES)
def test_datasets_loads_what_is_for_trl(
    name: str, images: Any, builds: dict[str, Path], exports: Any, offline: None
) -> None:
    found = load_trl(exports(name, "trl", images), images)
    assert {"images", "prompt", "chosen", "rejected"} < set(found.column_names)
    check_trl_rows(found, pairs_of(builds[name]))


@pytest.mark.parametrize(("format", "images"), CASES)
@pytest.mark.parametrize("name", NAMES)
def test_the_card_opens_the_pairs(
    name: str, format: Format, images: Images, builds: dict[str, Path], exports: Any, offline: None
) -> None:
    """As the hub and ``load_dataset(NAME)`` do: by the front matter of README.md, not as a folder of pictures."""
    from datasets import load_dataset

    to = exports(name, format, images)
    expected = pairs_of(builds[name])
    if format == "mmpr":
        rows = list(load_dataset(str(to), name, split="train"))
        found = [(row["question"], row["chosen"], row["rejected"]) for row in rows]
        shown = [
            image if isinstance(image, list) else [image] * bool(image) for image in (r.get("image") for r in rows)
        ]
        pictures = [tuple((to / "images" / path).read_bytes() for path in paths) for paths in shown]
        assert pictures == [pair[1] for pair in expected]
    else:
        rows = list(load_dataset(str(to), split="train"))
        if format == "llama-factory":
            found = [(r["conversations"][0]["value"], r["chosen"]["value"], r["rejected"]["value"]) for r in rows]
        elif format == "ms-swift":
            found = [(*(turn["content"] for turn in row["messages"]), row["rejected_response"]) for row in rows]
        else:
            has_pictures = name != "text" or images == "bytes"
            assert all(("images" if has_pictures else "images_file_names") in row for row in rows)
            if has_pictures:
                check_trl_rows(rows, expected)
            return
        assert [len(row["images"]) for row in rows] == [len(pair[1]) for pair in expected]
    assert sorted(found) == texts(expected)


@pytest.mark.parametrize(("format", "images"), CASES)
@pytest.mark.parametrize("name", NAMES)
def test_mmpr_train_reads_it_back(
    name: str, format: Format, images: Images, builds: dict[str, Path], exports: Any
) -> None:
    to = exports(name, format, images)
    wanted = sorted({(pair[1], pair[2].replace("<image>\n", "<image>"), *pair[3:]) for pair in pairs_of(builds[name])})
    paths = [to] if format in ("mmpr", "trl") else [to, to / "pairs"]
    for path in paths:
        rows = read_train_rows(path)
        assert rows.rejects == []
        found = []
        for place in range(len(rows)):
            row = rows[place]
            prompt = "".join(
                "<image>" if part["type"] == "image" else part["text"] for part in row.prompt[-1]["content"]
            )
            assert [message["role"] for message in row.prompt] == ["user"]
            found += [(row.images, prompt, row.responses[c], row.responses[r]) for c, r in row.pairs]
        assert sorted(found) == wanted


@pytest.mark.parametrize("format", ["trl", "mmpr", "llama-factory", "ms-swift"])
def test_text_of_more_than_ten_megabytes_before_the_first_picture(format: Any, tmp_path: Path, offline: None) -> None:
    """`datasets` reads JSON in pieces of 10 MB, and takes the types of columns from the first."""
    from datasets import load_dataset

    release = tmp_path / "release"
    release.mkdir()
    Image.new("RGB", (8, 8), "red").save(release / "a.png")
    sides = {"chosen": "yes", "rejected": "no"}
    rows: list[dict[str, Any]] = [{"question": f"{n} {'x' * 6000}", **sides} for n in range(2000)]
    rows += [{"question": "<image>?", "image": "a.png", "answer_gt": "yes", **sides}]
    rows += [{"question": "<image><image>?", "image": ["a.png", "a.png"], **sides}]
    (release / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (release / "meta.json").write_text(json.dumps({"one": {"root": ".", "annotation": "rows.jsonl"}}))
    export(release, format, tmp_path / "to", "files")
    found = load_dataset(str(tmp_path / "to"), "one" if format == "mmpr" else None, split="train")
    assert len(found) == 2002
    last = [found[place]["image" if format == "mmpr" else "images"] for place in (1999, 2000, 2001)]
    assert [len(cell) if isinstance(cell, list) else int(cell is not None) for cell in last] == [0, 1, 2]


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
