"""Pictures from anywhere, made safe: an upright, encoded RGB picture without metadata.

``clean_image`` is the only way by which a picture enters a build, so that models, viewers and trainers can open it
safely. A picture that is already upright RGB is not compressed again: metadata is cut out of the file, and the
compressed data stays as it is.
"""

from __future__ import annotations

import io
import re
import struct
import threading
import warnings
import zlib

from PIL import Image, UnidentifiedImageError

from mmpr.config import ImagesSpec
from mmpr.errors import RowError
from mmpr.storage.bombs import refuse_bombs, refuse_tiles

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""The formats that are decoded."""

# MPO is a JPEG with more pictures behind it, as phones write it; only the first one is used.
_JPEGS = ("JPEG", "MPO")

_JPEG_QUALITY = 95
_JPEG_MAX_SIDE = 65_500

# What Pillow's decoders raise on malicious bytes, found by fuzzing.
_DECODER_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    RuntimeError,
    EOFError,
    BufferError,
    struct.error,
    zlib.error,
)

_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OTHER_FORMATS = (
    (re.compile(rb"....ftyp(avif|avis)", re.S), "AVIF"),
    (re.compile(rb"....ftyp(heic|heix|mif1|msf1)", re.S), "HEIC"),
    (re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), "JPEG 2000"),
    (re.compile(rb"8BPS"), "Photoshop"),
    (re.compile(rb"\0\0[\1\2]\0"), "icon"),
    (re.compile(rb"P[1-7]\s"), "PNM"),
    (re.compile(rb"%!PS|%PDF"), "PostScript or PDF"),
    (re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg", re.S), "SVG"),
)

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow warns of broken metadata, and Python's warning filters belong to the whole process.
_warnings_lock = threading.Lock()


def clean_image(data: bytes, limits: ImagesSpec) -> bytes:
    """An encoded picture as an upright 8-bit RGB PNG or JPEG without metadata; it is decoded in full.

    A JPEG stays a JPEG (bit for bit, but for its metadata, when it is upright and RGB; else at quality 95), a PNG a
    PNG, anything else becomes a PNG. Transparency goes onto white, 16-bit samples are scaled, colour profiles dropped.

    Raises:
        RowError: image_empty, image_not_a_picture, image_format (a kind that is not decoded), image_too_large (bytes,
            megapixels or work, known before decoding), image_animated (more than one frame or page), image_truncated,
            image_broken.
    """
    if not data:
        raise RowError("image_empty", "0 bytes")
    if len(data) > limits.max_bytes:
        raise RowError("image_too_large", f"{len(data)} bytes, the limit is {limits.max_bytes} (images.max_bytes)")
    refuse_bombs(data)
    try:
        with _warnings_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return _clean(data, limits)
            except (ValueError, SyntaxError):
                bare = _without_texts(data)
                if bare is None:
                    raise
                return _clean(bare, limits)  # Pillow limits texts and profiles, which nobody keeps
    except Image.DecompressionBombError:
        raise RowError("image_too_large", "more megapixels than Pillow opens") from None
    except MemoryError:
        raise RowError("image_too_large", "does not fit in memory") from None
    except UnidentifiedImageError:
        raise _unidentified(data) from None
    except _DECODER_ERRORS as error:
        reason = "image_truncated" if "truncated" in str(error).lower() else "image_broken"
        raise RowError(reason, f"{type(error).__name__}: {error}"[:200]) from None


def _clean(data: bytes, limits: ImagesSpec) -> bytes:
    with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        source_format = picture.format or ""
        width, height = picture.size
        if width < 1 or height < 1:
            raise RowError("image_broken", f"{width} x {height} pixels")
        if width * height > limits.max_megapixels * 1e6:
            limit = f"the limit is {limits.max_megapixels:g} megapixels (images.max_megapixels)"
            raise RowError("image_too_large", f"{width} x {height} pixels, {limit}")
        refuse_tiles(getattr(picture, "tag_v2", None), limits.max_megapixels * 1e6)
        if source_format not in _JPEGS and getattr(picture, "is_animated", False):
            raise RowError("image_animated", f"a {source_format} with more than one frame or page")
        picture.load()
        turn = _UPRIGHT.get(_orientation(picture))
        if turn is None and picture.mode == "RGB" and "transparency" not in picture.info:
            bare = _bare_jpeg(data) if source_format in _JPEGS else _bare_png(data)
            if bare is not None:
                return bare
        upright = picture if turn is None else picture.transpose(turn)
        return _encode(_rgb(upright), as_jpeg=source_format in _JPEGS)


def _orientation(picture: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) when the picture has none or its EXIF cannot be read."""
    try:
        value = picture.getexif().get(_ORIENTATION_TAG, 1)
    except _DECODER_ERRORS:
        return 1  # broken metadata does not spoil a picture; viewers ignore it too
    return value if isinstance(value, int) else 1


def _rgb(picture: Image.Image) -> Image.Image:
    """The same picture in 8-bit RGB."""
    if picture.mode in ("I", "F"):
        raise RowError("image_format", "32-bit samples, whose range is not known; save it with 8 or 16 bits")
    if picture.mode.startswith("I;16"):
        # 65535 / 255 = 257; Pillow's own conversion would clip at 255.
        scaled = picture.convert("I").point(lambda sample: sample * (1 / 257) + 0.5)
        return scaled.convert("L").convert("RGB")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        page = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(page, layer).convert("RGB")
    return picture.convert("RGB")


def _encode(picture: Image.Image, *, as_jpeg: bool) -> bytes:
    file = io.BytesIO()
    picture.info = {}  # comments and profiles would be written again
    if as_jpeg and max(picture.size) <= _JPEG_MAX_SIDE:
        picture.save(file, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    else:
        picture.save(file, "PNG")
    return file.getvalue()


_PNG_CHUNKS = {b"IHDR", b"IDAT", b"IEND", b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"sBIT"}


def _bare_png(data: bytes) -> bytes | None:
    """An 8-bit RGB PNG without its metadata; None for anything else, and for a malformed file."""
    if not data.startswith(_MAGIC[0]) or data[24:26] != b"\x08\x02":
        return None
    kept = [data[:8]]
    place = 8
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        kind = data[place + 4 : place + 8]
        if end > len(data):
            return None
        # An uppercase first letter marks a chunk that decoders need; a palette beside RGB is only a hint.
        if kind in _PNG_CHUNKS:
            if zlib.crc32(data[place + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
                return None
            kept.append(data[place:end])
        elif kind[:1].isupper() and kind != b"PLTE":
            return None
        if kind == b"IEND":
            return b"".join(kept)
        place = end
    return None


_PNG_TEXTS = {b"tEXt", b"zTXt", b"iTXt", b"iCCP"}


def _without_texts(data: bytes) -> bytes | None:
    """A PNG without texts and colour profile; None for anything else, and for one that has none."""
    if not data.startswith(_MAGIC[0]):
        return None
    kept = [data[:8]]
    place = 8
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        if data[place + 4 : place + 8] not in _PNG_TEXTS:
            kept.append(data[place:end])
        place = end
    bare = b"".join([*kept, data[place:]])
    return bare if len(bare) < len(data) else None


_AFTER_SCAN = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")


def _bare_jpeg(data: bytes) -> bytes | None:
    """A JPEG without its metadata (application segments and comments); None for a malformed file.

    JFIF (APP0) and Adobe (APP14) stay: decoders take the colour space from them.
    """
    kept = [data[:2]]
    place = 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD9:
            return None
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if end > len(data):
            return None
        if marker == 0xDA:
            after = _AFTER_SCAN.search(data, end)
            if after is None:
                return None
            end = after.start()
            if data[after.end() - 1] == 0xD9:
                return b"".join([*kept, data[place:end], b"\xff\xd9"])
        if not (0xE0 < marker < 0xEE or marker in (0xEF, 0xFE)) and not _is_thumbnail(data[place:end]):
            kept.append(data[place:end])
        place = end
    return None


def _is_thumbnail(segment: bytes) -> bool:
    """Whether a JPEG segment is the extension of JFIF that carries a small picture."""
    return segment[1] == 0xE0 and segment[4:9] == b"JFXX\0"


def _unidentified(data: bytes) -> RowError:
    """The error for bytes that no decoder in ``FORMATS`` recognises."""
    head = data[:512]
    if head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return RowError("image_truncated" if len(data) < 64 else "image_broken", "the header cannot be read")
    for pattern, name in _OTHER_FORMATS:
        if pattern.match(head):
            return RowError("image_format", f"{name} is not read; convert it to PNG or JPEG")
    return RowError("image_not_a_picture", f"begins with {head[:16]!r}")
