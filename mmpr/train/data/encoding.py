"""Rows as tensors, by the model's own processor and chat template. Nothing is ever truncated.

TrainRow ─Encoder.encode─▶ Encoded: EncodedRow, its usable pairs, a Reject for each other pair
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from mmpr.config import ChatSpec
from mmpr.config.chat import DEFAULT_CHAT
from mmpr.errors import MmprError, RowError
from mmpr.prompts import prints_parts
from mmpr.schema import Reject, Response, TokenIds, content_id
from mmpr.storage.images import FORMATS
from mmpr.tokens import readable, spelling, tokenizer_sha256
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
        as_sampled: how many responses are the very tokens that were sampled.
        prompt: whether the prompt is the very tokens that the model read: ``equal``, ``differs``, or ``unknown``.
    """

    row: EncodedRow
    pairs: tuple[tuple[int, int], ...]
    rejects: tuple[Reject, ...]
    content: str
    as_sampled: int = 0
    prompt: Literal["equal", "differs", "unknown"] = "unknown"


class Encoder:
    """Encodes rows with a model's processor, or with the tokenizer of a text-only model."""

    def __init__(
        self,
        processor: Any,
        config: Any = None,
        arguments: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        chat: ChatSpec = DEFAULT_CHAT,
        allow_prompt_mismatch: bool = False,
    ) -> None:
        """Find the form in which the chat template writes an answer.

        Args:
            processor: as ``AutoProcessor`` loads it.
            config: of the model; says which token stands for pictures, and how many of them a picture has.
            arguments: of the processor (such as the number of tiles) by source, as responses were sampled with.
            chat: settings of the chat format that responses were sampled with.
            allow_prompt_mismatch: go on where the prompt is not the tokens that were read in sampling.

        Raises:
            MmprError: there is no usable chat template, or the processor does not take the arguments of a source.
        """
        self.arguments = {source: dict(own) for source, own in (arguments or {}).items() if own}
        _check_arguments(processor, self.arguments)
        self._processor = processor
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self._config = config
        self._chat = chat
        self._allow_prompt_mismatch = allow_prompt_mismatch
        stops = _stops(config)
        self.sees = getattr(processor, "image_processor", None) is not None
        self.format = find_format(processor, stops, chat)
        self.ends = stops | {self.format.end_token_id}
        # The library makes this table anew whenever it is asked for it.
        added = self.tokenizer.added_tokens_decoder
        self._may_end = self.ends | {token for token, about in added.items() if about.special}
        self.image_token_id = _image_token_id(processor, config)
        self.fingerprint = _fingerprint(processor, self.format, self.arguments, chat)
        self._anchor: list[int] = self._ids([self.format.tail])[0]
        plain, full = self._ids(["a"])[0], list(self.tokenizer("a")["input_ids"])
        self._lead = full[: full.index(plain[0])] if plain and plain[0] in full else []

    def encode(self, row: TrainRow) -> Encoded:
        """Encode a row.

        Responses are the tokens that were sampled where the data holds them and the vocabulary is the same; else they
        are made of the texts.

        Raises:
            RowError: no pair of it can be used: image_broken, image_token_mismatch, no_pictures_seen,
                prompt_not_encoded, answer_not_encoded.
            MmprError: the prompt is not the tokens that the model read when it was sampled.
        """
        prompt_ids, extras = self.encode_prompt(row)
        prompt = self._compare(row, prompt_ids)
        kept = self._sampled_ids(row)
        made = iter(self._responses(row, [text for text, ids in zip(row.responses, kept, strict=True) if not ids]))
        responses = [ids or next(made) for ids in kept]
        encoded = EncodedRow(
            id=row.id,
            source=row.source,
            prompt_ids=torch.tensor(prompt_ids, dtype=torch.int64),
            response_ids=tuple(torch.tensor(ids, dtype=torch.int64) for ids in responses),
            extras=extras,
            sampled_logprobs=_sampled_logprobs(row, kept),
        )
        problems = [self._problem(ids, bool(own)) for ids, own in zip(responses, kept, strict=True)]
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
        return Encoded(encoded, tuple(pairs), tuple(rejects), content, sum(map(bool, kept)), prompt)

    @functools.cached_property
    def tokenizer_sha256(self) -> str:
        """The vocabulary of the model that is trained (``mmpr.tokens.tokenizer_sha256``)."""
        return tokenizer_sha256(self.tokenizer)

    def _compare(self, row: TrainRow, ids: Sequence[int]) -> Literal["equal", "differs", "unknown"]:
        """Whether a prompt is the tokens that the model read when it was sampled, if the data holds these."""
        read = row.prompt_token_ids
        if not read or row.tokenizer_sha256 != self.tokenizer_sha256:
            return "unknown"
        if read == tuple(ids):
            return "equal"
        if self._allow_prompt_mismatch:
            return "differs"
        raise MmprError(_mismatch(self.tokenizer, f"question {row.id} of {row.source!r}", read, ids))

    def _sampled_ids(self, row: TrainRow) -> list[list[int]]:
        """The tokens of each response as it was sampled, with the one that ends it; empty where they cannot be used.

        They cannot where they are not kept, are of another vocabulary, or do not spell the text (a response that ended
        at a text of ``sampling.stop`` has more of them).
        """
        if not row.token_ids or row.tokenizer_sha256 != self.tokenizer_sha256:
            return [[] for _ in row.responses]
        return [self._ended(text, ids) for text, ids in zip(row.responses, row.token_ids, strict=True)]

    def _ended(self, text: str, ids: TokenIds) -> list[int]:
        """The tokens of a response with the one that ends it; empty where they do not spell the text."""
        spelled, _ = spelling(self.tokenizer, Response(text, 0, "stop", len(ids), ids))
        if spelled == ids:
            return [*ids, self.format.end_token_id]
        ended = bool(ids) and ids[-1] in self._may_end and spelled == ids[:-1]
        return list(ids) if ended else []

    def encode_prompt(self, row: TrainRow) -> tuple[list[int], dict[str, Tensor]]:
        """Token ids of the prompt, image tokens expanded, and the processor's other tensors; raises as ``encode``."""
        try:
            text = render(self._processor, row.prompt, parts=self.format.parts, prompt=True, chat=self._chat)
        except TEMPLATE_ERRORS as error:
            raise RowError("prompt_not_encoded", f"the chat template refuses it: {error}"[:300]) from None
        if printed := prints_parts(text, [dict(message) for message in row.prompt]):
            raise RowError("prompt_not_encoded", printed)
        lead = [] if self.tokenizer.bos_token and text.startswith(self.tokenizer.bos_token) else self._lead
        if not row.images:
            return lead + self._ids([text])[0], {}
        if not self.sees:
            raise RowError("no_pictures_seen", "the row has pictures, the model takes text alone")
        pictures = [_open(image) for image in row.images]
        # LLaVA-OneVision's processor tiles the pictures of a list, and none where the list is one of several pictures;
        # in sampling vLLM tiles all.
        given = pictures if getattr(self._config, "model_type", "") == "llava_onevision" else [pictures]
        own = self.arguments.get(row.source, {})
        try:
            made = self._processor(text=[text], images=given, add_special_tokens=False, return_tensors="pt", **own)
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

    def _responses(self, row: TrainRow, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of responses of a row, as they follow the prompt's end when both are tokenized together.

        A sampled response stands as it is, before the token that ends it; other answers as the chat template writes
        them, with what it puts before them (an empty block of reasoning, for example).

        Where the tokenizer would merge the prompt's last token with the response's first letters, the response is
        tokenized alone: a model that answers the prompt cannot write such a token.
        """
        form = self.format
        if form.problem and not row.sampled:
            raise RowError("answer_not_encoded", form.problem)
        end = self.tokenizer.convert_ids_to_tokens(form.end_token_id)
        written = [text + end if row.sampled else form.head + form.strip(text) + form.end for text in texts]
        together = self._ids([form.tail + text for text in written])
        at = len(self._anchor)
        merged = [text for text, ids in zip(written, together, strict=True) if ids[:at] != self._anchor]
        # After a special token nothing is merged, and no tokenizer adds a space before the first word.
        alone = iter(self._ids([end + text for text in merged]))
        return [ids[at:] if ids[:at] == self._anchor else next(alone)[1:] for ids in together]

    def _ids(self, texts: list[str]) -> list[list[int]]:
        return [list(ids) for ids in self.tokenizer(texts, add_special_tokens=False)["input_ids"]] if texts else []

    def _problem(self, ids: list[int], as_sampled: bool) -> str:
        """Why a response cannot be trained on, or an empty text; ``as_sampled``: it ends as it was sampled."""
        if len(ids) < 2:
            return "empty_response"
        if self.image_token_id in ids:
            return "image_token_in_response"
        ended = as_sampled or ids[-1] == self.format.end_token_id
        if not ended or self.format.end_token_id in ids[:-1]:
            return "end_token_in_response"
        return ""


def _sampled_logprobs(row: TrainRow, kept: Sequence[Sequence[int]]) -> Tensor | None:
    """The log-probabilities that responses had when they were sampled, of those that are trained on as sampled."""
    if all(logprob is None for logprob in row.logprobs):
        return None
    both = zip(row.logprobs, kept, strict=True)
    return torch.tensor([math.nan if logprob is None or not ids else logprob for logprob, ids in both])


def first_difference(read: Sequence[int], made: Sequence[int]) -> int:
    """The place of the first token that two prompts do not share."""
    places = (at for at, (a, b) in enumerate(zip(read, made, strict=False)) if a != b)
    return next(places, min(len(read), len(made)))


def _mismatch(tokenizer: Any, which: str, read: Sequence[int], made: Sequence[int]) -> str:
    """What to tell of a prompt that training would not make as it was read in sampling; both as text."""
    at = first_difference(read, made)

    def around(ids: Sequence[int]) -> str:
        return readable(tokenizer, ids[max(0, at - 12) : at + 24])

    return (
        f"prompt mismatch: {which} was sampled after {len(read)} tokens and would be trained after {len(made)}; they "
        f"differ from token {at} on:\n  sampled:  {around(read)!r}\n  training: {around(made)!r}\n"
        "The chat template or the picture processor of this model is not that of sampling. Train the model that was "
        "sampled, or set data.processor as it was sampled; --allow-prompt-mismatch goes on with the second"
    )


def picture_tokens(config: Any, extras: Mapping[str, Tensor]) -> int | None:
    """How many features a model makes of a row's pictures, by its configuration; None for an unknown family."""
    family = getattr(config, "model_type", "")
    if "image_grid_thw" in extras and hasattr(getattr(config, "vision_config", None), "spatial_merge_size"):
        return int(extras["image_grid_thw"].prod(-1).sum()) // int(config.vision_config.spatial_merge_size) ** 2
    pixels: Any = extras.get("pixel_values")
    vision: Any = getattr(config, "vision_config", None)
    if getattr(vision, "model_type", "") == "pixtral" and "image_sizes" in extras:  # pixels are padded to the largest
        side = int(vision.patch_size) * int(getattr(config, "spatial_merge_size", 1))
        return int((extras["image_sizes"] // side).prod(-1).sum())
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


def _fingerprint(processor: Any, form: ChatFormat, arguments: Mapping[str, Mapping[str, Any]], chat: ChatSpec) -> str:
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
    if identity := chat.identity():
        about.append(identity)
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _bytes(ids: list[int]) -> bytes:
    return np.array(ids, "<i8").tobytes()
