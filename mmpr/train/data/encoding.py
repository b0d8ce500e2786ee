"""Rows as tensors, by the model's own processor and chat template. Nothing is ever truncated.

TrainRow ─Encoder.encode─▶ Encoded: EncodedRow, its usable pairs, a Reject for each other pair
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from mmpr.errors import MmprError, RowError
from mmpr.schema import Reject, content_id
from mmpr.storage.images import FORMATS
from mmpr.train.data.chat_format import TEMPLATE_ERRORS, ChatFormat, find_format, render
from mmpr.train.rows import EncodedRow, TrainRow

# What processors and picture libraries raise on input that they cannot take.
_PROCESSOR_ERRORS = (
    OSError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, SyntaxError, AttributeError,
    Image.DecompressionBombError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Encoded:
    """What `Encoder.encode` returns.

    Attributes:
        row: with all responses of the ``TrainRow``, at their positions.
        pairs: those that can be trained on.
        rejects: why the others cannot.
        content: 32 hex digits, a hash of the token ids, the picture files and the processor's arguments.
    """

    row: EncodedRow
    pairs: tuple[tuple[int, int], ...]
    rejects: tuple[Reject, ...]
    content: str


class Encoder:
    """Encodes rows with a model's processor, or with the tokenizer of a text-only model."""

    def __init__(
        self, processor: Any, config: Any = None, arguments: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        """Find the form in which the chat template writes an answer.

        Args:
            processor: as ``AutoProcessor`` loads it.
            config: of the model; says which token stands for pictures, and how many of them a picture has.
            arguments: of the processor (such as the number of tiles) by source, as responses were sampled with.

        Raises:
            MmprError: there is no usable chat template, or the processor does not take the arguments of a source.
        """
        self.arguments = {source: dict(own) for source, own in (arguments or {}).items() if own}
        _check_arguments(processor, self.arguments)
        self._processor = processor
        self._tokenizer = getattr(processor, "tokenizer", processor)
        self._config = config
        self.sees = getattr(processor, "image_processor", None) is not None
        self.format = find_format(processor, _stops(config))
        self.image_token_id = _image_token_id(processor, config)
        self.fingerprint = _fingerprint(processor, self.format, self.arguments)
        self._anchor: list[int] = self._ids([self.format.tail])[0]
        plain, full = self._ids(["a"])[0], list(self._tokenizer("a")["input_ids"])
        self._lead = full[: full.index(plain[0])] if plain and plain[0] in full else []

    def encode(self, row: TrainRow) -> Encoded:
        """Encode a row.

        Raises:
            RowError: no pair of it can be used: image_broken, image_token_mismatch, no_pictures_seen,
                prompt_not_encoded, answer_not_encoded.
        """
        prompt_ids, extras = self._prompt(row)
        responses = self._responses(row)
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
        """Token ids of the prompt, image tokens expanded, and the processor's other tensors."""
        try:
            text = render(self._processor, row.prompt, parts=self.format.parts, prompt=True)
        except TEMPLATE_ERRORS as error:
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
        """Refuse a prompt whose image tokens are not as many as the model's picture features, where these are known."""
        there = ids.count(self.image_token_id) if self.image_token_id is not None else None
        expected = picture_tokens(self._config, extras)
        if there == 0 or (expected is not None and there is not None and there != expected):
            raise RowError(
                "image_token_mismatch",
                f"{there} tokens stand for pictures, the model makes {expected or 'some'} of them",
            )

    def _responses(self, row: TrainRow) -> list[list[int]]:
        """Token ids of each response, as they follow the prompt's end when both are tokenized together.

        A sampled response stands as it is, before the token that ends it; other answers as the chat template writes
        them, with what it puts before them (an empty block of reasoning, for example).

        Where the tokenizer would merge the prompt's last token with the response's first letters, the response is
        tokenized alone: a model that answers the prompt cannot write such a token.
        """
        form = self.format
        if form.problem and not row.sampled:
            raise RowError("answer_not_encoded", form.problem)
        end = self._tokenizer.convert_ids_to_tokens(form.end_token_id)
        written = [text + end if row.sampled else form.head + form.strip(text) + form.end for text in row.responses]
        together = self._ids([form.tail + text for text in written])
        at = len(self._anchor)
        merged = [text for text, ids in zip(written, together, strict=True) if ids[:at] != self._anchor]
        # After a special token nothing is merged, and no tokenizer adds a space before the first word.
        alone = iter(self._ids([end + text for text in merged]))
        return [ids[at:] if ids[:at] == self._anchor else next(alone)[1:] for ids in together]

    def _ids(self, texts: list[str]) -> list[list[int]]:
        return [list(ids) for ids in self._tokenizer(texts, add_special_tokens=False)["input_ids"]] if texts else []

    def _problem(self, ids: list[int]) -> str:
        """Why a response cannot be trained on, or an empty text."""
        if len(ids) < 2:
            return "empty_response"
        if self.image_token_id in ids:
            return "image_token_in_response"
        if ids[-1] != self.format.end_token_id or self.format.end_token_id in ids[:-1]:
            return "end_token_in_response"
        return ""


def picture_tokens(config: Any, extras: Mapping[str, Tensor]) -> int | None:
    """How many features a model makes of a row's pictures, by its configuration; None for an unknown family."""
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


def _stops(config: Any) -> frozenset[int]:
    """The tokens at which the model's own configuration ends an answer."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    ids = getattr(text, "eos_token_id", None)
    return frozenset(ids if isinstance(ids, list | tuple) else [] if ids is None else [ids])


def _image_token_id(processor: Any, config: Any) -> int | None:
    for owner, name in ((config, "image_token_id"), (config, "image_token_index"), (processor, "image_token_id")):
        if isinstance(token := getattr(owner, name, None), int):
            return token
    return None


def _check_arguments(processor: Any, arguments: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse arguments that the processor would ignore: pictures would have other tokens than when sampled."""
    pictures = getattr(processor, "image_processor", None)
    known = getattr(getattr(pictures, "valid_kwargs", None), "__annotations__", None)
    if pictures is None or known is None:  # a text-only model, or a processor that does not list its arguments
        return
    unknown = [f"source {source!r}: {name}" for source, own in arguments.items() for name in own if name not in known]
    if unknown:
        raise MmprError(
            f"{type(pictures).__name__} does not take processor arguments that the data was sampled with "
            f"({', '.join(unknown)}); it takes {', '.join(sorted(known))}. Name those that mean the same in the "
            "training recipe: data.processor: {SOURCE: {...}}"
        )


def _open(image: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(image), formats=FORMATS) as picture:
            return picture.convert("RGB")
    except UnidentifiedImageError:
        raise RowError("image_broken", f"is no {', '.join(FORMATS)}") from None
    except _PROCESSOR_ERRORS as error:
        raise RowError("image_broken", f"{type(error).__name__}: {error}"[:200]) from None


def _fingerprint(processor: Any, form: ChatFormat, arguments: Mapping[str, Mapping[str, Any]]) -> str:
    """32 hex digits, a hash of all that decides how text and pictures become tensors."""
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
