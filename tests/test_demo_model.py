"""The committed demo model: stock transformers loads it, it sees, reasons and fails as its README says."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from mmpr.answers import extract, match
from mmpr.prompts import to_messages
from mmpr.sources.digits import Digits
from mmpr.templates import load_template
from tests.helpers import known

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parent.parent / "data" / "demo_model"
TEMPLATES = ("en", "zh", "en_v2", "zh_v2", "en_r1", "zh_r1", "plain")


@pytest.fixture(scope="module")
def processor():
    return AutoProcessor.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def model():
    return AutoModelForImageTextToText.from_pretrained(FOLDER, dtype=torch.float32).eval()


def chat(processor, prompt):
    return processor.apply_chat_template(to_messages(prompt), add_generation_prompt=True, tokenize=False)


def generate(model, processor, prompts, pictures, **sampling):
    images = [[Image.open(io.BytesIO(data))] for data in pictures] if pictures else None
    inputs = processor(
        text=[chat(processor, prompt) for prompt in prompts], images=images, return_tensors="pt", padding=True
    )
    with torch.inference_mode():
        outputs = model.generate(**inputs, max_new_tokens=96, **sampling)
    return processor.batch_decode(outputs[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def test_weights_fit_and_are_plain_safetensors():
    files = [path for path in FOLDER.iterdir() if path.suffix not in (".json", ".jinja")]
    assert [path.name for path in files] == ["model.safetensors"]
    assert files[0].stat().st_size <= 12_000_000
    assert not list(FOLDER.glob("*.py"))
    assert "auto_map" not in (FOLDER / "config.json").read_text("utf-8")


def test_end_and_padding_are_set(model, processor):
    tokenizer = processor.tokenizer
    for config in (model.generation_config, model.config.text_config):
        assert config.eos_token_id == tokenizer.eos_token_id == tokenizer.convert_tokens_to_ids("<end_of_utterance>")
        assert config.pad_token_id == tokenizer.pad_token_id != tokenizer.eos_token_id
    assert model.config.text_config.max_position_embeddings >= 512
    assert model.config.image_token_id == processor.image_token_id


@settings(max_examples=300)
@given(st.text())
def test_any_text_survives_the_tokenizer(text):
    tokenizer = _tokenizer()
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize(
    "text", ["答案: 7", "Größe 🙂\u200d\u0000\ttab\r\n", "  two  spaces  ", "<image>", "1234567890"]
)
def test_awkward_texts_survive_the_tokenizer(text):
    tokenizer = _tokenizer()
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_every_digit_is_a_piece_of_its_own():
    tokenizer = _tokenizer()
    pieces = [tokenizer.decode([piece]) for piece in tokenizer.encode("31 + 8 = 39, 2026!")]
    assert [piece for piece in pieces if any(map(str.isdigit, piece))] == list("318392026")


_loaded: list[Any] = []


def _tokenizer():
    if not _loaded:
        _loaded.append(AutoProcessor.from_pretrained(FOLDER).tokenizer)
    return _loaded[0]


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_is_short_and_has_its_picture(processor, template):
    source = Digits("heldout", 1, kinds=["choice"])
    row = next(source.rows())
    text = chat(processor, load_template(template).render(row.question))
    picture = Image.open(io.BytesIO(source.load(row.images[0])))
    ids = processor(text=[text], images=[[picture]], return_tensors="pt")["input_ids"][0].tolist()
    assert ids.count(processor.image_token_id) == 16
    assert len(ids) <= 512
    assert text.endswith("Assistant:\n")


def test_an_answer_follows_its_prompt_token_by_token(processor):
    """What a trainer encodes in one piece is what an engine generates after the prompt."""
    tokenizer = processor.tokenizer
    messages = to_messages("How many?")
    prompt = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    answered = [*messages, {"role": "assistant", "content": "There are two digits.\nFinal answer: 2"}]
    whole = processor.apply_chat_template(answered, tokenize=False)
    assert whole == prompt + "There are two digits.\nFinal answer: 2<end_of_utterance>\n"
    head = tokenizer.encode(prompt)
    assert tokenizer.encode(whole)[: len(head)] == head


def test_it_reasons_and_is_fallible(model, processor):
    source = Digits("heldout", 60, seed=7)
    rows = list(source.rows())
    prompts = [load_template("en").render(row.question) for row in rows]
    texts = generate(model, processor, prompts, [source.load(row.images[0]) for row in rows])
    assert sum("\nFinal answer: " in text for text in texts) >= 57
    verdicts = [
        match(extract(text, "en") or "", known(row.answer), choices=row.choices or None)
        for row, text in zip(rows, texts, strict=True)
    ]
    right = sum(verdict.status == "correct" for verdict in verdicts)
    # 45 % to 75 % on many questions; on sixty, give or take two standard deviations.
    assert 0.33 * len(rows) <= right <= 0.87 * len(rows)


def test_it_describes_what_it_sees(model, processor):
    source = Digits("heldout", 20, kinds=["describe"])
    rows = list(source.rows())
    prompts = [load_template("plain").render(row.question) for row in rows]
    texts = generate(model, processor, prompts, [source.load(row.images[0]) for row in rows])
    named = 0
    for row, text in zip(rows, texts, strict=True):
        digits = json.loads(row.meta)["digits"]
        assert text.count(".") >= 2
        named += all(str(digit) in text for digit in digits)
    assert named >= 12


def test_it_answers_without_a_picture(model, processor):
    prompt = load_template("en").render("Given are the digits 3 and 4. What is the sum of the digits?")
    (text,) = generate(model, processor, [prompt], None)
    assert extract(text, "en") == "7"
