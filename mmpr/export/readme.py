"""Texts beside the exported pairs: a README that says how to read them, and LLaMA-Factory's dataset_info.json."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mmpr.export.formats import Format
from mmpr.storage.markdown import plain

_TRL_BYTES = """```python
from datasets import load_dataset

pairs = load_dataset("parquet", data_files="DIR/pairs/*.parquet", split="train")
trainer = trl.DPOTrainer(model, args=trl.DPOConfig(...), train_dataset=pairs, processing_class=processor)
```

`images` are decoded by `datasets`; `prompt`, `chosen` and `rejected` are messages, one image part for each picture."""

_TRL_FILES = """```python
from datasets import load_dataset

pairs = load_dataset("imagefolder", data_dir="DIR", split="train")
trainer = trl.DPOTrainer(model, args=trl.DPOConfig(...), train_dataset=pairs, processing_class=processor)
```

`metadata.parquet` names pictures by paths that start at this folder; `datasets` makes `images` of them."""

_MMPR = """The layout of MMPR's releases: `meta.json` names `annotations/SOURCE.jsonl` and the root of their pictures.
Paths start at this folder. Start InternVL's trainer here with `--meta_path meta.json`; `mmpr.train` and a recipe's
`type: mmpr` read it from anywhere. `repeat_time` in `meta.json` is how much of a source is trained on.

`datasets.load_dataset(FOLDER, SOURCE)` opens the pairs of one source; `image` has paths that start at `images/`."""

_LLAMA_FACTORY = """```
llamafactory-cli train ... --stage dpo --dataset_dir DIR --dataset NAME --media_dir DIR
```

`dataset_info.json` describes the files of `pairs/` (`ranking`, `sharegpt`)."""

_MS_SWIFT = """```
ROOT_IMAGE_DIR=DIR swift rlhf --rlhf_type dpo --dataset DIR/pairs/*.parquet ...
```

The last of `messages` is the chosen answer, `rejected_response` the other one."""


@dataclass(frozen=True, slots=True)
class Annotations:
    """A file of ``annotations/``: whether ``image`` is one path in some of its rows, and a list of several in some."""

    name: str
    one: bool
    several: bool


def readme(about: dict[str, Any], annotations: Sequence[Annotations], *, has_pictures: bool) -> str:
    """The README: what the export holds, and how its reader takes it.

    ``has_pictures``: there are files in ``images/``.
    """
    format, counts = about["format"], about["counts"]
    how = {
        "trl": _TRL_BYTES if about["images"] == "bytes" else _TRL_FILES,
        "mmpr": _MMPR,
        "llama-factory": _LLAMA_FACTORY.replace("NAME", dataset_name(about["from"]["name"])),
        "ms-swift": _MS_SWIFT,
    }[format]
    left_out = sum(counts["rejects"].values())
    rejects = f"\n{left_out:,} were left out; `rejects/` has the reasons.\n" if left_out else ""
    if about.get("without_system_prompt"):
        rejects += (
            "\nThe build was sampled with a system prompt, for which MMPR's layout has no place; it is not in here.\n"
        )
    front = {
        "license": "other",
        "task_categories": ["image-text-to-text"],
        "tags": ["preference", "mmpr", "dpo", "multimodal", "reasoning"],
        **_where_rows_are(format, about["images"], annotations, has_pictures),
    }
    return f"""---
{yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip()}
---

# {plain(about["from"]["name"])}: {counts["pairs"]:,} preference pairs for {format}

{how}
{rejects}
DIR is this folder. Exported by `python -m mmpr.export`. Pictures and questions keep the licences of their sources.
"""


def _where_rows_are(
    format: Format, images: str, annotations: Sequence[Annotations], has_pictures: bool
) -> dict[str, Any]:
    """The part of the front matter by which the hub and ``datasets.load_dataset`` find the rows.

    Without it a folder with pictures is opened as pictures alone. MMPR's sources are a config each, as
    their rows need not have the same columns.
    """
    if format == "mmpr":
        configs = [_config(Path(file.name).stem, [f"annotations/{file.name}"]) for file in annotations]
        features = [
            {"config_name": Path(file.name).stem, "features": [*_image_feature(file), *_mmpr_features()]}
            for file in annotations
        ]
        return {"configs": configs, "dataset_info": features}
    if format == "trl" and images == "files":
        return {"configs": [_config("default", ["metadata.parquet", *(["images/**"] if has_pictures else [])])]}
    return {"configs": [_config("default", ["pairs/*.parquet"])]}


def _config(name: str, paths: Sequence[str]) -> dict[str, Any]:
    return {"config_name": name, "data_files": [{"split": "train", "path": list(paths)}]}


def _image_feature(file: Annotations) -> list[dict[str, Any]]:
    """The column ``image``, if the file has one; `datasets` calls values of several types JSON."""
    if file.one and file.several:
        return [{"name": "image", "dtype": "json"}]
    if file.several:
        return [{"name": "image", "list": "string"}]
    return [{"name": "image", "dtype": "string"}] if file.one else []


def _texts(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "dtype": "string"} for name in names]


def _meta_features() -> list[dict[str, Any]]:
    return [
        {"name": "tokens", "dtype": "int64"},
        *_texts("finish_reason"),
        *({"name": name, "dtype": "int64"} for name in ("seed", "sample")),
        {"name": "continued", "dtype": "bool"},
        {"name": "prefix_chars", "dtype": "int64"},
        *_texts("status", "answer"),
        {"name": "token_ids", "list": "int32"},
        {"name": "logprob", "dtype": "float64"},
    ]


def _mmpr_features() -> list[dict[str, Any]]:
    """The columns of a line of ``annotations/`` besides ``image``; else `datasets` takes those of the first lines.

    Made anew each time, since YAML would write a repeated one as an alias, which `datasets` cannot read.
    """
    return [
        *_texts("id", "source", "question", "chosen", "rejected", "answer_gt", "method", "reason"),
        *({"name": name, "struct": _meta_features()} for name in ("chosen_meta", "rejected_meta")),
    ]


def dataset_info(name: str, *, has_system: bool) -> dict[str, Any]:
    """LLaMA-Factory's description of the exported files; ``has_system``: the column of the system prompt is filled."""
    columns = {"messages": "conversations", "chosen": "chosen", "rejected": "rejected", "images": "images"}
    if has_system:
        columns["system"] = "system"
    return {
        dataset_name(name): {"file_name": "pairs", "formatting": "sharegpt", "ranking": True, "columns": columns},
    }


def dataset_name(name: str) -> str:
    """The name as one word of a command line; LLaMA-Factory splits at commas."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name) or "mmpr"
