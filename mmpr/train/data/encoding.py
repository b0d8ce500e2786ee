"""A row's text and pictures as the model takes them, by the model's own processor and chat template.

    TrainRow ─Encoder.encode─▶ Encoded: EncodedRow, its usable pairs, a Reject for each of the others

A response is what the chat template puts after the prompt when the assistant's message is that response, up to the
token with which the template ends a message (where it has none: the tokenizer's end of sequence). Nothing is ever cut.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jinja2 import TemplateError
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from mmpr.errors import MmprError, RowError
from mmpr.schema import Reject, content_id
from mmpr.storage.images import FORMATS
from mmpr.train.rows import EncodedRow, TrainRow

_ASKED, _ANSWERED = "Mmpr asks?", "Mmpr answers."
# What templates do to an answer's ends, the plainest first.
_STRIPS: tuple[Callable[[str], str], ...] = (
    lambda text: text,
    str.strip,
    str.lstrip,
    str.rstrip,
    lambda text: text.strip("\n"),
    lambda text: text.lstrip("\n"),
    lambda text: text.rstrip("\n"),
)
# What processors and picture libraries raise on input that they cannot take.
_PROCESSOR_ERRORS = (
    OSError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, SyntaxError, AttributeError,
    Image.DecompressionBombError,
)  # fmt: skip
# A template is a program of its own.
_TEMPLATE_ERRORS = (
    TemplateError, MmprError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RuntimeError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """How a chat template writes an answer, found by having it write one.

    Attributes:
        parts: whether messages hold lists of parts; else plain text.
        head: what stands between the prompt and the answer (often nothing).
        end: what follows the answer, up to the token that ends it.
        end_token_id: that token.
        tail: the prompt's own end, from after the question on.
        strip: what the template does to the answer's ends.
    """

    parts: bool
    head: str
    end: str
    end_token_id: int
    tail: str
    strip: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row as tensors.

    Attributes:
        row: all responses of the ``TrainRow``, at their positions.
        pairs: those that can be trained on.
        rejects: the others.
        content: 32 hex digits of all that the model is shown: token ids and the pictures' files.
    """

    row: EncodedRow
    pairs: tuple[tuple[int, int], ...]
    rejects: tuple[Reject, ...]
    content: str


class Encoder:
    """Encodes rows with a processor (or, of a model of text alone, a tokenizer)."""

    def __init__(
        self, processor: Any, config: Any = None, arguments: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        """Find out how the chat template writes an answer.

        Args:
            processor: of the model, as ``AutoProcessor`` loads it.
            config: the model's configuration; tells the token that stands for pictures and how many a picture has.
            arguments: of the processor (such as tiles) by source, as its responses were sampled with.

        Raises:
            MmprError: there is no chat template, or it does not put the answer after the prompt; or the processor does
                not take the arguments of a source.
        """
        self.arguments = {source: dict(own) for source, own in (arguments or {}).items() if own}
        _check_arguments(processor, self.arguments)
        self._processor = processor
        self._tokenizer = getattr(processor, "tokenizer", processor)
        self._config = config
        self.sees = getattr(processor, "image_processor", None) is not None
        self.format = find_format(processor)
        self.image_token_id = _image_token_id(processor, config)
        self.fingerprint = _fingerprint(processor, self.format, self.arguments)
        self._anchor: list[int] = self._ids([self.format.tail])[0]
        plain, full = self._ids(["a"])[0], list(self._tokenizer("a")["input_ids"])
        self._lead = full[: full.index(plain[0])] if plain and plain[0] in full else []

    def encode(self, row: TrainRow) -> Encoded:
        """A row as tensors.

        Raises:
            RowError: nothing of it can be used: image_broken, image_token_mismatch, no_pictures_seen,
                prompt_not_encoded.
        """
        prompt_ids, extras = self._prompt(row)
        responses = self._responses(row.responses)
        encoded = EncodedRow(
            id=row.id,
            source=row.source,
            prompt_ids=torch.tensor(prompt_ids, dtype=torch.int64),
            response_ids=tuple(torch.tensor(ids, dtype=torch.int64) for ids in responses),
            extras=extras,
        )
        problems = [self._problem(ids) for ids in responses]
        pairs, rejects = [], []
        for number, (chosen, rejected) in enumerate(row.pairs):
            reason = problems[chosen] or problems[rejected]
            if not reason and responses[chosen] == responses[rejected]:
                reason = "same_tokens"
            if reason:
                detail = f"pair {number} (responses {chosen} and {rejected})"
                rejects.append(Reject("encode", row.source, row.id, reason, detail))
            else:
                pairs.append((chosen, rejected))
        own = [json.dumps(self.arguments[row.source], sort_keys=True)] if row.source in self.arguments else []
        content = content_id(_bytes(prompt_ids), *map(_bytes, responses), "pictures", *row.images, *own)
        return Encoded(encoded, tuple(pairs), tuple(rejects), content)

    def _prompt(self, row: TrainRow) -> tuple[list[int], dict[str, Tensor]]:
        """Token ids of the prompt, pictures expanded, and what else the processor makes."""
        try:
            text = _render(self._processor, _content(row.prompt, self.format.parts), prompt=True)
        except _TEMPLATE_ERRORS as error:
            raise RowError("prompt_not_encoded", f"the chat template refuses it: {error}"[:300]) from None
        lead = [] if self._tokenizer.bos_token and text.startswith(self._tokenizer.bos_token) else self._lead
        if not row.images:
            return lead + self._ids([text])[0], {}
        if not self.sees:
            raise RowError("no_pictures_seen", "the row has pictures, the model takes text alone")
        pictures = [_open(image) for image in row.images]
        own = self.arguments.get(row.source, {})
        try:
            made = self._processor(text=[text], images=[pictures], add_special_tokens=False, return_tensors="pt", **own)
        except _PROCESSOR_ERRORS as error:
            raise RowError("image_token_mismatch", f"the processor refuses it: {error}"[:300]) from None
        ids = lead + made.pop("input_ids")[0].tolist()
        made.pop("attention_mask", None)
        extras = {name: value for name, value in made.items() if isinstance(value, Tensor)}
        for name in ("mm_token_type_ids", "token_type_ids"):
            if lead and name in extras:
                extras[name] = torch.cat([extras[name].new_zeros(1, len(lead)), extras[name]], 1)
        self._check_picture_tokens(ids, extras)
        return ids, extras

    def _check_picture_tokens(self, ids: list[int], extras: Mapping[str, Tensor]) -> None:
        """As many tokens that stand for pictures as the model will make features, where the family is known."""
        there = ids.count(self.image_token_id) if self.image_token_id is not None else None
        expected = picture_tokens(self._config, extras)
        if there == 0 or (expected is not None and there is not None and there != expected):
            raise RowError(
                "image_token_mismatch",
                f"{there} tokens stand for pictures, the model makes {expected or 'some'} of them",
            )

    def _responses(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each response: what follows the prompt's end, in one tokenization with it.

        Where the response's first letters would melt into the prompt's last token, it is tokenized alone: the prompt
        is given, and a model that answers it writes tokens of its own.
        """
        form = self.format
        written = [form.head + form.strip(text) + form.end for text in texts]
        together = self._ids([form.tail + text for text in written])
        at = len(self._anchor)
        melted = [text for text, ids in zip(written, together, strict=True) if ids[:at] != self._anchor]
        # After a special token nothing melts, and no tokenizer puts its space before the first word there.
        alone = iter(self._ids([self._tokenizer.convert_ids_to_tokens(form.end_token_id) + text for text in melted]))
        return [ids[at:] if ids[:at] == self._anchor else next(alone)[1:] for ids in together]

    def _ids(self, texts: list[str]) -> list[list[int]]:
        return [list(ids) for ids in self._tokenizer(texts, add_special_tokens=False)["input_ids"]] if texts else []

    def _problem(self, ids: list[int]) -> str:
        """Why a response cannot be trained on, or nothing."""
        if len(ids) < 2:
            return "empty_response"
        if self.image_token_id in ids:
            return "image_token_in_response"
        if ids[-1] != self.format.end_token_id or self.format.end_token_id in ids[:-1]:
            return "end_token_in_response"
        return ""


def find_format(processor: Any) -> ChatFormat:
    """How the chat template of a processor or tokenizer writes an answer.

    Raises:
        MmprError: there is none, or an answer does not come after the prompt.
    """
    parts, prompt = _asked(processor)
    messages = [{"role": "user", "content": [{"type": "text", "text": _ASKED}]}]

    def answered(answer: str) -> str:
        said = [*messages, {"role": "assistant", "content": [{"type": "text", "text": answer}]}]
        return _render(processor, _content(said, parts), prompt=False)

    whole = answered(_ANSWERED)
    if not whole.startswith(prompt) or _ANSWERED not in whole[len(prompt) :]:
        raise MmprError(
            "chat template: with an answer it does not begin with the prompt "
            f"(add_generation_prompt gives {prompt[-60:]!r}, the conversation {whole[-100:]!r}); use another template"
        )
    head, _, after = whole[len(prompt) :].partition(_ANSWERED)
    ragged = f" \n{_ANSWERED}\n "
    kept = answered(ragged)[len(prompt) :]
    strip = next((strip for strip in _STRIPS if head + strip(ragged) + after == kept), _STRIPS[0])
    end, end_token_id = _end(getattr(processor, "tokenizer", processor), after)
    return ChatFormat(parts, head, end, end_token_id, prompt.rpartition(_ASKED)[2], strip)


def picture_tokens(config: Any, extras: Mapping[str, Tensor]) -> int | None:
    """How many features a model makes of a row's pictures, by its configuration; None for families not known here."""
    family = getattr(config, "model_type", "")
    if "image_grid_thw" in extras and hasattr(getattr(config, "vision_config", None), "spatial_merge_size"):
        return int(extras["image_grid_thw"].prod(-1).sum()) // int(config.vision_config.spatial_merge_size) ** 2
    pixels: Any = extras.get("pixel_values")
    vision: Any = getattr(config, "vision_config", None)
    if pixels is None or family not in ("idefics3", "smolvlm", "internvl", "llava"):
        return None
    tiles = int(np.prod(pixels.shape[:-3]))
    patch = vision.patch_size if isinstance(vision.patch_size, int) else vision.patch_size[0]
    patches = (pixels.shape[-2] // patch) * (pixels.shape[-1] // patch)
    if family == "internvl":
        return int(tiles * patches * config.downsample_ratio**2)
    if family == "llava":
        own = vision.model_type == "clip_vision_model"  # one more, for the whole picture
        return int(tiles * (patches + own - (config.vision_feature_select_strategy == "default")))
    return int(tiles * patches // config.scale_factor**2)


def _asked(processor: Any) -> tuple[bool, str]:
    """Whether messages hold parts, and a prompt."""
    problem: object = "it leaves the question out"
    for parts in (True, False):
        messages = [{"role": "user", "content": [{"type": "text", "text": _ASKED}]}]
        try:
            prompt = _render(processor, _content(messages, parts), prompt=True)
        except _TEMPLATE_ERRORS as error:
            problem = error
            continue
        # A template that expects plain text would print the list.
        if prompt.count(_ASKED) == 1 and f"'{_ASKED}'" not in prompt and f'"{_ASKED}"' not in prompt:
            return parts, prompt
    raise MmprError(f"the model has no chat template that can be used: {problem}"[:500]) from None


def _content(messages: Sequence[Mapping[str, Any]], parts: bool) -> list[dict[str, Any]]:
    """Messages in the form that the template takes."""
    if parts:
        return [{**message, "content": [dict(part) for part in message["content"]]} for message in messages]
    if any(part["type"] != "text" for message in messages for part in message["content"]):
        raise MmprError("its messages are plain text, without a place for pictures")
    return [{**message, "content": "".join(part["text"] for part in message["content"])} for message in messages]


def _render(processor: Any, messages: list[dict[str, Any]], *, prompt: bool) -> str:
    return str(processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt))


def _end(tokenizer: Any, after: str) -> tuple[str, int]:
    """The text that follows an answer up to the token that ends it, and that token."""
    added = tokenizer.added_tokens_decoder
    for token in tokenizer(after, add_special_tokens=False)["input_ids"]:
        if token in tokenizer.all_special_ids or (token in added and added[token].special):
            text = tokenizer.convert_ids_to_tokens(token)
            return after[: after.index(text) + len(text)], int(token)
    if tokenizer.eos_token is None:
        raise MmprError("chat template: nothing ends an answer, and the tokenizer has no end of sequence")
    return str(tokenizer.eos_token), int(tokenizer.eos_token_id)


def _image_token_id(processor: Any, config: Any) -> int | None:
    for owner, name in ((config, "image_token_id"), (config, "image_token_index"), (processor, "image_token_id")):
        if isinstance(token := getattr(owner, name, None), int):
            return token
    return None


def _check_arguments(processor: Any, arguments: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse arguments that the processor would pass over: pictures would then have other tokens than were sampled."""
    pictures = getattr(processor, "image_processor", None)
    known = getattr(getattr(pictures, "valid_kwargs", None), "__annotations__", None)
    if pictures is None or known is None:  # a model of text, or code of its own, which is asked when it is used
        return
    told = []
    for source, own in arguments.items():
        told += [f"source {source!r}: {name}" for name in own if name not in known]
    if told:
        raise MmprError(
            f"{type(pictures).__name__} does not take processor arguments that the data was sampled with "
            f"({', '.join(told)}); it takes {', '.join(sorted(known))}. Name those that mean the same in the training "
            "recipe: data.processor: {SOURCE: {...}}"
        )


def _open(image: bytes) -> Image.Image:
    """A picture, decoded."""
    try:
        with Image.open(io.BytesIO(image), formats=FORMATS) as picture:
            return picture.convert("RGB")
    except UnidentifiedImageError:
        raise RowError("image_broken", f"is no {', '.join(FORMATS)}") from None
    except _PROCESSOR_ERRORS as error:
        raise RowError("image_broken", f"{type(error).__name__}: {error}"[:200]) from None


def _fingerprint(processor: Any, form: ChatFormat, arguments: Mapping[str, Mapping[str, Any]]) -> str:
    """32 hex digits of everything that decides how text and pictures become tensors."""
    tokenizer = getattr(processor, "tokenizer", processor)
    if tokenizer.is_fast:
        model = json.loads(tokenizer.backend_tokenizer.to_str())
        tokens = {name: value for name, value in model.items() if name not in ("padding", "truncation")}
    else:
        tokens = tokenizer.get_vocab()
    about: list[object] = [tokens, processor.chat_template, form.head, form.end, type(processor).__name__]
    pictures = getattr(processor, "image_processor", None)
    if pictures is not None:
        own = {name: value for name, value in vars(processor).items() if isinstance(value, int | float | str | bool)}
        about += [type(pictures).__name__, pictures.to_dict(), own]
    if arguments:
        about.append(arguments)
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _bytes(ids: list[int]) -> bytes:
    return np.array(ids, "<i8").tobytes()
