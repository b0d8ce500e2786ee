"""Forty mixed prompts: none to three pictures, in one turn or several, with all that prompts depend on."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from mmpr.config import ChatSpec
from mmpr.config.chat import DEFAULT_CHAT
from mmpr.prompts import without_images
from mmpr.schema import IMAGE_MARK, Turn

QUESTIONS = (
    "What is 1 + 2?",
    "Wie viele Äpfel sind 3 und 4?\n\n一共多少？",
    "<image>\nWhich digit is it?",
    "<image>\nHow many loops?\nA. 1\nB. 2",
    "Look: <image>",
    "<image>\n<image>\nWhich digit is in both?",
    "Is <image> larger than <image>?",
    "Compare them.\n<image>\nand <image>\nWell?",
    "<image>\n<image>\n<image>\nWhich one is odd?",
    "First <image>, then <image>, last <image>: what comes next?",
)
SIZES = ((64, 64), (120, 60), (60, 120), (100, 100), (200, 50), (57, 83))
SYSTEM = "You are careful. Think first."
FIRST = "<image>\nWhat do you see here?"
PREFIX = "It has 1 loop, so"


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt as a build asks it, after the turns of ``context``.

    ``prefix`` is the beginning of a response that is continued (dropout).
    """

    prompt: str
    images: tuple[bytes, ...]
    chat: ChatSpec = DEFAULT_CHAT
    prefix: str = ""
    context: tuple[Turn, ...] = ()

    def __str__(self) -> str:
        said = [f"{len(self.images)} pictures", *(str(value) for value in self.chat.identity().items())]
        more = [name for name, there in (("prefix", self.prefix), ("turns", self.context)) if there]
        return ", ".join([*said, *more, repr(self.prompt)])


def forty(*, thinks: bool) -> Iterator[Asked]:
    """Each question as it is (every other one after earlier turns), after a system prompt, before a prefix (every other
    one without its pictures), and more.

    The fourth is without thinking where the chat template can be told so (``thinks``), else with system prompt and
    prefix.
    """
    for number, question in enumerate(QUESTIONS):
        images = pictures(question, number)
        yield _after_turns(question, images, number) if number % 2 else Asked(question, images)
        yield Asked(question, images, ChatSpec(system=SYSTEM))
        blind = number % 2 == 1
        yield Asked(without_images(question) if blind else question, () if blind else images, prefix=PREFIX)
        if thinks:
            yield Asked(question, images, ChatSpec(template_kwargs={"enable_thinking": False}))
        else:
            yield Asked(question, images, ChatSpec(system=SYSTEM), PREFIX)


def _after_turns(question: str, images: tuple[bytes, ...], seed: int) -> Asked:
    """A question after two turns, the first of which has a picture of its own where there is room for one more."""
    before = FIRST if 0 < len(images) < 3 else without_images(FIRST)
    turns = (Turn("user", before), Turn("assistant", "It is a 3, I think."))
    return Asked(question, (*pictures(before, seed + 3), *images), context=turns)


def pictures(question: str, seed: int) -> tuple[bytes, ...]:
    """Noise of different sizes, one PNG file for each mark of a question."""
    dice = random.Random(seed)
    return tuple(_png(SIZES[(seed + place) % len(SIZES)], dice) for place in range(question.count(IMAGE_MARK)))


def _png(size: tuple[int, int], dice: random.Random) -> bytes:
    file = io.BytesIO()
    small = Image.frombytes("RGB", (8, 8), dice.randbytes(8 * 8 * 3))
    small.resize(size).save(file, "PNG")
    return file.getvalue()
