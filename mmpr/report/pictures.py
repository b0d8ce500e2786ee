"""Pictures of a build (cleaned when they came in): hashes to find them again elsewhere, and small copies to show."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

from mmpr.report.nouns import Picture

SHOWN_SIDE = 384
"""Longest side in pixels of a picture on the page; smaller ones stay as they are."""
_SHOWN_BYTES = 48 << 10  # a PNG that is larger is shown as a JPEG
_THUMB = 8


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A picture in 212 bytes: 64 bits of its file's hash, its perceptual hash, its look in 8 × 8 colours, its size."""

    key: int
    perceptual: int
    thumb: npt.NDArray[np.uint8]
    width: int
    height: int


def picture_key(data: bytes) -> int:
    """64 bits of BLAKE2b of an encoded picture."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def fingerprint(data: bytes) -> Fingerprint:
    """What a picture is recognised by. Its pixels are decoded at a reduced size where its format can do that."""
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as picture:
        width, height = picture.size
        picture.draft("RGB", (64, 64))
        small = picture.convert("RGB")
    bits = imagehash.phash(small).hash.flatten()
    perceptual = int(np.packbits(bits).view(">u8")[0])
    thumb = np.asarray(small.resize((_THUMB, _THUMB), Image.Resampling.BOX), dtype=np.uint8)
    return Fingerprint(picture_key(data), perceptual, thumb, width, height)


def shown(data: bytes) -> Picture:
    """A small copy for the page."""
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
