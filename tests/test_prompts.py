from typing import Any

import pytest

from mmpr.config import OptionsSpec
from mmpr.errors import MmprError
from mmpr.prompts import Template, prints_parts, strip_short_answer, to_messages, without_images
from mmpr.resources import PROMPTS
from mmpr.templates import load_template

EN = Template("en", "Reason first.\n\nQuestion:\n\n{question}\n")


@pytest.mark.parametrize(
    ("question", "kept"),
    [
        ("What is it? Answer the question using a single word or phrase.", "What is it?"),
        ("What is it?\nAnswer the question using a single word or phrase.", "What is it?"),
        ("A. 1\nB. 2\nAnswer with the option's letter from the given choices directly.", "A. 1\nB. 2"),
        ("A. 1\nB. 2\nAnswer with the option letter from the given choices directly", "A. 1\nB. 2"),
        ("Is it red? Please answer Yes or No.", "Is it red?"),
        ("Is it red?\nAnswer yes or no.", "Is it red?"),
        ("图中有几个人？请用一个单词或短语回答问题。", "图中有几个人？"),
        ("这是什么？\n请回答是或否。", "这是什么？"),
        # what only looks like one stays
        (
            "Which sign says: please answer yes or no to the guard?",
            "Which sign says: please answer yes or no to the guard?",
        ),
        ("What does he answer with the letter?", "What does he answer with the letter?"),
        ("Name the colour.", "Name the colour."),
        ("", ""),
    ],
)
def test_short_answer_instructions_go(question: str, kept: str) -> None:
    assert strip_short_answer(question) == kept


@pytest.mark.parametrize(
    ("question", "prompt"),
    [
        ("<image>\nHow many?", "<image>\nReason first.\n\nQuestion:\n\nHow many?"),
        ("<image>\n<image>\nSame?", "<image><image>\nReason first.\n\nQuestion:\n\nSame?"),
        ("Is <image> like <image>?", "Reason first.\n\nQuestion:\n\nIs <image> like <image>?"),
        ("<image>\nReason first.\n\nQuestion:\n\nHow many?", "<image>\nReason first.\n\nQuestion:\n\nHow many?"),
        ("{question.__class__}{0}%s$HOME", "Reason first.\n\nQuestion:\n\n{question.__class__}{0}%s$HOME"),
        ("2 + 2?", "Reason first.\n\nQuestion:\n\n2 + 2?"),
        ("Set {question} {0} {x!r}?", "Reason first.\n\nQuestion:\n\nSet {question} {0} {x!r}?"),
    ],
)
def test_render(question: str, prompt: str) -> None:
    assert EN.render(question) == prompt


def test_a_template_is_text_and_no_format_string() -> None:
    tricks = "{0} {question.__class__} {x!r:>999999999} %s $HOME {{}} "
    assert Template("t", tricks + "{question}").render("q") == tricks + "q"


def test_plain_changes_nothing() -> None:
    question = "<image>\nDescribe it. Answer yes or no."
    assert Template("plain", "{question}\n").render(question) == question


@pytest.mark.parametrize(
    ("prompt", "content"),
    [
        ("<image>\nHow many?", [{"type": "image"}, {"type": "text", "text": "How many?"}]),
        ("<image><image>\nHi", [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "Hi"}]),
        ("a <image> b", [{"type": "text", "text": "a "}, {"type": "image"}, {"type": "text", "text": " b"}]),
        ("only words", [{"type": "text", "text": "only words"}]),
        ("<image>", [{"type": "image"}]),
    ],
)
def test_to_messages(prompt: str, content: list[object]) -> None:
    assert to_messages(prompt) == [{"role": "user", "content": content}]
    assert sum(part["type"] == "image" for part in to_messages(without_images(prompt))[0]["content"]) == 0


@pytest.mark.parametrize("name", ["en", "zh", "en_v2", "zh_v2", "en_r1", "zh_r1", "plain"])
def test_the_papers_templates_load(name: str) -> None:
    template = load_template(name)
    assert template.render("<image>\nHow many?").startswith("<image>\n")
    assert "How many?" in template.render("<image>\nHow many?")


@pytest.mark.parametrize("name", ["en", "en_v2", "en_r1"])
def test_reasoning_templates_ask_for_the_form_that_extract_reads(name: str) -> None:
    text = load_template(name).text
    assert ("Final answer:" in text) == (name == "en")
    assert ("\\boxed{" in text) == (name != "en")
    assert ("<think>" in text) == (name == "en_r1")


def test_a_template_of_ones_own(tmp_path) -> None:
    (tmp_path / "mine.txt").write_text("Q: {question}")
    assert load_template("./mine.txt", tmp_path).render("x") == "Q: x"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("nope", None, "there are direct, en"),
        ("../../etc/passwd", None, "No such file"),
        ("a/b", None, "name one of"),
        ("./a\0b", None, "null byte"),
        ("./none.txt", "no field", "exactly once"),
        ("./tricks.txt", "{question.__class__} {question!r} {0}", "exactly once"),
        ("./two.txt", "{question} {question}", "exactly once"),
        ("./choices.txt", "{question} {choices} {choices}", "2 times"),
        ("./picture.txt", "<image> {question}", "must not hold <image>"),
        ("./bytes.txt", b"\xff\xfe {question}", "not UTF-8"),
        ("./huge.txt", "{question}" + "x" * 200_000, "larger than"),
    ],
)
def test_wrong_templates(tmp_path, name: str, text: str | bytes | None, message: str) -> None:
    if text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(MmprError, match=message):
        load_template(name, tmp_path)


def test_the_folder_is_the_repositorys() -> None:
    assert PROMPTS.is_dir()


BLOCK = {"layout": "({letter}) {text};", "letters": "a"}
INLINE = {"layout": "{text} = {letter}", "separator": " / "}


@pytest.mark.parametrize(
    ("text", "settings", "prompt"),
    [
        ("Q: {question}\n{choices}\nThink.", {}, "Q: Which?\nA. left\nB. {question}\nThink."),
        ("{choices}\n{question}", BLOCK, "(a) left;\n(b) {question};\nWhich?"),
        ("{question} [{choices}]", INLINE, "Which? [left = A / {question} = B]"),
        ("{question}", {}, "Which?"),
    ],
)
def test_options_are_shown_as_the_recipe_says(text: str, settings: dict[str, Any], prompt: str) -> None:
    options = OptionsSpec(**settings)
    assert Template("t", text).render("Which?", ("left", "{question}"), options) == prompt
    marked = Template("t", text).render("<image>\nWhich?", ("left", "{question}"), options)
    assert marked == "<image>\n" + prompt


def test_a_question_without_options_has_no_line_for_them() -> None:
    assert Template("t", "Q: {question}\n{choices}\nThink.").render("Which?") == "Q: Which?\nThink."
    assert load_template("en_choices").render("How many?") == load_template("en").render("How many?")


@pytest.mark.parametrize("layout", ["{letter}", "{text}", "{letter} {letter} {text}", ""])
def test_layouts_without_letter_and_text_are_refused(layout: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        OptionsSpec(layout=layout)


def test_a_list_of_parts_in_a_rendered_prompt_is_found() -> None:
    messages = to_messages("<image>\nWhich?", "Be brief.")
    assert prints_parts("<|system|>Be brief.<|user|><image>Which?", messages) == ""
    assert "of the system message as" in prints_parts(f"{messages[0]['content']}<image>Which?", messages)
    both = "".join(str(message["content"]) for message in messages)
    assert "of the system and the user message as" in prints_parts(both, messages)
