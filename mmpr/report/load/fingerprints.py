"""Hashes by which a picture of a build is found again elsewhere."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

_THUMB = 8
_GREY = 64

DECODERS = 4
"""Pictures that are decoded at once."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A picture in 220 bytes.

    ``key`` is a hash of its file, ``perceptual`` one of its look (64 bits each), ``thumb`` the picture itself in
    8 × 8 RGB pixels, ``width`` and ``height`` its size, ``detail`` the variance of its Laplacian at 64 × 64 grey
    pixels: next to nothing for a picture that is blank or badly blurred.
    """

    key: int
    perceptual: int
    thumb: npt.NDArray[np.uint8]
    width: int
    height: int
    detail: float


def fingerprint(data: bytes) -> Fingerprint:
    """The fingerprint of a cleaned picture, which is decoded at a reduced size where its format can do that."""
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as picture:
        width, height = picture.size
        picture.draft("RGB", (64, 64))
        small = picture.convert("RGB")
    bits = imagehash.phash(small).hash.flatten()
    perceptual = int(np.packbits(bits).view(">u8")[0])
    thumb = np.asarray(small.resize((_THUMB, _THUMB), Image.Resampling.BOX), dtype=np.uint8)
    key = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
    return Fingerprint(key, perceptual, thumb, width, height, _detail(small))


def _detail(picture: Image.Image) -> float:
    """The variance of the Laplacian of a picture at 64 × 64 grey levels of 0 to 255 (Pech-Pacheco et al., 2000)."""
    grey = np.asarray(picture.convert("L").resize((_GREY, _GREY), Image.Resampling.BOX), dtype=np.float32)
    middle = grey[1:-1, 1:-1]
    return float((grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * middle).var())


def row_fingerprints(pool: ThreadPoolExecutor, rows: Iterable[dict[str, Any]]) -> list[list[Fingerprint]]:
    """The fingerprints of each row's ``images``; a picture that several of the rows show is decoded once."""
    images = [[image["bytes"] for image in row["images"]] for row in rows]
    distinct = list(dict.fromkeys(data for row in images for data in row))
    known = dict(zip(distinct, pool.map(fingerprint, distinct), strict=True))
    return [[known[data] for data in row] for row in images]
