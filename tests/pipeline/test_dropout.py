"""Half a response, by the tokens of a real byte-level tokenizer, in any language."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import ByteLevelBPETokenizer

from mmpr.pipeline.dropout import keep_prefix

CORPUS = [
    "The picture shows a red circle on a white table.",
    "图片里有一只红色的猫，坐在白色的桌子上。",
    "绿色的圆形在左边，蓝色的三角形在右边。",
    "🙂🙃🎉 party 👩‍👩‍👧 family 🇫🇷",
    "naïve café ﷽ ṩ",
]


def tokenizer_of(vocabulary: int) -> ByteLevelBPETokenizer:
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(CORPUS * 3, vocab_size=vocabulary, min_frequency=2, show_progress=False)
    return tokenizer


# 256: every byte a token of its own, so that each Chinese character is spelled by three. 330: some are joined, and some
# tokens hold the end of one character and the beginning of the next.
TOKENIZERS = {size: tokenizer_of(size) for size in (256, 300, 330, 600)}


def token_ends(text: str, size: int) -> list[int]:
    return [end for _, end in TOKENIZERS[size].encode(text).offsets]


TEXT = st.text(st.sampled_from("".join(CORPUS) + " \n") | st.characters(exclude_categories=["Cs"]), max_size=60)


@given(TEXT, st.sampled_from(sorted(TOKENIZERS)), st.sampled_from([0, 0.1, 0.25, 0.5, 0.9, 0.999]))
def test_a_prefix_is_a_beginning_in_whole_characters(text: str, size: int, ratio: float) -> None:
    ends = token_ends(text, size)
    prefix, tokens = keep_prefix(text, ends, ratio)
    assert text.startswith(prefix)
    assert tokens <= int(len(ends) * ratio)
    assert bool(prefix) == bool(tokens)
    assert "\ufffd" not in prefix or "\ufffd" in text
    # No token that is left to the model belongs to a character of the prefix alone.
    assert all(end > len(prefix) for end in ends[tokens:])
    # What is given up for the sake of a whole character is less than one character's tokens.
    assert int(len(ends) * ratio) - tokens < max(4, max(map(ends.count, ends), default=0))


@pytest.mark.parametrize("text", CORPUS)
def test_half_of_any_language(text: str) -> None:
    for size in TOKENIZERS:
        ends = token_ends(text, size)
        prefix, tokens = keep_prefix(text, ends, 0.5)
        assert len(ends) // 2 - 4 <= tokens <= len(ends) // 2
        assert 0 < len(prefix) < len(text)


@pytest.mark.parametrize(
    ("text", "ends", "ratio", "expected"),
    [
        ("", [], 0.5, ("", 0)),
        ("abcd", [1, 2, 3, 4], 0.5, ("ab", 2)),
        ("abcde", [1, 2, 3, 4, 5], 0.5, ("ab", 2)),
        ("abcd", [1, 2, 3, 4], 0, ("", 0)),
        ("abcd", [1, 2, 3, 4], 0.2, ("", 0)),
        ("a", [1], 0.9, ("", 0)),
        ("hello world", [5, 11], 0.5, ("hello", 1)),
        # three tokens a character: one of six, two of six tokens kept are none; three are the first character
        ("红猫", [1, 1, 1, 2, 2, 2], 0.2, ("", 0)),
        ("红猫", [1, 1, 1, 2, 2, 2], 0.4, ("", 0)),
        ("红猫", [1, 1, 1, 2, 2, 2], 0.5, ("红", 3)),
        ("红猫", [1, 1, 1, 2, 2, 2], 0.9, ("红", 3)),
        ("a🙂b", [1, 2, 2, 2, 2, 3], 0.5, ("a", 1)),
        ("🙂", [1, 1, 1, 1], 0.5, ("", 0)),
    ],
)
def test_by_hand(text: str, ends: list[int], ratio: float, expected: tuple[str, int]) -> None:
    assert keep_prefix(text, ends, ratio) == expected


@given(st.lists(st.integers(0, 3), max_size=40), st.floats(0, 0.999))
def test_any_offsets_that_do_not_fall(steps: list[int], ratio: float) -> None:
    ends = list(accumulate(steps))
    text = "x" * (ends[-1] if ends else 0)
    prefix, tokens = keep_prefix(text, ends, ratio)
    assert 0 <= tokens <= len(ends) * ratio
    assert len(prefix) == (ends[tokens - 1] if tokens else 0)
    assert tokens == 0 or tokens == len(ends) or ends[tokens] > ends[tokens - 1]
