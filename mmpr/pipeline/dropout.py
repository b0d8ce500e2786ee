"""Dropout next-token prediction: keep the first half of a response, take the picture away, let the model go on.

What it then writes is not grounded in the picture; prefix and continuation together are the *rejected* response, the
original one is *chosen* (paper, section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence


def keep_prefix(text: str, token_ends: Sequence[int], start_ratio: float) -> tuple[str, int]:
    """The first ``start_ratio`` of a response, halved by tokens, so that any language has a half.

    Args:
        text: the response.
        token_ends: for each of its T tokens, where it ends in ``text`` (characters, not falling), from the tokenizer.
        start_ratio: share of the tokens to keep, in [0, 1).

    Returns:
        The prefix and its number of tokens, ``floor(T * start_ratio)`` or a few less: a character that several tokens
        spell is never cut, it is left out whole.
    """
    keep = int(len(token_ends) * start_ratio)
    # Byte-level tokens that spell one character all claim its end: step back until the character is whole.
    while 0 < keep < len(token_ends) and token_ends[keep] == token_ends[keep - 1]:
        keep -= 1
    return (text[: token_ends[keep - 1]], keep) if keep else ("", 0)
