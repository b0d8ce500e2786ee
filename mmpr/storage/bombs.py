"""Refuse small pictures that take very long to decode, by their bytes, before a decoder sees them.

Pillow and its libraries limit the number of pixels, but not how often they go over them. Each check searches for bytes,
and counts exactly what the decoder would.
"""

from __future__ import annotations

import re

from mmpr.errors import RowError

MAX_SCANS = 100
"""Scans of a progressive JPEG, which usually has about ten. A scan takes 20 bytes of the file and goes over all pixels:
a picture of 185 KB and 4 megapixels took 27 s."""

MAX_EXIF_SEGMENTS = 64
"""EXIF segments of a JPEG, which usually has one. The time in which Pillow joins them is quadratic in their number."""

MAX_RLE_BYTES = 4 << 20
"""Size of a run-length coded BMP, which Pillow decodes in Python: a file of 40 MB took more than 40 s."""

# Start of scan: its length follows from its number of components, and a decoder insists on that.
_SCAN = re.compile(rb"\xff\xda\x00(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")
_EXIF = re.compile(rb"\xff\xe1..Exif\x00\x00", re.S)
_BMP_COMPRESSION = slice(30, 34)
_TILE_WIDTH, _TILE_LENGTH = 322, 323


def refuse_bombs(data: bytes) -> None:
    """Refuse an encoded picture that would take much longer to decode than its size and pixels suggest.

    Raises:
        RowError: image_too_large.
    """
    if data.startswith(b"\xff\xd8"):
        _refuse(_more_than(_SCAN, data, MAX_SCANS), f"a JPEG of more than {MAX_SCANS} scans")
        _refuse(_more_than(_EXIF, data, MAX_EXIF_SEGMENTS), f"a JPEG of more than {MAX_EXIF_SEGMENTS} EXIF segments")
    elif data.startswith(b"BM") and int.from_bytes(data[_BMP_COMPRESSION], "little") in (1, 2):
        _refuse(len(data) > MAX_RLE_BYTES, f"a run-length coded BMP of more than {MAX_RLE_BYTES >> 20} MiB")


def refuse_tiles(tags: object, most_pixels: float) -> None:
    """Refuse a TIFF with tiles larger than a picture may be: a whole tile is held in memory, however small the picture.

    ``tags`` maps the numbers of tags to their values, as Pillow read them.

    Raises:
        RowError: image_too_large.
    """
    get = getattr(tags, "get", None)
    sides = [get(_TILE_WIDTH), get(_TILE_LENGTH)] if get is not None else []
    if all(isinstance(side, int) for side in sides) and len(sides) == 2:
        _refuse(sides[0] * sides[1] > most_pixels, f"a TIFF with tiles of {sides[0]} x {sides[1]} pixels")


def _more_than(pattern: re.Pattern[bytes], data: bytes, most: int) -> bool:
    return any(count >= most for count, _ in enumerate(pattern.finditer(data)))


def _refuse(bomb: bool, what: str) -> None:
    if bomb:
        raise RowError("image_too_large", f"{what}: takes too long or too much memory to decode")
