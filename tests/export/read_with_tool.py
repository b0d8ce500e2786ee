"""Read an export with its own tool and print what it gave; runs in the tool's environment, without mmpr.

    read_with_tool.py TOOL EXPORT MODEL ─▶ READ {"version": "1.2", "pairs": [[pictures, prompt, chosen, rejected]]}

Pictures are hashes of their pixels; prompts come with one ``<image>`` for each picture.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

Pair = tuple[list[str], str, str, str]


def digest(picture: Any) -> str:
    """A picture's pixels, hashed; a path, bytes or an image."""
    from PIL import Image

    if isinstance(picture, bytes):
        picture = io.BytesIO(picture)
    opened = picture if isinstance(picture, Image.Image) else Image.open(picture)
    return hashlib.sha256(opened.convert("RGB").tobytes()).hexdigest()


def text_of(messages: list[dict[str, Any]]) -> str:
    """A turn's parts as text."""
    [turn] = messages
    return "".join("<image>" if part["type"] == "image" else part["text"] for part in turn["content"])


def read_llamafactory(to: Path, model: str) -> Iterator[Pair]:
    """Its own list of data sets, loader and converter, up to its standard columns, and its check of messages."""
    from llamafactory.data.loader import _load_single_dataset
    from llamafactory.data.mm_plugin import BasePlugin
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.hparams import DataArguments, ModelArguments
    from transformers import Seq2SeqTrainingArguments

    [name] = json.loads((to / "dataset_info.json").read_text())
    [about] = get_dataset_list([name], str(to))
    arguments = DataArguments(dataset_dir=str(to), media_dir=str(to))
    training = Seq2SeqTrainingArguments(output_dir=str(to.parent / "run"), use_cpu=True, report_to=[])
    for row in _load_single_dataset(about, ModelArguments(model_name_or_path=model), arguments, training):
        pictures = row["_images"] or []
        [turn] = row["_prompt"]
        chosen, rejected = row["_response"]
        assert (turn["role"], chosen["role"], rejected["role"]) == ("user", "assistant", "assistant")
        assert turn["content"].count("<image>") == len(pictures)
        BasePlugin._validate_messages(None, [turn, chosen], pictures, [], [])
        yield [digest(path) for path in pictures], turn["content"], chosen["content"], rejected["content"]


def read_ms_swift(to: Path, model: str) -> Iterator[Pair]:
    """Its own loader and preprocessor, up to its standard columns, and its own way of opening pictures."""
    os.environ["ROOT_IMAGE_DIR"] = str(to)
    from swift.dataset import load_dataset
    from swift.template.vision_utils import load_image

    found, _ = load_dataset([str(path) for path in sorted((to / "pairs").iterdir())], num_proc=1, strict=True)
    for row in found:
        user, assistant = row["messages"]
        assert (user["role"], assistant["role"]) == ("user", "assistant")
        pictures = [digest(load_image(image["bytes"] or image["path"])) for image in row["images"] or ()]
        yield pictures, user["content"], assistant["content"], row["rejected_response"]


def read_trl(to: Path, model: str) -> Iterator[Pair]:
    """What ``datasets`` gives its DPOTrainer; its collator takes rows of each number of pictures."""
    from datasets import load_dataset
    from transformers import AutoProcessor
    from trl.trainer.dpo_trainer import DataCollatorForVisionPreference

    if (to / "metadata.parquet").exists():
        rows = load_dataset("imagefolder", data_dir=str(to), split="train")
    else:
        rows = load_dataset("parquet", data_files=str(to / "pairs/*.parquet"), split="train")
    collate = DataCollatorForVisionPreference(AutoProcessor.from_pretrained(model))
    for count in {len(row["images"]) for row in rows}:
        some = [dict(row) for row in rows if len(row["images"]) == count][:2]
        assert ("pixel_values" in collate(some)) == (count > 0)
    for row in rows:
        prompt, chosen, rejected = (text_of(row[side]) for side in ("prompt", "chosen", "rejected"))
        yield list(map(digest, row["images"])), prompt, chosen, rejected


def read_datasets(to: Path, model: str) -> Iterator[Pair]:
    """By the front matter of README.md, config by config, as it does from the hub."""
    from datasets import get_dataset_config_names, load_dataset

    for config in get_dataset_config_names(str(to)):
        for row in load_dataset(str(to), config, split="train"):
            image = row.get("image") or []
            paths = [image] if isinstance(image, str) else image
            yield [digest(to / "images" / path) for path in paths], row["question"], row["chosen"], row["rejected"]


def read_duckdb(to: Path, model: str) -> Iterator[Pair]:
    """All files at once."""
    import duckdb

    query = (
        'SELECT images, conversations[1]."value", chosen."value", rejected."value" '
        f"FROM '{to}/pairs/*.parquet'"  # a folder of this test
    )
    for pictures, *texts in duckdb.sql(query).fetchall():
        yield [digest(to / path) for path in pictures], *texts


def read_pandas(to: Path, model: str) -> Iterator[Pair]:
    """The folder as one table."""
    import base64

    import pandas

    for row in pandas.read_parquet(to / "pairs").to_dict("records"):
        user, assistant = row["messages"]
        inline = [image.startswith("data:") for image in row["images"]]
        pictures = [
            digest(base64.b64decode(image.split(",", 1)[1]) if is_inline else to / image)
            for image, is_inline in zip(row["images"], inline, strict=True)
        ]
        yield pictures, user["content"], assistant["content"], row["rejected_response"]


READERS = {
    "llamafactory": read_llamafactory,
    "ms-swift": read_ms_swift,
    "trl": read_trl,
    "datasets": read_datasets,
    "duckdb": read_duckdb,
    "pandas": read_pandas,
}


if __name__ == "__main__":
    tool, export, model = sys.argv[1:]
    pairs = list(READERS[tool](Path(export), model))
    print("READ " + json.dumps({"version": version(tool), "pairs": pairs}))
