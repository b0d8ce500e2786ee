"""What one family does: the cells of its row of the table.

prompt   token ids of vLLM's renderer, with the engine arguments of a build, against those of the trainer's `Encoder`
train    one optimizer step with the trainer's compute, on rows whose token ids were "sampled"
shared   whether prompts are shared, and how far scores and gradients are from those of sequences of their own
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.families.checkpoints import THINKING, make
from benchmarks.families.prompts import Asked, forty
from mmpr.config import parse_recipe
from mmpr.config.chat import DEFAULT_CHAT
from mmpr.engine import Request
from mmpr.engine.vllm_engine import engine_args, render
from mmpr.errors import MmprError
from mmpr.prompts import to_messages
from mmpr.tokens import readable
from mmpr.train.data.encoding import Encoder, first_difference
from mmpr.train.losses import Weights, mpo_terms
from mmpr.train.model import load_config, load_model, load_processor
from mmpr.train.recipe import parse_train_recipe
from mmpr.train.rows import StepPart, TrainRow
from mmpr.train.shared_prefix.compute import Compute
from mmpr.train.shared_prefix.families import family_of, unwrap

SCORES_WITHIN, GRADIENTS_WITHIN = 1e-5, 1e-4
"""Relative differences in float32, as the tests of sharing have them."""


def measure(family: str, models: Path) -> dict[str, str]:
    """The cells ``prompt``, ``train`` and ``shared``; what went wrong is told on stderr.

    A cell is ``ok`` with figures, ``refused: `` and why, or ``WRONG: `` and what.
    """
    folder = make(family, models / family)
    cells: dict[str, str] = {}
    kept: dict[str, Any] = {}

    def prompt() -> str:
        kept["rows"] = []
        return compare_prompts(family, folder, kept["rows"])

    def train() -> str:
        kept["step"] = Step.of(folder, trusted(family), kept["rows"])
        return str(kept["step"].take())

    steps: dict[str, Callable[[], str]] = {
        "prompt": prompt,
        "train": train,
        "shared": lambda: kept["step"].compare_sharing() if "step" in kept else "refused, see left",
    }
    for name, work in steps.items():
        try:
            cells[name] = work()
        except MmprError as error:
            told = f"refused: {' '.join(str(error).split())}"
            cells[name] = "refused, see left" if told in cells.values() else told
    return cells


def trusted(family: str) -> bool:
    """Whether a checkpoint brings code of its own."""
    return family == "internvl_chat"


# Prompts.


def build_settings(family: str, folder: Path) -> dict[str, Any]:
    """A recipe that samples a family's checkpoint on a CPU, without questions."""
    args = {"dtype": "float32", "enforce_eager": True, "max_model_len": 2048, "max_num_seqs": 32}
    return {
        "name": family,
        "model": {"path": str(folder), "trust_remote_code": trusted(family)},
        "engine": {"actors": 1, "args": {**args, "kv_cache_memory_bytes": 300_000_000}},
    }


def compare_prompts(family: str, folder: Path, rows: list[TrainRow]) -> str:
    """How many of the forty prompts are the same tokens on both sides; adds some to ``rows``, as if sampled."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.renderers import renderer_from_config

    sources = [{"name": "digits", "type": "digits", "split": "train", "questions": 1}]
    recipe = parse_recipe(build_settings(family, folder) | {"sources": sources})
    config = AsyncEngineArgs(**engine_args(recipe, str(folder))).create_engine_config()
    renderer = renderer_from_config(config)
    tokenizer = renderer.get_tokenizer()
    processor = load_processor(str(folder), trusted(family))
    model_config = load_config(str(folder), trusted(family))
    equal, refused, problems = 0, 0, dict[str, int]()
    encoders: dict[str, Encoder] = {}
    for asked in forty(thinks=family in THINKING):
        kept = tuple(tokenizer(asked.prefix, add_special_tokens=False)["input_ids"])
        request = Request(asked.prompt, asked.images, 1, 0, asked.prefix, kept, context=asked.context)
        messages = tuple(to_messages(asked.prompt, asked.chat.system, asked.context))
        row = TrainRow("r", "s", asked.images, messages, (), ())
        try:
            read = list(asyncio.run(render(renderer, request, asked.chat))["prompt_token_ids"])
        except Exception as error:  # noqa: BLE001  # whatever vLLM refuses is told
            read, why = [], f"vLLM: {type(error).__name__}: {error}"
        try:
            settings = str(asked.chat)
            encoder = encoders[settings] = encoders.get(settings) or Encoder(processor, model_config, chat=asked.chat)
            made = [*encoder.encode_prompt(row)[0], *kept]
        except MmprError as error:
            made, why = [], str(error)
        if read and made == read:
            equal += 1
            if not asked.prefix and asked.chat == DEFAULT_CHAT:
                rows.append(_sampled(row, read, tokenizer, encoder, len(rows)))
            continue
        if read and made:
            _tell_difference(tokenizer, asked, read, made)
            why = "other tokens in training"
        else:
            refused += 1
            print(f"  refused: {asked}: {why}", file=sys.stderr)
        why = " ".join(why.split())[:300]
        problems[why] = problems.get(why, 0) + 1
    total = equal + sum(problems.values())
    if not problems:
        return f"{equal} of {total}"
    kind = "refused" if refused == total - equal else "WRONG"
    return f"{equal} of {total}; {kind}: " + "; ".join(f"{count} × {why}" for why, count in problems.items())


def _tell_difference(tokenizer: Any, asked: Asked, read: Sequence[int], made: Sequence[int]) -> None:
    at = first_difference(read, made)
    print(f"  other tokens ({len(read)}, {len(made)}, from {at}): {asked}", file=sys.stderr)
    for side, ids in (("sampled ", read), ("training", made)):
        print(f"    {side} {readable(tokenizer, ids[max(0, at - 12) : at + 24])!r}", file=sys.stderr)


def _sampled(row: TrainRow, read: list[int], tokenizer: Any, encoder: Encoder, number: int) -> TrainRow:
    """A row with four responses of the tokens that a model would have sampled, the one that ends them included."""
    texts = tuple(f"It has {n} loops. Final answer: {(number + n) % 10}" for n in range(1, 5))
    ids = tuple(
        (*tokenizer(text, add_special_tokens=False)["input_ids"], encoder.format.end_token_id) for text in texts
    )
    return TrainRow(
        id=f"r{number}",
        source="s",
        images=row.images,
        prompt=row.prompt,
        responses=tuple(tokenizer.decode(own[:-1]) for own in ids),
        pairs=((0, 1), (2, 1), (2, 3)),
        sampled=True,
        token_ids=ids,
        prompt_token_ids=tuple(read),
        tokenizer_sha256=encoder.tokenizer_sha256,
    )


# A step.


class Step:
    """Rows of a family as a step of training, and its model."""

    def __init__(self, model: Any, parts: list[StepPart]) -> None:
        self._model = model
        self._parts = parts

    @classmethod
    def of(cls, folder: Path, trust: bool, rows: Sequence[TrainRow]) -> Step:
        """Load the model and encode the rows.

        Raises:
            MmprError: the model does not load, or a row is not trained on as it was sampled.
        """
        recipe = parse_train_recipe(
            {"name": "step", "compute": {"precision": "float32"}, "model": {"trust_remote_code": trust}}
        )
        model = load_model(str(folder), recipe)
        encoder = Encoder(load_processor(str(folder), trust), model.config)
        parts = []
        for row in rows:
            encoded = encoder.encode(row)
            if encoded.prompt != "equal" or encoded.as_sampled != len(row.responses) or encoded.rejects:
                raise MmprError(f"row {row.id} is not trained on as it was sampled: {encoded.rejects}")
            parts.append(StepPart(encoded.row, encoded.pairs, (1.0,) * len(encoded.pairs)))
        return cls(model, parts)

    def take(self) -> str:
        """One step of MPO; says by how much it lowered the loss of its own pairs."""
        scores, gradient, _ = self._computed
        before = self._loss(scores)
        state = {name: parameter.detach().clone() for name, parameter in self._model.named_parameters()}
        torch.optim.AdamW(self._model.parameters(), lr=1e-4).step()
        after = self._loss(Compute(self._model).scores(self._parts))
        moved = sum(not torch.equal(state[name], parameter) for name, parameter in self._model.named_parameters())
        with torch.no_grad():
            for name, parameter in self._model.named_parameters():
                parameter.copy_(state[name])
        if not after < before or not all(value.isfinite().all() for value in gradient.values()):
            return f"WRONG: the loss went from {before:.4f} to {after:.4f}"
        return f"ok, loss {before:.3f} → {after:.3f}, {moved} of {len(state)} tensors moved"

    def compare_sharing(self) -> str:
        """Whether prompts are shared, and how far that is from sequences of their own."""
        family, why = family_of(unwrap(self._model))
        if family is None:
            return f"no: {why}"
        shared, gradient, compute = self._computed
        alone, wanted, _ = self._compute("off")
        if compute.counts.tokens >= compute.counts.unshared:
            return "WRONG: nothing is saved"
        scores = max(float(((a - b) / b).abs().max()) for a, b in zip(shared, alone, strict=True))
        largest = max(float(value.abs().max()) for value in wanted.values())
        gradients = max(
            float((gradient[name] - want).abs().max()) / max(float(want.abs().max()), 1e-3 * largest)
            for name, want in wanted.items()
        )
        good = scores < SCORES_WITHIN and gradients < GRADIENTS_WITHIN and gradient.keys() == wanted.keys()
        return f"{'yes' if good else 'WRONG'}: scores {scores:.0e}, gradients {gradients:.0e}"

    @functools.cached_property
    def _computed(self) -> tuple[list[Tensor], dict[str, Tensor], Compute]:
        """As training computes it."""
        return self._compute("auto")

    def _compute(self, sharing: str) -> tuple[list[Tensor], dict[str, Tensor], Compute]:
        """Scores, gradients, and what computed them; the model's parameters hold the gradients, too."""
        self._model.zero_grad()
        compute = Compute(self._model, sharing=sharing)
        scores = compute.backward(self._parts, self._loss_of)
        gradient = {name: p.grad.clone() for name, p in self._model.named_parameters() if p.grad is not None}
        return scores, gradient, compute

    def _loss(self, scores: Sequence[Tensor]) -> float:
        return float(sum(self._loss_of(part, score) for part, score in zip(self._parts, scores, strict=True)))

    def _loss_of(self, part: StepPart, policy: Tensor) -> Tensor:
        """The loss of a part, against a reference that finds all tokens equally likely."""
        place = {i: n for n, i in enumerate(part.used)}
        lengths = torch.tensor([float(len(response)) for response in part.row.response_ids])
        chosen, rejected = (torch.tensor([pair[side] for pair in part.pairs]) for side in (0, 1))
        policy_of = torch.stack([policy[place[i]] if i in place else policy.new_zeros(()) for i in range(len(lengths))])
        terms = mpo_terms(
            policy_of[chosen],
            policy_of[rejected],
            -6.0 * lengths[chosen],
            -6.0 * lengths[rejected],
            lengths[chosen],
            beta=0.1,
            delta=0.0,
        )
        return terms.weighted(Weights()).sum()
