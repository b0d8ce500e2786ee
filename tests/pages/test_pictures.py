"""Small copies of pictures."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from mmpr.pages.pictures import SHOWN_SIDE, small_copy


def photograph() -> Image.Image:
    from sklearn.datasets import load_sample_image

    return Image.fromarray(load_sample_image("china.jpg"))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_pictures_on_the_page_are_small() -> None:
    photo = photograph()
    assert photo.size == (640, 427)
    for kind in ("PNG", "JPEG"):
        small = small_copy(encoded(photo, kind))
        with Image.open(io.BytesIO(small.data)) as image:
            assert max(image.size) == SHOWN_SIDE
        assert (small.width, small.height) == photo.size
        assert len(small.data) < 80_000
    tiny = encoded(Image.fromarray(np.zeros((9, 9, 3), dtype=np.uint8)), "PNG")
    assert small_copy(tiny).data == tiny
