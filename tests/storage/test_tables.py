"""Every noun on disk and back, and what other programs see of it."""

from __future__ import annotations

import dataclasses
import io
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mmpr.errors import OutputError, SourceError
from mmpr.prompts import Template
from mmpr.schema import (
    Completions,
    IndexedRow,
    Pair,
    PairedResponse,
    PreferenceRow,
    Question,
    Reject,
    Response,
    Rollout,
    Verdict,
    Verdicts,
)
from mmpr.storage import tables
from mmpr.storage.columns import read_columns, without_tokens
from mmpr.storage.tables import arrow_schema, hub_features, read_counts, read_rows, write_parquet
from mmpr.train.data.readers import ParquetRecords
from tests.conftest import SmallBuild

NOUNS = (IndexedRow, Question, Rollout, Completions, Verdicts, PreferenceRow, Reject, Template)


def instances(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a type of the schema."""
    if get_origin(hint) in (Union, types.UnionType):
        return st.one_of(*(st.none() if arg is type(None) else instances(arg) for arg in get_args(hint)))
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is Annotated:
        return (
            st.integers(-(2**31), 2**31 - 1)
            if hint.__metadata__ == ("int32",)
            else st.floats(width=32, allow_nan=False)
        )
    if get_origin(hint) is tuple:
        return st.lists(instances(get_args(hint)[0]), max_size=3).map(tuple)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return st.builds(
            hint, **{name: instances(kind) for name, kind in get_type_hints(hint, include_extras=True).items()}
        )
    scalars = {
        str: st.text(max_size=20) | st.sampled_from(["", "图中有几个？", "🙂👩‍👩‍👧", "a\x00b", "\u202e", "\r\n"]),
        bytes: st.binary(max_size=20),
        int: st.integers(-(2**63), 2**63 - 1),
        float: st.floats(allow_nan=False),
        bool: st.booleans(),
    }
    return scalars[hint]


@pytest.mark.parametrize("noun", NOUNS)
def test_every_noun_comes_back_as_it_was(noun: type, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"

    @settings(max_examples=40, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(instances(noun), max_size=4), st.dictionaries(st.text(max_size=5), st.integers(0, 2**60), max_size=3)
    )
    def round_trip(rows: list[Any], counts: dict[str, int]) -> None:
        write_parquet(path, noun, rows, counts)
        assert list(read_rows(path, noun)) == rows
        assert read_counts(path) == counts

    round_trip()


PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
S, N, F = pa.string(), pa.int64(), pa.float64()
IDS = pa.list_(pa.int32())
TURNS = pa.list_(pa.struct([("role", S), ("text", S)]))
RESPONSE = pa.struct(
    [
        ("text", S),
        ("seed", N),
        ("finish_reason", S),
        ("tokens", N),
        ("token_ids", IDS),
        ("logprobs", pa.list_(pa.float32())),
    ]
)
COLUMNS = {
    Question: {
        "id": S, "source": S, "question": S, "answer": S, "choices": pa.list_(S), "images": pa.list_(PICTURE),
        "kind": S, "rule": S, "where": S, "meta": S, "answers": pa.list_(S), "context": TURNS,
    },
    Rollout: {
        "id": S, "source": S, "prompt": S, "template": S, "template_sha256": S, "model": S, "model_revision": S,
        "prompt_tokens": N, "responses": pa.list_(RESPONSE), "prompt_token_ids": IDS, "tokenizer_sha256": S,
        "chat_template_sha256": S, "reasoning_opened": S, "context": TURNS,
    },
    Verdicts: {
        "id": S, "source": S, "pass_rate": F,
        "verdicts": pa.list_(pa.struct([("status", S), ("answer", S), ("comparator", S), ("reason", S)])),
    },
    Completions: {
        "id": S, "source": S,
        "completions": pa.list_(pa.struct([
            ("response", N), ("start_ratio", F), ("with_image", pa.bool_()), ("prefix", S), ("prefix_tokens", N),
            ("continuation", RESPONSE), ("prefix_token_ids", IDS),
        ])),
    },
    PreferenceRow: {
        "id": S, "source": S, "kind": S, "images": pa.list_(PICTURE), "question": S, "prompt": S, "answer": S,
        "pass_rate": F,
        "responses": pa.list_(pa.struct([
            ("text", S), ("tokens", N), ("finish_reason", S), ("seed", N), ("sample", N), ("continued", pa.bool_()),
            ("prefix_chars", N), ("status", S), ("answer", S), ("token_ids", IDS), ("logprob", F),
        ])),
        "pairs": pa.list_(pa.struct([("chosen", N), ("rejected", N), ("method", S), ("reason", S)])),
        "answers": pa.list_(S), "prompt_token_ids": IDS, "tokenizer_sha256": S, "context": TURNS,
    },
    Reject: {"stage": S, "source": S, "id": S, "reason": S, "detail": S},
}  # fmt: skip


@pytest.mark.parametrize("noun", COLUMNS)
def test_columns(noun: type, tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", noun, [], {})
    for schema in (arrow_schema(noun), pq.read_schema(tmp_path / "a.parquet")):
        assert dict(zip(schema.names, schema.types, strict=True)) == COLUMNS[noun]


YOUNG = {
    "answers", "token_ids", "logprobs", "logprob", "prompt_token_ids", "tokenizer_sha256", "chat_template_sha256",
    "reasoning_opened", "prefix_token_ids", "context",
}  # fmt: skip


def before_format_2(kind: pa.DataType) -> pa.DataType:
    """A type of a column without what came with format 2."""
    if pa.types.is_list(kind):
        return pa.list_(before_format_2(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, before_format_2(field.type)) for field in kind if field.name not in YOUNG])
    return kind


@pytest.mark.parametrize(("folder", "noun"), [("rollouts", Rollout), ("pairs", PreferenceRow)])
def test_shards_of_format_1_are_read(folder: str, noun: type[Any], small_build: SmallBuild, tmp_path: Path) -> None:
    rows = rows_of(small_build, folder, noun)
    old = pa.schema([(name, before_format_2(kind)) for name, kind in COLUMNS[noun].items() if name not in YOUNG])
    path = tmp_path / "old.parquet"
    files = sorted((small_build.out / folder).glob("*.parquet"))
    table = pa.concat_tables([pq.read_table(file) for file in files])
    pq.write_table(pa.Table.from_pylist(table.to_pylist(), schema=old), path)
    read = list(read_rows(path, noun))
    young = {field.name: field.default for field in dataclasses.fields(noun) if field.name in YOUNG}
    responses = [tuple(dataclasses.replace(r, token_ids=()) for r in row.responses) for row in rows]
    assert rows
    assert any(response.token_ids for row in rows for response in row.responses)
    assert read == [dataclasses.replace(row, responses=own, **young) for row, own in zip(rows, responses, strict=True)]
    # What reports read is the same of both, and of the type that they want.
    looked = read_columns(path, ["id", "responses"])
    assert looked.to_pylist() == [row for file in files for row in read_columns(file, ["id", "responses"]).to_pylist()]
    assert looked.schema.field("responses").type == without_tokens(arrow_schema(noun).field("responses").type)
    if noun is PreferenceRow:
        records = ParquetRecords(tmp_path, [path], ["id", "responses"], ("prompt_token_ids", "tokenizer_sha256"))
        assert set(records[0]) == {"id", "responses"}
        with pytest.raises(SourceError, match="has no column prompt_token_ids"):
            ParquetRecords(tmp_path, [path], ["id", "prompt_token_ids"])


@pytest.mark.parametrize("noun", NOUNS)
def test_the_features_are_those_that_datasets_makes_of_the_columns(noun: type) -> None:
    from datasets import Features

    features = Features.from_dict(hub_features(noun))
    assert features.arrow_schema.equals(arrow_schema(noun))


def question(place: int, picture: bytes) -> Question:
    return Question(id=str(place), source="s", question="?", images=(picture,))


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([], []),
        ([10], [1]),
        ([5000], [1]),
        ([10] * 5, [5]),
        ([400] * 7, [2, 2, 2, 1]),
        # what is small must not make room for what is large behind it
        ([1] * 4 + [900] * 4, [4, 1, 1, 1, 1]),
        ([5000, 1, 1, 5000], [1, 2, 1]),
    ],
)
def test_row_groups_are_bounded(
    sizes: list[int], groups: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROW_GROUP_BYTES", 1000)
    rows = [question(place, b"x" * size) for place, size in enumerate(sizes)]
    path = tmp_path / "q.parquet"
    write_parquet(path, Question, rows, {"a": 1})
    metadata = pq.read_metadata(path)
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == groups
    assert list(read_rows(path, Question)) == rows
    assert read_counts(path) == {"a": 1}


def test_rows_may_come_from_a_generator(tmp_path: Path) -> None:
    write_parquet(tmp_path / "q.parquet", Question, (question(i, b"") for i in range(3)), {})
    assert [row.id for row in read_rows(tmp_path / "q.parquet", Question)] == ["0", "1", "2"]


def damaged(path: Path, how: str) -> None:
    data = path.read_bytes()
    path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "text": b"hello", "no end": data[:-4]}[how])


@pytest.mark.parametrize("how", ["cut", "empty", "text", "no end"])
def test_a_damaged_shard_is_named_with_the_remedy(how: str, tmp_path: Path) -> None:
    path = tmp_path / "q.parquet"
    write_parquet(path, Question, [question(0, b"x" * 5000)], {})
    damaged(path, how)
    for read in (lambda: list(read_rows(path, Question)), lambda: read_counts(path)):
        with pytest.raises(OutputError, match=r"q\.parquet.*delete it"):
            read()


def test_a_shard_of_another_noun_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "r.parquet", Reject, [Reject("pair", "s", "1", "x")], {})
    with pytest.raises(OutputError, match="Rollout"):
        list(read_rows(tmp_path / "r.parquet", Rollout))


# What other programs read of a build


def rows_of(build: SmallBuild, folder: str, noun: type[Any]) -> list[Any]:
    return [row for path in sorted((build.out / folder).glob("*.parquet")) for row in read_rows(path, noun)]


def test_pyarrow_reads_a_folder(small_build: SmallBuild) -> None:
    table = pq.read_table(small_build.out / "pairs")
    expected = rows_of(small_build, "pairs", PreferenceRow)
    assert table.column("id").to_pylist() == [row.id for row in expected]
    assert table.column("images").to_pylist()[0][0]["bytes"] == expected[0].images[0]


def test_pandas_reads_a_folder(small_build: SmallBuild) -> None:
    frame = pd.read_parquet(small_build.out / "rollouts")
    expected = rows_of(small_build, "rollouts", Rollout)
    assert list(frame["prompt"]) == [row.prompt for row in expected]
    assert frame["responses"].map(len).sum() == sum(len(row.responses) for row in expected)


def test_duckdb_counts_what_python_counts(small_build: SmallBuild) -> None:
    files = str(small_build.out / "pairs" / "*.parquet")
    found = duckdb.sql(
        f"select p.method, count(*) from (select unnest(pairs) as p from '{files}') group by all"
    ).fetchall()
    counted: dict[str, int] = {}
    for row in rows_of(small_build, "pairs", PreferenceRow):
        for pair in row.pairs:
            counted[pair.method] = counted.get(pair.method, 0) + 1
    assert dict(found) == counted
    assert set(counted) == {"correctness", "format", "dropout"}


CONFIGS = [
    (None, "train", "pairs", PreferenceRow),
    ("rollouts", "train", "rollouts", Rollout),
    ("heldout", "test", "heldout", Question),
]


@pytest.mark.parametrize(("config", "split", "folder", "noun"), CONFIGS)
def test_datasets_reads_a_build_by_its_card(
    small_build: SmallBuild, config: str | None, split: str, folder: str, noun: type, tmp_path: Path, offline: None
) -> None:
    import datasets

    found = datasets.load_dataset(str(small_build.out), config, cache_dir=str(tmp_path))
    assert list(found) == [split]
    expected = rows_of(small_build, folder, noun)
    assert found[split]["id"] == [row.id for row in expected]
    assert found[split].features == datasets.Features.from_dict(hub_features(noun))
    assert len(expected) > 10


def test_pictures_decode_in_datasets_by_themselves(small_build: SmallBuild, tmp_path: Path, offline: None) -> None:
    import datasets

    rows = datasets.load_dataset(str(small_build.out), cache_dir=str(tmp_path))["train"]
    expected = rows_of(small_build, "pairs", PreferenceRow)
    numbers = set()
    for row, original in zip(rows, expected, strict=True):
        numbers.add(len(row["images"]))
        for picture, data in zip(row["images"], original.images, strict=True):
            assert isinstance(picture, Image.Image)
            assert picture.mode == "RGB"
            assert picture.tobytes() == Image.open(io.BytesIO(data)).tobytes()
        responses = [{**response, "token_ids": tuple(response["token_ids"])} for response in row["responses"]]
        assert [PairedResponse(**response) for response in responses] == list(original.responses)
        assert [Pair(**pair) for pair in row["pairs"]] == list(original.pairs)
    assert numbers == {0, 1, 2}


def test_a_shard_alone_is_read_with_its_features(small_build: SmallBuild, tmp_path: Path, offline: None) -> None:
    import datasets

    path = next(p for p in sorted((small_build.out / "questions").glob("*.parquet")))
    rows = datasets.load_dataset("parquet", data_files=str(path), cache_dir=str(tmp_path))["train"]
    assert isinstance(rows[0]["images"][0], Image.Image)


def test_streaming_too(small_build: SmallBuild, offline: None) -> None:
    import datasets

    row = next(iter(datasets.load_dataset(str(small_build.out), split="train", streaming=True)))
    assert isinstance(row["images"][0], Image.Image)


def test_the_types_of_the_schema_that_tables_know() -> None:
    assert arrow_schema(Verdict).field("answer").type == S
    assert arrow_schema(Response).field("seed").type == N
    with pytest.raises(KeyError):
        arrow_schema(dataclasses.make_dataclass("Odd", [("x", complex)]))


def test_a_column_of_lists_can_be_left_out(tmp_path: Path) -> None:
    rows = [Question("a", "s", "<image>?", images=(b"picture",), choices=("x",)), Question("b", "s", "?")]
    write_parquet(tmp_path / "rows.parquet", Question, rows, {})
    read = list(read_rows(tmp_path / "rows.parquet", Question, without=("images",)))
    assert read == [dataclasses.replace(row, images=()) for row in rows]
