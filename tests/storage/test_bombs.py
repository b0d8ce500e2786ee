"""Pictures that would take minutes or gigabytes to decode are refused at once, and their harmless kin is not."""

import struct
import time

import pytest

from benchmarks.fuzz.pictures import encoded, many_scans, photographs
from mmpr.config import ImagesSpec
from mmpr.errors import RowError
from mmpr.storage.bombs import MAX_EXIF_SEGMENTS, MAX_RLE_BYTES, MAX_SCANS
from mmpr.storage.images import clean_image

LIMITS = ImagesSpec()
CHINA = photographs()[0]
JPEG = encoded(CHINA, "JPEG")


def exif_segments(many: int) -> bytes:
    return JPEG[:2] + b"\xff\xe1\x00\x09Exif\0\0x" * many + JPEG[2:]


def rle_bmp(size: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, 7_000, 7_000, 1, 8, 1, size, 0, 0, 256, 256)
    return b"BM" + struct.pack("<IHHI", 1_078 + size, 0, 0, 1_078) + head + bytes(1_024) + b"\x01\x05" * (size // 2)


def tiled_tiff(side: int) -> bytes:
    names = (256, 257, 258, 259, 262, 277, 284, 322, 323, 324, 325)
    values = (16, 16, 8, 5, 1, 1, 1, side, side, 8 + 2 + 12 * len(names) + 4, 200)
    tags = b"".join(struct.pack("<HHII", name, 4, 1, value) for name, value in zip(names, values, strict=True))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(names)) + tags + bytes(4) + b"\x80" * 200


@pytest.mark.parametrize(
    ("data", "what"),
    [
        pytest.param(many_scans(1_024, MAX_SCANS), "scans", id="a jpeg of many scans"),
        pytest.param(exif_segments(300_000), "EXIF segments", id="a jpeg of many exif segments"),
        pytest.param(rle_bmp(MAX_RLE_BYTES), "run-length", id="a run-length coded bmp"),
        pytest.param(tiled_tiff(40_000), "tiles of 40000 x 40000", id="a tiff of one huge tile"),
    ],
)
def test_refused_at_once(data: bytes, what: str) -> None:
    started_s = time.process_time()
    with pytest.raises(RowError, match=what) as caught:
        clean_image(data, LIMITS)
    assert caught.value.reason == "image_too_large"
    assert time.process_time() - started_s < 1


def test_their_kin_is_read() -> None:
    for data in (many_scans(64, 80), exif_segments(MAX_EXIF_SEGMENTS - 1), encoded(CHINA, "JPEG", progressive=True)):
        assert clean_image(data, LIMITS).startswith(b"\xff\xd8")
    assert clean_image(encoded(CHINA, "TIFF", compression="tiff_lzw"), LIMITS).startswith(b"\x89PNG")
    with pytest.raises(RowError, match=r"image_(broken|truncated)"):
        clean_image(tiled_tiff(64), LIMITS)
