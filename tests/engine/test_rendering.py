"""What vLLM is shown: the renderer of the real vLLM, without an engine, and chat formats of other families."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoProcessor

from mmpr.config import ChatSpec
from mmpr.config.chat import DEFAULT_CHAT
from mmpr.engine import Request
from mmpr.engine.vllm_engine import engine_args, render
from mmpr.errors import RowError
from mmpr.prompts import blind, to_messages
from mmpr.schema import Turn
from mmpr.train.data.encoding import Encoder
from mmpr.train.rows import TrainRow
from tests.engine.demo_models import DEMO, demo_model, png, recipe_of

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(180)]

PARTS = (
    "{% for m in messages %}USER: {% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %} ASSISTANT:"
)
"""As LLaVA-1.5's: it writes no token that begins a sequence."""

STRING = "{% for m in messages %}USER: {{ m['content'] }}{% endfor %} ASSISTANT:"
"""As InternVL2's: content is plain text."""

Render = Callable[..., list[int]]


@pytest.fixture(scope="module")
def rendered() -> Callable[[Path], tuple[Any, Render]]:
    """Gives a model's tokenizer, and a function from a request to token ids."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.renderers import renderer_from_config

    def of(model: Path, **args: Any) -> tuple[Any, Render]:
        config = AsyncEngineArgs(**engine_args(recipe_of(model, **args), str(model))).create_engine_config()
        renderer = renderer_from_config(config)

        def ids(
            prompt: str,
            pictures: int = 0,
            prefix: str = "",
            chat: ChatSpec = DEFAULT_CHAT,
            context: tuple[Turn, ...] = (),
        ) -> list[int]:
            kept = tuple(renderer.get_tokenizer()(prefix, add_special_tokens=False)["input_ids"])
            request = Request(prompt, pngs(pictures), 1, 0, prefix, kept, context=context)
            return list(asyncio.run(render(renderer, request, chat))["prompt_token_ids"])

        return renderer.get_tokenizer(), ids

    return of


def pngs(count: int) -> tuple[bytes, ...]:
    return tuple(png(colour) for colour in ("red", "blue", "green")[:count])


def words(tokenizer: Any, ids: list[int]) -> str:
    """Token ids as text, the tokens of a picture as one."""
    picture = r"(?:<fake_token_around_image><global-img>)?(?:<image>)+(?:<fake_token_around_image>)?"
    return re.sub(picture, "(PICTURE)", tokenizer.decode(ids))


@pytest.mark.parametrize(
    ("template", "adds"),
    [
        pytest.param("{{ bos_token }}" + PARTS, True, id="written-and-added"),  # Gemma 3, Mistral 3, LLaVA-NeXT
        pytest.param(PARTS, True, id="added"),  # LLaVA-1.5
        pytest.param("{{ bos_token }}" + PARTS, False, id="written"),  # Qwen
    ],
)
def test_a_sequence_begins_once(template: str, adds: bool, rendered: Any, tmp_path: Path) -> None:
    tokenizer, ids = rendered(demo_model(tmp_path / "model", template, begins="<s>", adds=adds))
    assert (tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id) == adds
    for prompt, pictures, prefix, said in (
        ("What is 1 + 2?", 0, "", "USER: What is 1 + 2? ASSISTANT:"),
        ("What is 1 + 2?", 0, " It is", "USER: What is 1 + 2? ASSISTANT: It is"),
        ("<image>\nWhat?", 1, "", "USER: (PICTURE)What? ASSISTANT:"),
    ):
        made = ids(prompt, pictures, prefix)
        assert words(tokenizer, made) == f"<s>{said}"
        assert made.count(tokenizer.bos_token_id) == 1


def test_a_template_and_a_tokenizer_without_a_beginning_get_none(rendered: Any, tmp_path: Path) -> None:
    tokenizer, ids = rendered(demo_model(tmp_path / "model", PARTS))
    assert words(tokenizer, ids("What is 1 + 2?")) == "USER: What is 1 + 2? ASSISTANT:"


@pytest.mark.parametrize(
    ("prompt", "pictures", "said"),
    [
        ("<image>\nWhat?", 1, "(PICTURE)\nWhat?"),
        ("<image><image>\nWhich?", 2, "(PICTURE)\n(PICTURE)\nWhich?"),
        ("Is <image> larger than <image>?", 2, "Is \n(PICTURE)\n larger than \n(PICTURE)\n?"),
        ("Look: <image>", 1, "Look: \n(PICTURE)"),
        ("No picture\nat all?", 0, "No picture\nat all?"),
    ],
)
def test_pictures_stay_where_they_are_in_templates_of_plain_text(
    prompt: str, pictures: int, said: str, rendered: Any, tmp_path: Path
) -> None:
    tokenizer, ids = rendered(demo_model(tmp_path / "model", STRING))
    assert words(tokenizer, ids(prompt, pictures)) == f"USER: {said} ASSISTANT:"


def test_the_recipe_may_have_pictures_moved_to_the_front(rendered: Any, tmp_path: Path) -> None:
    tokenizer, ids = rendered(demo_model(tmp_path / "model", STRING), interleave_mm_strings=False)
    assert words(tokenizer, ids("Look: <image>", 1)) == "USER: (PICTURE)\nLook:  ASSISTANT:"


THINKS = (
    "{% for m in messages %}{{ m['role'] }}: {% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for part in m['content'] %}{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<end_of_utterance>{% endfor %}{% if add_generation_prompt %}assistant: "
    "{% if enable_thinking %}Let me see.{% endif %}{% endif %}"
)


@pytest.mark.parametrize(
    ("chat", "said"),
    [
        (ChatSpec(), "user: {}<end_of_utterance>assistant: "),
        (ChatSpec(template_kwargs={"enable_thinking": True}), "user: {}<end_of_utterance>assistant: Let me see."),
        (
            ChatSpec(system="Look well."),
            "system: Look well.<end_of_utterance>user: {}<end_of_utterance>assistant: ",
        ),
        (ChatSpec(template=PARTS), "USER: {} ASSISTANT:"),
    ],
)
@pytest.mark.parametrize(("prompt", "pictures"), [("What is 1 + 2?", 0), ("<image>\nWhich of <image>?", 2)])
def test_settings_of_the_chat_format_mean_the_same_in_training(
    chat: ChatSpec, said: str, prompt: str, pictures: int, rendered: Any, tmp_path: Path
) -> None:
    model = demo_model(tmp_path / "model", THINKS)
    tokenizer, ids = rendered(model)
    made = ids(prompt, pictures, chat=chat)
    shown = prompt.replace("<image>\n", "<image>").replace("<image>", "(PICTURE)")
    assert words(tokenizer, made) == said.format(shown)
    encoder = Encoder(AutoProcessor.from_pretrained(model), AutoConfig.from_pretrained(model), chat=chat)
    row = TrainRow("r", "s", pngs(pictures), tuple(to_messages(prompt, chat.system)), (), ())
    assert encoder.encode_prompt(row)[0] == made


TALK = (
    Turn("system", "Be brief."),
    Turn("user", "<image>\nHow many?"),
    Turn("assistant", "Three."),
    Turn("user", "Say <image>"),
    Turn("assistant", "A digit."),
)


@pytest.mark.parametrize("template", ["", THINKS, PARTS, "{{ bos_token }}" + PARTS])
@pytest.mark.parametrize("system", ["", "Look well."])
@pytest.mark.parametrize("pictures", [0, 3])
def test_turns_mean_the_same_in_training(
    template: str, system: str, pictures: int, rendered: Any, tmp_path: Path
) -> None:
    model = demo_model(tmp_path / "model", template, begins="<s>" if "bos_token" in template else "")
    tokenizer, ids = rendered(model)
    prompt, context = ("And <image>?", TALK) if pictures else ("And now?", blind(TALK))
    chat = ChatSpec(system=system)
    made = ids(prompt, pictures, chat=chat, context=context)
    said = words(tokenizer, made)
    marked = ["(PICTURE)How many?", "Say (PICTURE)", "And (PICTURE)?"] if pictures else ["How many?", "Say", "And now?"]
    told = f"{system}\n\nBe brief." if system else "Be brief."
    places = [said.index(text) for text in (told, marked[0], "Three.", marked[1], "A digit.", marked[2])]
    assert places == sorted(places)
    encoder = Encoder(AutoProcessor.from_pretrained(model), AutoConfig.from_pretrained(model), chat=chat)
    row = TrainRow("r", "s", pngs(pictures), tuple(to_messages(prompt, system, context)), (), ())
    assert encoder.encode_prompt(row)[0] == made


PRINTS = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}BOT: {{ m['content'] }}{% else %}USER: "
    "{% for part in m['content'] %}{{ part['text'] }}{% endfor %}{% endif %}{% endfor %} ASSISTANT:"
)


def test_turns_that_a_template_prints_as_a_list_are_refused_on_both_sides(rendered: Any, tmp_path: Path) -> None:
    model = demo_model(tmp_path / "model", PRINTS)
    tokenizer, ids = rendered(model)
    assert words(tokenizer, ids("And now?")) == "USER: And now? ASSISTANT:"
    told = "prints the parts of the assistant message as a Python list"
    with pytest.raises(RowError, match=told):
        ids("And now?", context=blind(TALK))
    encoder = Encoder(AutoProcessor.from_pretrained(model), AutoConfig.from_pretrained(model))
    row = TrainRow("r", "s", (), tuple(to_messages("And now?", "", blind(TALK))), (), ())
    with pytest.raises(RowError, match=told):
        encoder.encode_prompt(row)


HEAD, PICTURE, TAIL = [1, 58, 88, 270, 31, 204], [3, 5, *[4] * 16, 3], [36, 2, 204, 38, 88, 88, 516, 324, 89, 31, 204]


@pytest.mark.parametrize(
    ("prompt", "pictures", "prefix", "made"),
    [
        ("What is 1 + 2?", 0, "", [*HEAD, 402, 273, 226, 22, 493, 226, 23, *TAIL]),
        ("<image>\nWhich digit?", 1, " It", [*HEAD, *PICTURE, 491, 286, *TAIL, 454]),
        ("Is <image> larger than <image>?", 2, "", [*HEAD, 612, 226, *PICTURE, 416, 398, 226, *PICTURE, *TAIL]),
    ],
)
def test_the_demo_models_token_ids_are_as_ever(
    prompt: str, pictures: int, prefix: str, made: list[int], rendered: Any
) -> None:
    """As recorded before beginnings and the places of pictures were mended for other models."""
    _, ids = rendered(DEMO)
    assert ids(prompt, pictures, prefix) == made
