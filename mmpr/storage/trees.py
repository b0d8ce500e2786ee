"""JSON trees: dataclasses as JSON, objects read from files, and what differs between two trees of settings."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any


def as_json(value: Any, without: Collection[str] = ()) -> Any:
    """A dataclass as a tree for ``json.dumps``: objects in the order of their fields, tuples as lists.

    Fields named in ``without`` are left out at every depth.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in dataclasses.fields(value) if field.name not in without)
        return {name: as_json(getattr(value, name), without) for name in names}
    return [as_json(item, without) for item in value] if isinstance(value, tuple) else value


def read_object(path: Path, keys: Collection[str] = ()) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ValueError: the file holds no JSON object, or one that lacks one of the keys.
        OSError: it cannot be read.
    """
    tree = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(tree, dict) or any(key not in tree for key in keys):
        raise ValueError("it is of another format")
    return tree


def leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The settings of a tree by dotted name (``sampling.seed``).

    Objects in a list go by their ``name``, or by their position; a list of anything else is one setting.
    """
    if isinstance(tree, Mapping):
        parts = [(str(key), part) for key, part in tree.items()]
    elif isinstance(tree, list) and any(isinstance(part, Mapping) for part in tree):
        parts = [
            (str(part.get("name", place) if isinstance(part, Mapping) else place), part)
            for place, part in enumerate(tree)
        ]
    else:
        yield name, tree
        return
    for key, part in parts:
        yield from leaves(part, f"{name}.{key}" if name else key)


def differing_settings(
    one: Any, other: Any, write: Callable[[Any], str] = str
) -> Iterator[tuple[str, str | None, str | None]]:
    """Settings that differ between two trees, sorted: dotted name and both values as ``write`` writes them.

    A value is None where a tree does not have the setting.
    """
    ours, theirs = ({name: write(value) for name, value in leaves(tree)} for tree in (one, other))
    for name in sorted({*ours, *theirs}):
        if ours.get(name) != theirs.get(name):
            yield name, ours.get(name), theirs.get(name)
