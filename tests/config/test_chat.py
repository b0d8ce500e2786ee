"""Settings of the chat format: read, refused, and no part of the identity of builds that do not set them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmpr.config import ChatSpec, Recipe, parse_recipe
from mmpr.config.chat import unused_kwargs
from mmpr.errors import RecipeError

TREE = {
    "name": "chat",
    "model": {"path": "none"},
    "sources": [{"name": "digits", "type": "digits", "split": "train", "questions": 1}],
}


def recipe(folder: Path, *overrides: str) -> Recipe:
    return parse_recipe(TREE, overrides, folder=folder)


def test_a_template_is_read_once_and_travels_as_text(tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text("{{ messages }}")
    read = recipe(tmp_path, "chat.template=mine.jinja", "chat.system=Look.")
    assert read.chat == ChatSpec(system="Look.", template="{{ messages }}")
    again = parse_recipe(read.as_json())
    assert again.chat == read.chat


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("chat.template=none.jinja", "chat.template: No such file"),
        ("chat.template_kwargs={tokenize: true}", "tokenize: is set by mmpr"),
        ("chat.sytem=x", "chat.sytem"),
    ],
)
def test_wrong_settings_are_told(override: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=told):
        recipe(tmp_path, override)


def test_what_is_not_set_is_not_part_of_a_build() -> None:
    assert ChatSpec().identity() == {}
    assert ChatSpec(template_kwargs={"enable_thinking": False}).identity() == {
        "template_kwargs": {"enable_thinking": False}
    }


def test_arguments_that_a_template_does_not_know() -> None:
    chat = ChatSpec(template_kwargs={"enable_thinking": False, "effort": "low"})
    assert unused_kwargs(chat, "{% if enable_thinking %}<think>{% endif %}") == ["effort"]
