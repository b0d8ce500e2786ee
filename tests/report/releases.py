"""Releases in the public layout of MMPR with a known fault, and a clean one of the same kind."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.report.planted import (
    CHINESE,
    Spoil,
    blurred_picture,
    dark_picture,
    picture,
    picture_again,
    say_the_same,
    talk,
)

FAR = "/mnt/cluster/somebody/MMPR"
CHOSEN, REJECTED = 6, 3

Line = dict[str, Any]


@dataclass(frozen=True)
class ReleaseFault:
    """What differs from a clean release.

    ``spoil`` changes a response's reasoning, ``end`` how a chosen names its answer, ``rejected`` a rejected text.
    ``broken`` lines are added to the entry of numbers, of which ``meta.json`` tells ``length_off`` lines too many.
    ``draw`` writes the picture of a number, ``stored`` is what the file says instead of a true answer.
    """

    spoil: Spoil = lambda text, right, dice: text
    end: Callable[[str, random.Random], str] = lambda truth, dice: f"\nFinal answer: {truth}"
    rejected: Callable[[str, str], str] = lambda chosen, rejected: rejected
    letters: str = "ABCD"
    words: tuple[str, ...] = ("yes", "no")
    numbers: int = 40
    others: int = 60
    broken: tuple[Any, ...] = ()
    length_off: int = 0
    draw: Callable[[Path, int], None] = lambda path, seed: picture(path, seed)
    stored: Callable[[str], str] = lambda truth: truth


def make_release(folder: Path, fault: ReleaseFault = ReleaseFault()) -> Path:
    """A release in ``folder``, unpacked from somebody's cluster; returns its ``meta.json``."""
    dice = random.Random(7)
    entries: dict[str, list[Any]] = {"numbers": [], "choices": [], "text_only": [], "scenes": []}
    for number in range(fault.numbers):
        left, right = dice.randrange(10, 50), dice.randrange(10, 50)
        asked = f"<image>\nHow much is {left} and {right}? (no. {number})"
        entries["numbers"] += _pairs(fault, dice, asked, str(left + right), f"{number}.png")
    for number in range(1_000, 1_000 + fault.others):
        letter, word = (some[number % len(some)] for some in (fault.letters, fault.words))
        asked = f"Which one is it? (no. {number})\nA. one\nB. two\nC. three\nD. four"
        entries["choices"] += _pairs(fault, dice, asked, letter, f"{number}.png")
        asked = f"Is there one? (no. {number})"
        entries["text_only"] += _pairs(fault, dice, asked, word, None)
    for number in range(2_000, 2_000 + fault.others // 3):
        asked = f"<image> against <image>: what differs? (no. {number})"
        entries["scenes"] += _pairs(fault, dice, asked, None, [f"{number}.png", f"{number + 500}.png"])
    entries["numbers"] += fault.broken
    return write_release(folder, entries, length_off=fault.length_off, draw=fault.draw)


def write_release(
    folder: Path,
    entries: dict[str, list[Any]],
    *,
    length_off: int = 0,
    draw: Callable[[Path, int], None] = ReleaseFault.draw,
) -> Path:
    """Write entries of lines (objects, or text as it is) and the pictures that they name by number."""
    (folder / "annotations").mkdir(parents=True)
    meta = {}
    for at, (name, lines) in enumerate(entries.items()):
        root = folder / "images" / name
        root.mkdir(parents=True)
        told = [line for line in lines if isinstance(line, dict)]
        names = {file for line in told for file in _files(line) if file[:-4].isdecimal()}
        for file in sorted(names):
            draw(root / file, int(file.removesuffix(".png")))
        texts = (line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines)
        (folder / f"annotations/{name}.jsonl").write_text("".join(text + "\n" for text in texts), encoding="utf-8")
        meta[name] = {
            "root": f"{FAR}/images/{name}",
            "annotation": f"{FAR}/annotations/{name}.jsonl",
            "data_augment": False,
            "repeat_time": 1,
            "length": len(lines) + (length_off if at == 0 else 0),
        }
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    return folder / "meta.json"


def pair(question: str, truth: str | None, chosen: str, rejected: str, image: str | list[str] | None = None) -> Line:
    """A line as the releases have it."""
    line: Line = {"question": question, "chosen": chosen, "rejected": rejected}
    line |= {"answer_gt": truth} if truth is not None else {}
    return {**line, **({"image": image} if image is not None else {})}


def _pairs(
    fault: ReleaseFault, dice: random.Random, question: str, truth: str | None, image: str | list[str] | None
) -> list[Line]:
    """All chosen against all rejected."""
    chosen = [fault.spoil(talk(dice, dice.randrange(20, 40)), True, dice) for _ in range(CHOSEN)]
    rejected = [fault.spoil(talk(dice, dice.randrange(20, 40)), False, dice) for _ in range(REJECTED)]
    if truth is not None:
        chosen = [text + fault.end(truth, dice) for text in chosen]
        rejected = [f"{text}\nFinal answer: {_wrong(truth, dice)}" for text in rejected]
    told = None if truth is None else fault.stored(truth)
    return [pair(question, told, good, fault.rejected(good, bad), image) for good in chosen for bad in rejected]


def _wrong(truth: str, dice: random.Random) -> str:
    if truth in ("yes", "no"):
        return "no" if truth == "yes" else "yes"
    if truth in "ABCD":
        return dice.choice([letter for letter in "ABCD" if letter != truth])
    return str(int(truth) + dice.choice([-3, -2, 2, 3, 5]))


def _files(line: Line) -> list[str]:
    image = line.get("image") or []
    return [image] if isinstance(image, str) else list(image)


BROKEN: tuple[tuple[Any, str], ...] = (
    ("{broken", "bad_json"),
    ("[1]", "not_an_object"),
    (pair("Where?", "1", "same", "same"), "same_text"),
    (pair("Where?", "1", " ", "b"), "empty_response"),
    ({"question": "Where?", "chosen": "a"}, "missing_field"),
    (pair("Where?", "1", "a\0", "b"), "bad_text"),
    (pair("", "1", "a", "b"), "empty_question"),
    (pair("Where?", "1", "a", "b", "https://example.org/1.png"), "image_remote"),
    (pair("Where?", "1", "a", "b", "../../../secret.png"), "image_outside_root"),
    (pair("What is missing?", "1", "a", "b", "none1.png"), "image_missing"),
    (pair("What is missing?", "1", "a", "c", "none1.png"), "image_missing"),
    (pair("What is missing?", "1", "d", "c", "none1.png"), "image_missing"),
    (pair("What is twice?", "1", "a", "b"), ""),
    (pair("What is twice?", "1", "a", "b"), "duplicate"),
    (pair("What is twice?", "1", "a", "b"), "duplicate"),
)
"""Lines and the reason for which each is dropped; one is a pair."""

RELEASE_FAULTS: dict[str, tuple[ReleaseFault, str]] = {
    "few_pairs": (ReleaseFault(numbers=3, others=3), "bad"),
    "dominating_source": (ReleaseFault(numbers=60, others=2), "look"),
    "length_bias": (ReleaseFault(spoil=lambda t, right, d: t + " " + talk(d, 60) if right else t), "bad"),
    "longer_wins": (ReleaseFault(spoil=lambda t, right, d: talk(d, 40 if right else 30)), "bad"),
    "chosen_shorter": (ReleaseFault(spoil=lambda t, right, d: t if right else t + " " + talk(d, 60)), "bad"),
    "guessable": (ReleaseFault(spoil=lambda t, right, d: ("So " if right else "Maybe ") + t), "bad"),
    "last_line": (ReleaseFault(spoil=lambda t, right, d: "Let us look at it."), "bad"),
    "personal_data": (ReleaseFault(spoil=lambda t, right, d: t + " My key: AKIA" + "Z7" * 8), "bad"),
    "tiny_pictures": (ReleaseFault(draw=lambda path, seed: picture(path, seed, side=16)), "bad"),
    "dark_pictures": (ReleaseFault(draw=dark_picture), "bad"),
    "blurred_pictures": (ReleaseFault(draw=blurred_picture), "bad"),
    "repeated_pictures": (ReleaseFault(draw=picture_again), "bad"),
    "truth_not_option": (ReleaseFault(stored=lambda truth: "E" if truth in "ABCD" else truth), "bad"),
    "letter_bias": (ReleaseFault(letters="AAAAAAAB"), "bad"),
    "yes_no_bias": (ReleaseFault(words=("yes", "yes", "yes", "yes", "yes", "no")), "bad"),
    "near_duplicates": (ReleaseFault(spoil=say_the_same), "bad"),
    "loops": (ReleaseFault(spoil=lambda t, right, d: t + " the same again" * (60 if d.random() < 0.1 else 0)), "bad"),
    "leakage": (ReleaseFault(spoil=lambda t, right, d: t + "\nUser: and then?" * (d.random() < 0.05)), "bad"),
    "language": (ReleaseFault(spoil=lambda t, right, d: CHINESE if right and d.random() < 0.3 else t), "bad"),
    "no_answer": (ReleaseFault(end=lambda t, d: "" if d.random() < 0.4 else f"\nFinal answer: {t}"), "bad"),
    "equal_pairs": (ReleaseFault(rejected=lambda chosen, rejected: chosen.replace(" ", "  ", 1) + "\n"), "bad"),
    "reject_rate": (ReleaseFault(numbers=3, others=3, broken=tuple(line for line, _ in BROKEN)), "look"),
    "unaccounted": (ReleaseFault(length_off=1), "bad"),
}
"""By the key of the finding that must show it, and at which level."""
