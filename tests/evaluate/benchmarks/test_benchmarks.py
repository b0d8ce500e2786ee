"""Each benchmark on a tiny file in its public layout, its metric against a calculation by hand."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from mmpr.errors import SourceError
from mmpr.evaluate.benchmarks import LAYOUTS, open_benchmark
from mmpr.evaluate.benchmarks.scores import mean
from mmpr.prompts import strip_short_answer
from tests.evaluate.benchmarks.bench_helpers import (
    answer,
    answer_all,
    embedded,
    in_base64,
    ingest,
    opened,
    pictures,
    rejected,
    values,
    write_jsonl,
    write_parquet,
    write_tsv,
)

# --- GeoQA ------------------------------------------------------------------------------------------------------------


def geoqa(folder: Path) -> Path:
    images = folder / "images" / "test"
    images.mkdir(parents=True)
    truths = ["140°", "3cm", "9米", "2\\sqrt{3}"]
    for place, data in enumerate(pictures(4)):
        (images / f"{place}.png").write_bytes(data)
    write_jsonl(
        folder / "geoqa_test_prompts.jsonl",
        [
            {
                "image_path": f"./Geo170K/images/test/{k}.png",
                "question": f"How large is angle {k}? ()",
                "ground_truth": truth,
            }
            for k, truth in enumerate(truths)
        ],
    )
    return folder


def test_geoqa_is_equality_of_mathematical_answers(tmp_path: Path) -> None:
    benchmark, questions = opened("geoqa", geoqa(tmp_path))
    assert [question.answer for question in questions] == ["140°", "3cm", "9米", "2\\sqrt{3}"]
    assert [question.images[0] for question in questions] == pictures(4)
    answered = answer_all(benchmark, questions, ["140 degrees", "4 cm", "9", "$\\sqrt{12}$"])
    [metric] = benchmark.metrics(answered)
    assert (metric.name, metric.score, metric.count) == ("accuracy", 3 / 4, 4)
    assert metric.low is not None
    assert metric.low < 3 / 4


# --- V* ---------------------------------------------------------------------------------------------------------------

VSTAR_TEXT = (
    "What is the material of the glove?\n(A) rubber\n(B) cotton\n(C) kevlar\n(D) leather\n"
    "Answer with the option's letter from the given choices directly."
)


def vstar(folder: Path) -> Path:
    rows = []
    for place, (category, label) in enumerate(
        [("direct_attributes", "A"), ("direct_attributes", "D"), ("direct_attributes", "B"), ("relative_position", "C")]
    ):
        (folder / category).mkdir(exist_ok=True)
        (folder / category / f"sa_{place}.jpg").write_bytes(pictures(4)[place])
        rows.append(
            {
                "image": f"{category}/sa_{place}.jpg",
                "text": VSTAR_TEXT,
                "label": label,
                "category": category,
                "question_id": place if category == "direct_attributes" else 0,
            }
        )
    write_jsonl(folder / "test_questions.jsonl", rows)
    return folder


def test_vstar_by_category_and_overall(tmp_path: Path) -> None:
    benchmark, questions = opened("vstar", vstar(tmp_path))
    assert questions[0].choices == ("rubber", "cotton", "kevlar", "leather")
    assert len({question.id for question in questions}) == 4
    assert "letter" not in strip_short_answer(questions[0].question)
    found = values(benchmark.metrics(answer_all(benchmark, questions, ["rubber", "(D)", "C", "C. kevlar"])))
    assert found == {
        ("accuracy", ""): 3 / 4,
        ("accuracy", "direct_attributes"): 2 / 3,
        ("accuracy", "relative_position"): 1,
    }


# --- MMStar -----------------------------------------------------------------------------------------------------------

MMSTAR = [
    ("math", "geometry", "Find x.\nOptions: A: 1, B: 2, C: 3, D: 4", "B"),
    ("math", "geometry", "Find y.\nOptions: A: 10, B: 20", "A"),
    ("math", "statistical reasoning", "Find z.\nOptions: A: a cat., B: a dog., C: none of them", "C"),
    ("logical reasoning", "diagram reasoning", "Choices:\n(A) up\n(B) down", "B"),
]


def mmstar_row(place: int, **more: Any) -> dict[str, Any]:
    category, finer, question, letter = MMSTAR[place]
    row = {"index": place, "question": question, "answer": letter, "category": category, "l2_category": finer}
    return {**row, **more}


def mmstar_parquet(folder: Path) -> Path:
    rows = [mmstar_row(k, image=data, meta_info={"source": "x"}) for k, data in enumerate(pictures(4))]
    return write_parquet(folder / "val" / "mmstar.parquet", rows).parent


def mmstar_tsv(folder: Path) -> Path:
    # The last row shows the picture of row 1.
    cells = [*map(in_base64, pictures(3)), "1"]
    return write_tsv(folder / "MMStar.tsv", [mmstar_row(k, image=cell) for k, cell in enumerate(cells)])


@pytest.mark.parametrize("layout", [mmstar_parquet, mmstar_tsv])
def test_mmstar_has_two_averages(tmp_path: Path, layout: Any) -> None:
    benchmark, questions = opened("mmstar", layout(tmp_path))
    assert questions[0].choices == ("1", "2", "3", "4")
    assert questions[2].choices == ("a cat.", "a dog.", "none of them")
    assert questions[3].choices == ("up", "down")
    assert strip_short_answer(questions[0].question) == "<image>\nFind x.\nOptions: A: 1, B: 2, C: 3, D: 4"
    assert questions[3].images[0] == pictures(4)[1 if layout is mmstar_tsv else 3]
    metrics = benchmark.metrics(answer_all(benchmark, questions, ["2", "B", "(C) none of them", "down"]))
    assert [metric.name for metric in metrics[:2]] == ["accuracy", "mean of categories"]
    assert values(metrics) == {
        ("accuracy", ""): 3 / 4,
        ("mean of categories", ""): (2 / 3 + 1) / 2,
        ("accuracy", "math"): 2 / 3,
        ("accuracy", "logical reasoning"): 1,
        ("accuracy", "math: geometry"): 1 / 2,
        ("accuracy", "math: statistical reasoning"): 1,
        ("accuracy", "logical reasoning: diagram reasoning"): 1,
    }


def test_mmstar_with_options_in_columns(tmp_path: Path) -> None:
    row = {"index": 0, "image": in_base64(pictures()[0]), "question": "Which is it?", "A": "red", "B": "blue\nor grey"}
    path = write_tsv(tmp_path / "x.tsv", [{**row, "C": None, "answer": "B", "category": "math", "l2_category": ""}])
    _, [question] = opened("mmstar", path)
    assert question.choices == ("red", "blue\nor grey")
    assert strip_short_answer(question.question) == "<image>\nWhich is it?\nOptions:\nA. red\nB. blue\nor grey"


# --- HR-Bench ---------------------------------------------------------------------------------------------------------

HRBENCH = [  # (cycle, category, options, letter)
    ("cycle 0", "single", ("red", "blue"), "A"),
    ("cycle 0", "cross", ("left", "right"), "B"),
    ("cycle 1", "single", ("blue", "red"), "B"),
    ("cycle 1", "cross", ("right", "left"), "A"),
    ("cycle 1", "cross", ("far", "near"), "A"),
]


def hrbench_rows() -> list[dict[str, Any]]:
    return [
        {
            "index": place,
            "question": "Which one?",
            "answer": letter,
            "category": category,
            "A": options[0],
            "B": options[1],
            "C": None,
            "D": None,
            "cycle_category": cycle,
            "image": in_base64(pictures()[place % 2]),
        }
        for place, (cycle, category, options, letter) in enumerate(HRBENCH)
    ]


@pytest.mark.parametrize("form", ["parquet", "tsv"])
@pytest.mark.parametrize("size", ["4k", "8k"])
def test_hrbench_is_a_mean_over_cycles(tmp_path: Path, form: str, size: str) -> None:
    write = {"parquet": write_parquet, "tsv": write_tsv}[form]
    write(tmp_path / f"hr_bench_{size}.{form}", hrbench_rows())
    (tmp_path / f"hr_bench_{'8k' if size == '4k' else '4k'}.parquet").write_bytes(b"not this one")
    benchmark, questions = opened(f"hrbench_{size}", tmp_path)
    assert benchmark.name == f"hrbench_{size}"
    assert [question.choices for question in questions] == [options for *_, options, _ in HRBENCH]
    assert [question.images[0] for question in questions] == [pictures()[place % 2] for place in range(5)]
    # Cycle 0: 1 of 2; cycle 1: 1 of 3. Single: 1, then 0. Cross: 0, then 1 of 2.
    metrics = benchmark.metrics(answer_all(benchmark, questions, ["A", "A", "A", "right", "B"]))
    assert metrics[0].name == "mean of cycles"
    assert values(metrics) == {
        ("mean of cycles", ""): (1 / 2 + 1 / 3) / 2,
        ("mean of cycles", "cross"): (0 + 1 / 2) / 2,
        ("mean of cycles", "single"): (1 + 0) / 2,
        ("accuracy", "cycle 0"): 1 / 2,
        ("accuracy", "cycle 1"): 1 / 3,
    }


# --- XLRS-Bench -------------------------------------------------------------------------------------------------------

LAND = "Land use classification/Overall Land use classification"
COUNTING = "Counting/Regional counting"
COUNTING_ALL = "Counting/Overall counting"
XLRS = [
    (LAND, "AC", ["(A) Road", "(B) Lake", "(C) Farmland", "(D) Forest"], 1),
    (LAND, "B D", ["(A) Road", "(B) Lake", "(C) Farmland", "(D) Forest"], 1),
    (LAND, "A", ["(A) Road", "(B) Lake", "(C) Farmland", "(D) Forest"], 1),
    (COUNTING, "D", ["(A) 3", "(B) 4", "(C) 5", "(D) 6"], 2),
    (COUNTING_ALL, "B", ["(A) 13", "(B) 14"], 1),
]


def xlrs(folder: Path) -> Path:
    found = iter(pictures(6))
    rows = [
        {
            "index": place,
            "image": [embedded(next(found)) for _ in range(many)],
            "question": "What is it?",
            "multi-choice options": options,
            "answer": letters,
            "category": category,
            "l2-category": "land",
        }
        for place, (category, letters, options, many) in enumerate(XLRS)
    ]
    write_parquet(folder / "data" / "train-00000-of-00002.parquet", rows[:4])
    write_parquet(folder / "data" / "train-00001-of-00002.parquet", rows[4:])
    return folder


def test_xlrs_compares_sets_of_letters(tmp_path: Path) -> None:
    benchmark, questions = opened("xlrs", xlrs(tmp_path))
    assert [question.answer for question in questions] == ["A, C", "B, D", "A", "D", "B"]
    assert [len(question.images) for question in questions] == [1, 1, 1, 2, 1]
    assert [data for question in questions for data in question.images] == pictures(6)
    assert questions[3].choices == ("3", "4", "5", "6")
    assert "more than one" in strip_short_answer(questions[0].question)
    assert "more than one" not in questions[3].question
    # Land: a set, a set in another order with one too few, one letter too many. Counting: right, wrong.
    metrics = benchmark.metrics(answer_all(benchmark, questions, ["C and A", "D", "A, B", "(D) 6", "13"]))
    found = values(metrics)
    assert [metric.name for metric in metrics[:2]] == ["micro accuracy", "macro accuracy"]
    assert found["micro accuracy", ""] == 2 / 5
    assert found["macro accuracy", ""] == pytest.approx((1 / 3 + 1 + 0) / 3)
    assert found["accuracy", LAND] == 1 / 3
    assert found["accuracy", "task: Counting"] == 1 / 2
    assert benchmark.images.max_megapixels > 100


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"answer": "AE"}, "wrong_answer"),
        ({"answer": "a lake"}, "wrong_answer"),
        ({"multi-choice options": []}, "missing_field"),
        ({"multi-choice options": ["(A) x", None]}, "wrong_type"),
    ],
)
def test_rows_of_xlrs_that_are_wrong(tmp_path: Path, more: dict[str, Any], reason: str) -> None:
    row = {"index": 1, "image": [embedded(pictures()[0])], "question": "?", "answer": "A", "category": LAND}
    row |= {"multi-choice options": ["(A) x", "(B) y"], "l2-category": "l", **more}
    assert rejected("xlrs", write_parquet(tmp_path / "a.parquet", [row])) == [("a.parquet[0]", reason)]


# --- VisualProbe ------------------------------------------------------------------------------------------------------


def visualprobe(folder: Path) -> Path:
    rows = {
        "Easy": [("problem", "solution", "a red kite"), ("problem", "solution", "12")],
        "Hard": [("question", "answer", "EXIT")],
    }
    for level, some in rows.items():
        home = folder / f"VisualProbe_{level}"
        (home / "data").mkdir(parents=True)
        listed = []
        for place, (asked, truth, text) in enumerate(some):
            name = f"data/visual_probe_{level.lower()}_{place}.jpg"
            (home / name).write_bytes(pictures()[place])
            listed.append({"images": [name], asked: "<image>\nWhat is on the sign?", truth: text})
        (home / "val.json").write_text(json.dumps(listed, indent=1))
    return folder


def test_visualprobe_is_open_ended(tmp_path: Path) -> None:
    benchmark, questions = opened("visualprobe", visualprobe(tmp_path))
    assert [question.kind for question in questions] == ["easy", "easy", "hard"]
    assert questions[0].question == "<image>\nWhat is on the sign?"
    found = values(benchmark.metrics(answer_all(benchmark, questions, ["It is a red kite.", "13", "exit"])))
    assert found == {("accuracy", ""): 2 / 3, ("accuracy", "easy"): 1 / 2, ("accuracy", "hard"): 1}
    _, [alone] = opened("visualprobe", tmp_path / "VisualProbe_Hard" / "val.json")
    assert alone.kind == "hard"


# --- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_missing_path_is_told_with_the_command_that_fetches_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no such file or folder(?s:.)*hf download \S+"):
        open_benchmark(name, tmp_path / "nothing")


def test_an_unknown_name_is_told_with_a_near_one(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="do you mean mmstar"):
        open_benchmark("mm-star", tmp_path)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mmstar.csv").write_text("a,b")
    with pytest.raises(SourceError, match=r"is read from \.parquet, \.tsv"):
        open_benchmark("mmstar", tmp_path / "mmstar.csv")
    with pytest.raises(SourceError, match="no file is named"):
        open_benchmark("mmstar", tmp_path)


def test_rows_that_are_wrong_fall_out_with_a_reason(tmp_path: Path) -> None:
    good = mmstar_row(0, image=in_base64(pictures()[0]))
    rows = [
        good,
        {**good, "index": 1, "question": None},
        {**good, "index": 2, "image": "77"},
        {**good, "index": 3, "image": in_base64(b"no picture, but long enough to be taken for base64 of one")},
        {**good, "index": 4, "image": in_base64(pictures()[0])[: len(in_base64(pictures()[0])) // 2 // 4 * 4]},
        {**good, "index": 5, "question": "Which?", "answer": "Z"},
    ]
    rows = [{**row, "A": None, "B": None} for row in rows]
    rows[5] |= {"A": "x", "B": "y"}
    path = write_tsv(tmp_path / "MMStar.tsv", rows)
    assert sorted(rejected("mmstar", path)) == [
        ("MMStar.tsv[1]", "missing_field"),
        ("MMStar.tsv[2]", "image_missing"),
        ("MMStar.tsv[3]", "image_not_a_picture"),
        ("MMStar.tsv[4]", "image_truncated"),
        ("MMStar.tsv[5]", "wrong_answer"),
    ]


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("../secret.png", "image_outside_root"),
        ("/etc/passwd", "image_outside_root"),
        ("link.png", "image_outside_root"),
        ("x/../../secret.png", "image_outside_root"),
        ("nowhere.png", "image_missing"),
        ("a" * 5000, "image_missing"),
        ("https://example.org/a.png", "image_remote"),
        ("\0.png", "bad_text"),
        (["a.png", 7], "wrong_type"),
        (in_base64(pictures()[0]), "wrong_type"),
    ],
)
def test_no_picture_from_outside(tmp_path: Path, written: Any, reason: str) -> None:
    (tmp_path / "secret.png").write_bytes(pictures()[0])
    home = tmp_path / "vstar"
    home.mkdir()
    (home / "link.png").symlink_to("../secret.png")
    row = {"image": written, "text": VSTAR_TEXT, "label": "A", "category": "c", "question_id": 1}
    write_jsonl(home / "test_questions.jsonl", [row])
    [(_, found)] = rejected("vstar", home)
    assert found in (reason, "image_unreadable") if len(str(written)) > 4000 else found == reason


def test_a_question_that_the_engine_refused_is_wrong_and_samples_are_averaged(tmp_path: Path) -> None:
    _, questions = opened("vstar", vstar(tmp_path))
    several = answer(questions[0], "Final answer: A", "Final answer: B", "no idea", "Final answer: A", rule="default")
    nothing = answer(questions[1], rule="default")
    assert mean([several]).score == 1 / 2
    assert mean([several, nothing]).score == 1 / 4
    assert mean([]).score is None


def test_texts_that_are_made_to_be_slow_are_not(tmp_path: Path) -> None:
    spaces, quotes = " " * 200_000, "'" * 400_000
    common = {"image": in_base64(pictures()[0]), "answer": "A", "category": "math", "l2_category": ""}
    common |= {"question_type": "multi_choice", "answer_type": "text", "task": "t"}
    rows = [
        {"index": 0, "question": f"Options: A: {spaces}x, B: {spaces}y{spaces}.", **common, "choices": f"[a{spaces}']"},
        {"index": 1, "question": "A: " * 200_000 + "B: x", **common, "choices": f"['a\\{quotes}]"},
        {"index": 2, "question": "?", **common, "choices": f"[{'a,' * 200_000}{spaces}']"},
    ]
    path = write_tsv(tmp_path / "t.tsv", rows)
    started = time.process_time()
    assert len(list(open_benchmark("mmstar", path).rows())) == 3
    assert len(list(open_benchmark("mathvista", path).rows())) == 3
    assert time.process_time() - started < 20


def test_a_path_of_many_parts_is_not_tried_for_ever(tmp_path: Path) -> None:
    row = {"image": "a/" * 500_000 + "b.png", "text": VSTAR_TEXT, "label": "A", "category": "c", "question_id": 1}
    write_jsonl(tmp_path / "test_questions.jsonl", [row])
    started = time.process_time()
    assert len(rejected("vstar", tmp_path)) == 1
    assert time.process_time() - started < 20


def test_rows_come_in_the_same_order_every_time(tmp_path: Path) -> None:
    benchmark = open_benchmark("xlrs", xlrs(tmp_path))
    assert list(benchmark.rows()) == list(benchmark.rows())
    assert len(ingest(benchmark)) == 5
