"""Small copies of pictures for a page."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

SHOWN_SIDE = 384
"""Longest side in pixels of a picture on a page; smaller ones stay as they are."""
_SHOWN_BYTES = 48 << 10  # a larger PNG becomes a JPEG


@dataclass(frozen=True, slots=True)
class Picture:
    """A small copy of a picture: PNG or JPEG ``data``, and the width and height in pixels of the original."""

    data: bytes
    width: int
    height: int


def small_copy(data: bytes) -> Picture:
    """A copy, at most ``SHOWN_SIDE`` pixels long, of a cleaned picture (``mmpr.storage.images.clean_image``)."""
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as picture:
        size, is_png = picture.size, picture.format == "PNG"
        if max(size) <= SHOWN_SIDE and len(data) <= _SHOWN_BYTES:
            return Picture(data, *size)
        picture.draft("RGB", (SHOWN_SIDE, SHOWN_SIDE))
        small = picture.convert("RGB")
    small.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    file = io.BytesIO()
    small.save(file, "PNG" if is_png else "JPEG", **({} if is_png else {"quality": 80}))
    if file.tell() > _SHOWN_BYTES:
        file = io.BytesIO()
        small.save(file, "JPEG", quality=80)
    return Picture(file.getvalue(), *size)
