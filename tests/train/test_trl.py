"""One optimizer step against TRL's real ``DPOTrainer``: the same tokens, the same loss, the same gradient.

TRL has no reward shift, so δ is 0 here (it is, in a first step); it averages its SFT term over the tokens of a
micro-batch, so it sees one pair at a time.
"""

from __future__ import annotations

import copy
import io
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from PIL import Image
from transformers import (
    AutoProcessor,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
)
from trl import DPOConfig, DPOTrainer

from mmpr.sources.digits import Digits
from mmpr.train.data.encoding import Encoder
from mmpr.train.loop.trainer import MpoTrainer
from mmpr.train.rows import EncodedRow, StepBatch, StepPart, TrainRow
from mmpr.train.shared_prefix.compute import Compute
from tests.train.tiny import tiny_arguments, tiny_recipe

pytestmark = pytest.mark.slow

DEMO = Path(__file__).parents[2] / "data" / "demo_model"
RESPONSES = (
    "The digits are 3 and 4. 3 + 4 = 7.\nFinal answer: 7",
    "I see 3 and 9. 3 + 9 = 12.\nFinal answer: 12",
    "Final answer: 7",
    "The picture shows the digits 3, 4 and 1, so that the sum is 8.\nFinal answer: 8",
)
# Pairs of each question: one alone, some that share responses, all of them.
PAIRS = (((0, 1),), ((0, 1), (2, 1), (0, 3)), ((2, 3), (0, 1)))
DECODER = {
    "vocab_size": 640,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 64,
    "patch_size": 8,
}


@pytest.fixture(scope="module")
def processor():
    return AutoProcessor.from_pretrained(DEMO)


def questions(pictures: bool) -> list[TrainRow]:
    digits = Digits("train", len(PAIRS))
    rows = []
    for number, (row, pairs) in enumerate(zip(digits.rows(), PAIRS, strict=True)):
        text = {"type": "text", "text": row.question.removeprefix("<image>\n")}
        content = [{"type": "image"}, text] if pictures else [text]
        images = (digits.load(row.images[0]),) if pictures else ()
        rows.append(TrainRow(f"q{number}", "digits", images, ({"role": "user", "content": content},), RESPONSES, pairs))
    return rows


def as_trl_takes_them(row: TrainRow) -> list[dict]:
    """A row's pairs as examples of TRL's conversational format."""
    text = row.prompt[0]["content"][-1]["text"]
    pictures = {"images": [Image.open(io.BytesIO(image)) for image in row.images]} if row.images else {}
    return [
        {
            "prompt": [{"role": "user", "content": text}],
            "chosen": [{"role": "assistant", "content": row.responses[chosen]}],
            "rejected": [{"role": "assistant", "content": row.responses[rejected]}],
            **pictures,
        }
        for chosen, rejected in row.pairs
    ]


def random_model(kind: str, seed: int = 0):
    torch.manual_seed(seed)
    if kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**DECODER)).eval()
    config = Idefics3Config(
        text_config={"model_type": "llama", **DECODER},
        vision_config=VISION,
        scale_factor=2,
        image_token_id=4,
        pad_token_id=0,
        tie_word_embeddings=False,
    )
    return Idefics3ForConditionalGeneration(config).eval()


def trl_trainer(model, reference, kind, rows, processor, folder) -> DPOTrainer:
    settings = DPOConfig(
        output_dir=str(folder),
        loss_type=["sigmoid", "bco_pair", "sft"],
        loss_weights=[0.8, 0.2, 1.0],
        beta=0.1,
        max_length=None,
        per_device_train_batch_size=1,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
    )
    examples = [example for row in rows for example in as_trl_takes_them(row)]
    return DPOTrainer(
        model,
        ref_model=reference,
        args=settings,
        train_dataset=Dataset.from_list(examples),
        processing_class=processor if kind == "idefics3" else processor.tokenizer,
    )


def micro_batches(trainer, rows) -> list[list[dict]]:
    """Each row's pairs, as TRL's collator makes micro-batches of them."""
    examples = iter(trainer.train_dataset)
    return [[trainer.data_collator([dict(next(examples))]) for _ in row.pairs] for row in rows]


def encoded(row: TrainRow, batches: list[dict]) -> EncodedRow:
    """The row with exactly the tokens of TRL's micro-batches."""
    responses: dict[int, torch.Tensor] = {}
    for pair, batch in zip(row.pairs, batches, strict=True):
        for side in (0, 1):
            ids, answer, real = (batch[name][side] for name in ("input_ids", "completion_mask", "attention_mask"))
            responses[pair[side]] = ids[answer.bool()]
            prompt = ids[real.bool() & ~answer.bool()]
    extras = {name: batch[name][:1] for name in ("pixel_values", "pixel_attention_mask") if name in batch}
    return EncodedRow(row.id, row.source, prompt, tuple(responses[i] for i in sorted(responses)), extras)


def parts_of(rows, batches) -> tuple[StepPart, ...]:
    parts = []
    for row, micro in zip(rows, batches, strict=True):
        used = sorted({i for pair in row.pairs for i in pair})
        pairs = tuple((used.index(chosen), used.index(rejected)) for chosen, rejected in row.pairs)
        parts.append(StepPart(encoded(row, micro), pairs, (1.0,) * len(pairs)))
    return tuple(parts)


def gradient(model) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def apart(ours, theirs) -> float:
    """How far two gradients are apart, by length, relative to theirs: of the parameter where they are furthest.

    A millionth of the whole is added to each length: the bias of keys has a gradient of 0, of which only noise is left.
    """
    assert ours.keys() == theirs.keys()
    whole = torch.stack([value.norm() for value in theirs.values()]).norm()
    return max((ours[name] - theirs[name]).norm() / (theirs[name].norm() + 1e-6 * whole) for name in theirs).item()


def test_the_encoder_gives_the_tokens_and_pictures_that_trl_trains_on(processor, tmp_path):
    """But for what the chat format writes after the token that ends an answer, which TRL's answers include."""
    rows = questions(pictures=True)
    trainer = trl_trainer(random_model("idefics3"), random_model("idefics3"), "idefics3", rows, processor, tmp_path)
    encoder = Encoder(processor)
    after = processor.tokenizer("\n", add_special_tokens=False)["input_ids"]
    for row, batches in zip(rows, micro_batches(trainer, rows), strict=True):
        ours = encoder.encode(row).row
        theirs = encoded(row, batches)
        assert ours.prompt_ids.tolist() == theirs.prompt_ids.tolist()
        assert torch.equal(ours.extras["pixel_values"], theirs.extras["pixel_values"])
        used = sorted({i for pair in row.pairs for i in pair})
        for i, ids in zip(used, theirs.response_ids, strict=True):
            assert ours.response_ids[i].tolist() + after == ids.tolist()


@pytest.mark.parametrize(
    "compute", [{}, {"max_pack_tokens": 60}, {"sharing": "off"}], ids=["packed", "groups", "unshared"]
)
@pytest.mark.parametrize("kind", ["idefics3", "llama"])
def test_a_step_equals_trls(kind, compute, processor, tmp_path):
    rows = questions(pictures=kind == "idefics3")
    policy, reference = random_model(kind), random_model(kind, seed=1)
    trl = trl_trainer(copy.deepcopy(policy), copy.deepcopy(reference), kind, rows, processor, tmp_path)
    batches = micro_batches(trl, rows)
    pairs = sum(len(row.pairs) for row in rows)
    trl.current_gradient_accumulation_steps = pairs
    their_loss = sum(trl.training_step(trl.model, batch).item() for micro in batches for batch in micro)
    theirs = gradient(trl.model)

    recipe = tiny_recipe(compute={"precision": "float32", **compute})
    ours = MpoTrainer(policy, tiny_arguments(tmp_path), [], recipe, reference=reference)
    ours.create_optimizer_and_scheduler(10)
    batch = StepBatch(parts_of(rows, batches), pairs)
    our_loss = ours.training_step(policy, {"step": batch}).item()
    assert our_loss == pytest.approx(their_loss, rel=2e-6)
    assert apart(gradient(policy), theirs) < 5e-6


def test_a_reward_shift_moves_the_step_away_from_trls(processor, tmp_path):
    """The comparison sees what TRL leaves out: with δ = 1 the gradient is another."""
    rows = questions(pictures=False)
    policy, reference = random_model("llama"), random_model("llama", seed=1)
    trl = trl_trainer(copy.deepcopy(policy), copy.deepcopy(reference), "llama", rows, processor, tmp_path)
    batches = micro_batches(trl, rows)
    batch = StepBatch(parts_of(rows, batches), 6)
    gradients = []
    for reward_sum in (0.0, 12.0):
        ours = MpoTrainer(policy, tiny_arguments(tmp_path), [], tiny_recipe(), reference=reference)
        ours.create_optimizer_and_scheduler(10)
        ours.shift.update(reward_sum, 12)
        policy.zero_grad()
        ours.training_step(policy, {"step": batch})
        gradients.append(gradient(policy))
    assert apart(*gradients) > 1e-4


@pytest.mark.parametrize("tokens", [4096, 60], ids=["packed", "groups"])
@pytest.mark.parametrize("kind", ["idefics3", "llama"])
def test_log_probabilities_equal_the_models_own_in_double_precision(kind, tokens, processor, tmp_path):
    rows = questions(pictures=kind == "idefics3")
    trl = trl_trainer(random_model(kind), random_model(kind), kind, rows, processor, tmp_path)
    model = random_model(kind).double()
    parts = parts_of(rows, micro_batches(trl, rows))
    scores = Compute(model, max_pack_tokens=tokens).scores(parts)
    for part, got in zip(parts, scores, strict=True):
        for position, score in zip(part.used, got, strict=True):
            response = part.row.response_ids[position]
            ids = torch.cat([part.row.prompt_ids, response])
            with torch.no_grad():
                logits = model(input_ids=ids[None], **part.row.extras).logits[0, -len(response) - 1 : -1]
            expected = logits.log_softmax(-1).gather(1, response[:, None]).sum()
            assert score.dtype == torch.float64
            assert abs(score - expected) / abs(expected) < 1e-12
