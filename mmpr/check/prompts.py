"""The prompts of a build beside those that training would make of them, without an engine or a model's weights."""

from __future__ import annotations

from pathlib import Path

from transformers.utils import logging as transformers_logging

from mmpr.cli.command import printable
from mmpr.errors import MmprError
from mmpr.models import say_remote_code
from mmpr.schema import Reject
from mmpr.tokens import readable
from mmpr.train.data.encoding import Encoder, first_difference
from mmpr.train.data.preference_data import BuildRows, try_row
from mmpr.train.model import load_config, load_processor
from mmpr.train.rows import TrainRow


def print_prompts(out: Path, model: str, count: int, trust_remote_code: bool = False) -> bool:
    """Print ``count`` prompts, evenly from the rows of a build's pairs, as they were sampled and as training has them.

    Returns:
        Whether there are any, and all of them and their responses are the same tokens on both sides.

    Raises:
        MmprError: the build is not finished, or the model's processor cannot be used.
    """
    say_remote_code(trust_remote_code)
    transformers_logging.set_verbosity_error()
    rows = BuildRows(out)
    config = load_config(model, trust_remote_code)
    processor = load_processor(model, trust_remote_code)
    encoder = Encoder(processor, config, rows.processor, chat=rows.chat, allow_prompt_mismatch=True)
    some = min(count, len(rows))
    looked = [place * len(rows) // some for place in range(some)]
    equal = responses = as_sampled = 0
    for place in looked:
        row = try_row(rows, place)
        if isinstance(row, Reject):
            print(printable(f"prompt     {row.id}: cannot be read: {row.reason}: {row.detail}"))
            continue
        try:
            encoded = encoder.encode(row)
        except MmprError as error:
            print(printable(f"prompt     {row.source} {row.id}: cannot be trained on: {error}"))
            continue
        equal += encoded.prompt == "equal"
        responses += len(row.responses)
        as_sampled += encoded.as_sampled
        _print_one(encoder, row, encoded.row.prompt_ids.tolist(), encoded.prompt)
    print(f"prompts    {equal:,} of {len(looked):,} are the tokens that were sampled after")
    print(f"responses  {as_sampled:,} of {responses:,} are the tokens that were sampled")
    return bool(looked) and equal == len(looked) and as_sampled == responses


def _print_one(encoder: Encoder, row: TrainRow, made: list[int], prompt: str) -> None:
    tokenizer, read = encoder.tokenizer, row.prompt_token_ids
    training = readable(tokenizer, made)
    if prompt == "equal":
        told = [f"equal, {len(made)} tokens", f"  {training!r}"]
    elif prompt == "differs":
        at = first_difference(read, made)
        told = [
            f"differs from token {at} on: {len(read)} tokens were sampled after, training has {len(made)}",
            f"  sampled   {readable(tokenizer, read)!r}",
            f"  training  {training!r}",
        ]
    else:
        why = "the build keeps no tokens" if not read else "the build was sampled with another tokenizer"
        told = [f"not compared: {why}; training has {len(made)} tokens", f"  training  {training!r}"]
    print(printable(f"prompt     {row.source} {row.id}: {told[0]}"))
    for line in told[1:]:
        print(printable(f"           {line}"))
