"""Pictures of every kind and state; the photographs are scikit-learn's and easy-VQA's."""

import importlib.util
import io
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin
from sklearn.datasets import load_sample_images

from mmpr.config import ImagesSpec
from mmpr.errors import RowError
from mmpr.storage.images import clean_image
from tests.helpers import known

LIMITS = ImagesSpec()
CHINA, FLOWER = (Image.fromarray(array) for array in load_sample_images().images)
SMALL = CHINA.resize((97, 61))
EASY_VQA = Path(str(known(importlib.util.find_spec("easy_vqa")).origin)).parent / "data" / "train" / "images"


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def decoded(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=["PNG", "JPEG"]) as picture:
        picture.load()
        assert picture.mode == "RGB"
        return picture


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)


def difference(data: bytes, expected: Image.Image) -> float:
    return float(abs(pixels(decoded(data)) - pixels(expected)).mean())


def reason(data: bytes, limits: ImagesSpec = LIMITS) -> str:
    with pytest.raises(RowError) as caught:
        clean_image(data, limits)
    assert caught.value.detail
    return caught.value.reason


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x010F] = "a camera"
    return tags


# What is right already


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded(CHINA, "JPEG", quality=80), id="jpeg"),
        pytest.param(encoded(FLOWER, "JPEG", quality=80, progressive=True), id="progressive"),
        pytest.param(encoded(CHINA, "JPEG", subsampling=0, restart_marker_rows=4), id="restart markers"),
        pytest.param(encoded(CHINA, "JPEG", keep_rgb=True), id="rgb jpeg"),
        pytest.param(encoded(SMALL, "PNG"), id="png"),
        pytest.param(encoded(SMALL, "PNG", dpi=(72, 72)), id="png with pixel size"),
        pytest.param(encoded(Image.new("RGB", (1, 1)), "PNG"), id="one pixel"),
    ],
)
def test_a_clean_picture_stays_bit_for_bit(data: bytes) -> None:
    assert clean_image(data, LIMITS) == data


def test_photographs_of_easy_vqa_keep_their_pixels() -> None:
    paths = sorted(path for folder in [EASY_VQA] for path in folder.iterdir())[:40]
    assert len(paths) == 40
    for path in paths:
        with Image.open(path) as picture:
            assert difference(clean_image(path.read_bytes(), LIMITS), picture.convert("RGB")) == 0


# What is converted


def noted_png() -> bytes:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Author", "somebody private")
    notes.add_itxt("XML:com.adobe.xmp", "<x>somebody private</x>")
    return encoded(SMALL, "PNG", pnginfo=notes, exif=exif(1), icc_profile=b"profile")


METADATA = {
    "jpeg": encoded(CHINA, "JPEG", exif=exif(1), comment=b"somebody private", icc_profile=b"somebody private"),
    "progressive": encoded(CHINA, "JPEG", progressive=True, exif=exif(1), xmp=b"somebody private"),
    "png": noted_png(),
    "tail": encoded(SMALL, "JPEG") + b"somebody private",
    "png tail": encoded(SMALL, "PNG") + b"somebody private",
    "mpo": encoded(SMALL, "MPO", save_all=True, append_images=[SMALL.rotate(180)], exif=exif(1)),
    "webp": encoded(SMALL, "WEBP", lossless=True, exif=exif(1), xmp=b"somebody private"),
    "gif": encoded(SMALL, "GIF", comment=b"somebody private"),
}


@pytest.mark.parametrize("name", METADATA)
def test_metadata_goes_and_pixels_stay(name: str) -> None:
    data = METADATA[name]
    with Image.open(io.BytesIO(data)) as before:
        expected = before.convert("RGB")
    cleaned = clean_image(data, LIMITS)
    assert difference(cleaned, expected) == 0
    after = decoded(cleaned)
    assert not after.getexif()
    assert set(after.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "progressive", "progression"}
    assert b"private" not in cleaned
    assert b"camera" not in cleaned
    assert clean_image(cleaned, LIMITS) == cleaned


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation_is_applied(kind: str, orientation: int) -> None:
    options = {"quality": 95} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    data = encoded(SMALL, kind, exif=exif(orientation), **options)
    with Image.open(io.BytesIO(data)) as picture:
        expected = ImageOps.exif_transpose(picture).convert("RGB")
    assert (expected.size == SMALL.size) == (orientation < 5)
    cleaned = clean_image(data, LIMITS)
    assert difference(cleaned, expected) < (4 if kind == "JPEG" else 1e-9)
    assert cleaned.startswith(b"\xff\xd8" if kind == "JPEG" else b"\x89PNG")


def test_16_bit_samples_are_scaled_and_not_clipped() -> None:
    samples = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = Image.fromarray(np.rint(samples / 257).astype(np.uint8)).convert("RGB")
    for data in (
        encoded(Image.fromarray(samples), "PNG"),
        encoded(Image.fromarray(samples), "TIFF"),
        encoded(Image.fromarray(samples.astype(">u2")), "TIFF"),
    ):
        assert difference(clean_image(data, LIMITS), expected) == 0


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def raw_png(width: int, height: int, depth: int, color: int, rows: bytes, *extra: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_16_bit_rgb_becomes_8_bit() -> None:
    data = raw_png(2, 1, 16, 2, b"\0" + struct.pack(">6H", 0, 257 * 7, 65535, 257 * 100, 257 * 200, 300))
    cleaned = clean_image(data, LIMITS)
    assert cleaned[24] == 8
    assert pixels(decoded(cleaned)).tolist() == [[[0, 7, 255], [100, 200, 1]]]


def test_transparency_goes_onto_white() -> None:
    red = Image.new("RGBA", (3, 1), (255, 0, 0, 255))
    red.putpixel((1, 0), (255, 0, 0, 0))
    red.putpixel((2, 0), (0, 0, 0, 51))
    on_white = [[[255, 0, 0], [255, 255, 255], [204, 204, 204]]]
    for kind in ("PNG", "TIFF"):
        assert pixels(decoded(clean_image(encoded(red, kind), LIMITS))).tolist() == on_white
    assert pixels(decoded(clean_image(encoded(red, "WEBP", lossless=True, exact=True), LIMITS))).tolist() == on_white
    grey = Image.new("LA", (2, 1), (10, 255))
    grey.putpixel((1, 0), (10, 0))
    assert pixels(decoded(clean_image(encoded(grey, "PNG"), LIMITS)))[0].tolist() == [[10] * 3, [255] * 3]
    # A PNG can name one colour as the transparent one instead: beside RGB, beside grey, and in a palette.
    keyed = raw_png(2, 1, 8, 2, b"\0" + bytes([1, 2, 3, 4, 5, 6]), chunk(b"tRNS", struct.pack(">3H", 1, 2, 3)))
    assert pixels(decoded(clean_image(keyed, LIMITS)))[0].tolist() == [[255] * 3, [4, 5, 6]]
    keyed = raw_png(2, 1, 8, 0, b"\0" + bytes([7, 8]), chunk(b"tRNS", struct.pack(">H", 7)))
    assert pixels(decoded(clean_image(keyed, LIMITS)))[0].tolist() == [[255] * 3, [8] * 3]
    palette = [chunk(b"PLTE", bytes([9, 9, 9, 50, 60, 70])), chunk(b"tRNS", bytes([0, 255]))]
    keyed = raw_png(2, 1, 8, 3, b"\0" + bytes([0, 1]), *palette)
    assert pixels(decoded(clean_image(keyed, LIMITS)))[0].tolist() == [[255] * 3, [50, 60, 70]]
    gif = Image.new("P", (2, 1))
    gif.putpalette([9, 9, 9, 50, 60, 70])
    gif.putpixel((1, 0), 1)
    shown = pixels(decoded(clean_image(encoded(gif, "GIF", transparency=0), LIMITS)))[0].tolist()
    assert shown == [[255] * 3, [50, 60, 70]]


@pytest.mark.parametrize(
    ("picture", "kind", "error"),
    [
        (SMALL.convert("L"), "PNG", 0),
        (SMALL.convert("L"), "JPEG", 4),
        (SMALL.convert("1"), "PNG", 0),
        (SMALL.convert("1"), "TIFF", 0),
        (SMALL.convert("P"), "PNG", 0),
        (SMALL.quantize(200), "GIF", 0),
        (SMALL, "BMP", 0),
        (SMALL, "TIFF", 0),
        (SMALL.convert("CMYK"), "TIFF", 0),
        (SMALL.convert("CMYK"), "JPEG", 4),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "mode", None),
)
def test_other_modes_become_rgb(picture: Image.Image, kind: str, error: float) -> None:
    cleaned = clean_image(encoded(picture, kind, **({"quality": 95} if kind == "JPEG" else {})), LIMITS)
    assert difference(cleaned, picture.convert("RGB")) <= error
    assert cleaned.startswith(b"\xff\xd8" if kind == "JPEG" else b"\x89PNG")


def test_the_first_picture_of_a_telephone_counts() -> None:
    data = encoded(SMALL, "MPO", save_all=True, append_images=[SMALL.rotate(180)], quality=95)
    cleaned = clean_image(data, LIMITS)
    assert len(cleaned) < len(data) * 0.6
    assert difference(cleaned, SMALL) < 4


# What is refused

FRAMES = {"save_all": True, "append_images": [SMALL.rotate(90)]}
JPEG, PNG = encoded(CHINA, "JPEG"), encoded(SMALL, "PNG")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"", "image_empty", id="empty"),
        pytest.param(b"hello, I am a text file", "image_not_a_picture", id="text"),
        pytest.param(b"<!DOCTYPE html><html>404</html>", "image_not_a_picture", id="a page that says 404"),
        pytest.param(b"\0" * 100, "image_not_a_picture", id="zeros"),
        pytest.param(b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "image_format", id="svg"),
        pytest.param(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic", "image_format", id="heic"),
        pytest.param(b"8BPS\0\1" + b"\0" * 30, "image_format", id="photoshop"),
        pytest.param(encoded(SMALL, "PPM"), "image_format", id="pnm"),
        pytest.param(encoded(SMALL, "ICO"), "image_format", id="icon"),
        pytest.param(encoded(SMALL, "JPEG2000"), "image_format", id="jpeg 2000"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image_format", id="eps"),
        pytest.param(encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "image_format", id="float"),
        pytest.param(encoded(Image.fromarray(np.ones((4, 4), np.int32)), "TIFF"), "image_format", id="32 bit"),
        pytest.param(JPEG[: len(JPEG) // 2], "image_truncated", id="half a jpeg"),
        pytest.param(JPEG[:40], "image_truncated", id="a jpeg's first bytes"),
        pytest.param(PNG[: len(PNG) // 2], "image_truncated", id="half a png"),
        pytest.param(PNG[:20], "image_truncated", id="a png's first bytes"),
        pytest.param(encoded(SMALL, "BMP")[:-999], "image_truncated", id="short bmp"),
        pytest.param(PNG[:60] + b"\xff" * 20 + PNG[80:], "image_broken", id="png with wrong checksum"),
        pytest.param(encoded(SMALL, "GIF", **FRAMES), "image_animated", id="gif"),
        pytest.param(encoded(SMALL, "PNG", **FRAMES), "image_animated", id="png"),
        pytest.param(encoded(SMALL, "WEBP", **FRAMES), "image_animated", id="webp"),
        pytest.param(encoded(SMALL, "TIFF", **FRAMES), "image_animated", id="two pages"),
        pytest.param(raw_png(0, 5, 8, 2, b"\0"), "image_broken", id="no width"),
        pytest.param(raw_png(60_000, 60_000, 8, 2, b"\0"), "image_too_large", id="claims 3.6 gigapixels"),
        pytest.param(raw_png(12_000, 12_000, 8, 2, b"\0"), "image_too_large", id="claims 144 megapixels"),
    ],
)
def test_refused(data: bytes, expected: str) -> None:
    assert reason(data) == expected


def test_limits_are_those_of_the_recipe() -> None:
    data = encoded(SMALL, "PNG")
    megapixels = SMALL.width * SMALL.height / 1e6
    assert clean_image(data, ImagesSpec(max_megapixels=megapixels, max_bytes=len(data))) == data
    assert reason(data, ImagesSpec(max_megapixels=megapixels * 0.999)) == "image_too_large"
    assert reason(data, ImagesSpec(max_bytes=len(data) - 1)) == "image_too_large"


def test_a_bomb_is_known_from_its_header() -> None:
    """40 KB of PNG that are 1.6 GB of pixels: refused in a process that has less memory than that."""
    program = """
import resource, struct, sys, zlib
from mmpr.config import ImagesSpec
from mmpr.errors import RowError
from mmpr.storage.images import clean_image
data = sys.stdin.buffer.read()
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
try:
    clean_image(data, ImagesSpec())
except RowError as error:
    print(error.reason)
"""
    squeezer = zlib.compressobj(9)
    rows = b"".join(squeezer.compress(bytes(1 + 3 * 13_000)) for _ in range(1000)) + squeezer.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 13_000, 13_000, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    run = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, timeout=60)
    assert run.stdout.split() == [b"image_too_large"], run.stderr.decode()


def test_no_warning_is_shown() -> None:
    broken_exif = encoded(SMALL, "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\1" * 50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cleaned = clean_image(broken_exif, LIMITS)
        assert reason(raw_png(10_000, 10_000, 8, 2, b"\0")) == "image_too_large"
    assert difference(cleaned, SMALL) < 5


# Whatever comes

SEEDS = [
    encoded(picture, kind, **options)
    for picture in (SMALL, SMALL.convert("P"), SMALL.convert("L"))
    for kind, options in [("PNG", {}), ("GIF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("BMP", {})]
] + [
    encoded(SMALL, "JPEG", exif=exif(6)),
    encoded(SMALL, "JPEG", progressive=True),
    encoded(SMALL.convert("CMYK"), "JPEG"),
    encoded(SMALL, "WEBP"),
    encoded(SMALL, "WEBP", lossless=True, exif=exif(3)),
    encoded(SMALL, "TIFF", compression="tiff_adobe_deflate"),
    METADATA["mpo"],
    METADATA["png"],
]


def check_anything(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            cleaned = clean_image(data, ImagesSpec(max_megapixels=1))
        except RowError:
            return
    picture = decoded(cleaned)
    assert 0 < picture.width * picture.height <= 1e6
    assert not picture.getexif()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = Image.open(io.BytesIO(data))
        before.load()
    if before.format in ("JPEG", "MPO", "PNG") and before.mode == "RGB" and "transparency" not in before.info:
        turned = [before, *(before.transpose(turn) for turn in Image.Transpose)]
        assert min(difference(cleaned, one) for one in turned if one.size == picture.size) < 4


@settings(max_examples=150)
@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\0"])
)
def test_any_bytes(tail: bytes, head: bytes) -> None:
    check_anything(head + tail)


@settings(max_examples=600)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=12),
    st.floats(0.3, 1),
    st.booleans(),
)
def test_mutated_pictures(data: bytes, changes: list[tuple[float, int]], keep: float, in_header: bool) -> None:
    mutated = bytearray(data)
    for place, value in changes:
        mutated[int(place * (min(300, len(data)) if in_header else len(data)))] = value
    check_anything(bytes(mutated[: int(len(mutated) * keep)] if keep < 0.9 else mutated))
