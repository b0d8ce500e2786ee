"""Makes docs/settings.md of the settings: ``python docs/settings_page.py``; ``--check`` tells whether it is old."""

from __future__ import annotations

import json
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from mmpr.config import Recipe, SourceSpec
from mmpr.config.settings import parts_of
from mmpr.templates import TemplateFile
from mmpr.train.recipe import TrainRecipe

PAGE = Path(__file__).with_name("settings.md")
HEAD = """# Settings

All settings of recipes, with their defaults. This page is made of the code (`python docs/settings_page.py`; `make docs`
checks that it is current). On the command line each is `place=value`: `sampling.samples=8`,
`sources.NAME.rule=relaxed`, `optimizer.learning_rate=1e-6`.
"""


def page() -> str:
    """The text of the page."""
    lines = [HEAD, "# A build: `mmpr build RECIPE`\n", *_part(Recipe, "")]
    lines += ["# Sources: entries of `sources` and `heldout`\n", *_sources()]
    lines += ["# A template: a file such as `./mine.yaml`\n", *_part(TemplateFile, "")]
    lines += ["# A training run: `mmpr train RECIPE`\n", *_part(TrainRecipe, "")]
    return "\n".join(lines).replace("\n# ", "\n## ")


def _part(kind: type[BaseModel], place: str, without: frozenset[str] = frozenset()) -> Iterator[str]:
    """A table of a part's settings, then the parts within it."""
    yield f"{_words(kind)}\n"
    fields = {
        name: field
        for name, field in kind.model_fields.items()
        if not field.exclude and name not in ("sources", "heldout")
    }
    plain = {name: field for name, field in fields.items() if not parts_of(field.annotation) and name not in without}
    if plain:
        yield "| setting | value | default | |\n|---|---|---|---|"
        for name, field in plain.items():
            value = _escaped(f"{_type(field.annotation)}{_bounds(field.metadata)}")
            yield f"| `{place}{name}` | {value} | {_default(field)} | {_escaped(field.description or '')} |"
        yield ""
    for name, field in fields.items():
        for part in parts_of(field.annotation) if name not in without else ():
            many = get_origin(field.annotation) is tuple
            yield f"### `{place}{name}`{', a list' if many else ''}\n"
            yield from _part(part, f"{place}{name}.{'0.' if many else ''}")


def _sources() -> Iterator[str]:
    kinds = parts_of(SourceSpec)
    common = frozenset.intersection(*(frozenset(kind.model_fields) for kind in kinds)) - {"type"}
    base = next(one for one in kinds[0].__mro__ if issubclass(one, BaseModel) and set(one.model_fields) == common)
    yield "### Every source\n"
    yield from _part(base, "")
    for kind in kinds:
        types_ = ", ".join(f"`{name}`" for name in get_args(kind.model_fields["type"].annotation))
        yield f"### `type`: {types_}\n"
        yield from _part(kind, "", without=common | {"type"})


def _words(kind: type[BaseModel]) -> str:
    """The docstring, in Markdown; none of a base class without one."""
    return re.sub(r"``", "`", " ".join((kind.__dict__.get("__doc__") or "").split()))


def _type(annotation: Any) -> str:
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inside)
    if origin in (Union, types.UnionType):
        return " or ".join("none" if one is type(None) else _type(one) for one in inside)
    if origin is tuple:
        return f"list of {_type(inside[0])}" if inside[-1] is Ellipsis else ", ".join(map(_type, inside))
    if origin is dict:
        return "mapping"
    if origin is not None and inside:
        return _type(inside[0])  # with a validator
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return names.get(annotation, "anything")


def _bounds(metadata: list[Any]) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [f"{sign} {getattr(one, name):g}" for one in metadata for name, sign in signs.items() if hasattr(one, name)]
    return f" {', '.join(found)}" if found else ""


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if value in ((), {}, None):
        return "none"
    return f"`{json.dumps(value)}`"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Write the page, or with ``--check`` compare it; returns the exit status."""
    text = page()
    if sys.argv[1:] != ["--check"]:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") == text:
        return 0
    print("docs/settings.md is not what the code says; run: python docs/settings_page.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
