"""Templates of prompts, read from files: a text, or YAML with worked examples.

    prompts/en.txt       {question} once, and perhaps {choices}
    mine.yaml            question: that text;  system: a system prompt;  turns: examples that come before every question

The paper's six texts lie in ``prompts/`` (``en zh en_v2 zh_v2 en_r1 zh_r1``), beside ``plain``, which asks the question
as it is, ``en_choices``, which is ``en`` with the options, and ``en_json``, which asks for the answer as JSON. A build
keeps the templates that it was asked with, so that its held-out questions are asked in the same way.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import Field

from mmpr.config import ImagesSpec, Part, SourceSpec, parse_settings, read_yaml
from mmpr.config.small_files import read_small
from mmpr.errors import MmprError, RecipeError
from mmpr.prompts import Template
from mmpr.resources import PROMPTS
from mmpr.schema import IMAGE_MARK, Turn
from mmpr.storage.images import clean_image
from mmpr.storage.shards import TEMPLATES, write_shard
from mmpr.storage.tables import read_rows

MAX_TEMPLATE_BYTES = 100 << 10
SUFFIXES = (".yaml", ".yml")
"""Of templates that are more than a text."""

_LIMITS = ImagesSpec()
_STORED = "templates.parquet"


class Example(Part):
    """A worked example: what a user asks, with its pictures, and what the assistant answers."""

    user: str = Field(min_length=1, description="the question; <image> says where each picture stands")
    images: tuple[str, ...] = Field((), description="pictures, inside the recipe's folder")
    assistant: str = Field(min_length=1, description="the answer")


class TemplateFile(Part):
    """A template as YAML: the text of the question, and what comes before it."""

    question: str = Field(description="the text with {question} in it, once, and perhaps {choices}")
    system: str = Field("", description="a system prompt, after that of the recipe (chat.system)")
    turns: tuple[Example, ...] = Field((), max_length=64, description="examples that come before every question")


def load_template(name: str, folder: Path = Path(".")) -> Template:
    """A template of ``prompts/`` by name, or a file by its path (``./mine.txt``, ``./mine.yaml``).

    Paths of templates and of their pictures are relative to ``folder``; pictures must lie inside of it.

    Raises:
        MmprError: there is no such template, it does not hold ``{question}`` exactly once, or a picture of it cannot be
            used.
    """
    path = prompt_file(name, folder, PROMPTS)
    if path.suffix in SUFFIXES:
        return _from_yaml(name, path, folder)
    text = read_prompt(name, folder, PROMPTS)
    if problems := list(_text_problems(text)):
        raise MmprError(f"template {path}: {problems[0]}")
    return Template(name, text)


def prompt_file(name: str, folder: Path, ours: Path) -> Path:
    """The file of a prompt: one of the folder ``ours`` by name, or a path (``./mine.txt``) relative to ``folder``.

    Raises:
        MmprError: the name is neither.
    """
    if name.startswith((".", "/")):
        return folder / name
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise MmprError(f"template {name!r}: name one of {_known(ours)}, or a file (./mine.txt)")
    return ours / f"{name}.txt"


def read_prompt(name: str, folder: Path, ours: Path) -> str:
    """The text of a prompt (see ``prompt_file``).

    Raises:
        MmprError: there is no such file, or it is no text.
    """
    path = prompt_file(name, folder, ours)
    try:
        return read_small(path, MAX_TEMPLATE_BYTES).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise MmprError(f"template {path}: is not UTF-8 text") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise MmprError(f"template {name!r}: {reason}; there are {_known(ours)}") from None


def source_template(spec: SourceSpec, name: str, folder: Path) -> Template:
    """``load_template`` for a source of a recipe (MmprError, too, where it shows options and the source has none)."""
    template = load_template(name, folder)
    columns = getattr(spec, "columns", None)
    if template.shows_choices and columns is not None and columns.choices is None:
        raise MmprError(f"source {spec.name!r}: template {name!r} shows options; name their column (columns.choices)")
    return template


def store_templates(out: Path, templates: Mapping[str, Template]) -> None:
    """Put the templates of a build into its folder."""
    write_shard(out / TEMPLATES / _STORED, Template, [templates[name] for name in sorted(templates)], {})


def stored_templates(out: Path) -> dict[str, Template]:
    """The templates of a build by name; none where an earlier version made it.

    Raises:
        OutputError: the file is damaged.
    """
    path = out / TEMPLATES / _STORED
    return {template.name: template for template in read_rows(path, Template)} if path.exists() else {}


def _from_yaml(name: str, path: Path, folder: Path) -> Template:
    where = f"template {path}"
    told = parse_settings(TemplateFile, read_yaml(path), where=where)
    problems = [f"question: {problem}" for problem in _text_problems(told.question)]
    turns = [Turn("system", told.system)] if told.system else []
    images: list[bytes] = []
    if IMAGE_MARK in told.system:
        problems.append(f"system: must not hold {IMAGE_MARK}")
    for number, example in enumerate(told.turns):
        marks, given = example.user.count(IMAGE_MARK), len(example.images)
        if IMAGE_MARK in example.assistant:
            problems.append(f"turns.{number}.assistant: must not hold {IMAGE_MARK}")
        if marks not in (0, given):
            problems.append(f"turns.{number}: {marks} times {IMAGE_MARK} in its question, {given} pictures")
        unmarked = f"{IMAGE_MARK}\n" * given if not marks else ""
        turns += [Turn("user", unmarked + example.user), Turn("assistant", example.assistant)]
        for picture in example.images:
            try:
                images.append(_picture(folder, picture))
            except MmprError as error:
                problems.append(f"turns.{number}.images: {picture!r}: {error}")
    if problems:
        raise RecipeError(where, problems)
    return Template(name, told.question, tuple(turns), tuple(images))


def _picture(folder: Path, name: str) -> bytes:
    """A picture of a template, as sources clean theirs.

    Raises:
        MmprError: it lies outside of the folder, or is no picture.
    """
    try:
        root, path = os.path.realpath(folder), os.path.realpath(folder / name)
        if os.path.commonpath([root, path]) != root:
            raise MmprError("is not inside the recipe's folder")
        data = read_small(Path(path), _LIMITS.max_bytes)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise MmprError(str(getattr(error, "strerror", None) or error)) from None
    return clean_image(data, _LIMITS)


def _text_problems(text: str) -> Iterator[str]:
    if text.count("{question}") != 1:
        yield f"must hold {{question}} exactly once, it holds it {text.count('{question}')} times"
    if text.count("{choices}") > 1:
        yield f"holds {{choices}} {text.count('{choices}')} times, once is enough"
    if IMAGE_MARK in text:
        yield f"must not hold {IMAGE_MARK}; pictures come with the question"


def _known(ours: Path) -> str:
    return ", ".join(sorted(file.stem for file in ours.glob("*.txt")))
