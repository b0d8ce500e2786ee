"""A memory for functions of a text, which answers and truths ask for again and again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

SHORT = 512
"""Characters: results for longer texts, such as whole responses, are kept only while the same text is worked on."""
_FEW = 8

Function = TypeVar("Function", bound=Callable[..., Any])


def remembered(most: int) -> Callable[[Function], Function]:
    """Keep a function's results, for ``most`` short texts and a few long ones. The text is its last argument."""

    def remember(function: Function) -> Function:
        short, long = functools.lru_cache(most)(function), functools.lru_cache(_FEW)(function)

        @functools.wraps(function)
        def ask(*args: Any) -> Any:
            return (short if len(args[-1]) <= SHORT else long)(*args)

        return cast(Function, ask)

    return remember
