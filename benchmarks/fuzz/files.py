"""Rows, tables, recipes, templates and answers to start from, and the folder that they are read in.

The pictures in them are scikit-learn's photographs; recipes, templates and answers are the project's own.
"""

from __future__ import annotations

import base64
import bz2
import contextlib
import functools
import gzip
import io
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.fuzz.pictures import encoded, photographs
from mmpr.config import ImagesSpec
from mmpr.storage.images import clean_image

REPOSITORY = Path(__file__).resolve().parent.parent.parent
_CUTS = 100

ROW_WORDS = (
    b'"question"', b'"answer"', b'"image"', b'"images"', b'"choices"', b'"id"', b'"bytes"', b'"path"', b"null",
    b"NaN", b"-Infinity", b"1e999", b"\xff\xfe", b"\\ud800", b"\\u0000", b"\0", b"\r\n", b"\xef\xbb\xbf", b"[[[[[[[[",
    b"}{", b"\\u202e", b"\x1b[2J", b'"../secret.jpg"', b'"link.jpg"', b'"pipe.jpg"', b'"zero.jpg"', b'"/dev/zero"',
    b'"/proc/self/mem"', b'"in/../../secret.jpg"', b'"file:///etc/passwd"', b'"data:;base64,AAAA"', b"<image>",
    b'".."', b'"up"', b'"secret.jpg"', b'"@x.jsonl#0#0"', b'"annotation"', b'"root"', b'"repeat_time"',
    b"PAR1", b"ARROW1", b"\t", b'""', b'"', b",", b"[", b"]", b'"from"', b'"human"', b'"gpt"', b'"system"',
    b'"messages"', b'"answers"', b"<image 1>", b"<image 99>", b"['a', \"b\"]", b"data:,%00", b"http://127.0.0.1/a.jpg",
    b"..\\secret.jpg", b"\x1f\x8b", b"\xff\xfe", b"77777777777\0", b"ustar\0", b"index",
    b"\x15\x02\x19\x4c", b"\xff\xff\xff\x7f", b"\xff" * 10,
)  # fmt: skip
TABLE_WORDS = (
    *ROW_WORDS, b'"prompt"', b'"chosen"', b'"rejected"', b'"messages"', b'"conversations"', b'"rejected_response"',
    b'"rejected_messages"', b'"instruction"', b'"input"', b'"history"', b'"system"', b'"completions"', b'"annotations"',
    b'"Rating"', b'"text"', b'"role"', b'"content"', b'"from"', b'"value"', b'"assistant"', b'"type": "image"',
    b'"image_url"', b'"base64"', b'"url"', b'"images_file_names"', b'"response"', b'"query"',
)  # fmt: skip
YAML_WORDS = (
    b"!!python/object/apply:os.system", b"!!python/name:os.system", b"&a [", b"*a", b"<<: *a", b"? [a, b]\n: 1",
    b"!!binary aGk=", b"!!set {a}", b"---\n", b".inf", b".nan", b"-1", b"1e400", b"~", b"|\n", b">\n", b"%TAG ! !\n",
    b"{{{{{{{{", b"[[[[[[[[", b"\t", b"sources: []", b"name: x\n", b"{question}", b"{question.__class__}", b"{0}",
    b"{question!r:>9999999}", b"%s", b"${HOME}", b"<image>", b"\xff\xfe", b"\0", b"\xe2\x80\xae",
    b"0x7fffffffffffffffffff", b"1_000", b"2020-13-45", b"../../etc/passwd",
)  # fmt: skip
ANSWER_WORDS = (
    b"Final answer:", b"\\boxed{", b"\\frac{", b"\\sqrt{", b"^{", b"}", b"{", b"$", b"(", b")", b"\\begin{pmatrix}",
    b"\\pm", b"!!", b"9^9^9", b"<think>", b"</think>", b"<answer>", b"\xe7\xad\x94\xe6\xa1\x88\xef\xbc\x9a", b"\\cup",
    b"\\infty", b"%", b"km/h", b",", b"A.", b"\0", b"\xe2\x80\xae", b"\xe2\x80\x8b", b"\x1b[2K", b"__import__('os')",
    b"\x1e", b"|", b"e99999", b"\\circ", b"\\text{", b"=", b"\\\\",
)  # fmt: skip

META = b'{"s": {"root": ".", "annotation": "pairs.jsonl", "repeat_time": 1, "length": 2}}'

SECRET = clean_image(encoded(photographs()[1].rotate(180), "PNG"), ImagesSpec())
"""A picture that lies outside of every root, as it would be in a question, where it must never be."""

_CHINA = encoded(photographs()[0], "JPEG")
_FLOWER = encoded(photographs()[1].resize((20, 30)), "PNG")
_BASE64 = base64.b64encode(_FLOWER).decode()


def write(path: Path, data: bytes) -> None:
    """A file with these bytes, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def prepare(folder: Path) -> None:
    """The folder in which inputs are read: pictures, traps beside them, and a secret above them."""
    write(folder / "in/china.jpg", _CHINA)
    write(folder / "in/flower.png", _FLOWER)
    write(folder / "in/pairs.jsonl", pair_seeds()[0])
    write(folder / "secret.jpg", SECRET)
    write(folder / "saved/state.json", b'{"_data_files": [{"filename": "data-0.arrow"}]}')
    (folder / "in/link.jpg").symlink_to("../secret.jpg")
    (folder / "in/zero.jpg").symlink_to("/dev/zero")
    (folder / "in/up").symlink_to("..")
    os.mkfifo(folder / "in/pipe.jpg")


@functools.cache
def jsonl_seeds() -> tuple[bytes, ...]:
    """Files of rows of every form that is read."""
    rows: list[dict[str, Any]] = [
        {"question": "How many?", "answer": "3", "image": "china.jpg", "id": 7, "choices": ["2", "3"]},
        {"question": "图中有几个？🙂", "answer": 5.50, "image": ["china.jpg", "flower.png"]},
        {
            "question": "<image>\nWhich?",
            "answer": "B",
            "choices": {"A": "cat", "B": "dog"},
            "image": {"path": "china.jpg"},
        },
        {"question": "Describe.", "image": _BASE64},
        {"question": "Describe.", "image": {"bytes": _BASE64, "path": None}},
        {"question": "What is 2 + 2?", "answer": "4"},
    ]
    lines = [json.dumps(row, ensure_ascii=False).encode() for row in rows]
    return (*lines, b"\n".join(lines), b"\r\n".join(lines[:3]))


@functools.cache
def packed_seeds() -> tuple[bytes, ...]:
    """The same rows packed, in UTF-16, and as a list; with every form of truth."""
    rows: list[dict[str, Any]] = [
        {"question": "<image 2>, <image 1>?", "answer": ["3", "three"], "image": ["china.jpg", _BASE64, None]},
        {"question": "Who?", "answer": [{"answer": "net"}], "image": {"type": "image", "image": _BASE64}},
        {"question": "What?", "answer": True, "image": ".\\china.jpg", "choices": "['a', 'b']"},
        {"question": "Why?", "answer": float("nan"), "image": f"data:image/png;base64,{_BASE64}"},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    whole = json.dumps(rows, indent=1).encode()
    return (
        *(text.encode(form) for form in ("utf-8", "utf-16")),
        *(pack(text.encode()) for pack in (gzip.compress, bz2.compress)),
        pa.compress(text.encode(), codec="zstd", asbytes=True),
        gzip.compress(whole),
        whole,
    )


@functools.cache
def llava_seeds() -> tuple[bytes, ...]:
    """Conversations of every layout, a line each, and one list of them."""
    ask, say = {"from": "human", "value": "<image>\nHow many?"}, {"from": "gpt", "value": "3"}
    parts = [{"type": "image", "image": "flower.png"}, {"type": "text", "text": "Which?"}]
    rows: list[dict[str, Any]] = [
        {"id": "1", "image": "china.jpg", "conversations": [ask, say]},
        {
            "image": "china.jpg",
            "conversations": [{"from": "system", "value": "s"}, ask, say, {"from": "human", "value": "?"}],
        },
        {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "left"}]},
        {"messages": [{"role": "user", "content": "<image>q"}], "images": [{"path": "china.jpg"}]},
        {"instruction": "How many?", "input": "in", "output": "3", "images": ["china.jpg"], "history": [["a", "b"]]},
        {"query": "2+2?", "response": "4", "system": "s"},
        {"image": ["china.jpg", "flower.png"], "conversations": [ask, say, ask, say, {**ask, "value": "Why?"}, say]},
        {"image": ["flower.png", _BASE64], "conversations": [{**ask, "value": "a"}, say, {**ask, "value": "b"}]},
    ]
    lines = [json.dumps(row).encode() for row in rows]
    return (*lines, b"\n".join(lines), json.dumps(rows).encode())


@functools.cache
def csv_seeds() -> tuple[bytes, ...]:
    """CSV and TSV, quoted and not, with pictures of other rows."""
    head = "index\tquestion\tA\tB\tanswer\timage\n"
    table = f'{head}0\thow many?\t1\t2\tA\t{_BASE64}\n1\t"a ""quoted""\nline"\t1\t2\tB\t0\n2\tq\t1\t2\tA\tchina.jpg\n'
    plain = 'image,question,answer\nchina.jpg,"What, ""this""?\r\n",red\r\nflower.png,How many?,3\n'
    return (table.encode(), plain.encode(), plain.encode("utf-16"), gzip.compress(table.encode()))


@functools.cache
def tar_seeds() -> tuple[bytes, ...]:
    """Archives in every form of headers, with long names, links and folders."""
    found = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w", format=form) as archive:
            for name, content in (
                ("1.jpg", _CHINA),
                ("1.json", b'{"question": "How many?", "answer": 3}'),
                ("long/" * 30 + "2.png", _FLOWER),
                ("long/" * 30 + "2.json", b'{"question": "What?", "answer": ["a", "b"]}'),
            ):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            link = tarfile.TarInfo("3.jpg")
            link.type, link.linkname = tarfile.SYMTYPE, "../secret.jpg"
            archive.addfile(link)
        found.append(data.getvalue())
    return (*found, gzip.compress(found[0]))


def cut_tars() -> Iterator[bytes]:
    """Archives as they are, and the first one cut at each hundredth."""
    yield from tar_seeds()
    data = tar_seeds()[0]
    yield from (data[: len(data) * part // _CUTS] for part in range(_CUTS))


@functools.cache
def pair_seeds() -> tuple[bytes, ...]:
    """Lines of MMPR's releases: pairs, and prompts."""
    rows: list[dict[str, Any]] = [
        {
            "question": "<image>\nHow many?",
            "chosen": "Three. Final answer: 3",
            "rejected": "4",
            "answer_gt": "3",
            "image": "china.jpg",
        },
        {"question": "<image>\nHow many?", "chosen": "3", "rejected": "Five", "answer_gt": "3", "image": "china.jpg"},
        {"question": "Describe.", "chosen": "A temple.", "rejected": "A car.", "image": ["flower.png", "china.jpg"]},
        {
            "question": "q",
            "chosen": "a",
            "rejected": "b",
            "method": "dropout",
            "reason": "x",
            "chosen_meta": {
                "tokens": 3,
                "seed": 5,
                "sample": 1,
                "prefix_chars": 2,
                "continued": True,
                "status": "correct",
            },
        },
        {"question": "<image>\nWhat?", "answer": "4", "image": "flower.png"},
        {"question": "<image>\nWho?", "chosen": "a", "rejected": "b", "image": "secret.jpg"},
    ]
    lines = [json.dumps(row).encode() for row in rows]
    return (b"\n".join(lines), *lines)


@functools.cache
def meta_seeds() -> tuple[bytes, ...]:
    """Forms of ``meta.json``."""
    entry = {
        "root": "/cluster/data/in",
        "annotation": "/cluster/anns/pairs.jsonl",
        "data_augment": False,
        "repeat_time": 0.5,
    }
    several = {
        "a": entry,
        "b_format": {**entry, "root": "", "repeat_time": 2},
        "c": {"root": ".", "annotation": "pairs.jsonl"},
    }
    outside = ({"s": {"root": root, "annotation": "pairs.jsonl"}} for root in ("..", "up", "in/../..", "gone/.."))
    return (META, *(json.dumps(tree).encode() for tree in ({"a": entry}, several, *outside)))


@functools.cache
def benchmark_seeds() -> tuple[bytes, ...]:
    """A JSON list, lines of JSON, and VLMEvalKit's TSV, quoted and not."""
    rows = [{"index": at, "question": f"q{at}", "image": name} for at, name in enumerate(("china.jpg", "flower.png"))]
    head = "index\tquestion\tA\tB\tanswer\timage\n"
    table = f'{head}0\thow many?\t1\t2\tA\t{_BASE64}\n1\t"a ""quoted""\nline"\t1\t2\tB\t0\n'
    return (
        json.dumps(rows).encode(),
        b"\n".join(json.dumps(row).encode() for row in rows),
        table.encode(),
        table[:200].encode(),
    )


def _tables() -> Iterator[pa.Table]:
    picture = {"bytes": _FLOWER, "path": "flower.png"}
    texts = {
        "question": ["How many?", "图中有几个？", "Which?"],
        "answer": ["3", None, "B"],
        "choices": [["a", "b"], None, []],
    }
    yield pa.table({**texts, "images": [picture, None, picture]})
    yield pa.table({**texts, "images": [[picture, picture], [], [picture]]})
    yield pa.table({**texts, "images": ["china.jpg", _BASE64, "../secret.jpg"]})
    numbers = pa.array([1.5, float("nan"), 2.5], pa.float32())
    wide = pa.table(
        {"question": pa.array(texts["question"]).dictionary_encode(), "answer": numbers, "choices": texts["choices"]}
    )
    yield wide.append_column("images", pa.array([_FLOWER, b"", None], pa.large_binary()))


_PAGES: tuple[dict[str, Any], ...] = (
    {"compression": "zstd"},
    {"compression": "none", "use_dictionary": False},
    {"compression": "snappy"},
    {"compression": "gzip", "data_page_version": "2.0", "write_page_index": True},
    {"row_group_size": 1},
)


@functools.cache
def parquet_seeds() -> tuple[bytes, ...]:
    """Small tables in every compression and form of pages."""
    found = []
    for table in _tables():
        for options in _PAGES:
            file = io.BytesIO()
            pq.write_table(table, file, **options)
            found.append(file.getvalue())
    return tuple(found)


@functools.cache
def arrow_seeds() -> tuple[bytes, ...]:
    """The same tables as Arrow streams."""
    found = []
    for table in _tables():
        for compression in (None, "zstd"):
            file = io.BytesIO()
            with pa.ipc.new_stream(
                file, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)
            ) as stream:
                stream.write_table(table, max_chunksize=2)
            found.append(file.getvalue())
    return tuple(found)


def cut_tables() -> Iterator[bytes]:
    """Parquet files as they are, and the first one cut at each hundredth."""
    yield from parquet_seeds()
    data = parquet_seeds()[0]
    yield from (data[: len(data) * part // _CUTS] for part in range(_CUTS))


@functools.cache
def recipes() -> tuple[str, ...]:
    """The project's own recipes."""
    return tuple(path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / "pipelines").rglob("*.yaml")))


def hostile_recipes() -> Sequence[bytes]:
    """The recipes as they are, and what YAML can do."""
    laughs = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    texts = (
        *recipes(),
        laughs,
        "a: &a {<<: *a}\n",
        "name: !!python/object/apply:os.system ['true']",
        "seed: " + "9" * 100_000,
        "name: " + "[" * 100_000,
        "x: " + "a: " * 1_000,
        "{" * 1_000,
        "- " * 50_000,
        "seed: 1e999999",
        "a:\n" * 10_000,
        "".join(f"k{at}: {at}\n" for at in range(8_000)),
        "name: '" + "x" * 100_000 + "'",
        "#" * (2 << 20),
        "? " * 5_000,
        "sources: [" + "{name: x, type: csv}, " * 4_000 + "]",
        "".join(f"sources.{at}: 1\n" for at in range(5_000)),
        "\ufeffname: x",
    )
    return [text.encode() for text in texts]


@functools.cache
def templates() -> tuple[bytes, ...]:
    """The project's own templates, and some with a system prompt and examples; pictures of some lie outside."""
    own = tuple(path.read_bytes() for path in sorted((REPOSITORY / "prompts").glob("*.txt")))
    turns = "- {user: Which?, images: [%s], assistant: '{\"answer\": 3}'}"
    pictures = ("china.jpg", "flower.png, china.jpg", "../secret.jpg", "link.jpg", "zero.jpg", "pipe.jpg", "none.png")
    texts = (f"system: s\nturns:\n{turns % name}\nquestion: 'Q: {{question}}'\n" for name in pictures)
    return (*own, *(text.encode() for text in texts))


@functools.cache
def answer_seeds() -> tuple[bytes, ...]:
    """Answers with their truths, apart by a separator, of every kind that the matcher's own table has.

    The first one needs a proof, so that the process that proves is up before the clock runs.
    """
    files = sorted((REPOSITORY / "tests/answers/pairs").glob("*.jsonl"))
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    pairs = [json.loads(line) for line in lines[::8]]
    proof = {"pred": r"\sqrt{x+1}\sqrt{x-1}", "gold": r"\sqrt{x^2-1}"}
    texts = (f"{pair['pred']}\x1e{pair['gold']}" for pair in (proof, *pairs))
    return tuple(text.encode("utf-8", "surrogateescape") for text in texts)


def hostile_answers() -> Iterator[bytes]:
    """The answers as they are, and those of the suite's hostile ones that are not a megabyte long."""
    yield from answer_seeds()
    with contextlib.suppress(ImportError):
        from tests.answers.hostile import HOSTILE

        yield from (f"{answer}\x1e{truth}".encode("utf-8", "surrogatepass") for _, answer, truth in HOSTILE)


@functools.cache
def table_seeds() -> list[bytes]:
    """Tables of pairs in each layout that training reads: one object a line, and one list."""
    user, right, wrong = ({"role": role, "content": text} for role, text in _TURNS)
    sides = {"chosen": "Red.", "rejected": "Blue."}
    part = {"role": "user", "content": [{"type": "image", "image": "china.jpg"}, {"type": "text", "text": "What?"}]}
    rated = [{"response": f"r{n}", "annotations": {"Helpfulness": {"Rating": str(n)}}} for n in (5, 2)]
    rows: list[dict[str, Any]] = [
        {"prompt": "What?", "images": ["china.jpg", "flower.png"], "source": "s", **sides},
        {"prompt": "What?", "image": {"bytes": _BASE64}, "chosen": [user, right], "rejected": [user, wrong]},
        {"chosen": [user, right], "rejected": [user, wrong], "system": "Be short."},
        {"prompt": [part], **sides},
        {"conversations": [{"from": "human", "value": "<image>What?"}], "images": ["china.jpg"],
         "chosen": {"from": "gpt", "value": "Red."}, "rejected": {"from": "gpt", "value": "Blue."}},
        {"messages": [user, right], "rejected_response": "Blue.", "images": ["flower.png"]},
        {"messages": [user, right], "rejected_messages": [user, wrong]},
        {"instruction": "What", "input": "is it?", "history": [["Hi", "Hello"]], **sides},
        {"prompt": "What?", "image": "china.jpg", "completions": rated},
        {"image": "flower.png", "text": json.dumps({"question": "What?", **sides})},
    ]  # fmt: skip
    lines = [json.dumps(row).encode() for row in rows]
    return [b"\n".join(lines), *lines, json.dumps(rows).encode()]


_TURNS = (("user", "What?"), ("assistant", "Red."), ("assistant", "Blue."))
