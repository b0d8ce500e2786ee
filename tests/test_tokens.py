"""Which tokens spell a response, and where each ends."""

from __future__ import annotations

from typing import Any

import pytest

from mmpr.schema import Response
from mmpr.tokens import spelling, tokenizer_sha256
from tests.train.data.chat_templates import CHATML, byte_level, metaspace

BYTES, PIECES = byte_level(CHATML), metaspace(CHATML)
TEXTS = ("I look. Final answer: 3", " 3", "", "数字是三，最终答案：3", "🙂👩‍👩‍👧 ok", "a\n\n  b ", "<think>\n3")


def ids_of(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def one_by_one(tokenizer: Any, text: str) -> tuple[int, ...]:
    """Another spelling of a text than the tokenizer's own: a token for each byte."""
    return tuple(token for letter in text for token in ids_of(tokenizer, letter))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("ids", [ids_of, one_by_one])
@pytest.mark.parametrize("ended", [True, False])
def test_sampled_tokens_spell_the_text(text: str, ids: Any, ended: bool) -> None:
    sampled = ids(BYTES, text)
    end = ids_of(BYTES, "<|im_end|>") if ended else ()
    spelled, ends = spelling(BYTES, Response(text, 0, "stop", 0, (*sampled, *end)))
    assert spelled == sampled
    assert ends == sorted(ends)
    assert len(ends) == len(sampled)
    assert not ends or ends[-1] == len(text)
    for place in range(len(ends)):  # a prefix of tokens is a prefix of the text, where it ends a character
        if place + 1 == len(ends) or ends[place + 1] > ends[place]:
            assert BYTES.decode(spelled[: place + 1]) == text[: ends[place]]


def test_a_space_at_the_beginning_is_no_other_text() -> None:
    """Tokenizers with spaces before words drop the first one when they decode from the very beginning."""
    sampled = ids_of(PIECES, "a The digits")[1:]
    end = ids_of(PIECES, "</s>")
    assert spelling(PIECES, Response(" The digits", 0, "stop", 0, (*sampled, *end)))[0] == sampled
    glued = ids_of(PIECES, "a\nThe digits")[2:]
    assert spelling(PIECES, Response("The digits", 0, "stop", 0, (*glued, *end)))[0] == glued


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Final answer: 3", "Final answer: 3\nQuestion:"),  # cut at a text of sampling.stop
        ("Final answer: 3", ""),  # not kept
        ("Final answer: 3", "Another one"),
    ],
)
def test_other_tokens_than_the_texts_are_made_again(text: str, said: str) -> None:
    spelled, ends = spelling(BYTES, Response(text, 0, "stop", 0, ids_of(BYTES, said)))
    assert spelled == ids_of(BYTES, text)
    assert ends[-1] == len(text)


def test_special_tokens_that_were_left_out_are_still_there() -> None:
    end = ids_of(BYTES, "<|im_end|>")
    special = byte_level(CHATML)
    special.add_special_tokens({"additional_special_tokens": ["<think>"]})
    sampled = (*ids_of(special, "<think>"), *ids_of(special, "3"))
    assert spelling(special, Response("3", 0, "stop", 0, (*sampled, *end)))[0] == sampled
    assert spelling(special, Response("<think>3", 0, "stop", 0, (*sampled, *end)))[0] == sampled


def test_a_vocabulary_is_known_by_its_hash() -> None:
    assert tokenizer_sha256(BYTES) == tokenizer_sha256(byte_level(None)) != tokenizer_sha256(PIECES)
    more = byte_level(CHATML)
    more.add_tokens(["<another>"])
    assert tokenizer_sha256(more) != tokenizer_sha256(BYTES)
