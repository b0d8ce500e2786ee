"""The easy-VQA source: the package's own questions, disjoint splits, facts that the pictures bear out."""

import io
import json
import sys
from collections import Counter

import easy_vqa as package
import numpy as np
import pytest
from PIL import Image

from mmpr.errors import RowError, SourceError
from mmpr.sources import easy_vqa_questions
from mmpr.sources.easy_vqa_questions import (
    COLOURS,
    KINDS,
    QUESTION_KINDS,
    SHAPES,
    EasyVqa,
    Record,
    Split,
    kind_of,
    picture_facts,
)

SPLITS: list[Split] = ["pretrain", "train", "heldout"]
RGB = {
    "black": (0, 0, 0),
    "blue": (0, 0, 255),
    "brown": (165, 42, 42),
    "gray": (128, 128, 128),
    "green": (0, 255, 0),
    "red": (255, 0, 0),
    "teal": (0, 128, 128),
    "yellow": (255, 255, 0),
}


def reference_of(row):
    part, number = row.images[0].removeprefix("easy_vqa:").split("/")
    return part, int(number)


@pytest.mark.parametrize("split", SPLITS)
def test_questions_and_answers_are_the_packages_own(split):
    questions = package.get_test_questions() if split == "heldout" else package.get_train_questions()
    known = set(zip(*questions, strict=True))
    for row in EasyVqa(split, 800, seed=2).rows():
        part, picture = reference_of(row)
        assert part == ("test" if split == "heldout" else "train")
        assert (row.question.removeprefix("<image>\n"), row.answer, picture) in known


def test_splits_share_no_picture_and_use_all():
    used = {
        split: {(easy_vqa_questions._part(split), picture) for picture in easy_vqa_questions.split_pictures(split)}
        for split in SPLITS
    }
    assert [len(used[split]) for split in SPLITS] == [2500, 1500, 1000]
    assert len(set().union(*used.values())) == 5000
    for split in SPLITS:
        assert {reference_of(row) for row in EasyVqa(split, 1000, kinds=KINDS).rows()} <= used[split]


def test_no_two_splits_hold_the_same_picture():
    seen: dict[bytes, str] = {}
    for split in SPLITS:
        source = EasyVqa(split, 0)
        for picture in easy_vqa_questions.split_pictures(split):
            data = source.load(f"easy_vqa:{easy_vqa_questions._part(split)}/{picture}")
            assert seen.setdefault(data, split) == split


def test_the_same_arguments_give_the_same_rows():
    first, again = list(EasyVqa("train", 300).rows()), list(EasyVqa("train", 300).rows())
    assert first == again
    assert list(EasyVqa("train", 300, seed=1).rows()) != first


def test_kinds_are_balanced_and_nothing_is_asked_twice():
    rows = list(EasyVqa("train", 1500, kinds=KINDS).rows())
    counts = Counter(row.kind for row in rows)
    assert set(counts) == set(KINDS)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert [row.kind for row in rows[:5]] != list(KINDS)
    assert len({(row.images, row.question) for row in rows}) == len(rows)


def test_a_thousand_held_out_questions_are_there():
    assert sum(1 for _ in EasyVqa("heldout", 1000).rows()) == 1000


def test_asking_for_more_than_there_is_says_so():
    with pytest.raises(SourceError, match="too few colour questions"):
        list(EasyVqa("heldout", 5000, kinds=["colour"]).rows())


@pytest.mark.parametrize(
    ("text", "answer", "kind"),
    [
        ("what is the blue shape?", "circle", "shape"),
        ("what color is the shape?", "red", "colour"),
        ("is there a red shape?", "no", "presence"),
        ("is a triangle present?", "yes", "presence"),
        ("is no red shape present?", "yes", "absence"),
        ("does the image not contain a circle?", "no", "absence"),
    ],
)
def test_kinds(text, answer, kind):
    assert kind_of(Record(text, answer, 0)) == kind


@pytest.mark.parametrize("split", SPLITS)
def test_facts_agree_with_every_question(split):
    """No two questions of the package tell different facts, so what the source derives holds for all of them."""
    facts = picture_facts(split)
    for row in EasyVqa(split, 1200, seed=4).rows():
        told = json.loads(row.meta)
        assert told == facts[reference_of(row)[1]]
        words = row.question.removeprefix("<image>\n").rstrip("?").split()
        for name, values in (("shape", SHAPES), ("colour", COLOURS)):
            asked = [word for word in words if word in values]
            if row.kind == name:
                assert told[name] == row.answer
            elif row.kind in ("presence", "absence") and asked and name in told:
                there = told[name] == asked[0]
                assert row.answer == ("yes" if there == (row.kind == "presence") else "no")


def test_colours_are_those_of_the_pixels():
    source = EasyVqa("heldout", 0)
    for picture, facts in list(picture_facts("heldout").items())[:200]:
        if "colour" not in facts:
            continue
        with Image.open(io.BytesIO(source.load(f"easy_vqa:test/{picture}"))) as image:
            pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
        assert (pixels == RGB[facts["colour"]]).all(1).sum() > 10, (picture, facts)


def test_descriptions_have_no_answer_and_full_facts():
    for row in EasyVqa("train", 40, kinds=["describe"]).rows():
        assert row.answer is None
        assert set(json.loads(row.meta)) == {"shape", "colour"}


def test_pictures_decode():
    source = EasyVqa("train", 20)
    for row in source.rows():
        with Image.open(io.BytesIO(source.load(row.images[0]))) as picture:
            picture.load()
            assert (picture.format, picture.size) == ("PNG", (64, 64))


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "easy_vqa:train",
        "easy_vqa:train/",
        "easy_vqa:train/../../README.md",
        "easy_vqa:train/1.png",
        "easy_vqa:train/1\n",
        "easy_vqa:train/999999",
        "easy_vqa:test/1",
        "digits:1,2",
        "/etc/passwd",
    ],
)
def test_a_wrong_reference_is_a_row_error(ref):
    with pytest.raises(RowError) as caught:
        EasyVqa("train", 1).load(ref)
    assert caught.value.reason == "image_reference"


@pytest.mark.parametrize("arguments", [("test", 5), ("train", 5, 0, ["size"]), ("train", 5, 0, [])])
def test_unknown_splits_and_kinds_name_what_there_is(arguments):
    with pytest.raises(SourceError, match=r"choose .*(heldout|describe)"):
        EasyVqa(*arguments)


def test_a_missing_package_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "easy_vqa", None)
    caches = (easy_vqa_questions.records, easy_vqa_questions.split_pictures, easy_vqa_questions.picture_facts)
    for cache in caches:
        cache.cache_clear()
    try:
        with pytest.raises(SourceError, match=r"pip install easy-vqa==1\.0"):
            next(EasyVqa("train", 1, kinds=QUESTION_KINDS).rows())
    finally:
        for cache in caches:
            cache.cache_clear()
