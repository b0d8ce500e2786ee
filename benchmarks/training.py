"""What one optimizer step costs, beside TRL's ``DPOTrainer`` on the same model and the same pairs.

    python benchmarks/training.py --json training.json                   # the whole table
    python benchmarks/training.py --image-tokens 64 256 --pairs 4 --repeats 1

A step is forward and backward over all pairs of one question, the optimizer's own update left out on both sides:

    trl          ``DPOTrainer.training_step``, loss_type sigmoid + bco_pair + sft, one pair a micro-batch, as its
                 collator encodes them; the pass of its reference model is part of it: it caches none for pictures
    cached       ``MpoTrainer.training_step`` with the reference's log-probabilities at hand
    on the fly   the same with a reference model

Model: random Idefics3, decoder 8 layers × 512 (vocabulary 4,096, so that the output layer has the share that it has in
an 8B model), vision tower 4 layers × 128. 64 image tokens are one picture of 224 × 224 pixels, each 256 are one of
448 × 448. Every response has 214 tokens, so TRL pads nothing. Nothing is checkpointed, everything is float32.

Pairs: 32 samples of a question, 8 of them right, go through ``mmpr.pipeline.pairing`` as a build does it: 4 and 8 pairs
have 8 and 16 different responses, 15 pairs have 23, which is what a build gives on average over all pass rates.
``--disjoint`` gives each pair two responses of its own instead.

FLOPs are those of matrix products, convolutions and attention, by the formulas of ``torch.utils.flop_counter``
(attention in full, causal or not, on both sides); an operation that looks like one of these but has no formula ends the
run. TRL's are those of one micro-batch, times the number of pairs: all have the same shapes. Seconds are medians over
repeats that alternate between the sides in one process; malloc is set as the trainer sets it.
Memory is measured in a process of its own with malloc as it comes: how far the resident set rises (VmHWM) above what
was resident before, which is model, reference model, gradients and inputs, during a second step. What torch's allocator
handed out at a time, at most, is given beside it.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import io
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

IMAGE_TOKENS = (64, 256, 1024)
PAIRS = (1, 4, 8, 15)
RESPONSE_TOKENS = 214
SAMPLES, RIGHT = 32, 8
PROCESSOR = Path("data/demo_model")
_PATCH_PIXELS, _TILE_TOKENS = 14, 256
_PRODUCT = re.compile(r"mm|conv|dot|attention|linear|matmul|einsum|bilinear|lstm|gru")

Step = Callable[[], None]
Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Side:
    """A step, and a part of it of which it has so many alike (TRL: a micro-batch; all have the same shapes)."""

    step: Step
    part: Step
    parts: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; ratios are ours over TRL's, memory over what TRL needs for one pair."""

    image_tokens: int
    pairs: int
    responses: int
    flops_ratio: float
    flops_ratio_on_the_fly: float
    time_ratio: float | None
    time_ratio_on_the_fly: float | None
    memory_ratio_to_one_pair: float | None
    allocated_ratio_to_one_pair: float | None
    measured: dict[str, Any]


def main() -> int:
    args = _arguments().parse_args()
    if args.worker:
        return _work(args)
    rows = []
    for image_tokens in args.image_tokens:
        one_pair = None if args.no_memory else _measure(args, "memory-trl", image_tokens, 1)
        for pairs in args.pairs:
            cost = _measure(args, "cost", image_tokens, pairs)
            memory = None if args.no_memory else _measure(args, "memory-ours", image_tokens, pairs)
            rows.append(row_of(image_tokens, pairs, cost, memory, one_pair))
            if args.json:  # after each row: a long run that is stopped keeps what it has
                args.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    print_table(rows)
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-tokens", type=int, nargs="+", choices=IMAGE_TOKENS, default=IMAGE_TOKENS)
    parser.add_argument("--pairs", type=int, nargs="+", choices=range(1, 16), default=PAIRS, metavar="N")
    parser.add_argument("--repeats", type=int, default=3, help="timed steps of each kind; 0: FLOPs and memory alone")
    parser.add_argument("--no-memory", action="store_true", help="FLOPs and seconds alone")
    parser.add_argument("--disjoint", action="store_true", help="no response stands in two pairs")
    parser.add_argument("--threads", type=int, help="of torch (default: its own choice)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    parser.add_argument("--worker", choices=("cost", "memory-ours", "memory-trl"), help=argparse.SUPPRESS)
    return parser


def row_of(image_tokens: int, pairs: int, cost: Any, memory: Any, one_pair: Any) -> Row:
    flops, seconds = cost["flops"], cost["seconds"]
    timed, weighed = bool(seconds["trl"]), memory is not None
    middle = {side: statistics.median(taken) if taken else 0.0 for side, taken in seconds.items()}
    return Row(
        image_tokens=image_tokens,
        pairs=pairs,
        responses=cost["responses"],
        flops_ratio=flops["cached"] / flops["trl"],
        flops_ratio_on_the_fly=flops["on_the_fly"] / flops["trl"],
        time_ratio=middle["cached"] / middle["trl"] if timed else None,
        time_ratio_on_the_fly=middle["on_the_fly"] / middle["trl"] if timed else None,
        memory_ratio_to_one_pair=memory["resident"] / one_pair["resident"] if weighed else None,
        allocated_ratio_to_one_pair=memory["allocated"] / one_pair["allocated"] if weighed else None,
        measured={"cost": cost, "memory": memory, "memory_trl_one_pair": one_pair},
    )


def print_table(rows: Sequence[Row]) -> None:
    names = (
        "image",
        "pairs",
        "responses",
        "FLOPs",
        "on the fly",
        "time",
        "on the fly",
        "memory",
        "allocated",
        "MB",
        "TRL",
    )
    print(" | ".join(f"{name:>10}" for name in names))
    for row in rows:
        numbers = (
            row.flops_ratio,
            row.flops_ratio_on_the_fly,
            row.time_ratio,
            row.time_ratio_on_the_fly,
            row.memory_ratio_to_one_pair,
            row.allocated_ratio_to_one_pair,
        )
        cells = [f"{row.image_tokens}", f"{row.pairs}", f"{row.responses}"]
        cells += ["-" if number is None else f"{number:.3f}" for number in numbers]
        sides = (row.measured["memory"], row.measured["memory_trl_one_pair"])
        cells += ["-" if side is None else f"{side['resident'] / 1e6:.0f}" for side in sides]
        print(" | ".join(f"{cell:>10}" for cell in cells))


def _measure(args: argparse.Namespace, worker: str, image_tokens: int, pairs: int) -> Any:
    """One measurement, in a process of its own."""
    begin = time.perf_counter()
    print(f"{image_tokens} image tokens, {pairs} pairs: {worker} ...", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--worker", worker, "--repeats", str(args.repeats)]
    command += ["--image-tokens", str(image_tokens), "--pairs", str(pairs)]
    command += ["--disjoint"] * args.disjoint + (["--threads", str(args.threads)] if args.threads else [])
    quiet = {"TRANSFORMERS_VERBOSITY": "error", "KINETO_LOG_LEVEL": "99"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **quiet})
    if done.returncode:
        raise SystemExit(f"the measurement ended with status {done.returncode}")
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"  {_told(result)} ({time.perf_counter() - begin:.0f} s)", file=sys.stderr, flush=True)
    return result


def _told(result: Any) -> str:
    if "flops" in result:
        flops, seconds = result["flops"], result["seconds"]
        spent = {side: f" {statistics.median(taken):.2f} s" if taken else "" for side, taken in seconds.items()}
        return ", ".join(f"{side} {flops[side] / 1e9:.0f} GFLOP{spent[side]}" for side in flops)
    return f"{result['resident'] / 1e6:.0f} MB resident, {result['allocated'] / 1e6:.0f} MB allocated"


def _work(args: argparse.Namespace) -> int:
    if args.worker == "cost":
        from mmpr.train.__main__ import use_memory_well

        use_memory_well()
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    task = Task(args.image_tokens[0], args.pairs[0], args.disjoint)
    with tempfile.TemporaryDirectory(prefix="mmpr-benchmark-") as folder:
        out = Path(folder)
        if args.worker == "cost":
            sides = {
                "trl": trl(task, out),
                "cached": ours(task, out, cached=True),
                "on_the_fly": ours(task, out, cached=False),
            }
            result = {"responses": len(task.row.response_ids), "prompt_tokens": len(task.row.prompt_ids)}
            result |= cost(sides, args.repeats)
        else:
            step = (trl(task, out) if args.worker == "memory-trl" else ours(task, out, cached=True)).step
            result = {"resident": resident_bytes(step), "allocated": allocated_bytes(step)}
    print(json.dumps(result), flush=True)
    return 0


# --- the same work for both ---------------------------------------------------------------------------------------


class Task:
    """One question: its pictures, its responses as texts, its pairs, and the model that learns from them."""

    def __init__(self, image_tokens: int, pairs: int, disjoint: bool) -> None:
        self.tile_tokens = min(image_tokens, _TILE_TOKENS)
        self.side = round(self.tile_tokens**0.5) * 2 * _PATCH_PIXELS  # pixel shuffle joins 2 × 2 patches
        self.processor = self._processor()
        self.examples, self.pairs = self._examples(image_tokens // self.tile_tokens, pairs, disjoint)
        self.row = self._row()

    def _processor(self) -> Any:
        from transformers import AutoProcessor

        processor = AutoProcessor.from_pretrained(PROCESSOR)
        processor.image_seq_len = self.tile_tokens
        processor.image_processor.size = {"longest_edge": self.side}
        processor.image_processor.max_image_size = {"longest_edge": self.side}
        return processor

    def _examples(
        self, tiles: int, wanted: int, disjoint: bool
    ) -> tuple[list[dict[str, Any]], tuple[tuple[int, int], ...]]:
        """The pairs as TRL takes them, and as positions in the list of different responses."""
        from PIL import Image

        from mmpr.sources.digits import Digits

        digits = Digits("train", tiles)
        pictures = [Image.open(io.BytesIO(digits.load(row.images[0]))).convert("RGB") for row in digits.rows()]
        pairs = [(2 * i, 2 * i + 1) for i in range(wanted)] if disjoint else pairs_of_a_build(wanted)
        dice = random.Random(214)
        # Digits are a token each; the chat format ends an answer with two more.
        texts = ["".join(dice.choices("0123456789", k=RESPONSE_TOKENS - 2)) for _ in range(1 + max(map(max, pairs)))]
        return [
            {
                "images": pictures,
                "prompt": [{"role": "user", "content": "What is the sum of the digits in the picture?"}],
                "chosen": [{"role": "assistant", "content": texts[chosen]}],
                "rejected": [{"role": "assistant", "content": texts[rejected]}],
            }
            for chosen, rejected in pairs
        ], tuple(pairs)

    def batches(self) -> list[Any]:
        """The pairs one by one, as TRL's collator encodes them."""
        from trl.trainer.dpo_trainer import DataCollatorForVisionPreference

        collate = DataCollatorForVisionPreference(processor=self.processor)
        return [collate([dict(example)]) for example in self.examples]

    def _row(self) -> Any:
        """The same tokens and pictures as a row of ours."""
        import torch

        from mmpr.train.rows import EncodedRow

        responses: dict[int, Any] = {}
        for pair, batch in zip(self.pairs, self.batches(), strict=True):
            answers = batch["completion_mask"].bool()
            if not bool((answers.sum(1) == RESPONSE_TOKENS).all()):
                raise SystemExit(f"responses have {answers.sum(1).tolist()} tokens, not {RESPONSE_TOKENS}")
            prompt = batch["input_ids"][0][~answers[0]]
            responses |= {pair[side]: batch["input_ids"][side][answers[side]] for side in (0, 1)}
        extras = {name: batch[name][:1] for name in ("pixel_values", "pixel_attention_mask")}
        ordered = tuple(responses[i] for i in sorted(responses))
        reference = torch.full((len(ordered),), -8.0 * RESPONSE_TOKENS)
        return EncodedRow("question", "benchmark", prompt, ordered, extras, reference)

    def model(self) -> Any:
        """The model, the same numbers at every call, its gradients there."""
        import torch
        from transformers import Idefics3Config, Idefics3ForConditionalGeneration

        torch.manual_seed(8)
        model = Idefics3ForConditionalGeneration(
            Idefics3Config(
                text_config={
                    "model_type": "llama",
                    "vocab_size": 4096,
                    "hidden_size": 512,
                    "intermediate_size": 1408,
                    "num_hidden_layers": 8,
                    "num_attention_heads": 8,
                    "num_key_value_heads": 8,
                    "max_position_embeddings": 4096,
                    "pad_token_id": 0,
                    "bos_token_id": 1,
                    "eos_token_id": 2,
                },
                vision_config={
                    "hidden_size": 128,
                    "intermediate_size": 512,
                    "num_hidden_layers": 4,
                    "num_attention_heads": 4,
                    "image_size": self.side,
                    "patch_size": _PATCH_PIXELS,
                },
                scale_factor=2,
                image_token_id=self.processor.image_token_id,
                pad_token_id=0,
                tie_word_embeddings=False,
            )
        )
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        return model

    def reference_model(self) -> Any:
        return self.model().requires_grad_(False).eval()


def pairs_of_a_build(wanted: int) -> list[tuple[int, int]]:
    """Pairs of one question of which 8 of 32 samples are right, chosen as a build chooses them."""
    from mmpr.pipeline.pairing import pair_by_correctness
    from mmpr.schema import Response, Rollout, Verdict

    dice = random.Random(32)
    right = set(dice.sample(range(SAMPLES), RIGHT))
    responses = tuple(Response(f"sample {i}", i, "stop", RESPONSE_TOKENS) for i in range(SAMPLES))
    verdicts = [
        Verdict("correct", "20") if i in right else Verdict("incorrect", str(dice.randrange(19)))
        for i in range(SAMPLES)
    ]
    rollout = Rollout("question", "benchmark", "", "", "", "", "", 0, responses)
    pairing = pair_by_correctness(rollout, verdicts, max_pairs=wanted)
    return [(pair.chosen, pair.rejected) for pair in pairing.pairs]


def trl(task: Task, folder: Path) -> Side:
    """TRL's real trainer with the paper's losses, one pair a micro-batch, float32, nothing checkpointed."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    settings = DPOConfig(
        output_dir=str(folder / "trl"),
        loss_type=["sigmoid", "bco_pair", "sft"],
        loss_weights=[0.8, 0.2, 1.0],
        beta=0.1,
        max_length=None,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=len(task.pairs),
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
    )
    trainer = DPOTrainer(
        task.model(),
        ref_model=task.reference_model(),
        args=settings,
        train_dataset=Dataset.from_list(task.examples[:1]),
        processing_class=task.processor,
    )
    trainer.current_gradient_accumulation_steps = len(task.pairs)
    batches = task.batches()

    def step() -> None:
        trainer.model.zero_grad(set_to_none=False)
        for batch in batches:
            trainer.training_step(trainer.model, dict(batch))

    def micro_batch() -> None:
        trainer.training_step(trainer.model, dict(batches[0]))

    return Side(step, micro_batch, len(batches))


def ours(task: Task, folder: Path, *, cached: bool) -> Side:
    """Our trainer with the paper's losses, the reference cached or computed."""
    from dataclasses import replace

    from transformers import TrainingArguments

    from mmpr.train.loop.trainer import MpoTrainer
    from mmpr.train.recipe import parse_train_recipe
    from mmpr.train.rows import StepBatch, StepPart

    row = task.row if cached else replace(task.row, reference=None)
    batch = StepBatch((StepPart(row, task.pairs, (1.0,) * len(task.pairs)),), len(task.pairs))
    settings = TrainingArguments(
        output_dir=str(folder / "mmpr"), use_cpu=True, report_to="none", save_strategy="no", max_steps=100
    )
    trainer = MpoTrainer(
        task.model(),
        settings,
        [batch],
        parse_train_recipe({"name": "benchmark", "compute": {"precision": "float32"}}),
        reference=None if cached else task.reference_model(),
    )
    trainer.create_optimizer_and_scheduler(100)

    def step() -> None:
        trainer.model.zero_grad(set_to_none=False)
        trainer.training_step(trainer.model, {"step": batch})

    return Side(step, step)


# --- measuring ----------------------------------------------------------------------------------------------------


def cost(sides: dict[str, Side], repeats: int) -> dict[str, Any]:
    """FLOPs of each step, then seconds of each in turn. What is counted warms everything up."""
    counted = {}
    for name, side in sides.items():
        with counting() as count:
            side.part()
        counted[name] = side.parts * count()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            begin = time.perf_counter()
            side.step()
            seconds[name].append(time.perf_counter() - begin)
    return {"flops": counted, "seconds": seconds}


@contextmanager
def counting() -> Iterator[Callable[[], int]]:
    """Within, FLOPs are counted; what is given tells how many."""
    import torch
    from torch.utils import flop_counter
    from torch.utils._python_dispatch import TorchDispatchMode

    aten = torch.ops.aten
    formulas = {
        **flop_counter.flop_registry,
        aten.addmm_: flop_counter.flop_registry[aten.addmm],
        aten.baddbmm_: flop_counter.flop_registry[aten.baddbmm],
        aten._scaled_dot_product_flash_attention_for_cpu: flop_counter.sdpa_flop,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: flop_counter.sdpa_backward_flop,
    }
    total = 0

    class Count(TorchDispatchMode):  # type: ignore[misc]
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal total
            result = function(*args, **(kwargs or {}))
            kind = function.overloadpacket
            if kind in formulas:
                total += formulas[kind](*args, **(kwargs or {}), out_val=result)
            elif _PRODUCT.search(kind.__name__):
                raise SystemExit(f"no formula for the FLOPs of {function}")
            return result

    with Count():
        yield lambda: total


def resident_bytes(step: Step) -> int:
    """How far a second step lifts the resident set; the first loads code and fills caches."""
    step()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the highest resident set is the present one again
    step()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    """A figure of this process, in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name + ":"))
    return int(line.split()[1]) * 1024


def allocated_bytes(step: Step) -> int:
    """What torch's allocator had handed out beyond the start of the step, at most."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    most = now = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


if __name__ == "__main__":
    sys.exit(main())
