"""The digits source: true answers, disjoint splits, the same rows for ever."""

import io
import json
import re
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from mmpr.errors import RowError, SourceError
from mmpr.prompts import strip_short_answer
from mmpr.sources import digits
from mmpr.sources.digits import CHOICE_SUFFIX, KINDS, REASONING_KINDS, SPLIT_SIZES, Digits, split_indices
from tests.helpers import known

SPLITS = list(SPLIT_SIZES)


def indices_of(row):
    return [int(number) for number in row.images[0].removeprefix("digits:").split(",")]


def derive(question, shown):
    """The answer, from the words of the question alone: an oracle that shares nothing with the source."""
    number = int((re.findall(r"\d+", question.split("\n")[0]) or [0])[0])
    has = question.split("\n")[0].lower().__contains__
    if has("sum of the digits larger") or has("add up to more"):
        return "yes" if sum(shown) > number else "no"
    if has("first digit"):
        return "yes" if shown[0] > shown[-1] else "no"
    if has("even"):
        return str(len([digit for digit in shown if digit in (0, 2, 4, 6, 8)]))
    if has("odd"):
        return str(len([digit for digit in shown if digit in (1, 3, 5, 7, 9)]))
    if has("are larger than"):
        return str(len([digit for digit in shown if digit > number]))
    ordered = sorted(shown)
    if has("smallest"):
        return str(ordered[-1] - ordered[0])
    if has("add") or has("sum"):
        return str(int(np.sum(shown)))
    assert has("largest digit in the picture") or has("highest") or has("maximum")
    return str(ordered[-1])


@pytest.mark.parametrize("split", SPLITS)
def test_every_answer_follows_from_the_scans_own_labels(split):
    labels = load_digits().target
    for row in Digits(split, 1500, seed=3).rows():
        shown = json.loads(row.meta)["digits"]
        assert shown == [labels[index] for index in indices_of(row)]
        assert 2 <= len(shown) <= 4
        assert row.question.startswith("<image>\n")
        assert row.question.count("<image>") == 1
        text = row.question.removeprefix("<image>\n")
        if row.kind != "choice":
            assert row.answer == derive(text, shown)
            assert row.choices == ()
            continue
        lines = text.split("\n")
        assert [line[:3] for line in lines[1:5]] == ["A. ", "B. ", "C. ", "D. "]
        assert tuple(line[3:] for line in lines[1:5]) == row.choices
        assert len(set(row.choices)) == 4
        assert row.choices["ABCD".index(known(row.answer))] == derive(text, shown)
        assert lines[5:] == [CHOICE_SUFFIX]
        assert strip_short_answer(text) == "\n".join(lines[:5])


def test_splits_share_no_digit_and_use_all():
    parts = [set(split_indices(split)) for split in SPLITS]
    assert [len(part) for part in parts] == list(SPLIT_SIZES.values())
    assert set().union(*parts) == set(range(1797))
    used = {split: {index for row in Digits(split, 800).rows() for index in indices_of(row)} for split in SPLITS}
    for split, part in zip(SPLITS, parts, strict=True):
        assert used[split] <= part


def test_no_two_splits_hold_the_same_scan():
    images = load_digits().images
    seen = [{images[index].tobytes() for index in split_indices(split)} for split in SPLITS]
    assert not seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2]


def test_each_split_knows_every_digit():
    labels = load_digits().target
    for split in SPLITS:
        counts = Counter(int(labels[index]) for index in split_indices(split))
        assert sorted(counts) == list(range(10))
        assert min(counts.values()) > 0.06 * SPLIT_SIZES[split]


def test_the_same_arguments_give_the_same_rows():
    first, again = list(Digits("train", 300).rows()), list(Digits("train", 300).rows())
    assert first == again
    assert list(Digits("train", 300, seed=1).rows()) != first
    # A change here changes every build's questions and orphans the demo model's figures.
    assert first[0].images == ("digits:1312,1505,106,1132",)
    assert first[0].question == "<image>\nIs the first digit larger than the last digit?"


def test_kinds_are_balanced_and_shuffled():
    rows = list(Digits("train", 1500, kinds=KINDS).rows())
    counts = Counter(row.kind for row in rows)
    assert set(counts) == set(KINDS)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert [row.kind for row in rows[:7]] != list(KINDS)
    assert len({(row.images, row.question) for row in rows}) == len(rows)
    assert Counter(len(json.loads(row.meta)["digits"]) for row in rows).keys() == {2, 3, 4}


def test_no_answer_wins_by_always_being_said():
    rows = list(Digits("train", 3000).rows())
    for kind in REASONING_KINDS:
        answers = Counter(row.answer for row in rows if row.kind == kind)
        assert max(answers.values()) < 0.6 * sum(answers.values()), (kind, answers)


def test_descriptions_have_no_answer():
    for row in Digits("heldout", 20, kinds=["describe"]).rows():
        assert row.answer is None
        assert row.kind == "describe"
        assert row.question.removeprefix("<image>\n") in digits.DESCRIBE_REQUESTS


def test_pictures_are_the_scans_enlarged_and_nothing_else():
    source = Digits("heldout", 30)
    scans = load_digits().images
    for row in source.rows():
        data = source.load(row.images[0])
        with Image.open(io.BytesIO(data)) as picture:
            assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (64, 64))
            pixels = np.asarray(picture)
        cells = [pixels[top : top + 32, left : left + 32] for top in (0, 32) for left in (0, 32)]
        indices = indices_of(row)
        for cell, index in zip(cells, indices, strict=False):
            for channel in range(3):
                blocks = cell[:, :, channel].reshape(8, 4, 8, 4)
                assert np.array_equal(blocks.min((1, 3)), blocks.max((1, 3)))
                assert np.abs(blocks[:, 0, :, 0] / 255 * 16 - scans[index]).max() < 0.05
        assert not any(cell.any() for cell in cells[len(indices) :])
        assert source.load(row.images[0]) == data


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "digits:",
        "digits:1",
        "digits:1,2,3,4,5",
        "digits:-1,2",
        "digits:1, 2",
        "digits:99999,1",
        "digits:1,2\n",
        "digits:٣,٤",
        "digits:../../etc/passwd",
        "easy_vqa:train/1",
        "/etc/passwd",
        "digits:" + "9" * 10_000,
    ],
)
def test_a_wrong_reference_is_a_row_error(ref):
    with pytest.raises(RowError) as caught:
        Digits("train", 1).load(ref)
    assert caught.value.reason == "image_reference"


def test_a_source_gives_no_picture_of_another_split():
    row = next(Digits("heldout", 1).rows())
    with pytest.raises(RowError, match="outside the split 'train'"):
        Digits("train", 1).load(row.images[0])


@pytest.mark.parametrize("arguments", [("test", 5), ("train", 5, 0, ["product"]), ("train", 5, 0, [])])
def test_unknown_splits_and_kinds_name_what_there_is(arguments):
    with pytest.raises(SourceError, match=r"choose .*(heldout|describe)"):
        Digits(*arguments)


def test_a_missing_package_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    digits.scans.cache_clear()
    try:
        with pytest.raises(SourceError, match="pip install scikit-learn"):
            next(Digits("train", 1).rows())
    finally:
        digits.scans.cache_clear()
