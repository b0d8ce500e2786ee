"""What is fed to what, and what must hold afterwards.

A target's ``check`` returns whether the input was taken. A refusal is an ``MmprError``; anything else that it raises,
a broken promise (``assert``) among it, is a crash.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml

from benchmarks.fuzz import files, mutate, pictures
from mmpr.answers import entails, extract, match
from mmpr.answers.extract import TEMPLATES
from mmpr.config import ImagesSpec, Recipe, load_recipe, parse_recipe
from mmpr.errors import RecipeError, RowError
from mmpr.evaluate.benchmarks.readers import Broken, JsonRows
from mmpr.evaluate.benchmarks.tsv import TsvRows
from mmpr.prompts import to_messages
from mmpr.schema import Question, Reject, Status, question_id
from mmpr.sources import open_source
from mmpr.sources.ingest import to_question
from mmpr.sources.mmpr_pairs import Release
from mmpr.sources.selection import select_rows
from mmpr.storage.images import clean_image
from mmpr.templates import load_template
from mmpr.train.data.layouts import read_table_row
from mmpr.train.data.readers import open_records, read_picture
from mmpr.train.recipe import load_train_recipe

LIMITS = ImagesSpec()


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """``share`` of all inputs; ``fixed`` are tried as they are, before mutations of ``seeds``.

    ``trees`` says that an input is lines of JSON (or one tree of YAML), half of which are changed as trees.
    """

    name: str
    share: float
    check: Callable[[bytes, Path], bool]
    seeds: Callable[[], Sequence[bytes]]
    words: tuple[bytes, ...]
    fixed: Callable[[], Iterable[bytes]]
    trees: bool = False


def input_of(target: Target, fixed: Sequence[bytes], seed: int, number: int) -> bytes:
    """The input of that number: a function of its arguments alone."""
    if number < len(fixed):
        return fixed[number]
    dice = random.Random(f"{seed}:{target.name}:{number}")
    seeds = target.seeds()
    data = dice.choice(seeds)
    if target.trees and dice.random() < 0.5:
        lines = data.splitlines()
        at = dice.randrange(len(lines))
        lines[at] = mutate.as_json(dice, mutate.mutated_tree(dice, json.loads(lines[at])))
        return b"\n".join(lines)
    data = mutate.mutated(dice, data, seeds, target.words)
    return mutate.with_checksums(data) if dice.random() < 0.5 else data


def _picture(data: bytes, folder: Path) -> bool:
    try:
        cleaned = clean_image(data, LIMITS)
    except RowError as error:
        _writable(error.reason, error.detail)
        raise
    assert cleaned.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"))
    assert clean_image(cleaned, LIMITS) == cleaned, "cleaning a clean picture changes it"
    return True


def _questions(folder: Path, **source: Any) -> bool:
    """Open a source and ingest all its rows; whether any is a question."""
    tree = {"name": "t", "model": {"path": "./m"}, "sources": [{"name": "s", **source}]}
    recipe: Recipe = parse_recipe({**tree, "max_question_chars": 4_000}, folder=folder)
    [spec] = recipe.sources
    opened = open_source(spec, recipe)
    found = 0
    for row in select_rows(opened, spec, recipe.seed):
        if isinstance(row, Reject):
            _writable(row.id, row.reason, row.detail)
            continue
        try:
            _sound(to_question(row, question_id("s", row), spec, opened, recipe))
            found += 1
        except RowError as error:
            _writable(error.reason, error.detail)
    return found > 0


def _sound(question: Question) -> None:
    said = [*(turn.text for turn in question.context), question.question]
    _writable(*said, *question.truths, *question.choices, question.kind, question.where)
    assert sum(map(len, said)) <= 4_000 + len("<image>\n") * len(question.images)
    assert "".join(said).count("<image>") == len(question.images) <= LIMITS.max_per_question
    assert files.SECRET not in question.images, "a picture from outside the root"


def _writable(*texts: str) -> None:
    for text in texts:
        assert isinstance(text, str)
        text.encode()


def _jsonl(data: bytes, folder: Path) -> bool:
    files.write(folder / "in/x.jsonl", data)
    columns = {"choices": "choices", "id": "id"} if b'"choices"' in data and b'"id"' in data else {}
    return _questions(folder, type="jsonl", path="in/x.jsonl", columns=columns)


def _packed(data: bytes, folder: Path) -> bool:
    files.write(folder / "in/p.jsonl", data)
    return _questions(folder, type="jsonl", path="in/p.jsonl", columns={"answer": "answer"})


def _llava(data: bytes, folder: Path) -> bool:
    files.write(folder / "in/c.json", data)
    return _questions(folder, type="llava", path="in/c.json")


def _csv(data: bytes, folder: Path) -> bool:
    kind = "tsv" if b"\t" in data.split(b"\n")[0] or data.startswith(b"\x1f\x8b") else "csv"
    files.write(folder / f"in/t.{kind}", data)
    options = {"choices": ["A", "B"]} if b"A" in data[:40] and b"B" in data[:40] else {}
    return _questions(folder, type=kind, path=f"in/t.{kind}", columns=options)


def _tar(data: bytes, folder: Path) -> bool:
    files.write(folder / "in/w.tar", data)
    return _questions(folder, type="webdataset", path="in/w.tar")


def _table(kind: str, place: str) -> Callable[[bytes, Path], bool]:
    def check(data: bytes, folder: Path) -> bool:
        files.write(folder / place, data)
        path = place if kind == "parquet" else str(Path(place).parent)
        return _questions(folder, type=kind, path=path, columns={"choices": "choices", "images": "images"})

    return check


_parquet = _table("parquet", "in/x.parquet")
_arrow = _table("datasets", "saved/data-0.arrow")


def _hub(data: bytes, folder: Path) -> bool:
    """A data set of the hub, streamed: ``datasets`` takes a folder of that name for it."""
    import datasets  # heavy, and for this target alone

    datasets.disable_progress_bars()
    files.write(folder / "lab/set/train.parquet", data)
    before = Path.cwd()
    os.chdir(folder)
    try:
        columns = {"choices": "choices", "images": "images"}
        return _questions(folder, type="hub", path="lab/set", split="train", streaming=True, columns=columns)
    finally:
        os.chdir(before)


def _meta(data: bytes, folder: Path) -> bool:
    files.write(folder / "in/meta.json", data)
    return _release(folder)


def _pairs(data: bytes, folder: Path) -> bool:
    files.write(folder / "in/meta.json", files.META)
    files.write(folder / "in/pairs.jsonl", data)
    return _release(folder)


def _pair_table(data: bytes, folder: Path) -> bool:
    """A table of pairs as training reads it: one object a line, or one list."""
    path = folder / ("in/t.json" if data.lstrip()[:1] == b"[" else "in/t.jsonl")
    files.write(path, data)
    records = open_records(path)
    found = 0
    for place in range(len(records)):
        _writable(records.where(place))
        try:
            row = read_table_row(records[place], "t")
            _writable(row.source, row.layout, *(text for pair in row.pairs for text in pair))
            assert row.pairs
            assert all(chosen != rejected for chosen, rejected in row.pairs)
            assert len(row.pictures) == sum(part["type"] == "image" for turn in row.prompt for part in turn["content"])
            for picture in row.pictures[:20]:
                cleaned = clean_image(read_picture(records, place, picture, LIMITS.max_bytes), LIMITS)
                assert cleaned != files.SECRET, "a picture from outside the root"
            found += 1
        except RowError as error:
            _writable(error.reason, error.detail)
    return found > 0


def _release(folder: Path) -> bool:
    """Both readers of a release: its questions, and its pairs."""
    asked = _questions(folder, type="mmpr", path="in/meta.json")
    rejects: list[Reject] = []
    rows = list(Release(folder / "in/meta.json", rejects.append).rows())
    for row in rows:
        _writable(row.question, row.answer or "", *(response.text for response in row.responses))
        assert row.pairs
        assert all(0 <= place < len(row.responses) for pair in row.pairs for place in (pair.chosen, pair.rejected))
        assert files.SECRET not in row.images, "a picture from outside the root"
    return asked or bool(rows)


def _benchmark(data: bytes, folder: Path) -> bool:
    is_json = data.lstrip()[:1] in (b"[", b"{")
    path = folder / ("in/x.json" if is_json else "in/x.tsv")
    files.write(path, data)
    reader = (JsonRows if is_json else TsvRows)(path, folder / "in", "image", LIMITS)
    found = 0
    for record in reader.records():
        if isinstance(record, Broken):
            continue
        for ref in record.images[:20]:
            try:
                assert reader.load(ref) != files.SECRET, "a picture from outside the root"
                found += 1
            except RowError as error:
                _writable(error.detail)
    return found > 0


def _recipe(data: bytes, folder: Path) -> bool:
    path = folder / "recipe.yaml"
    files.write(path, data)
    accepted = 0
    refused: list[RecipeError] = []
    for load in (load_recipe, load_train_recipe):
        try:
            recipe = load(path)
        except RecipeError as error:
            refused.append(error)
        else:
            json.dumps(recipe.as_json(), allow_nan=False)
            accepted += 1
    for told in refused:
        assert told.problems
        assert told.exit_status == 2
        assert len(str(told)) < 100_000, "a message that no one reads"
    return accepted > 0


def _template(data: bytes, folder: Path) -> bool:
    name = "t.yaml" if b"question:" in data else "t.txt"
    files.write(folder / "in" / name, data)
    template = load_template(f"./{name}", folder / "in")
    assert files.SECRET not in template.images, "a picture from outside the root"
    for question in ("<image>\nHow many {question} {0}?", "2 + 2?", "{question.__class__}"):
        prompt = template.render(question)
        assert question.removeprefix("<image>\n") in prompt
        assert prompt.count("<image>") == question.count("<image>")
        messages = to_messages(prompt, "", template.context)
        assert all(message["content"] for message in messages)
        marks = sum(part["type"] == "image" for message in messages for part in message["content"])
        assert marks == len(template.images) + question.count("<image>")
    return True


def _answer(data: bytes, folder: Path) -> bool:
    response, _, truth = data.decode("utf-8", "surrogateescape").rpartition("\x1e")
    verdicts = []
    for template in sorted(TEMPLATES):
        answer = extract(response, template)
        assert answer is None or isinstance(answer, str)
        verdicts.append(answer)
    said = verdicts[zlib.crc32(data) % len(verdicts)] or response
    for rule in ("default", "relaxed", "anls", "exact", "multiple_choice"):
        verdict = match(said, truth, rule=rule)
        assert verdict.status in get_args(Status)
    assert isinstance(entails(said, truth), bool)
    return match(said, truth).status != "error"


def _recipes() -> list[bytes]:
    return [json.dumps(yaml.safe_load(text)).encode() for text in files.recipes()]


TARGETS = {
    target.name: target
    for target in (
        Target("pictures", 0.54, _picture, pictures.picture_seeds, pictures.PICTURE_WORDS, pictures.picture_fixed),
        Target("jsonl", 0.06, _jsonl, files.jsonl_seeds, files.ROW_WORDS, files.jsonl_seeds, trees=True),
        Target("packed", 0.02, _packed, files.packed_seeds, files.ROW_WORDS, files.packed_seeds),
        Target("llava", 0.03, _llava, files.llava_seeds, files.ROW_WORDS, files.llava_seeds, trees=True),
        Target("csv", 0.03, _csv, files.csv_seeds, files.ROW_WORDS, files.csv_seeds),
        Target("webdataset", 0.02, _tar, files.tar_seeds, files.ROW_WORDS, files.cut_tars),
        Target("parquet", 0.04, _parquet, files.parquet_seeds, files.ROW_WORDS, files.cut_tables),
        Target(
            "arrow",
            0.02,
            _arrow,
            files.arrow_seeds,
            files.ROW_WORDS,
            files.arrow_seeds,
        ),
        Target("hub", 0.01, _hub, files.parquet_seeds, files.ROW_WORDS, files.parquet_seeds),
        Target("meta.json", 0.02, _meta, files.meta_seeds, files.ROW_WORDS, files.meta_seeds, trees=True),
        Target("pairs", 0.03, _pairs, files.pair_seeds, files.ROW_WORDS, files.pair_seeds, trees=True),
        Target("tables", 0.05, _pair_table, files.table_seeds, files.TABLE_WORDS, files.table_seeds, trees=True),
        Target("benchmarks", 0.02, _benchmark, files.benchmark_seeds, files.ROW_WORDS, files.benchmark_seeds),
        Target("recipes", 0.04, _recipe, _recipes, files.YAML_WORDS, files.hostile_recipes, trees=True),
        Target("templates", 0.02, _template, files.templates, files.YAML_WORDS, files.templates),
        Target("answers", 0.05, _answer, files.answer_seeds, files.ANSWER_WORDS, files.hostile_answers),
    )
}
