"""Texts beside the exported pairs: a README that says how to read them, and LLaMA-Factory's dataset_info.json."""

from __future__ import annotations

import re
from typing import Any

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

`metadata.jsonl` names pictures by paths that start at this folder; `datasets` makes `images` of them."""

_MMPR = """The layout of MMPR's releases: `meta.json` names `annotations/SOURCE.jsonl` and the root of their pictures.
Paths start at this folder. Start InternVL's trainer here with `--meta_path meta.json`; `mmpr.train` and a recipe's
`type: mmpr` read it from anywhere. `repeat_time` in `meta.json` is how much of a source is trained on."""

_LLAMA_FACTORY = """```
llamafactory-cli train ... --stage dpo --dataset_dir DIR --dataset NAME --media_dir DIR
```

`dataset_info.json` describes the files of `pairs/` (`ranking`, `sharegpt`)."""

_MS_SWIFT = """```
ROOT_IMAGE_DIR=DIR swift rlhf --rlhf_type dpo --dataset DIR/pairs/*.jsonl ...
```

The last of `messages` is the chosen answer, `rejected_response` the other one."""


def readme(about: dict[str, Any]) -> str:
    """The README: what the export holds, and how its reader takes it."""
    format, counts = about["format"], about["counts"]
    how = {
        "trl": _TRL_BYTES if about["images"] == "bytes" else _TRL_FILES,
        "mmpr": _MMPR,
        "llama-factory": _LLAMA_FACTORY.replace("NAME", dataset_name(about["from"]["name"])),
        "ms-swift": _MS_SWIFT,
    }[format]
    left_out = sum(counts["rejects"].values())
    rejects = f"\n{left_out:,} were left out; `rejects/` has the reasons.\n" if left_out else ""
    files = "pairs/*.parquet" if format == "trl" and about["images"] == "bytes" else None
    front = _front(files) if files else ""
    return f"""{front}# {plain(about["from"]["name"])}: {counts["pairs"]:,} preference pairs for {format}

{how}
{rejects}
DIR is this folder. Exported by `python -m mmpr.export`. Pictures and questions keep the licences of their sources.
"""


def dataset_info(name: str) -> dict[str, Any]:
    """LLaMA-Factory's description of the exported files."""
    columns = {"messages": "conversations", "chosen": "chosen", "rejected": "rejected", "images": "images"}
    return {
        dataset_name(name): {"file_name": "pairs", "formatting": "sharegpt", "ranking": True, "columns": columns},
    }


def dataset_name(name: str) -> str:
    """The name as one word of a command line; LLaMA-Factory splits at commas."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name) or "mmpr"


def _front(files: str) -> str:
    """Front matter by which the hub and ``datasets.load_dataset`` find the rows."""
    return f"""---
license: other
task_categories: [image-text-to-text]
tags: [preference, mmpr, dpo, multimodal, reasoning]
configs:
- config_name: default
  data_files:
  - split: train
    path: {files}
---

"""
