"""Trains the demo model: a small Idefics3 that reads digits and shapes, reasons in writing, and is often wrong.

    python data/train_demo_model.py --out data/demo_model

One seeded run on one thread, from nothing; see README.md beside this file for what it learns and how well. Only the
``pretrain`` parts of the sources are used, so that the pictures of ``train`` and ``heldout`` are new to the model.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from demo_text import (  # type: ignore[import-not-found]  # it lies beside this file
    STYLE_WEIGHTS,
    STYLES,
    answer_digits,
    answer_shape,
    describe_digits,
    describe_shape,
    enumerate_words,
)
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    LlamaConfig,
    PreTrainedTokenizerFast,
)

from mmpr.answers import extract, match
from mmpr.prompts import to_messages
from mmpr.schema import IMAGE_MARK, SourceRow
from mmpr.sources.digits import (
    DESCRIBE_REQUESTS,
    PICTURE_PIXELS,
    REASONING_KINDS,
    Digits,
    ask,
    montage,
    scans,
    split_indices,
)
from mmpr.sources.easy_vqa_questions import QUESTION_KINDS, EasyVqa, picture_facts, questions_by_kind
from mmpr.templates import load_template

REPOSITORY = Path(__file__).resolve().parent.parent
# With glibc's defaults most of the time would go into page faults; these are read at start-up only.
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "500000000",
}
DIRECT_SUFFIX = "Answer the question using a single word or phrase."
READ_REQUESTS = ("List the digits in the picture.", "Which digits are in the picture?")
BOS, EOS, PAD = "<|im_start|>", "<end_of_utterance>", "<|endoftext|>"
FAKE, IMAGE, GLOBAL = "<fake_token_around_image>", "<image>", "<global-img>"
PATCH_PIXELS, SHUFFLE = 8, 2
IMAGE_TOKENS = (PICTURE_PIXELS // PATCH_PIXELS // SHUFFLE) ** 2
CONTEXT_TOKENS = 1024

# SmolVLM's chat format, but for the line break after "Assistant:", which keeps the answer's first token apart from it.
CHAT_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}:\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:\n' }}{% endif %}"
)

# What a training sample is about: its share up to WARMUP_SHARE of the steps, and afterwards. The start is short texts
# that teach to see (with a picture) and to reason (without one); reasoning over pictures joins the two.
TASKS = {
    "read": (0.35, 0.04),
    "describe_digits": (0.20, 0.09),
    "describe_shape": (0.08, 0.05),
    "direct": (0.07, 0.08),
    "text_only": (0.30, 0.09),
    "reason_digits": (0.00, 0.56),
    "reason_shape": (0.00, 0.09),
}
WARMUP_SHARE = 0.2


@dataclass(frozen=True)
class Sample:
    """A rendered prompt, its picture (64, 64, 3; uint8) or None, and the answer."""

    user: str
    picture: np.ndarray | None
    assistant: str


class Corpus:
    """Endless fresh samples from the pretrain parts, reproducible from a seed."""

    def __init__(self, seed: int) -> None:
        """Load what the samples are made from."""
        self.rng = random.Random(seed)
        self.template = load_template("en")
        self.digits = split_indices("pretrain")
        self.labels = scans()[1]
        self.facts = {picture: facts for picture, facts in picture_facts("pretrain").items() if len(facts) == 2}
        self.shapes = {
            kind: [entry for entry in entries if entry[2] in self.facts]
            for kind, entries in questions_by_kind("pretrain").items()
        }
        source = EasyVqa("pretrain", 0)
        self.pictures = {
            number: np.asarray(Image.open(io.BytesIO(source.load(f"easy_vqa:train/{number}"))).convert("RGB"))
            for number in self.facts
        }

    def sample(self, task: str) -> Sample:
        """One new sample of a task."""
        rng = self.rng
        if task in ("reason_shape", "describe_shape") or (task == "direct" and rng.random() < 0.25):
            return self._shape(task)
        if task == "text_only":
            return self._text_only()
        indices = rng.sample(self.digits, rng.randint(2, 4))
        digits = [self.labels[index] for index in indices]
        picture = jitter(montage(indices), rng)
        if task == "read":
            return Sample(with_mark(rng.choice(READ_REQUESTS)), picture, enumerate_words(digits))
        if task == "describe_digits":
            return Sample(with_mark(rng.choice(DESCRIBE_REQUESTS)), picture, describe_digits(digits, rng))
        asked = ask(rng.choice(REASONING_KINDS), digits, rng)
        if task == "direct":
            text = asked.text if asked.choices else f"{asked.text}\n{DIRECT_SUFFIX}"
            return Sample(with_mark(text), picture, str(asked.answer))
        style = rng.choices(STYLES, STYLE_WEIGHTS[len(digits)])[0]
        return Sample(self.template.render(with_mark(asked.text)), picture, answer_digits(asked, digits, style, rng))

    def _shape(self, task: str) -> Sample:
        rng = self.rng
        kind = "describe" if task == "describe_shape" else rng.choice(QUESTION_KINDS)
        text, answer, number = rng.choice(self.shapes[kind])
        picture, facts = self.pictures[number], self.facts[number]
        if answer is None:
            return Sample(with_mark(text), picture, describe_shape(facts, picture, rng))
        if task == "direct":
            return Sample(with_mark(f"{text}\n{DIRECT_SUFFIX}"), picture, answer)
        user = self.template.render(with_mark(text))
        return Sample(user, picture, answer_shape(text, answer, facts, rng.random() < 0.5, rng))

    def _text_only(self) -> Sample:
        """The same questions about digits given in words, so that a prompt without a picture is nothing new."""
        rng = self.rng
        digits = [rng.randrange(10) for _ in range(rng.randint(2, 4))]
        asked = ask(rng.choice(REASONING_KINDS), digits, rng)
        text = f"Given are the digits {enumerate_words(digits)}. {asked.text.replace(' in the picture', '')}"
        if rng.random() < 0.2:
            return Sample(text if asked.choices else f"{text}\n{DIRECT_SUFFIX}", None, str(asked.answer))
        answer = answer_digits(asked, digits, "careful", rng).replace(" in the picture", "")
        return Sample(self.template.render(text), None, answer)


def with_mark(text: str) -> str:
    """The text with a picture in front."""
    return f"{IMAGE_MARK}\n{text}"


def jitter(picture: np.ndarray, rng: random.Random) -> np.ndarray:
    """The picture moved by up to two pixels each way, a little fainter or stronger, against learning scans by heart."""
    moved = np.zeros_like(picture)
    down, right = rng.randint(-2, 2), rng.randint(-2, 2)
    side = len(picture)
    moved[max(0, down) : side + min(0, down), max(0, right) : side + min(0, right)] = picture[
        max(0, -down) : side - max(0, down), max(0, -right) : side - max(0, right)
    ]
    return np.clip(moved * rng.uniform(0.8, 1.1), 0, 255).astype(np.uint8)


def build_tokenizer(corpus: Corpus, pieces: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE with single digits, trained on samples and on every template; encodes any text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    specials = [PAD, BOS, EOS, FAKE, IMAGE, GLOBAL]
    trainer = trainers.BpeTrainer(
        vocab_size=pieces,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [path.read_text("utf-8") for path in sorted((REPOSITORY / "prompts").glob("*.txt"))]
    texts += ["User:\n", "Assistant:\n"]
    for task in TASKS:
        for _ in range(1000):
            sample = corpus.sample(task)
            texts += [sample.user, sample.assistant]
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        unk_token=PAD,
        additional_special_tokens=[FAKE, IMAGE, GLOBAL],
        model_max_length=CONTEXT_TOKENS,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def build_processor(tokenizer: PreTrainedTokenizerFast) -> Idefics3Processor:
    """Pictures become one 64 x 64 tile; image splitting is off."""
    image_processor = Idefics3ImageProcessorPil(
        size={"longest_edge": PICTURE_PIXELS}, max_image_size={"longest_edge": PICTURE_PIXELS}, do_image_splitting=False
    )
    return Idefics3Processor(image_processor, tokenizer, image_seq_len=IMAGE_TOKENS, chat_template=CHAT_TEMPLATE)


def build_model(tokenizer: PreTrainedTokenizerFast) -> Idefics3ForConditionalGeneration:
    """2.7 M parameters: a SigLIP-style tower, pixel shuffle, a Llama decoder with tied embeddings."""
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in (("bos", BOS), ("eos", EOS), ("pad", PAD))}
    token_ids = {f"{name}_token_id": number for name, number in ids.items()}
    config = Idefics3Config(
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
        scale_factor=SHUFFLE,
        tie_word_embeddings=True,
        vision_config={
            "hidden_size": 128,
            "intermediate_size": 512,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "image_size": PICTURE_PIXELS,
            "patch_size": PATCH_PIXELS,
        },
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=6,
            num_key_value_heads=6,
            max_position_embeddings=CONTEXT_TOKENS,
            tie_word_embeddings=True,
            **token_ids,
        ).to_dict(),
        **token_ids,
    )
    model = Idefics3ForConditionalGeneration(config)
    model.generation_config = GenerationConfig(do_sample=False, **token_ids)
    return model


class Encoder:
    """Samples to tensors, exactly as the processor does it but without its overhead."""

    def __init__(self, processor: Idefics3Processor) -> None:
        """Keep the processor's chat format and its tokenizer."""
        self.processor = processor
        self.tokenizer = processor.tokenizer.backend_tokenizer
        self.picture_text = FAKE + GLOBAL + IMAGE * IMAGE_TOKENS + FAKE

    def encode(self, sample: Sample) -> tuple[list[int], int]:
        """Token ids of both turns, and how many of them are the prompt's."""
        prompt = chat(self.processor, sample.user).replace(IMAGE, self.picture_text)
        head = self.tokenizer.encode(prompt).ids
        tail = self.tokenizer.encode(sample.assistant + EOS).ids
        return head + tail, len(head)


def chat(processor: Idefics3Processor, prompt: str) -> str:
    """A rendered prompt in the model's own chat format, up to where the assistant begins."""
    return str(processor.apply_chat_template(to_messages(prompt), add_generation_prompt=True, tokenize=False))


def batches(corpus: Corpus, encoder: Encoder, size: int, steps: int) -> Iterator[dict[str, torch.Tensor]]:
    """``steps`` batches of samples of like length, padded on the right; only the assistant's tokens have labels."""
    names = list(TASKS)
    pooled = 16
    for start in range(0, steps, pooled):
        weights = [first if start < WARMUP_SHARE * steps else later for first, later in TASKS.values()]
        pool = []
        for task in corpus.rng.choices(names, weights, k=size * pooled):
            sample = corpus.sample(task)
            pool.append((*encoder.encode(sample), sample.picture))
        pool.sort(key=lambda entry: len(entry[0]))
        chunks = [pool[at : at + size] for at in range(0, len(pool), size)]
        corpus.rng.shuffle(chunks)
        for chunk in chunks[: steps - start]:
            yield collate(chunk)


def collate(chunk: list[tuple[list[int], int, np.ndarray | None]]) -> dict[str, torch.Tensor]:
    """Ids and labels (batch, longest), pictures (batch, 1, 3, 64, 64) in -1..1; a sample without one gets zeros.

    No attention mask: padding is on the right, where causal attention never sees it.
    """
    longest = max(len(ids) for ids, _, _ in chunk)
    input_ids = torch.zeros(len(chunk), longest, dtype=torch.long)
    labels = torch.full((len(chunk), longest), -100)
    pixels = torch.zeros(len(chunk), 1, 3, PICTURE_PIXELS, PICTURE_PIXELS)
    for row, (ids, prompt_tokens, picture) in enumerate(chunk):
        input_ids[row, : len(ids)] = torch.tensor(ids)
        labels[row, prompt_tokens : len(ids)] = torch.tensor(ids[prompt_tokens:])
        if picture is not None:
            pixels[row, 0] = torch.from_numpy(picture.transpose(2, 0, 1) / np.float32(127.5) - 1)
    batch = {"input_ids": input_ids, "labels": labels}
    return {**batch, "pixel_values": pixels} if pixels.any() else batch


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over 200 steps, then cosine to a hundredth."""
    if step < 200:
        return peak * (step + 1) / 200
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - 200) / max(1, steps - 200))))


def validate(model: Idefics3ForConditionalGeneration, processor: Idefics3Processor, questions: int) -> dict[str, float]:
    """Greedy accuracy by kind on the ``train`` part's digits, which training never sees; prints a few answers."""
    source = Digits("train", questions, seed=1)
    template = load_template("en")
    model.eval()
    answered: list[tuple[SourceRow, str]] = []
    rows = list(source.rows())
    for start in range(0, len(rows), 100):
        chunk = rows[start : start + 100]
        inputs = processor(
            text=[chat(processor, template.render(row.question)) for row in chunk],
            images=[[Image.open(io.BytesIO(source.load(row.images[0])))] for row in chunk],
            return_tensors="pt",
            padding=True,
        )
        with torch.inference_mode():
            outputs = model.generate(**inputs, max_new_tokens=96)[:, inputs["input_ids"].shape[1] :]
        answered += zip(chunk, processor.batch_decode(outputs, skip_special_tokens=True), strict=True)
    model.train()
    right: dict[str, list[bool]] = {"all": []}
    for number, (row, text) in enumerate(answered):
        hit = match(extract(text, "en") or "", str(row.answer), choices=row.choices or None).status == "correct"
        right["all"].append(hit)
        right.setdefault(row.kind, []).append(hit)
        if number < 6:
            print(f"    {json.loads(row.meta)['digits']} {row.question[8:48]!r} ({row.answer}) -> {text!r}", flush=True)
    return {kind: sum(hits) / len(hits) for kind, hits in right.items()}


def save(model: Idefics3ForConditionalGeneration, processor: Idefics3Processor, out: Path) -> None:
    """Weights in float32 and everything that stock transformers and vLLM need to load them."""
    model.save_pretrained(out)
    processor.save_pretrained(out)


def train(arguments: argparse.Namespace) -> None:
    """The whole run."""
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    corpus = Corpus(arguments.seed)
    processor = build_processor(build_tokenizer(corpus, arguments.pieces))
    model = build_model(processor.tokenizer)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{parameters / 1e6:.2f} M parameters, {len(processor.tokenizer)} pieces", flush=True)
    encoder = Encoder(processor)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=0.05, fused=True)
    model.train()
    began, recent = time.monotonic(), []
    for step, batch in enumerate(batches(corpus, encoder, arguments.batch_size, arguments.steps)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, arguments.steps, arguments.learning_rate)
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        recent.append(loss.item())
        done = step + 1
        if done % 50 == 0 or done == arguments.steps:
            elapsed = time.monotonic() - began
            rate = done * arguments.batch_size / elapsed
            left = (arguments.steps - done) * elapsed / done / 60
            print(
                f"step {done}/{arguments.steps}  loss {sum(recent) / len(recent):.3f}  {rate:.1f} samples/s  "
                f"{elapsed / 60:.1f} min, {left:.1f} min left",
                flush=True,
            )
            recent = []
        if done % arguments.validate_every == 0 or done == arguments.steps:
            save(model, processor, arguments.out)
            accuracy = validate(model, processor, arguments.validation_questions)
            print("  validation " + "  ".join(f"{kind} {value:.0%}" for kind, value in accuracy.items()), flush=True)


def main() -> None:
    """Read the command line and train."""
    if not ENVIRONMENT.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ENVIRONMENT})
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "data" / "demo_model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=5600)
    parser.add_argument("--batch-size", type=int, default=24)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--pieces", type=int, default=640, help="size of the vocabulary")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--validate-every", type=int, default=500, help="steps between checkpoints")
    parser.add_argument("--validation-questions", type=int, default=300)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
