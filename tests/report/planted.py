"""Builds with a known fault, made by the real stages with a scripted model, and a clean one of the same kind."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image, ImageFilter

from mmpr.config import Recipe, parse_recipe
from mmpr.engine import Reply, Request, Tokenization
from mmpr.prompts import without_images
from mmpr.schema import PairedResponse, PreferenceRow, Response, TokenIds, Verdict, content_id
from mmpr.storage.manifest import file_table, read_manifest
from mmpr.storage.shards import write_json, write_shard
from mmpr.storage.tables import read_counts, read_rows
from tests import helpers

_TEXT = """light window number paper table shape corner value answer circle method result people garden figure street
bottle market letter object colour animal little middle around because before another without between through yellow
picture reading carefully looking compare simple larger smaller counting several nothing already together"""
WORDS = tuple(_TEXT.split())
CHINESE = "这张图里有两个数字我们先看左边的再看右边的然后把它们加起来就可以得到最后的结果了"

Spoil = Callable[[str, bool, random.Random], str]


def talk(dice: random.Random, words: int) -> str:
    return " ".join(dice.choice(WORDS) for _ in range(words)).capitalize() + "."


@dataclass(frozen=True)
class Fault:
    """What differs from a clean build. ``spoil`` changes a response's reasoning, given whether it will be right.

    ``right`` says which samples are right, ``stored`` what a source's file says instead of the true answer, ``draw``
    writes the picture of a number.
    """

    spoil: Spoil = lambda text, right, dice: text
    finish: Callable[[random.Random], str] = lambda dice: "stop"
    letters: str = "ABCD"
    words: tuple[str, ...] = ("yes", "no")
    numbers: int = 8
    others: int = 6
    broken_rows: int = 0
    heldout: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    patch: Callable[[], AbstractContextManager[Any]] = nullcontext
    rewrite: Callable[[PreferenceRow], PreferenceRow] | None = None
    tell_manifest: bool = True
    right: Callable[[int], bool] = lambda sample: sample % 2 == 0
    stored: Callable[[str, str], str | None] = lambda source, answer: answer
    draw: Callable[[Path, int], None] = lambda path, seed: picture(path, seed)


class ScriptedEngine:
    """Half of its samples are right; ``answers`` has the truth of every question by its number."""

    samples_at_once = 64
    about = Tokenization()

    def __init__(self, answers: dict[str, str], fault: Fault) -> None:
        self._answers, self._fault = answers, fault

    async def generate(self, request: Request) -> Reply:
        responses = tuple(self._respond(request, i) for i in range(request.samples))
        return Reply(responses, prompt_tokens=len(request.prompt.split()))

    def spelling(self, response: Response) -> tuple[TokenIds, list[int]]:
        ends = [found.end() for found in re.finditer(r"\S+", response.text)]
        return tuple(range(len(ends))), ends

    def _respond(self, request: Request, sample: int) -> Response:
        dice = random.Random(content_id(without_images(request.prompt), request.prefix, str(request.seed + sample)))
        number = re.search(r"no\. (\d+)", request.prompt)
        assert number is not None
        truth = self._answers.get(number[1])
        right = self._fault.right(sample)
        text = self._fault.spoil(talk(dice, dice.randrange(20, 40)), right, dice)
        if truth is not None:
            text += f"\nFinal answer: {truth if right else _wrong(truth, dice)}"
        return Response(text, request.seed + sample, self._fault.finish(dice), len(text.split()))


def _wrong(truth: str, dice: random.Random) -> str:
    if truth in ("yes", "no"):
        return "no" if truth == "yes" else "yes"
    if truth in "ABCD":
        return dice.choice([letter for letter in "ABCD" if letter != truth])
    return str(int(truth) + dice.choice([-3, -2, 2, 3, 5]))


def make_build(folder: Path, fault: Fault = Fault()) -> Path:
    """A finished build in ``folder/out``."""
    folder.mkdir(parents=True, exist_ok=True)
    answers, sources, heldout = _write_sources(folder, fault)
    recipe = _recipe(folder, sources, heldout)
    out = folder / "out"
    engine = ScriptedEngine(answers, fault)
    with mock.patch("mmpr.runners.local.start_engine", return_value=engine), fault.patch():
        helpers.build_without_ray(recipe, out)
    if fault.rewrite is not None:
        rewrite_pairs(out, fault.rewrite, tell_manifest=fault.tell_manifest)
    return out


def rewrite_pairs(out: Path, change: Callable[[PreferenceRow], PreferenceRow], *, tell_manifest: bool = True) -> None:
    """Write the pairs of a build anew, each row changed; the manifest may know of it or not."""
    for path in sorted((out / "pairs").glob("*.parquet")):
        rows, counts = [change(row) for row in read_rows(path, PreferenceRow)], read_counts(path)
        path.unlink()
        write_shard(path, PreferenceRow, rows, counts)
    if tell_manifest:
        manifest = read_manifest(out)
        manifest["files"] = dict(file_table(out))
        write_json(out / "manifest.json", manifest)


def _write_sources(folder: Path, fault: Fault) -> tuple[dict[str, str], list[str], list[str]]:
    dice = random.Random(11)
    answers: dict[str, str] = {}
    rows: dict[str, list[dict[str, Any]]] = {"numbers": [], "choices": [], "open": []}

    def ask(name: str, question: str, answer: str | None, number: int) -> None:
        fault.draw(folder / f"{number}.png", number)
        row = {"question": f"{question} (no. {number})", "image": f"{number}.png"}
        told = None if answer is None else fault.stored(name, answer)
        rows[name].append(row if told is None else {**row, "answer": told})
        if answer is not None:
            answers[str(number)] = answer

    for number in range(fault.numbers):
        left, right = dice.randrange(10, 50), dice.randrange(10, 50)
        ask("numbers", f"How much is {left} and {right}?", str(left + right), number)
    for number in range(1_000, 1_000 + 3 * fault.others):
        letter = fault.letters[number % len(fault.letters)]
        ask("choices", "Which of them is it?\nA. one\nB. two\nC. three\nD. four", letter, number)
    for number in range(2_000, 2_000 + 3 * fault.others):
        ask("choices", "Is there one in the picture?", fault.words[number % len(fault.words)], number)
    for number in range(3_000, 3_000 + fault.others // 2):
        ask("open", "Say what the picture shows.", None, number)
    broken = [{"question": "Where is it?", "answer": "1", "image": f"none{i}.png"} for i in range(fault.broken_rows)]
    rows["numbers"] += broken
    kept_out = [_held_out(folder, number) for number in range(9_000, 9_030)]
    if fault.heldout is not None:
        kept_out += [fault.heldout(row) for row in rows["numbers"][:4]]
    for name, some in {**rows, "kept_out": kept_out}.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in some)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return answers, [name for name in rows if rows[name]], ["kept_out"]


def _held_out(folder: Path, number: int) -> dict[str, Any]:
    picture(folder / f"{number}.png", number)
    return {"question": f"How many are there? (no. {number})", "answer": "3", "image": f"{number}.png"}


def picture(path: Path, seed: int, *, side: int = 48) -> None:
    """A picture of coloured squares that no other seed has."""
    squares = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(squares).resize((side, side), Image.Resampling.NEAREST).save(path)


def dark_picture(path: Path, seed: int) -> None:
    squares = np.random.default_rng(seed).integers(0, 12, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(squares).resize((48, 48), Image.Resampling.NEAREST).save(path)


def blurred_picture(path: Path, seed: int) -> None:
    picture(path, seed)
    with Image.open(path) as sharp:
        sharp.filter(ImageFilter.GaussianBlur(24)).save(path)


def picture_again(path: Path, seed: int) -> None:
    """One of three pictures, a little lighter or darker than the last time."""
    picture(path, seed % 3)
    with Image.open(path) as same:
        shifted = np.asarray(same).astype(np.int16) + seed % 40 - 20
    Image.fromarray(shifted.clip(0, 255).astype(np.uint8)).save(path)


def _recipe(folder: Path, sources: list[str], heldout: list[str]) -> Recipe:
    def spec(name: str) -> dict[str, Any]:
        columns = {"columns": {"answer": None}} if name == "open" else {}
        return {"name": name, "type": "jsonl", "path": str(folder / f"{name}.jsonl"), **columns}

    return parse_recipe(
        {
            "name": "planted",
            "model": {"path": "none"},
            "engine": {"type": "replay"},
            "sampling": {"samples": 10, "max_tokens": 512},
            "pairing": {"max_pairs": 15},
            "unit_questions": 50,
            "sources": [spec(name) for name in sources],
            "heldout": [spec(name) for name in heldout],
        },
        folder=folder,
    )


def _change(row: PreferenceRow, at: int, response: PairedResponse) -> PreferenceRow:
    responses = (*row.responses[:at], response, *row.responses[at + 1 :])
    return replace(row, responses=responses)


def lose_answer(row: PreferenceRow) -> PreferenceRow:
    """Take the chosen's answer away, as a faulty tool might."""
    pair = row.pairs[0]
    return _change(row, pair.chosen, replace(row.responses[pair.chosen], answer=None))


def equal_texts(row: PreferenceRow) -> PreferenceRow:
    """Make the first pair's rejected the chosen, with other white space."""
    pair = row.pairs[0]
    text = row.responses[pair.chosen].text.replace(" ", "  ") + "\n"
    return _change(row, pair.rejected, replace(row.responses[pair.rejected], text=text))


def lose_pair(row: PreferenceRow) -> PreferenceRow:
    """Drop a pair and tell nobody."""
    return replace(row, pairs=row.pairs[1:]) if len(row.pairs) > 1 else row


def slow_judge() -> AbstractContextManager[Any]:
    """A judge that runs out of time on every ninth answer."""
    from mmpr.answers.killable import judge_responses as judge

    def judge_responses(*question: Any) -> list[Verdict]:
        late = Verdict("timeout", None, "symbolic", "no verdict in time")
        verdicts = judge(*question)
        answered = [place for place, verdict in enumerate(verdicts) if verdict.comparator != "extract"]
        return [late if place in answered[8::9] else verdict for place, verdict in enumerate(verdicts)]

    return mock.patch("mmpr.pipeline.judging.judge_responses", judge_responses)


def unsure_judge() -> AbstractContextManager[Any]:
    """A judge that is unsure of every third answer."""
    from mmpr.answers.killable import judge_responses as judge

    def judge_responses(*question: Any) -> list[Verdict]:
        open_one = Verdict("unsure", "3 or 4", "number", "several candidates")
        return [open_one if place % 3 == 2 else verdict for place, verdict in enumerate(judge(*question))]

    return mock.patch("mmpr.pipeline.judging.judge_responses", judge_responses)


def wavering_judge() -> AbstractContextManager[Any]:
    """A judge that calls every seventh right answer wrong."""
    from mmpr.answers.killable import judge_responses as judge

    def judge_responses(*question: Any) -> list[Verdict]:
        verdicts = judge(*question)
        right = [place for place, verdict in enumerate(verdicts) if verdict.status == "correct"]
        return [replace(v, status="incorrect") if place in right[1::7] else v for place, v in enumerate(verdicts)]

    return mock.patch("mmpr.pipeline.judging.judge_responses", judge_responses)


def say_the_same(text: str, right: bool, dice: random.Random) -> str:
    return " ".join(WORDS) + "." if right else text


FAULTS: dict[str, tuple[Fault, str]] = {
    "length_bias": (Fault(spoil=lambda t, right, d: t + " " + talk(d, 60) if right else t), "bad"),
    "longer_wins": (Fault(spoil=lambda t, right, d: talk(d, 40 if right else 30)), "bad"),
    "chosen_shorter": (Fault(spoil=lambda t, right, d: t if right else t + " " + talk(d, 60)), "bad"),
    "guessable": (Fault(spoil=lambda t, right, d: ("So " if right else "Maybe ") + t, others=24), "bad"),
    "last_line": (Fault(spoil=lambda t, right, d: "Let us look at it."), "bad"),
    "personal_data": (Fault(spoil=lambda t, right, d: t + " Write to john.d@mail.org." * (d.random() < 0.1)), "bad"),
    "tiny_pictures": (Fault(draw=lambda path, seed: picture(path, seed, side=16)), "bad"),
    "dark_pictures": (Fault(draw=dark_picture), "bad"),
    "blurred_pictures": (Fault(draw=blurred_picture), "bad"),
    "repeated_pictures": (Fault(draw=picture_again, numbers=40, others=16), "bad"),
    "label_noise": (Fault(patch=wavering_judge), "bad"),
    "truth_not_option": (
        Fault(stored=lambda source, answer: "E" if answer in "ABCD" else answer, numbers=4, others=18),
        "bad",
    ),
    "letter_bias": (Fault(letters="AAAAAAAB", others=20), "bad"),
    "yes_no_bias": (Fault(words=("yes", "yes", "yes", "yes", "yes", "no"), others=20), "bad"),
    "near_duplicates": (Fault(spoil=say_the_same), "bad"),
    "loops": (Fault(spoil=lambda t, right, d: t + " the same again" * (60 if d.random() < 0.1 else 0)), "bad"),
    "truncated": (Fault(finish=lambda d: "length" if d.random() < 0.3 else "stop"), "bad"),
    # An invented turn would end the answer; a token of the vocabulary does not.
    "leakage": (Fault(spoil=lambda t, right, d: t + " <unk> and then?" * (d.random() < 0.05)), "bad"),
    "language": (Fault(spoil=lambda t, right, d: CHINESE if right and d.random() < 0.3 else t), "bad"),
    "reject_rate": (Fault(broken_rows=30), "bad"),
    "judge_timeouts": (Fault(patch=slow_judge), "bad"),
    "unsure": (Fault(patch=unsure_judge), "bad"),
    "rarely_right": (
        Fault(stored=lambda source, answer: str(int(answer) + 1_000) if source == "numbers" else answer),
        "bad",
    ),
    "always_right": (Fault(right=lambda sample: True), "look"),
    "no_truths": (Fault(stored=lambda source, answer: None if source == "numbers" else answer), "bad"),
    "dominating_source": (Fault(numbers=60, others=1), "look"),
    "few_pairs": (Fault(numbers=2, others=1), "bad"),
    "shared_images": (Fault(heldout=lambda row: {**row, "question": "Count them.", "answer": "3"}), "bad"),
    "heldout_overlap": (Fault(heldout=lambda row: row), "bad"),
    "no_answer": (Fault(rewrite=lose_answer), "bad"),
    "equal_pairs": (Fault(rewrite=equal_texts), "bad"),
    "unaccounted": (Fault(rewrite=lose_pair, tell_manifest=False), "bad"),
}
"""By the key of the finding that must show it, and at which level."""
