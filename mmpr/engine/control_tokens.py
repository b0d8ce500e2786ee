"""Control tokens: what a model's tokenizer reads as a mark of its own wherever it stands, also in a question.

A question about a chat template may hold ``<|im_start|>``. The model would see its question end there, or a picture
that is not there, as if the chat template had said so. Such questions are dropped (``control_tokens``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from mmpr.errors import RowError
from mmpr.schema import IMAGE_MARK

ROLES = ("bos", "eos", "pad", "unk")
"""What the tokens of a sequence are called that are no words, as a tokenizer's settings name them."""

_OF_PICTURES = re.compile(r"image|img|video|vision|audio|row_\d+_col", re.IGNORECASE)
_OF_REASONING = re.compile(r"think", re.IGNORECASE)


def control_tokens(special: Iterable[str], roles: Collection[str | None], template: str) -> frozenset[str]:
    """Of a tokenizer's special tokens those that steer a conversation.

    They begin, end or pad a sequence, part the turns, or stand for pictures. Others, such as ``<ref>`` and ``<box>``,
    are words: questions may hold them, and so may they ``<think>``, of which prompts speak.

    Args:
        special: all special tokens, as text.
        roles: the tokens of ``ROLES``; None where there is none.
        template: the chat template.
    """
    return frozenset(
        token
        for token in special
        if not _OF_REASONING.search(token) and (token in roles or token in template or _OF_PICTURES.search(token))
    )


def is_plain(prompt: str, tokens: Iterable[str]) -> bool:
    """Whether a prompt holds none of the control tokens, besides the marks of its pictures."""
    return not _found(prompt, tokens)


def check_prompt(prompt: str, tokens: Iterable[str]) -> None:
    """Refuse a prompt that holds a control token besides the marks of its pictures.

    Raises:
        RowError: control_tokens.
    """
    if found := _found(prompt, tokens):
        raise RowError("control_tokens", f"holds {', '.join(found)}, which the model reads as marks of its own")


def _found(prompt: str, tokens: Iterable[str]) -> list[str]:
    text = prompt.replace(IMAGE_MARK, "\n")
    return sorted(token for token in tokens if token in text)
