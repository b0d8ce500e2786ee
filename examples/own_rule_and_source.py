"""Rows and an answer rule of one's own, from Python: questions over drawn dots, and counts that may be off by one.

    python examples/own_rule_and_source.py [OUT] [key.path=value ...]

The same from the command line, in this folder, with a recipe that names them:

    mmpr build dots.yaml --source dots=own_rule_and_source:Dots --rule off_by_one=own_rule_and_source:off_by_one
"""

import io
import sys
from collections.abc import Iterator

from PIL import Image, ImageDraw

import mmpr


def off_by_one(answer: str, truth: str, choices: tuple[str, ...]) -> bool | None:
    """Whether a count is right or off by one; None for what is no count, which is then on neither side of a pair."""
    if not (answer.isdecimal() and truth.isdecimal()):
        return None
    return abs(int(answer) - int(truth)) <= 1


class Dots:
    """Pictures with some dots. A row names its picture, and ``load`` draws it when it is asked for."""

    def __init__(self, rows: int = 16) -> None:
        self.number = rows

    def rows(self) -> Iterator[dict[str, str]]:
        """Every row, in the same order every time."""
        for number in range(self.number):
            dots = 1 + number % 5
            yield {"id": str(number), "image": str(dots), "question": "How many digits are there?", "answer": str(dots)}

    def load(self, reference: str) -> bytes:
        """The picture that a row refers to, as a PNG file."""
        picture = Image.new("RGB", (64, 64), "white")
        for place in range(int(reference)):
            ImageDraw.Draw(picture).ellipse((4 + 12 * place, 26, 14 + 12 * place, 38), fill="black")
        file = io.BytesIO()
        picture.save(file, "PNG")
        return file.getvalue()


def main(out: str = "builds/dots", *overrides: str) -> None:
    """Build, and say what became of it."""
    build = mmpr.build_dataset(
        "examples/dots.yaml", out, overrides=overrides, sources={"dots": Dots()}, rules={"off_by_one": off_by_one}
    )
    judged = [verdict for row in build.verdicts() for verdict in row.verdicts]
    print(len(judged), "responses,", sum(verdict.status == "correct" for verdict in judged), "right or off by one")
    print("made of", build.manifest()["extensions"])


if __name__ == "__main__":
    main(*sys.argv[1:])
