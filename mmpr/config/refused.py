"""What no recipe may hold, whatever the setting: secrets, and numbers that nothing can count to."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmpr.errors import RecipeError

_SECRET_NAME = re.compile(
    r"(?i)(?:^(?:(?:hf|hub|api|auth|access|use_auth)_?)?token|secret|password|passwd|api_?key|credentials?)$"
)
_SECRET_VALUE = re.compile(r"\bhf_[A-Za-z0-9]{16,}|://[^/\s:@]*:[^/\s@]+@")
_LONGEST_SECRET = 10_000
_INT64 = 2**63


def refuse_secrets(tree: object, where: str) -> None:
    """Refuse a recipe that holds a token or password, since all of a recipe is written into what it makes.

    Raises:
        RecipeError: naming the settings, and never their values.
    """
    problems = [
        f"{place}: holds a secret, and a recipe is copied into manifests and reports; "
        "set HF_TOKEN in the environment (or `hf auth login`) instead"
        for place, value in _values(tree, "")
        if isinstance(value, str)
        and value
        and (_SECRET_NAME.search(place.rpartition(".")[2]) or _SECRET_VALUE.search(value[:_LONGEST_SECRET]))
    ]
    if problems:
        raise RecipeError(where, problems)


def huge_numbers(tree: object) -> list[str]:
    """Problems of a recipe's whole numbers that no column, seed or counter can hold."""
    return [
        f"{place}: is too large a number"
        for place, value in _values(tree, "")
        if isinstance(value, int) and not -_INT64 <= value < _INT64
    ]


def _values(node: object, place: str) -> Iterator[tuple[str, object]]:
    """The leaves of a tree with their dotted places."""
    if isinstance(node, dict | list):
        for name, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _values(value, f"{place}.{name}" if place else str(name))
    else:
        yield place, node
