"""Real photographs in every format that Pillow writes here, and pictures that are made to hurt.

The photographs are scikit-learn's two and one of easy-VQA's.
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
import io
import random
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

_READ = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_MODES = ("RGB", "L", "P", "1", "RGBA", "LA", "PA", "CMYK", "YCbCr", "HSV", "LAB", "I;16", "I", "F")
_HUGE = 30_000
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"

PICTURE_WORDS = (
    b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"gAMA",
    b"\xff\xd8", b"\xff\xda", b"\xff\xc0\x00\x11\x08", b"\xff\xc2", b"\xff\xdd\x00\x04", b"\xff\xe1", b"\xff\xe2MPF\0",
    b"Exif\0\0II*\0\x08\0\0\0", b"\xff\xee\x00\x0eAdobe", b"ICC_PROFILE\0\x01\x01", b"\xff\xd9",
    b"RIFF\xff\xff\xff\xffWEBP", b"VP8X", b"VP8L", b"VP8 ", b"ALPH", b"ANIM", b"ANMF",
    b"GIF89a\xff\xff\xff\xff\xf7\0\0", b"!\xf9\x04\x01\0\0\0\0", b"!\xfe", b",\0\0\0\0\xff\xff\xff\xff\x87", b";",
    b"BM", b"II*\0", b"MM\0*", b"II+\0", struct.pack("<HHII", 256, 4, 1, _HUGE), struct.pack("<HHII", 259, 3, 1, 5),
)  # fmt: skip
"""What decoders look for."""


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as a file; with ``save_all``, of three frames."""
    file = io.BytesIO()
    if options.get("save_all"):
        options["append_images"] = [picture.rotate(90), picture.rotate(180)]
    picture.copy().save(file, kind, **options)  # saving leaves an encoder's settings in the object
    return file.getvalue()


@functools.cache
def photographs() -> tuple[Image.Image, ...]:
    """Three real ones, small."""
    china, flower = (_opened("sklearn", f"datasets/images/{name}.jpg") for name in ("china", "flower"))
    return china.resize((96, 64)), flower.resize((64, 96)), _opened("easy_vqa", "data/train/images/0.png")


def _opened(package: str, path: str) -> Image.Image:
    """A picture of an installed package, which is not imported: that takes seconds."""
    origin = importlib.util.find_spec(package).origin  # type: ignore[union-attr]
    with Image.open(Path(str(origin)).parent / path) as picture:
        return picture.convert("RGB")


@functools.cache
def picture_seeds() -> tuple[bytes, ...]:
    """Every format with every mode that it takes, the formats that are read with all their options, non-pictures."""
    Image.init()
    china, flower, easy_vqa = photographs()
    found = []
    for kind in sorted(Image.SAVE):
        for mode in _MODES:
            for picture in photographs() if kind in _READ else (china,):
                try:
                    found.append(encoded(picture.convert(mode), kind))
                except (OSError, ValueError, KeyError, AttributeError, struct.error):
                    continue  # this format has no such mode, or no encoder here
    assert len(found) > 100
    return (*found, *_with_options(china, flower, easy_vqa), *non_pictures())


def _with_options(china: Image.Image, flower: Image.Image, easy_vqa: Image.Image) -> Iterator[bytes]:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    junk = random.Random(0).randbytes(3_000)
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Author", "somebody", zip=True)
    notes.add_itxt("XML:com.adobe.xmp", "<x>somebody</x>", zip=True)
    for orientation in range(1, 9):
        exif[0x0112] = orientation
        yield encoded(china, "JPEG", exif=exif, progressive=orientation % 2 == 0)
    yield encoded(flower, "JPEG", quality=100, subsampling=0, comment=junk[:500], icc_profile=junk)
    yield encoded(china, "JPEG", keep_rgb=True, restart_marker_rows=2)
    yield encoded(china, "MPO", exif=exif, save_all=True)
    yield encoded(china, "PNG", pnginfo=notes, exif=exif, icc_profile=junk, dpi=(72, 72))
    yield encoded(easy_vqa.convert("P"), "PNG", transparency=0)
    yield encoded(china, "WEBP", lossless=True, exif=exif, xmp=junk, icc_profile=junk)
    yield encoded(china.convert("P"), "GIF", transparency=3, comment=junk[:200], interlace=1)
    for kind in ("PNG", "GIF", "WEBP", "TIFF"):
        yield encoded(china, kind, save_all=True)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "tiff_deflate", "lzma", "zstd", "webp"):
        try:
            yield encoded(china, "TIFF", compression=compression, exif=exif, icc_profile=junk)
        except (OSError, ValueError, RuntimeError):
            continue  # libtiff was built without it
    for compression in ("group3", "group4", "tiff_ccitt"):
        yield encoded(china.convert("1"), "TIFF", compression=compression)
    yield encoded(flower, "TIFF", big_tiff=True)


def non_pictures() -> tuple[bytes, ...]:
    """Files that are no pictures, whatever their names say."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("../../escape.png", encoded(photographs()[0], "PNG"))
    return (
        b"",
        b"\0" * 4_096,
        Path(__file__).read_bytes(),
        Path(sys.executable).read_bytes()[:4_096],
        archive.getvalue(),
        gzip.compress(encoded(photographs()[0], "PNG"), mtime=0),
        b"<!DOCTYPE html><html><body>404</body></html>",
        b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><svg>&b;</svg>',
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
        b'push graphic-context\nfill "url(https://localhost/x.png|id)"\npop graphic-context',
        b'{"question": "q"}\n' * 50,
        b"RIFF\x24\x08\0\0WAVEfmt " + b"\0" * 100,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    )


def picture_fixed() -> Iterator[bytes]:
    """Seeds as they are, files cut at each hundredth, and bombs."""
    yield from picture_seeds()
    china = photographs()[0]
    whole = [encoded(china, kind) for kind in _READ] + list(_with_options(*photographs()))
    yield from (data[: len(data) * percent // 100] for data in whole for percent in range(100))
    yield from bombs()


def bombs() -> Iterator[bytes]:
    """Small files that stand for much memory or time, or claim to."""
    china = photographs()[0]
    for side in (7_100, _HUGE, 65_500, 65_535, 2**31 - 1):
        yield from (claiming(encoded(china, kind), kind, side) for kind in _READ if side < 2**16 or kind in _WIDE)
    yield png(12_500, 12_500, b"\0", [])
    yield png(7_000, 7_000, zlib.compress(bytes(7_000 * 876)), [], depth=1, colour=0)
    yield png(9, 9, b"", [(b"zTXt", b"a\0\0" + zlib.compress(bytes(50 << 20)))])
    yield png(9, 9, b"", [(b"iCCP", b"a\0\0" + zlib.compress(bytes(50 << 20)))])
    yield png(9, 9, b"", [(b"tEXt", b"a\0b")] * 100_000)
    yield png(9, 9, b"", [(b"fcTL", bytes(26))] * 100_000)
    yield many_scans(2_048, 10_000)
    yield b"\xff\xd8" + b"\xff\xfe\x00\x02" * 200_000 + b"\xff\xd9"
    yield b"\xff\xd8" + b"\xff" * (4 << 20)
    yield b"GIF89a\x01\0\x01\0\x80\0\0" + b"\0" * 6 + b",\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0" * 50_000 + b";"
    yield tiff_chain(20_000)
    yield tiff_chain(2, loop=True)


def claiming(data: bytes, kind: str, side: int) -> bytes:
    """A file whose header says ``side`` x ``side`` pixels, whatever follows."""
    out = bytearray(data)
    if kind == "PNG":
        out[16:24] = struct.pack(">II", side, side)
        out[29:33] = struct.pack(">I", zlib.crc32(out[12:29]))
    elif kind == "JPEG":
        at = re.search(rb"\xff[\xc0-\xc2]\x00\x11\x08", out).end()  # type: ignore[union-attr]
        out[at : at + 4] = struct.pack(">HH", side, side)
    elif kind == "GIF":
        out[6:10] = struct.pack("<HH", side, side)
        at = out.index(b",\0\0\0\0") + 5
        out[at : at + 4] = struct.pack("<HH", side, side)
    elif kind == "BMP":
        out[18:26] = struct.pack("<ii", side, side)
    elif kind == "TIFF":
        for tag in (256, 257):
            at = re.search(struct.pack("<H", tag) + rb"[\x03\x04]\x00\x01\x00\x00\x00", out).start()  # type: ignore[union-attr]
            out[at : at + 12] = struct.pack("<HHII", tag, 4, 1, side)
    elif kind == "WEBP":
        at = out.index(b"VP8 ") + 14
        out[at : at + 4] = struct.pack("<HH", side & 0x3FFF, side & 0x3FFF)
    return bytes(out)


_WIDE = ("PNG", "BMP", "TIFF")  # formats whose headers hold 32 bits a side


def png(
    width: int, height: int, data: bytes, extra: list[tuple[bytes, bytes]], depth: int = 8, colour: int = 2
) -> bytes:
    """A PNG of these chunks."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)), *extra]
    chunks += [(b"IDAT", data), (b"IEND", b"")]
    framed = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return _PNG_HEAD + b"".join(framed)


def many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG that repeats its last scan: every repetition goes over all pixels for a few bytes."""
    data = encoded(Image.new("RGB", (side, side), (120, 130, 140)), "JPEG", progressive=True, quality=30)
    last = data[data.rindex(b"\xff\xda") : -2]
    tables = data[: data.rindex(b"\xff\xda")]
    return tables + last * scans + b"\xff\xd9"


def tiff_chain(pages: int, loop: bool = False) -> bytes:
    """A TIFF of many pages without anything in them; with ``loop`` the last page is followed by the first."""
    entries = struct.pack("<HHII", 256, 4, 1, 1) + struct.pack("<HHII", 257, 4, 1, 1)
    size = 2 + len(entries) + 4
    starts = [8 + size * page for page in range(pages)] + [8 if loop else 0]
    return b"II*\0\x08\0\0\0" + b"".join(struct.pack("<H", 2) + entries + struct.pack("<I", to) for to in starts[1:])
