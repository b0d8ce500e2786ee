"""Small, dark, blurred and repeated pictures are counted."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from mmpr.report.load.fingerprints import fingerprint
from mmpr.report.measure.pictures import Pictures, poor


def squares(seed: int, side: int = 96) -> Image.Image:
    colours = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((side, side), Image.Resampling.NEAREST)


def chart() -> Image.Image:
    picture = Image.new("RGB", (400, 300), "white")
    ImageDraw.Draw(picture).line([(20, 280), (150, 120), (380, 40)], fill="black", width=3)
    return picture


def encoded(picture: Image.Image, kind: str = "PNG", **how: int) -> bytes:
    data = io.BytesIO()
    picture.save(data, kind, **how)
    return data.getvalue()


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (squares(0), []),
        (chart(), []),
        (Image.linear_gradient("L").convert("RGB"), ["blurred_pictures"]),
        (Image.new("RGB", (200, 100), "white"), ["blurred_pictures"]),
        (Image.new("RGB", (200, 100), "black"), ["dark_pictures", "blurred_pictures"]),
        (squares(1).filter(ImageFilter.GaussianBlur(40)), ["blurred_pictures"]),
        (squares(2, side=31), ["tiny_pictures"]),
        (squares(2, side=32), []),
        (squares(3).point(lambda level: level // 16), ["dark_pictures"]),
    ],
)
def test_poor_pictures(picture: Image.Image, expected: list[str]) -> None:
    assert poor(fingerprint(encoded(picture))) == expected


def test_repeated_pictures() -> None:
    some = [fingerprint(encoded(squares(seed))) for seed in range(40)]
    again = [fingerprint(encoded(squares(seed), "JPEG", quality=90)) for seed in range(3)]
    pictures = Pictures()
    pictures.add(some, np.zeros(40, dtype=np.int64))
    assert pictures.repeated() == (40, 0, 0)
    pictures.add(some[:5], np.zeros(5, dtype=np.int64))  # the same files in the same source: nothing new
    assert pictures.repeated() == (40, 0, 0)
    pictures.add(some[:5], np.ones(5, dtype=np.int64))
    assert pictures.repeated() == (40, 0, 5)
    pictures.add(again, np.ones(3, dtype=np.int64))  # compressed again: both of each look alike
    assert pictures.repeated() == (43, 6, 5)
    assert pictures.shown == {0: 45, 1: 8}


def test_no_pictures() -> None:
    pictures = Pictures()
    pictures.add([], np.zeros(0, dtype=np.int64))
    assert pictures.repeated() == (0, 0, 0)
