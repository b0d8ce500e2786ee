"""What Arrow's schemas and values mean: columns and their fields, numbers as written, the classes of ``datasets``."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from mmpr.errors import RowError
from mmpr.sources.jsonl import parse_object
from mmpr.sources.values import Number

READ_ERRORS = (pa.ArrowException, OSError, ValueError, LookupError, OverflowError, TypeError, MemoryError)
"""What comes of reading a table that is damaged, or does not fit into the memory that a reader may take."""

_MOST_METADATA = 4 << 20


def names_in(schema: pa.Schema) -> set[str]:
    """The names of the columns, and of the fields in them (``column.field``)."""
    found = set(schema.names)
    for field in schema:
        kind = field.type.value_type if is_list(field.type) else field.type
        if pa.types.is_struct(kind):
            found |= {f"{field.name}.{part.name}" for part in kind}
    return found


class HasColumn:
    """Whether a schema has a column, or a field of a column by its dotted name."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema

    def __call__(self, name: str) -> bool:
        """Whether it has that column or field."""
        if name in self._schema.names:
            return True
        fields: Any = self._schema
        for part in name.split("."):
            if isinstance(fields, pa.DataType) and is_list(fields):
                fields = fields.value_type
            place = fields.get_field_index(part) if isinstance(fields, pa.Schema | pa.StructType) else -1
            if place < 0:
                return False
            fields = fields.field(place).type
        return True


def is_list(kind: pa.DataType) -> bool:
    """Whether a type is one of Arrow's lists."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def as_written(kind: pa.DataType, classes: Any) -> Callable[[Any], Any] | None:
    """What gives a value of Arrow, at any depth, as who wrote it knows it; None where that is what ``to_pylist`` gives.

    0.1 in 32 bits is 0.1 to whoever wrote it, and 0.10000000149 as a Python float. A number of ``datasets``'s
    ``ClassLabel`` is the name of a class; ``classes`` are the features of ``datasets`` for the value.
    """
    if pa.types.is_dictionary(kind):
        return as_written(kind.value_type, classes)
    if pa.types.is_float16(kind) or pa.types.is_float32(kind):
        number = np.dtype(kind.to_pandas_dtype()).type
        return lambda value: value if value is None or not math.isfinite(value) else Number(number(value))
    if pa.types.is_integer(kind):
        names = classes.get("names") if isinstance(classes, Mapping) and classes.get("_type") == "ClassLabel" else None
        if not isinstance(names, list) or not all(type(name) is str for name in names):
            return None
        return lambda value: names[value] if value is not None and 0 <= value < len(names) else None
    if is_list(kind):
        item = as_written(kind.value_type, _item_feature(classes))
        return item and (lambda value: value if value is None else [item(part) for part in value])
    if pa.types.is_struct(kind):
        below = classes if isinstance(classes, Mapping) else {}
        parts = {part.name: change for part in kind if (change := as_written(part.type, below.get(part.name)))}
        if not parts:
            return None
        return lambda value: (
            value if value is None else {k: parts[k](part) if k in parts else part for k, part in value.items()}
        )
    return None


def _item_feature(feature: Any) -> Any:
    """The feature of a list's items, as ``datasets`` has written it in one version or another."""
    if isinstance(feature, list):
        return feature[0] if len(feature) == 1 else None
    return feature.get("feature") if isinstance(feature, Mapping) else None


@functools.lru_cache(maxsize=16)
def features_of(text: bytes) -> Mapping[str, Any]:
    """The features that ``datasets`` has written beside a table, by column; none where it has not."""
    if not 0 < len(text) <= _MOST_METADATA:
        return {}
    try:
        features = parse_object(text)["info"]["features"]
    except (RowError, LookupError, TypeError):
        return {}
    return features if isinstance(features, Mapping) else {}
