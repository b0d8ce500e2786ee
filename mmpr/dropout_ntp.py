"""Dropout next-token prediction: keep the first half of a response, take the picture away, let the model go on.

What it then writes is not grounded in the picture; prefix and continuation together are the *rejected* response, the
original one is *chosen* (paper, section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence


def keep_prefix(text: str, token_ends: Sequence[int], start_ratio: float) -> str:
    """The first ``start_ratio`` of a response, halved by tokens, so that any language has a half.

    Args:
        text: the response.
        token_ends: for each of its T tokens, where it ends in ``text`` (characters, not falling), from the tokenizer.
        start_ratio: share of the tokens to keep, in [0, 1).

    Returns:
        ``text`` up to the end of token ``floor(T * start_ratio)``; never cuts a character that several tokens spell:
        such a character is left out whole.
    """
    keep = int(len(token_ends) * start_ratio)
    if keep == 0:
        return ""
    end = token_ends[keep - 1]
    # Byte-level tokens that spell one character all claim its end: step back until the character is whole.
    if keep < len(token_ends) and token_ends[keep] == end:
        shorter = [place for place in token_ends[:keep] if place < end]
        end = shorter[-1] if shorter else 0
    return text[:end]
