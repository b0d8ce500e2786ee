"""Rows as tensors: what cannot be trained on, pictures in every family, and what content and fingerprint depend on."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import (
    AutoConfig,
    AutoProcessor,
    Idefics3Processor,
    InternVLProcessor,
    LlavaOnevisionProcessor,
    LlavaProcessor,
    ProcessorMixin,
    Qwen2VLProcessor,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmpr.errors import MmprError, RowError
from mmpr.tokens import tokenizer_sha256
from mmpr.train.data.encoding import Encoder, picture_tokens
from mmpr.train.rows import TrainRow
from tests.helpers import REPOSITORY
from tests.train import models as families
from tests.train.data.chat_templates import (
    ANSWERS,
    CHATML,
    INTERNVL,
    LLAMA3,
    LLAVA,
    QWEN2_VL,
    SMOLVLM,
    asks,
    byte_level,
    metaspace,
    picture,
    row,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("responses", "reasons"),
    [
        (("3", "4", "<IMG_CONTEXT>5"), ["image_token_in_response"]),
        (("3", "4", "five<|im_end|>\nsix"), ["end_token_in_response"]),
        (("3", "4", ""), ["empty_response"]),
        (("<IMG_CONTEXT>", "4", "5"), ["image_token_in_response"] * 2),
    ],
)
def test_a_pair_that_cannot_be_trained_on_is_listed(responses: tuple[str, ...], reasons: list[str]) -> None:
    tokenizer = byte_level(INTERNVL)
    config = SimpleNamespace(image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"))
    encoded = Encoder(tokenizer, config).encode(row(responses))
    assert [(reject.id, reject.source, reject.reason) for reject in encoded.rejects] == [("r", "s", r) for r in reasons]
    assert len(encoded.pairs) + len(encoded.rejects) == 2
    assert len(encoded.row.response_ids) == len(responses), "positions stay"


def test_same_tokens_are_no_pair() -> None:
    encoded = Encoder(byte_level(LLAMA3, "<|eot_id|>", "<|begin_of_text|>")).encode(row(("3", "3\n", "4")))
    assert [reject.reason for reject in encoded.rejects] == ["same_tokens"]
    assert encoded.pairs == ((0, 2),)


def test_pictures_for_a_model_of_text_are_refused() -> None:
    with pytest.raises(RowError, match="no_pictures_seen"):
        Encoder(byte_level(INTERNVL)).encode(row(("3", "4"), images=1))
    with pytest.raises(RowError, match="without a place for pictures"):
        Encoder(byte_level(CHATML)).encode(row(("3", "4"), images=1))


# What was sampled is what is trained on.


def sampled(tokenizer: Any, texts: tuple[str, ...], end: str = "<|im_end|>") -> TrainRow:
    """A row of a build whose model has spelled its answers letter by letter, as its tokenizer never would."""
    spelled = [[token for letter in text for token in ids(tokenizer, letter)] for text in texts]
    asked = replace(row(texts), sampled=True, tokenizer_sha256=tokenizer_sha256(tokenizer))
    prompt = Encoder(tokenizer).encode(asked).row.prompt_ids.tolist()
    return replace(
        asked, token_ids=tuple((*own, *ids(tokenizer, end)) for own in spelled), prompt_token_ids=tuple(prompt)
    )


def ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("template", [CHATML, INTERNVL, SMOLVLM])
def test_sampled_tokens_are_trained_on_as_they_are(template: str) -> None:
    tokenizer = byte_level(template)
    asked = sampled(tokenizer, ("I look.\nFinal answer: 3", "答案: 4 🙂"))
    encoded = Encoder(tokenizer).encode(asked)
    assert tuple(tuple(response.tolist()) for response in encoded.row.response_ids) == asked.token_ids
    assert (encoded.as_sampled, encoded.prompt, encoded.pairs) == (2, "equal", ((0, 1),))
    by_text = Encoder(tokenizer).encode(replace(asked, token_ids=()))
    assert by_text.as_sampled == 0
    assert [len(a) > len(b) for a, b in zip(encoded.row.response_ids, by_text.row.response_ids, strict=True)] == [
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("change", "as_sampled", "prompt"),
    [
        ({"tokenizer_sha256": "of another"}, 0, "unknown"),
        ({"token_ids": ((), ())}, 0, "equal"),
        ({"prompt_token_ids": ()}, 2, "unknown"),
        ({"responses": ("I look", "Final answer: 4")}, 1, "equal"),  # its tokens say more: cut at sampling.stop
    ],
)
def test_what_cannot_be_taken_as_sampled_is_made_of_the_text(
    change: dict[str, Any], as_sampled: int, prompt: str
) -> None:
    tokenizer = byte_level(CHATML)
    asked = replace(sampled(tokenizer, ("I look. Final answer: 3", "Final answer: 4")), **change)
    encoded = Encoder(tokenizer).encode(asked)
    assert (encoded.as_sampled, encoded.prompt) == (as_sampled, prompt)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    for text, response in zip(asked.responses, encoded.row.response_ids, strict=True):
        assert tokenizer.decode(response[:-1]) == text
        assert response[-1] == end


def test_a_model_may_end_an_answer_by_another_token_than_the_templates() -> None:
    tokenizer = byte_level(CHATML)
    asked = sampled(tokenizer, ("Three.", "Four."), end="</s>")
    encoded = Encoder(tokenizer).encode(asked)
    assert [response[-1].item() for response in encoded.row.response_ids] == ids(tokenizer, "</s>") * 2
    assert encoded.pairs == ((0, 1),)


def test_another_prompt_than_the_sampled_one_is_an_error_that_shows_both() -> None:
    tokenizer = byte_level(CHATML)
    asked = sampled(tokenizer, ("Three.", "Four."))
    other = byte_level(CHATML.replace("You are a helpful assistant.", "Look well."))
    with pytest.raises(MmprError, match="prompt mismatch") as error:
        Encoder(other).encode(asked)
    told = str(error.value)
    assert "You are a helpful assistant." in told.split("training:")[0]
    assert "Look well." in told.split("training:")[1]
    assert "--allow-prompt-mismatch" in told
    assert Encoder(other, allow_prompt_mismatch=True).encode(asked).prompt == "differs"
    longer = replace(asked, prompt_token_ids=(*asked.prompt_token_ids, 5, 5, 5, 5))
    with pytest.raises(MmprError, match=r"after \d+ tokens and would be trained after \d+"):
        Encoder(tokenizer).encode(longer)


# Whole processors: pictures become as many tokens as the model makes features of them.


@pytest.fixture
def no_video(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processors without the video side, which needs a library that is not there."""
    monkeypatch.setattr(ProcessorMixin, "check_argument_for_proper_class", lambda *_: None)


def idefics3() -> tuple[Any, Any]:
    tokenizer = byte_level(SMOLVLM, "<end_of_utterance>")
    pictures = Idefics3ImageProcessorPil(size={"longest_edge": 32}, max_image_size={"longest_edge": 16})
    return Idefics3Processor(pictures, tokenizer, image_seq_len=4, chat_template=SMOLVLM), families.idefics3().config


def llava() -> tuple[Any, Any]:
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=16)
    processor = LlavaProcessor(
        pictures,
        metaspace(LLAVA),
        patch_size=4,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA,
    )
    return processor, families.llava().config


def qwen2_vl() -> tuple[Any, Any]:
    pictures = Qwen2VLImageProcessorPil(patch_size=4, merge_size=2, size={"shortest_edge": 64, "longest_edge": 4096})
    return Qwen2VLProcessor(pictures, byte_level(QWEN2_VL), None, QWEN2_VL), families.qwen2_vl().config


def internvl() -> tuple[Any, Any]:
    tokenizer = byte_level(INTERNVL)
    for name, token in (("start_image", "<img>"), ("end_image", "</img>"), ("context_image", "<IMG_CONTEXT>")):
        setattr(tokenizer, f"{name}_token", token)
        setattr(tokenizer, f"{name}_token_id", tokenizer.convert_tokens_to_ids(token))
    tokenizer.video_token = "<video>"
    pictures = GotOcr2ImageProcessorPil(size={"height": 16, "width": 16}, crop_to_patches=True, max_patches=4)
    return InternVLProcessor(pictures, tokenizer, None, 4, INTERNVL), families.internvl().config


def llava_onevision() -> tuple[Any, Any]:
    pictures = LlavaOnevisionImageProcessorPil(
        size={"height": 16, "width": 16}, image_grid_pinpoints=[[16, 16], [16, 32], [32, 16]]
    )
    settings: dict[str, Any] = {"num_image_tokens": 16, "vision_feature_select_strategy": "full"}
    processor = LlavaOnevisionProcessor(pictures, metaspace(LLAVA), None, **settings, chat_template=LLAVA)
    return processor, families.llava_onevision().config


PROCESSORS = {
    "idefics3": idefics3,
    "llava": llava,
    "qwen2_vl": qwen2_vl,
    "internvl": internvl,
    "llava_onevision": llava_onevision,
}


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("images", [0, 1, 2])
@pytest.mark.usefixtures("no_video")
def test_pictures_are_expanded_as_the_processor_does(name: str, images: int) -> None:
    processor, config = PROCESSORS[name]()
    encoder = Encoder(processor, config)
    token = encoder.image_token_id = processor.image_token_id  # these small models have another vocabulary
    asked = row(ANSWERS, images=images)
    encoded = encoder.encode(asked)
    assert encoded.pairs == asked.pairs
    prompt = encoded.row.prompt_ids.tolist()
    assert (prompt.count(token) > 0) == (images > 0)
    pictures: Any = [Image.open(io.BytesIO(image)) for image in asked.images]
    if name != "llava_onevision":  # in whose sampling each picture is cut into tiles, as in a list of its own
        pictures = [pictures]
    for answer, response in zip(ANSWERS, encoded.row.response_ids, strict=True):
        messages = [*asked.prompt, {"role": "assistant", "content": [{"type": "text", "text": answer}]}]
        text = processor.apply_chat_template(messages, tokenize=False)
        at_once = processor(text=[text], images=pictures if images else None, return_tensors="pt")
        ours = prompt + response.tolist()
        theirs = at_once["input_ids"][0].tolist()
        # All but the end, which the template of LLaVA leaves out.
        assert ours[:-1] == theirs[: len(ours) - 1]
        assert ours[-1] == encoder.format.end_token_id
        if images:
            assert torch.equal(encoded.row.extras["pixel_values"], at_once["pixel_values"])


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.usefixtures("no_video")
def test_a_model_computes_what_is_encoded(name: str) -> None:
    """The family's own model takes the encoded row: it counts the tokens of pictures itself."""
    processor, config = PROCESSORS[name]()
    encoder = Encoder(processor, config)
    model = getattr(families, name)()
    model.resize_token_embeddings(len(processor.tokenizer))
    for owner in (model, *model.modules()):
        if hasattr(getattr(owner, "config", None), "image_token_id"):
            owner.config.image_token_id = processor.image_token_id
    encoder.image_token_id = processor.image_token_id
    encoded = encoder.encode(row(ANSWERS, images=2)).row
    ids = torch.cat([encoded.prompt_ids, encoded.response_ids[0]])[None]
    extras = dict(encoded.extras)
    if "mm_token_type_ids" in extras:
        more = extras["mm_token_type_ids"].new_zeros(1, len(encoded.response_ids[0]))
        extras["mm_token_type_ids"] = torch.cat([extras["mm_token_type_ids"], more], 1)
    assert torch.isfinite(model(input_ids=ids, **extras).logits).all()


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.usefixtures("no_video")
def test_a_wrong_number_of_picture_tokens_is_refused(name: str) -> None:
    processor, config = PROCESSORS[name]()
    if name == "idefics3":
        config.scale_factor = 4
    elif name == "qwen2_vl":
        config.vision_config.spatial_merge_size = 4
    elif name == "internvl":
        config.downsample_ratio = 0.25
    elif name == "llava_onevision":
        pytest.skip("its model counts for itself")
    else:
        config.vision_feature_select_strategy = "full"
    encoder = Encoder(processor, config)
    encoder.image_token_id = processor.image_token_id
    with pytest.raises(RowError, match="image_token_mismatch"):
        encoder.encode(row(ANSWERS, images=1))


@pytest.mark.usefixtures("no_video")
def test_each_of_several_pictures_is_cut_into_tiles_as_in_sampling() -> None:
    """LLaVA-OneVision's processor would cut the only picture of a row alone; vLLM cuts all."""
    processor, config = llava_onevision()
    encoder = Encoder(processor, config)
    encoder.image_token_id = processor.image_token_id

    def count(*images: bytes) -> int:
        asked = replace(row(ANSWERS, images=len(images)), images=images)
        return encoder.encode_prompt(asked)[0].count(processor.image_token_id)

    wide, tall = picture(60, 30), picture(24, 60)
    assert count(wide, tall) == count(wide) + count(tall)
    assert count(wide) != count(tall)


@pytest.mark.parametrize(("model", "tokens"), [("pixtral", 16 + 8), ("mistral3", 4 + 2)])
def test_pictures_padded_to_the_largest_have_the_tokens_of_their_own_sizes(model: str, tokens: int) -> None:
    extras = {"pixel_values": torch.zeros(2, 3, 16, 16), "image_sizes": torch.tensor([[16, 16], [16, 8]])}
    assert picture_tokens(getattr(families, model)().config, extras) == tokens


@pytest.fixture(scope="module")
def demo() -> Encoder:
    folder = REPOSITORY / "data" / "demo_model"
    return Encoder(AutoProcessor.from_pretrained(folder), AutoConfig.from_pretrained(folder))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: replace(r, images=(picture()[:60],)), "image_broken"),
        (lambda r: replace(r, images=(b"GIF89a",)), "image_broken"),
        (lambda r: replace(r, images=(picture(),) * 2), "image_token_mismatch"),
        (lambda r: replace(r, prompt=asks({"type": "text", "text": "Where is <image>?"})), None),
        (
            lambda r: replace(r, prompt=asks({"type": "image"}, {"type": "text", "text": "Is <image> one?"})),
            "image_token_mismatch",
        ),
    ],
)
def test_rows_that_cannot_be_encoded(demo: Encoder, change: Any, reason: str | None) -> None:
    changed = change(row(ANSWERS, images=1))
    if reason is None:
        assert (demo.encode(changed).row.prompt_ids == demo.image_token_id).sum() == 16
        return
    with pytest.raises(RowError) as error:
        demo.encode(changed)
    assert error.value.reason == reason


def test_the_demo_model_ends_an_answer_with_its_end_of_utterance(demo: Encoder) -> None:
    encoded = demo.encode(row(ANSWERS, images=1))
    assert {int(response[-1]) for response in encoded.row.response_ids} == {2}
    assert (encoded.row.prompt_ids == 4).sum() == 16
    assert encoded.row.extras["pixel_values"].shape == (1, 1, 3, 64, 64)


def test_content_and_fingerprint_tell_what_the_model_is_shown(demo: Encoder) -> None:
    asked = row(ANSWERS, images=1)
    content = demo.encode(asked).content
    assert demo.encode(replace(asked, id="other", pairs=((0, 1),))).content == content
    others = [
        replace(asked, images=(picture(30, 30),)),
        replace(asked, responses=(*ANSWERS[:3], "x")),
        replace(asked, responses=(*ANSWERS[1:], ANSWERS[0])),
        replace(asked, prompt=row(ANSWERS, images=1, system=True).prompt),
    ]
    assert len({demo.encode(other).content for other in others} | {content}) == 5
    folder = REPOSITORY / "data" / "demo_model"
    processor = AutoProcessor.from_pretrained(folder)
    processor.tokenizer(["a", "b c"], padding=True)  # leaves its mark in the tokenizer
    assert Encoder(processor).fingerprint == demo.fingerprint
    processor.image_processor.size = {"longest_edge": 48}
    assert Encoder(processor).fingerprint != demo.fingerprint
    processor = AutoProcessor.from_pretrained(folder)
    processor.chat_template = processor.chat_template.replace("<|im_start|>", "<|im_start|>!")
    assert Encoder(processor).fingerprint != demo.fingerprint


def test_a_source_s_processor_arguments_decide_how_its_pictures_are_cut(demo: Encoder) -> None:
    """As many picture tokens as the processor makes with them, which is what the responses were sampled with."""
    folder = REPOSITORY / "data" / "demo_model"
    processor, config = AutoProcessor.from_pretrained(folder), AutoConfig.from_pretrained(folder)
    tiles: dict[str, Any] = {"do_image_splitting": True, "size": {"longest_edge": 128}}
    encoder = Encoder(processor, config, {"s": tiles, "other": {}})
    asked = row(ANSWERS, images=1)
    picture_of = Image.open(io.BytesIO(asked.images[0])).convert("RGB")
    made = processor(text=["<image>"], images=[[picture_of]], return_tensors="pt", **tiles)
    cut, whole = encoder.encode(asked), encoder.encode(replace(asked, source="other"))
    tokens = int((made["input_ids"] == encoder.image_token_id).sum())
    assert tokens > 16
    assert int((cut.row.prompt_ids == encoder.image_token_id).sum()) == tokens
    assert cut.row.extras["pixel_values"].shape == made["pixel_values"].shape
    assert int((whole.row.prompt_ids == encoder.image_token_id).sum()) == 16
    assert (whole.content, cut.content != whole.content) == (demo.encode(asked).content, True)
    assert encoder.fingerprint != demo.fingerprint
    assert Encoder(processor, config, {"other": {}}).fingerprint == demo.fingerprint


def test_processor_arguments_that_would_be_passed_over_are_refused(demo: Encoder) -> None:
    folder = REPOSITORY / "data" / "demo_model"
    with pytest.raises(MmprError, match=r"source 'charts': max_dynamic_patch\).*do_image_splitting.*data\.processor"):
        Encoder(AutoProcessor.from_pretrained(folder), None, {"charts": {"max_dynamic_patch": 4}})
