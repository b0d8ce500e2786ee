"""Rows to questions: text, marks, limits, and the sources that recipes name."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmpr.errors import RowError
from mmpr.schema import Question, Reject, SourceRow, question_id
from mmpr.sources import open_source
from mmpr.sources.ingest import to_question
from mmpr.sources.selection import select_rows
from tests.sources.source_helpers import CHINA, FLOWER, photograph, recipe_of

PICTURES = {"a": CHINA, "b": FLOWER, "webp": photograph(kind="WEBP"), "broken": CHINA[:400], "none": b""}


class Album:
    """Pictures by name."""

    def rows(self) -> Iterator[SourceRow | Reject]:
        return iter(())

    def load(self, ref: str) -> bytes:
        if ref not in PICTURES:
            raise RowError("image_missing", ref)
        return PICTURES[ref]


def asked(row: SourceRow, settings: dict[str, object] | None = None, **source: object) -> Question:
    recipe = recipe_of(Path(), settings, **{"type": "jsonl", "path": "x", **source})
    return to_question(row, "the id", recipe.sources[0], Album(), recipe)


def test_a_question_has_it_all() -> None:
    row = SourceRow("x:1", " What? \n", " B ", ("cat ", "dog"), ("a", "b"), "key", "kind", '{"a": 1}')
    assert asked(row, rule="multiple_choice") == Question(
        id="the id",
        source="s",
        question="<image>\n<image>\nWhat?",
        answer="B",
        choices=("cat", "dog"),
        images=(CHINA, FLOWER),
        kind="kind",
        rule="multiple_choice",
        where="x:1",
        meta='{"a": 1}',
    )


def test_pictures_are_cleaned() -> None:
    [image] = asked(SourceRow("x:1", "q", images=("webp",))).images
    assert image.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("question", "images", "expected"),
    [
        ("q", 0, "q"),
        ("q", 1, "<image>\nq"),
        ("q", 3, "<image>\n<image>\n<image>\nq"),
        ("<image>\nq", 1, "<image>\nq"),
        ("q <image>", 1, "q <image>"),
        ("Image-1: <image>\nImage-2: <image>\nq", 2, "Image-1: <image>\nImage-2: <image>\nq"),
        ("<Image> q", 1, "<image>\n<Image> q"),
        ("<image> q", 0, None),
        ("<image> q", 2, None),
        ("<image> q <image>", 1, None),
    ],
)
def test_marks(question: str, images: int, expected: str | None) -> None:
    row = SourceRow("x:1", question, images=("a",) * images)
    if expected is not None:
        assert asked(row).question == expected
        return
    with pytest.raises(RowError) as caught:
        asked(row)
    assert caught.value.reason == "image_marks"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (SourceRow("x", "a\0b"), "bad_text"),
        (SourceRow("x", "a\ud83d"), "bad_text"),
        (SourceRow("x", "q", "\ud83d"), "bad_text"),
        (SourceRow("x", "q", choices=("\0", "b")), "bad_text"),
        (SourceRow("x", "q", kind="\udfff"), "bad_text"),
        (SourceRow("x", "q", key="\0"), "bad_text"),
        (SourceRow("x", "  "), "empty_question"),
        (SourceRow("x", "<image>", images=("a",)), "empty_question"),
        (SourceRow("x", "<image>\n<image> ", images=("a", "b")), "empty_question"),
        (SourceRow("x", "x" * 101), "question_too_long"),
        (SourceRow("x", "q", "x" * 101), "question_too_long"),
        (SourceRow("x", "q", choices=("a", "x" * 101)), "question_too_long"),
        (SourceRow("x", "q", choices=("a", "<image>")), "image_marks"),
        (SourceRow("x", "q", images=("a",) * 4), "too_many_images"),
        (SourceRow("x", "q", images=("gone",)), "image_missing"),
        (SourceRow("x", "q", images=("none",)), "image_empty"),
        (SourceRow("x", "q", images=("a", "broken")), "image_truncated"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused(row: SourceRow, reason: str) -> None:
    with pytest.raises(RowError) as caught:
        asked(row, {"max_question_chars": 100, "images": {"max_per_question": 3}})
    assert caught.value.reason == reason
    caught.value.detail.encode()


def test_the_message_names_the_picture() -> None:
    with pytest.raises(RowError, match="image_truncated: 'broken': "):
        asked(SourceRow("x", "q", images=("a", "broken")))


@pytest.mark.parametrize("kind", ["digits", "easy_vqa"])
@pytest.mark.parametrize("split", ["train", "heldout"])
def test_built_in_sources(kind: str, split: str) -> None:
    recipe = recipe_of(Path(), type=kind, split=split, questions=12)
    [spec] = recipe.sources
    source = open_source(spec, recipe)
    rows = [row for row in select_rows(source, spec, 0) if isinstance(row, SourceRow)]
    questions = [to_question(row, question_id("s", row), spec, source, recipe) for row in rows]
    assert len(questions) == 12
    assert all(len(question.images) == question.question.count("<image>") == 1 for question in questions)


def test_importing_the_sources_is_cheap() -> None:
    program = "import sys, mmpr.sources, mmpr.sources.selection; print(*sorted(sys.modules))"
    modules = set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.split())
    assert "mmpr.sources.selection" in modules
    assert not modules & {"PIL", "numpy", "pyarrow", "datasets", "sklearn", "torch", "ray", "vllm", "transformers"}
