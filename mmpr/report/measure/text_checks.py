"""Checks of texts: loops, leaked templates, the script, near duplicates. Lists of texts in, an array of values out.

Texts are model output, so every check takes time linear in their length.
"""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from mmpr.report.load.units import Bools, Ints
from mmpr.schema import IMAGE_MARK

Hashes = npt.NDArray[np.uint64]

LOOP_BYTES = 600
"""Length in bytes of the windows in which loops are looked for: a few sentences."""
LOOP_SHORTEST = 240
"""Texts of fewer bytes are not checked: they compress badly whatever they say."""
LOOP_RATIO = 0.22
"""A window that deflates to less repeats itself about five times; prose stays above 0.4, worked sums above 0.3."""

# Control tokens of chat formats and of tokenizers, and turns that the model wrote in another role.
_LEAK = re.compile(
    r"<\|[a-z0-9_]{2,30}\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<image>|<IMG_CONTEXT>|<unk>|<pad>"
    r"|(?:^|\n)[ \t]{0,8}(?:### ?)?(?:User|Human|USER|Assistant|ASSISTANT|Instruction|Response|用户|助手)[ \t]?[:：]"
    r"|(?:^|\n)(?:user|assistant|system)\n|\$FINAL_ANSWER|\{question\}"
)
_LEAK_SIGNS = (
    *("<", "[", "User", "Human", "ssistant", "USER", "ASSISTANT", "Instruction", "Response"),
    *("用户", "助手", "user\n", "system\n", "$FINAL", "{question"),
)
_INSTRUCTION_CHARS = 40  # a response does not repeat so long a line of its prompt by chance

SCRIPTS = ("", "latin", "cjk", "hangul", "cyrillic", "arabic", "other")
"""Names of scripts by number; 0 is too little text to tell."""
_LETTERS_NEEDED = 10
_FORMULA = re.compile(r"\$[^$]{0,400}\$|\\[A-Za-z]+|<[^<>]{0,40}>")
# Greek is left out: formulas in every language use it.
_RANGES = (
    (1, ((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F), (0x1E00, 0x1EFF))),
    (2, ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2FFFF))),
    (3, ((0x1100, 0x11FF), (0xAC00, 0xD7AF))),
    (4, ((0x400, 0x52F),)),
    (5, ((0x600, 0x6FF), (0x750, 0x77F))),
    (6, ((0x530, 0x5FF), (0x900, 0x10FF), (0x1200, 0x1CFF))),
)
_WORD_LETTERS = 4  # letters of an alphabet that count as much as one Han character
_CODE_POINTS = 0x30000

_NUMBERS = re.compile(r"\d+")

BANDS, SKETCH = 4, 16
"""A sketch is 16 minima of hashed shingles; texts that agree in one of four bands of four are compared."""
_SHINGLE = 8  # bytes
_ALIKE = 13  # of 16 minima: texts that share about 80 % of their shingles


def text_hashes(texts: Iterable[str]) -> Hashes:
    """64-bit BLAKE2b hashes of the texts (N,)."""
    digests = [hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest() for text in texts]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def without_spaces(text: str) -> str:
    """A text without its white space."""
    return "".join(text.split())


_NOT_WORDS = re.compile(r"[\W_]+")


def plain_question(text: str) -> str:
    """A question without image marks, case, spaces and punctuation, for comparison with others."""
    text = unicodedata.normalize("NFKC", text.replace(IMAGE_MARK, " ")).casefold()
    return _NOT_WORDS.sub("", text) or without_spaces(text)


def loops(texts: Sequence[str]) -> Bools:
    """Whether each text (N,) repeats itself over and over: some window of it deflates to next to nothing."""
    return np.fromiter((_loops(text.encode("utf-8", "replace")) for text in texts), dtype=np.bool_, count=len(texts))


def _loops(data: bytes) -> bool:
    if len(data) < LOOP_SHORTEST:
        return False
    for start in range(0, max(1, len(data) - LOOP_BYTES // 2), LOOP_BYTES):
        window = data[start : start + LOOP_BYTES]
        window = data[-LOOP_BYTES:] if len(window) < LOOP_BYTES else window
        if len(zlib.compress(window, 1)) < LOOP_RATIO * len(window):
            return True
    return False


def leaks(texts: Sequence[str], instructions: Sequence[str]) -> Bools:
    """Whether each text (N,) holds control tokens, writes another role's turn, or repeats one of the instructions."""

    def leaks_one(text: str) -> bool:
        if any(sign in text for sign in _LEAK_SIGNS) and _LEAK.search(text):
            return True
        return any(line in text for line in instructions)

    return np.fromiter(map(leaks_one, texts), dtype=np.bool_, count=len(texts))


def instruction_lines(prompt: str, question: str) -> list[str]:
    """The lines that the template added to a question and that are long enough to be recognised in a response."""
    lines = (line.strip() for line in prompt.replace(question, "\n").splitlines())
    return [line for line in lines if len(line) >= _INSTRUCTION_CHARS]


def scripts(texts: Sequence[str]) -> Ints:
    """The script of each text (N,) as a position in ``SCRIPTS``; formulas and tags do not count."""
    return np.fromiter(map(_script, texts), dtype=np.int64, count=len(texts))


@functools.cache
def _classes() -> npt.NDArray[np.uint8]:
    """The script of every code point."""
    table = np.zeros(_CODE_POINTS, dtype=np.uint8)
    for script, ranges in _RANGES:
        for first, last in ranges:
            table[first : last + 1] = script
    return table


def _script(text: str) -> int:
    if "$" in text or "\\" in text or "<" in text:
        text = _FORMULA.sub(" ", text)
    points = np.frombuffer(text.encode("utf-32-le", "replace"), dtype="<u4")
    counts = np.bincount(_classes()[points[points < _CODE_POINTS]], minlength=len(SCRIPTS))
    counts[0] = 0
    counts[2] *= _WORD_LETTERS
    script = int(counts.argmax())
    return script if counts[script] >= _LETTERS_NEEDED else 0


def sketches(texts: Sequence[str]) -> tuple[Hashes, Hashes]:
    """One-permutation MinHash of byte shingles: band hashes (N, 4) and sketches (N,) of 16 × 4 bits.

    A shingle falls into one of 16 buckets by its hash, and each bucket keeps the smallest. Two texts that share a
    fraction J of their shingles agree in about 16·J buckets. The numbers in a text are part of its band hashes.
    """
    encoded = [text.encode("utf-8", "replace").ljust(_SHINGLE) for text in texts]
    bands = np.zeros((len(texts), BANDS), dtype=np.uint64)
    sketch = np.zeros(len(texts), dtype=np.uint64)
    start = 0
    while start < len(encoded):  # a few megabytes at a time
        end, size = start, 0
        while end < len(encoded) and (end == start or size + len(encoded[end]) < 1 << 21):
            size += len(encoded[end])
            end += 1
        minima = _minima(encoded[start:end])
        per_band = SKETCH // BANDS
        for band in range(BANDS):
            mixed = np.full(end - start, band + 1, dtype=np.uint64)
            for bucket in range(band * per_band, (band + 1) * per_band):
                mixed = mix_bits(mixed ^ minima[:, bucket])
            bands[start:end, band] = mixed
        nibbles = minima & np.uint64(15)
        shifts = np.arange(SKETCH, dtype=np.uint64) * np.uint64(4)
        sketch[start:end] = np.bitwise_or.reduce(nibbles << shifts, axis=1)
        start = end
    # Worked sums differ in nothing but their numbers: texts with other numbers are not duplicates.
    bands ^= text_hashes(" ".join(_NUMBERS.findall(text)) for text in texts)[:, None]
    return bands, sketch


def _minima(encoded: Sequence[bytes]) -> Hashes:
    """The smallest hash in each bucket (N, 16)."""
    data = b"".join(encoded) + b"\0" * _SHINGLE
    lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
    shingles = np.ndarray((len(data) - _SHINGLE,), dtype="<u8", buffer=data, strides=(1,))
    owner = np.repeat(np.arange(len(encoded)), lengths)
    ends = np.repeat(np.cumsum(lengths), lengths)
    whole = np.arange(len(owner)) + _SHINGLE <= ends
    hashed = mix_bits(shingles[: len(owner)][whole].astype(np.uint64))
    cell = owner[whole] * SKETCH + (hashed >> np.uint64(60)).astype(np.int64)
    minima = np.full(len(encoded) * SKETCH, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(minima, cell, hashed & np.uint64((1 << 60) - 1))
    return minima.reshape(-1, SKETCH)


def mix_bits(values: Hashes) -> Hashes:
    """The finaliser of splitmix64: mixes the bits of each value."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


class NearDuplicates:
    """Finds texts that are nearly the same as one of another question; keeps 52 bytes a text."""

    def __init__(self) -> None:
        self._bands: list[Hashes] = []
        self._sketches: list[Hashes] = []
        self._owners: list[npt.NDArray[np.uint32]] = []

    def add(self, texts: Sequence[str], owners: Ints) -> None:
        """Add texts (N,); ``owners`` (N,) are the numbers of their questions."""
        if len(texts):
            bands, sketch = sketches(texts)
            self._bands.append(bands)
            self._sketches.append(sketch)
            self._owners.append(owners.astype(np.uint32))

    def found(self) -> tuple[Ints, Bools]:
        """The owners of all texts (N,), and whether another question has a similar text (N,).

        Texts that agree in a band are sorted and compared with some neighbours; 13 of 16 equal minima make a duplicate.
        A few members of a very large cluster may be missed; nothing else is reported as a duplicate.
        """
        if not self._owners:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
        owners, sketch = np.concatenate(self._owners), np.concatenate(self._sketches)
        alike = np.zeros(len(owners), dtype=np.bool_)
        for band in range(BANDS):
            key = np.concatenate([bands[:, band] for bands in self._bands])
            order = np.lexsort((owners, sketch, key))
            key = key[order]
            for apart in (1, 2, 4, 8, 16):
                if len(order) <= apart:
                    break
                left, right = order[:-apart], order[apart:]
                same = (key[:-apart] == key[apart:]) & (owners[left] != owners[right])
                same[same] = _agreeing(sketch[left[same]] ^ sketch[right[same]]) >= _ALIKE
                alike[left[same]] = True
                alike[right[same]] = True
        return owners.astype(np.int64), alike


def _agreeing(difference: Hashes) -> Ints:
    """How many of the 16 nibbles are zero."""
    folded = difference | (difference >> np.uint64(1))
    folded |= folded >> np.uint64(2)
    ones = np.bitwise_count(folded & np.uint64(0x1111111111111111))
    agreeing: Ints = SKETCH - ones.astype(np.int64)
    return agreeing


YES_NO = {"yes": "yes", "no": "no", "true": "yes", "false": "no", "是": "yes", "否": "no", "对": "yes", "错": "no"}
"""Words for yes and no."""


def answer_kind(answer: str | None) -> str:
    """The kind of a true answer, in a word or two."""
    if answer is None:
        return "open-ended"
    text = answer.strip()
    if text.casefold() in YES_NO:
        return "yes or no"
    bare = text.strip("().")
    if len(bare) == 1 and "A" <= bare <= "Z":
        return "letter"
    number = text.replace(",", "").replace("%", "").replace("$", "").strip()
    if number.removeprefix("-").replace(".", "", 1).isdigit():
        return "number"
    if any(sign in text for sign in "\\^=_{}"):
        return "expression"
    return "words" if len(text.split()) > 3 or len(text) > 40 else "word"
