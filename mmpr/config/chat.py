"""What stands around a question in a model's chat format: a system prompt, the template and its arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from mmpr.config.settings import Part
from mmpr.config.small_files import read_small

MAX_TEMPLATE_BYTES = 1 << 20

_OURS = (
    *("add_generation_prompt", "continue_final_message", "tokenize"),
    *("chat_template", "messages", "tools", "documents"),
)


class ChatSpec(Part):
    """How a question is put into the model's chat format; the same in sampling, training, evaluation and export.

    ``template`` is a file, or the text of a template itself (it has ``{`` in it). A loaded recipe has the text.
    """

    system: str = Field("", max_length=100_000, description="a system prompt; empty: the template's own, if any")
    template_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="what the chat template takes, such as enable_thinking: false"
    )
    template: str = Field("", description="a file with a chat template (Jinja) in place of the model's")

    @field_validator("template_kwargs")
    @classmethod
    def _are_not_ours(cls, kwargs: dict[str, Any]) -> dict[str, Any]:
        if ours := [name for name in kwargs if name in _OURS]:
            raise ValueError(f"{', '.join(ours)}: is set by mmpr")
        return kwargs

    def identity(self) -> dict[str, Any]:
        """What prompts depend on: the settings that are not the default."""
        return self.model_dump(mode="json", exclude_defaults=True)


DEFAULT_CHAT = ChatSpec()
"""The model's own chat format."""


def with_template_text(chat: ChatSpec, folder: Path) -> ChatSpec:
    """The settings with the text of the template's file, which lies relative to ``folder``.

    Raises:
        ValueError, OSError: the file cannot be read.
    """
    if not chat.template or "{" in chat.template:
        return chat
    return chat.model_copy(update={"template": read_small(folder / chat.template, MAX_TEMPLATE_BYTES).decode("utf-8")})


def unused_kwargs(chat: ChatSpec, template: str) -> list[str]:
    """Which of ``template_kwargs`` a chat template does not mention, so that they would change nothing."""
    return [name for name in chat.template_kwargs if name not in template]
