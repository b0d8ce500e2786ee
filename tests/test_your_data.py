"""Every recipe of docs/your-data.md, over a tiny sample of its format: each yields correctness pairs."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from mmpr.config import parse_recipe
from mmpr.engine import Reply, Request, Tokenization
from mmpr.schema import PreferenceRow, Response, TokenIds
from mmpr.storage.tables import read_rows
from tests import helpers

PAGE = Path(__file__).parents[1] / "docs/your-data.md"
RECIPES = {
    found["name"]: found
    for block in re.findall(r"```yaml\n(  (?:#|- ).*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for found in yaml.safe_load(block)
}


def png(colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 24), colour).save(file, "PNG")
    return file.getvalue()


RED, BLUE = png(), png("blue")
RED64 = base64.b64encode(RED).decode()
IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
STORED = {"bytes": RED, "path": "1.png"}


def write(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def picture(folder: Path, name: str = "a.png") -> str:
    write(folder / name, RED)
    return name


def parquet(path: Path, **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def json_list(at: Path) -> None:
    write(at / "list/train.json", json.dumps([{"image": picture(at / "list"), "question": "How many?", "answer": "3"}]))


def acceptable_answers(at: Path) -> None:
    row = {"image": picture(at / "docvqa"), "question": "What is written?", "answers": ["stop", "STOP sign"]}
    write(at / "docvqa/train.jsonl.gz", gzip.compress(json.dumps(row).encode()))


def llava(at: Path) -> None:
    turns = [{"from": "human", "value": "<image>\nHow many?"}, {"from": "gpt", "value": "3"}]
    row = {"id": "1", "image": picture(at / "llava/images"), "conversations": turns}
    write(at / "llava/train.json", json.dumps([row], indent=2))


def conversations(at: Path) -> None:
    said = ("<image>\nHow many dots?", "2", "And if one more is drawn?", "3")
    turns = [{"from": ("human", "gpt")[n % 2], "value": text} for n, text in enumerate(said)]
    write(at / "talks/train.json", json.dumps([{"image": picture(at / "talks"), "conversations": turns}]))


def examples(at: Path) -> None:
    [template] = re.findall(r"```yaml\n# shots.yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    write(at / "shots.yaml", template)
    write(at / "shots/two.png", BLUE)
    row = {"image": picture(at / "dots"), "question": "How many dots are there?", "answer": 3}
    write(at / "dots/train.jsonl", json.dumps(row))


def ms_swift(at: Path) -> None:
    turns = [{"role": "user", "content": "<image>How many?"}, {"role": "assistant", "content": "3"}]
    write(at / "swift/train.jsonl", json.dumps({"messages": turns, "images": [picture(at / "swift")]}))


def llama_factory(at: Path) -> None:
    row = {"instruction": "How many?", "input": "", "output": "3", "images": [picture(at / "factory")]}
    write(at / "factory/alpaca.json", json.dumps([row]))


def csv_table(at: Path) -> None:
    picture(at / "tables/images")
    write(at / "tables/train.csv", 'image,question,answer\na.png,"How ""many""?",3\n')


def vlmevalkit(at: Path) -> None:
    rows: list[list[Any]] = [["index", "question", "A", "B", "C", "D", "answer", "image"]]
    rows += [[n, "Which?", "cat", "dog", "", "", "B", RED64 if n == 7 else "7"] for n in (7, 8)]
    text = io.StringIO()
    csv.writer(text, delimiter="\t").writerows(rows)
    write(at / "tables/MMBench_DEV_EN.tsv", text.getvalue())


def scienceqa(at: Path) -> None:
    columns = {"question": ["Which is a fruit?"], "choices": [["stone", "apple"]], "solution": ["Apples grow."]}
    answer, image = pa.array([1], pa.int8()), pa.array([STORED], IMAGE)
    parquet(at / "ScienceQA/train-0.parquet", answer=answer, image=image, **columns)


def mmmu(at: Path) -> None:
    images = {f"image_{k}": pa.array([{"bytes": data, "path": "x"} if data else None], IMAGE)
              for k, data in enumerate((RED, BLUE, *[None] * 5), start=1)}  # fmt: skip
    row = {"id": ["1"], "question": ["<image 2> or <image 1>: which is red?"], "options": ["['left', 'right']"]}
    parquet(at / "MMMU/validation-0.parquet", answer=["B"], **row, **images)


def vqav2(at: Path) -> None:
    words = [{"answer": word, "answer_id": n} for n, word in enumerate(("net", "net", "net", "racket"))]
    parquet(at / "VQAv2/train-0.parquet", question=["What is it?"], answers=[words], image=pa.array([STORED], IMAGE))


def hub(at: Path) -> None:
    """A folder of that name in the working directory is what ``datasets`` takes for the data set."""
    label = datasets.ClassLabel(names=["cat", "dog"])
    features = {"question": datasets.Value("string"), "label": label, "image": datasets.Image()}
    rows = {"question": ["Which animal?"], "label": [1], "image": [STORED]}
    (at / "lab/set").mkdir(parents=True)
    datasets.Dataset.from_dict(rows, datasets.Features(features)).to_parquet(at / "lab/set/train.parquet")


def webdataset(at: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in (("7.jpg", RED), ("7.json", b'{"question": "How many?", "answer": 3}')):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    write(at / "shards/0.tar", data.getvalue())


def image_folder(at: Path) -> None:
    picture(at / "photos", "b.png")
    write(at / "photos/metadata.csv", "file_name,question,answer\nb.png,How many?,3\n")


def class_folders(at: Path) -> None:
    picture(at / "pets/cat")
    picture(at / "pets/grey_wolf")


def options(at: Path) -> None:
    row = {"question": "Which is a fruit?", "choices": ["stone", "apple"], "answer": "B"}
    write(at / "options/train.jsonl", json.dumps({**row, "image": picture(at / "options")}))


SAMPLES: dict[str, tuple[Callable[[Path], None], list[str], str]] = {
    "json-list": (json_list, ["3"], "<image>\n"),
    "acceptable-answers": (acceptable_answers, ["STOP sign"], "What is written?"),
    "llava": (llava, ["3"], "How many?"),
    "conversations": (conversations, ["3"], "And if one more is drawn?"),
    "examples": (examples, ["3"], 'End with JSON, such as {"answer": 7}.'),
    "ms-swift": (ms_swift, ["3"], "How many?"),
    "llama-factory": (llama_factory, ["3"], "How many?"),
    "csv": (csv_table, ["3"], 'How "many"?'),
    "vlmevalkit": (vlmevalkit, ["B", "B"], "A. cat\nB. dog"),
    "scienceqa": (scienceqa, ["apple"], "A. stone\nB. apple"),
    "mmmu": (mmmu, ["B"], "A. left\nB. right"),
    "vqav2": (vqav2, ["net"], "What is it?"),
    "hub": (hub, ["dog"], "Which animal?"),
    "webdataset": (webdataset, ["3"], "How many?"),
    "image-folder": (image_folder, ["3"], "How many?"),
    "class-folders": (class_folders, ["cat", "grey wolf"], "Which animal is it?"),
    "options": (options, ["B"], "(A) stone\n(B) apple"),
}
"""By the name of a recipe: what makes its files, a right answer to each question, and words of the prompt."""

WRONG = {"B": "A", "apple": "stone", "3": "77"}


class Answers:
    """Half of its samples are right; questions are told apart by their order."""

    samples_at_once = 64
    about = Tokenization()

    def __init__(self, truths: list[str]) -> None:
        self.truths = list(truths)
        self.prompts: list[str] = []
        self.requests: list[Request] = []

    async def generate(self, request: Request) -> Reply:
        truth = self.truths[len(self.prompts) % len(self.truths)]
        self.prompts.append(request.prompt)
        self.requests.append(request)
        assert request.said.count("<image>") == len(request.images) > 0
        said = [truth if sample % 2 else WRONG.get(truth, "a zebra") for sample in range(request.samples)]
        form = '{"answer": "%s"}' if "JSON" in request.prompt else "Final answer: %s"
        texts = [f"I looked, try {n}.\n{form % answer}" for n, answer in enumerate(said)]
        return Reply(tuple(Response(text, n, "stop", 5) for n, text in enumerate(texts)), prompt_tokens=9)

    def spelling(self, response: Response) -> tuple[TokenIds, list[int]]:
        return tuple(map(ord, response.text)), list(range(1, len(response.text) + 1))


def test_every_recipe_has_a_sample() -> None:
    assert set(RECIPES) == set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_recipe_yields_correctness_pairs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, truths, words = SAMPLES[name]
    datasets.disable_progress_bars()
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    engine = Answers(truths)
    monkeypatch.setattr("mmpr.runners.local.start_engine", lambda *_, **__: engine)
    settings = {"engine": {"type": "replay"}, "sampling": {"samples": 4, "max_tokens": 64}}
    tree = {"name": "t", "model": {"path": "none"}, **settings, "sources": [RECIPES[name]]}
    helpers.build_without_ray(parse_recipe(tree, folder=tmp_path), tmp_path / "out")
    rows = [
        row for path in sorted((tmp_path / "out/pairs").glob("*.parquet")) for row in read_rows(path, PreferenceRow)
    ]
    assert len(rows) == len(truths) == len(engine.prompts)
    assert all(words in prompt for prompt in engine.prompts)
    for row in rows:
        assert row.pass_rate == 0.5
        assert {pair.method for pair in row.pairs} == {"correctness"}
    assert not list((tmp_path / "out").glob("rejects/*"))
    if name == "acceptable-answers":
        assert rows[0].answers == ("stop", "STOP sign")
    if name in ("conversations", "examples"):
        [asked] = engine.requests
        roles = ["user", "assistant"] if name == "conversations" else ["system", "user", "assistant"]
        assert [turn.role for turn in asked.context] == roles
        assert rows[0].context == asked.context
        assert rows[0].images == asked.images == ((RED,) if name == "conversations" else (BLUE, RED))
    if name == "mmmu":
        assert rows[0].images == (BLUE, RED)
