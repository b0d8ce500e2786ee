"""Tokens of a response: which vocabulary they are of, and which letters of the text each of them spells.

Sampling and training both ask here, so that they agree.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from typing import Any

from mmpr.schema import Response, TokenIds

_RUN = 4
_BEFORE = "a"
"""Text before the tokens that are spelled: many tokenizers drop a space at the very beginning of what they decode."""


def tokenizer_sha256(tokenizer: Any) -> str:
    """64 hex digits, a hash of a tokenizer's vocabulary: equal where the same numbers are the same tokens."""
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: (item[1], item[0]))
    return text_sha256(json.dumps(vocabulary))


def text_sha256(text: str) -> str:
    """64 hex digits, the SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def spelling(tokenizer: Any, response: Response) -> tuple[TokenIds, list[int]]:
    """The tokens that spell a response's text, and where each ends in it (characters, not falling).

    They are those that were sampled, without the one that ended the response. Where these do not spell the text (a
    string of ``sampling.stop`` was cut off it, or they were not kept), they are those that the tokenizer makes of it.
    Tokens that spell parts of one character all end where the character does.
    """
    ids = response.token_ids
    if ids and tokenizer.is_fast:
        for skip in (False, True):
            ends = _decoded_ends(tokenizer, ids, response.text, skip)
            if ends is not None:
                return ids[: len(ends)], ends
    return _encoded(tokenizer, response.text)


def readable(tokenizer: Any, ids: Sequence[int]) -> str:
    """Tokens as text for a person; a run of one token, such as those of a picture, as the token and its number."""
    text, plain = "", list[int]()
    for token, run in itertools.groupby(ids):
        count = len(list(run))
        if count < _RUN:
            plain += [token] * count
            continue
        text += tokenizer.decode(plain) + f"{tokenizer.decode([token])} (x {count})"
        plain = []
    return text + str(tokenizer.decode(plain))


def _decoded_ends(tokenizer: Any, ids: Sequence[int], text: str, skip: bool) -> list[int] | None:
    """Where each token ends in ``text``, of all tokens or of all but the last; None where they do not spell it."""
    from tokenizers.decoders import DecodeStream

    stream = DecodeStream(_ids(tokenizer, _BEFORE), skip_special_tokens=skip)
    ends: list[int] = []
    decoded, waiting = "", 0
    for place, token in enumerate(ids):
        last = place == len(ids) - 1
        if last and not waiting and decoded == text:
            return ends
        waiting += 1
        chunk = stream.step(tokenizer.backend_tokenizer, token)
        if chunk is None:
            continue  # it spells a part of a character
        decoded += chunk
        if not text.startswith(decoded):
            return None
        ends += [len(decoded)] * waiting
        waiting = 0
    return ends if decoded == text and not waiting else None


def _encoded(tokenizer: Any, text: str) -> tuple[TokenIds, list[int]]:
    if tokenizer.is_fast:
        made = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return tuple(made["input_ids"]), [end for _, end in made["offset_mapping"]]
    ids = _ids(tokenizer, text)
    ends, end = [], 0
    for count in range(1, len(ids) + 1):
        begun = tokenizer.decode(ids[:count], clean_up_tokenization_spaces=False)
        end = len(begun) if text.startswith(begun) else end
        ends.append(end)
    return tuple(ids), ends


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
