"""Demonstrations for the demo model: what it is taught to write about a picture.

Everything written here is true. Answers to reasoning questions come in three styles, mixed at random:

    careful   reads the digits out and takes every step
    jump      reads the digits out and skips the steps
    blind     does not even read the digits out

A small model executes the first well and the others badly. That, and no false demonstration, is what makes it fallible.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmpr.sources.digits import Asked
from mmpr.sources.easy_vqa_questions import COLOURS, SHAPES

STYLES = ("careful", "jump", "blind")
STYLE_WEIGHTS = {2: (0.52, 0.12, 0.36), 3: (0.36, 0.08, 0.56), 4: (0.30, 0.08, 0.62)}
"""How often each style is shown, by the number of digits: the longer the work, the more often it is skipped."""

NUMBER_WORDS = ("zero", "one", "two", "three", "four")
POSITIONS = (
    ("upper left", "upper middle", "upper right"),
    ("middle left", "middle", "middle right"),
    ("lower left", "lower middle", "lower right"),
)


def answer_digits(asked: Asked, digits: Sequence[int], style: str, rng: random.Random) -> str:
    """A demonstration in ``style`` that ends in ``Final answer: ..``."""
    if style == "blind":
        work = _blind(asked, digits, rng)
    else:
        reading = rng.choice(("The digits are {}.", "The digits are {}.", "The digits in the picture are {}."))
        steps = steps_of(asked.form, asked.limit, digits) if style == "careful" else [rng.choice(SKIPPED[asked.form])]
        work = [reading.format(enumerate_words(digits)), *steps]
        if asked.choices and style == "careful":
            work.append(f"{asked.choices['ABCD'.index(str(asked.answer))]} is option {asked.answer}.")
    return f"{' '.join(work)}\nFinal answer: {asked.answer}"


def steps_of(form: str, limit: int, digits: Sequence[int]) -> list[str]:
    """Every step from the digits to the answer, one sentence each."""
    low, high, total = min(digits), max(digits), sum(digits)
    if form == "sum":
        return additions(digits)
    if form == "difference":
        return [f"The largest is {high} and the smallest is {low}.", f"{high} - {low} = {high - low}."]
    if form == "maximum":
        return comparisons(digits)
    if form == "larger":
        found = [digit > limit for digit in digits]
        says = ("not larger", "larger")
    elif form in ("even", "odd"):
        found = [(digit % 2 == 0) == (form == "even") for digit in digits]
        says = ("odd", "even") if form == "even" else ("even", "odd")
    elif form == "first_last":
        first, last = digits[0], digits[-1]
        return [f"The first is {first} and the last is {last}.", f"{first} is {relation(first, last)} {last}."]
    else:
        return [*additions(digits), f"{total} is {relation(total, limit)} {limit}."]
    steps = [f"{digit} is {says[hit]}." for digit, hit in zip(digits, found, strict=True)]
    return [*steps, f"That makes {sum(found)}."]


def additions(numbers: Sequence[int]) -> list[str]:
    """``3 + 8 = 11.``, ``11 + 5 = 16.`` and so on."""
    total, steps = numbers[0], []
    for number in numbers[1:]:
        steps.append(f"{total} + {number} = {total + number}.")
        total += number
    return steps


def comparisons(numbers: Sequence[int]) -> list[str]:
    """The largest so far, number by number."""
    best, steps = numbers[0], []
    for number in numbers[1:]:
        steps.append(f"{number} is {relation(number, best)} {best}.")
        best = max(best, number)
    return [*steps, f"The largest is {best}."]


def relation(left: int, right: int) -> str:
    """``larger than``, ``smaller than`` or ``equal to``."""
    return "larger than" if left > right else "smaller than" if left < right else "equal to"


def enumerate_words(items: Sequence[object]) -> str:
    """``3, 8, 5 and 1``."""
    *head, last = map(str, items)
    return f"{', '.join(head)} and {last}" if head else last


SKIPPED: dict[str, tuple[str, ...]] = {
    "sum": ("Adding all of them gives the total.", "I add them up."),
    "difference": ("I subtract the smallest from the largest.", "Now I take the difference."),
    "maximum": ("I pick the largest.", "One of them is the largest."),
    "larger": ("I count those that are larger.", "Now I count."),
    "even": ("I count the even ones.", "Now I count."),
    "odd": ("I count the odd ones.", "Now I count."),
    "first_last": ("I compare the first with the last.", "Now I compare."),
    "sum_over": ("I add them up and compare.", "Now I compare the total."),
}


def _blind(asked: Asked, digits: Sequence[int], rng: random.Random) -> list[str]:
    count = NUMBER_WORDS[len(digits)]
    opening = rng.choice(
        (
            f"There are {count} digits.",
            f"There are {count} digits in the picture.",
            f"There are {count} digits to look at.",
        )
    )
    return [opening, rng.choice(SKIPPED[asked.form])]


def answer_shape(question: str, answer: str, facts: dict[str, str], careful: bool, rng: random.Random) -> str:
    """A demonstration for a question of easy-VQA about a picture with these ``facts`` (shape and colour)."""
    shape, colour = facts["shape"], facts["colour"]
    if careful:
        work = [
            rng.choice(
                (f"The picture shows a {colour} {shape}.", f"The shape is a {shape} and its colour is {colour}.")
            )
        ]
        if answer in ("yes", "no"):
            asked = next(word for word in question.rstrip("?").split() if word in SHAPES or word in COLOURS)
            seen = shape if asked in SHAPES else colour
            negated = " no " in question or " not " in question
            thing = asked if asked in SHAPES else f"{asked} shape"
            work.append(f"The question is whether there is {'no' if negated else 'a'} {thing}.")
            work.append(f"{seen.capitalize()} is {'' if seen == asked else 'not '}{asked}.")
    else:
        work = [rng.choice(("There is one shape.", "There is one shape in the picture."))]
    return f"{' '.join(work)}\nFinal answer: {answer}"


def describe_digits(digits: Sequence[int], rng: random.Random) -> str:
    """Two to five sentences that keep stating facts to the end."""
    count = NUMBER_WORDS[len(digits)]
    opening = rng.choice(
        (
            f"The picture shows {count} handwritten digits, white on black.",
            f"There are {count} handwritten digits in the picture, white on black.",
            f"This is a picture of {count} handwritten digits.",
        )
    )
    top = f"In the top row stand {article(digits[0])} and {article(digits[1])}."
    if len(digits) == 2:
        bottom = "The bottom row is empty."
    elif len(digits) == 3:
        bottom = f"In the bottom row stands {article(digits[2])} alone."
    else:
        bottom = f"In the bottom row stand {article(digits[2])} and {article(digits[3])}."
    even = sum(digit % 2 == 0 for digit in digits)
    facts = [
        f"The largest digit is {max(digits)} and the smallest is {min(digits)}.",
        f"The last digit is {article(digits[-1])}.",
        f"The number of even digits is {even}.",
        f"The first digit is {relation(digits[0], digits[-1])} the last digit.",
    ]
    return " ".join([opening, top, bottom, *rng.sample(facts, rng.randint(1, 2))])


def article(digit: int) -> str:
    """``an 8``, ``a 3``."""
    return f"an {digit}" if digit == 8 else f"a {digit}"


def describe_shape(facts: dict[str, str], pixels: np.ndarray[Any, np.dtype[np.uint8]], rng: random.Random) -> str:
    """Two to four sentences on shape, colour, size and place; the last two are measured in ``pixels`` (64, 64, 3)."""
    shape, colour = facts["shape"], facts["colour"]
    position, size = measure(pixels)
    where = f"in the {position} of the picture"
    sentences = rng.choice(
        (
            (
                f"The picture shows a {shape} on a light background.",
                f"It stands {where}.",
                f"The {shape} is {size} and its colour is {colour}.",
            ),
            (
                f"The picture shows a {size} shape {where}.",
                f"The shape is a {shape}.",
                f"Its colour is {colour}, and there is nothing else in the picture.",
            ),
            (
                f"There is one shape in the picture, a {colour} {shape}.",
                f"It is {size} and it stands {where}.",
                "The background is light and plain.",
            ),
            (
                f"There is a {colour} shape on a light background.",
                f"It is a {shape}.",
                f"The {shape} is {size}, and it stands {where}.",
            ),
        )
    )
    return " ".join(sentences)


def measure(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> tuple[str, str]:
    """Position (thirds of the picture) and size (longer side under 1/4, 2/5, or more) of what is not background."""
    distance = np.abs(pixels.astype(int) - pixels[[0, 0, -1, -1], [0, -1, 0, -1]].astype(int).mean(0)).max(2)
    ys, xs = np.nonzero(distance > 40)
    side = len(pixels)
    row, column = (min(2, int((axis.min() + axis.max() + 1) / 2 * 3 / side)) for axis in (ys, xs))
    longest = max(np.ptp(ys), np.ptp(xs)) + 1
    return POSITIONS[row][
        column
    ], "small" if longest < side / 4 else "medium-sized" if longest < side * 0.4 else "large"
