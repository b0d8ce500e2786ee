"""The heavy part of a run: data, model, trainer, and what is left on disk at the end."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, TrainingArguments
from transformers.utils import logging as transformers_logging

from mmpr.errors import MmprError
from mmpr.storage.shards import write_json, write_text
from mmpr.train import distributed
from mmpr.train.data.prepare import Prepared, add_reference, prepare
from mmpr.train.loop.callback import Keeper, read_state
from mmpr.train.loop.checkpoints import WRITING, forget_half_written, last_checkpoint, publish, step_of
from mmpr.train.loop.greedy_answers import Asked, answer, from_rows, held_out, read_answers, write_answers
from mmpr.train.loop.metrics import read_metrics
from mmpr.train.loop.report import Sample, report
from mmpr.train.loop.trainer import MpoTrainer
from mmpr.train.loop.watch import Answers
from mmpr.train.model import load_model, load_processor, save_stock
from mmpr.train.recipe import TrainRecipe
from mmpr.train.rows import StepPart
from mmpr.train.run import RESULT
from mmpr.train.shared_prefix.compute import Compute

_SHOWN_SAMPLES = 16
_TIMEOUT_S = 7 * 24 * 3600  # ranks wait for each other while one encodes, samples or saves


def run_session(recipe: TrainRecipe, about: Mapping[str, Any], out: Path) -> None:
    """Train to the end, from the last checkpoint if there is one, and write the result.

    Raises:
        MmprError: data or model cannot be used, or the watch has stopped the run.
    """
    started_s = time.monotonic()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    first = int(os.environ.get("RANK", "0")) == 0
    if first:
        forget_half_written(out)
    model_path = about["model"]["path"]
    arguments = training_arguments(recipe, out)  # processes find each other here
    processor = load_processor(model_path, recipe.model.trust_remote_code)
    checkpoint = last_checkpoint(out)
    done = step_of(checkpoint) if checkpoint else 0
    if checkpoint and first:
        print(f"going on from step {done}", file=sys.stderr)
    config = AutoConfig.from_pretrained(model_path, trust_remote_code=recipe.model.trust_remote_code)
    prepared = prepare(recipe, Path(about["data"]["path"]), out, processor, config)
    if recipe.reference == "cached":
        _cache_references(recipe, about, prepared, arguments)
    arguments.max_steps = min(len(prepared.steps), recipe.data.max_steps or len(prepared.steps))
    policy = load_model(model_path, recipe, weights=checkpoint)
    _place(policy, recipe, arguments)
    reference = None
    if recipe.reference == "on_the_fly" and recipe.lora is None:
        reference = load_model(model_path, recipe).requires_grad_(False).eval()
        _place(reference, recipe, arguments)

    asked = _questions(recipe, about, prepared)
    sets: list[Answers] = []
    keeper = Keeper(out, done=done, steps=arguments.max_steps, keep=recipe.save.keep, about=about)
    try:
        trainer = MpoTrainer(
            policy,
            arguments,
            prepared.steps,
            recipe,
            processor=processor,
            reference=reference,
            callbacks=[keeper],
            see=keeper.see,
        )
        keeper.shift = trainer.shift
        if checkpoint is not None:
            trainer.shift.load_state_dict(read_state(checkpoint)["reward_shift"])
        keeper.tell(keeper.watch.see_drops(prepared.dropped, prepared.rows))
        _ask(recipe, keeper, policy, processor, asked, sets, out, done, arguments.max_steps)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except MmprError:
        if first and (out / "metrics.jsonl").exists():
            _write_report(recipe, out, asked, sets, keeper, prepared)  # what it was stopped for is in it
        raise
    finally:
        keeper.close()
    _finish(recipe, about, out, trainer, processor, asked, sets, keeper, prepared, time.monotonic() - started_s)


def training_arguments(recipe: TrainRecipe, out: Path) -> TrainingArguments:
    """What of the recipe is transformers' business."""
    optimizer = recipe.optimizer
    on_gpu = torch.cuda.is_available()
    distributed: dict[str, Any] = {} if on_gpu or "RANK" not in os.environ else {"ddp_backend": "gloo"}
    arguments = TrainingArguments(
        output_dir=str(out / WRITING),
        use_cpu=not on_gpu,
        per_device_train_batch_size=1,
        num_train_epochs=1,  # the plan of steps holds all epochs
        optim="adamw_torch",
        learning_rate=optimizer.learning_rate,
        adam_beta1=optimizer.betas[0],
        adam_beta2=optimizer.betas[1],
        weight_decay=optimizer.weight_decay,
        warmup_steps=optimizer.warmup,
        lr_scheduler_type=optimizer.schedule,
        max_grad_norm=optimizer.max_grad_norm,
        gradient_checkpointing=recipe.model.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        save_strategy="steps",
        save_steps=recipe.save.every_steps,
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to=list(recipe.report_to) or "none",
        run_name=recipe.name,
        seed=recipe.seed,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        dataloader_num_workers=recipe.compute.workers,
        ddp_timeout=_TIMEOUT_S,
        **distributed,
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # one process a GPU; the Trainer would split batches over all of them
    return arguments


def _cache_references(recipe: TrainRecipe, about: Mapping[str, Any], prepared: Prepared, arguments: Any) -> None:
    """Compute the starting model's log-probabilities, as far as they are not kept beside the data."""
    made: list[Compute] = []

    def scores(parts: Sequence[StepPart]) -> list[Tensor]:
        if not made:  # the model is loaded when there is something to compute
            model = load_model(about["model"]["path"], recipe).eval()
            model.to(arguments.device)
            compute = recipe.compute
            made.append(Compute(model, max_pack_tokens=compute.max_pack_tokens, sharing=compute.sharing))
        wanted = recipe.compute.precision == "bfloat16"
        with torch.autocast(arguments.device.type, torch.bfloat16, enabled=wanted):
            return made[0].scores(parts)

    add_reference(recipe, prepared, scores, about["model"]["revision"])


def _place(model: Any, recipe: TrainRecipe, arguments: TrainingArguments) -> None:
    """Put a model where it is computed, on this rank or sharded over all."""
    model.to(arguments.device)
    if recipe.compute.parallel == "fsdp2":
        distributed.shard(model, arguments.device, getattr(torch, recipe.compute.precision))
    else:
        distributed.broadcast(model)


def _questions(recipe: TrainRecipe, about: Mapping[str, Any], prepared: Prepared) -> list[Asked]:
    """The held-out questions that are looked at, or some of the training data where there are none."""
    most = recipe.watch.questions
    arguments = prepared.steps.encoder.arguments
    return held_out(Path(about["data"]["path"]), most, arguments) or from_rows(prepared.some_rows(most), arguments)


def _ask(
    recipe: TrainRecipe,
    keeper: Keeper,
    model: Any,
    processor: Any,
    asked: Sequence[Asked],
    sets: list[Answers],
    out: Path,
    done: int,
    steps: int,
) -> None:
    """Have the keeper look at greedy answers before the first step and every so often; all of them go to ``sets``."""
    if not asked:
        return
    path = out / "samples.jsonl"
    first = distributed.rank() == 0
    if first:
        sets += read_answers(path, done)

    def ask(step: int) -> Answers:
        with distributed.gathered(model):
            if not first:
                return Answers(step, (), (), ())
            answers = answer(model, processor, asked, step=step, max_new_tokens=recipe.watch.max_new_tokens)
        write_answers(path, answers)
        sets.append(answers)
        return answers

    earlier = list(sets)
    if done == 0:
        earlier = [ask(0)]
    keeper.ask_every(recipe.watch.every_steps, steps, ask, earlier)


def _finish(
    recipe: TrainRecipe,
    about: Mapping[str, Any],
    out: Path,
    trainer: MpoTrainer,
    processor: Any,
    asked: Sequence[Asked],
    sets: Sequence[Answers],
    keeper: Keeper,
    prepared: Prepared,
    seconds: float,
) -> None:
    """Model, report, result: in this order, each whole or absent."""
    weights = distributed.whole_weights(trainer.model) if distributed.is_sharded(trainer.model) else None
    if distributed.rank() == 0:
        written = out / WRITING / "model"
        save_stock(trainer.model, processor, written, weights)
        write_json(written / "mmpr.json", {**about, "steps": trainer.state.global_step})
        publish(written, out / "model")
        _write_report(recipe, out, asked, sets, keeper, prepared)
        lines = read_metrics(out / "metrics.jsonl")
        tenth = max(1, len(lines) // 10)
        result = {
            "steps": trainer.state.global_step,
            "pairs": sum(line["pairs"] for line in lines),
            "seconds": seconds,
            "first": _means(lines[:tenth]),
            "last": _means(lines[-tenth:]),
            "answers": _judged(_samples(asked, sets, None)),
            "dropped": dict(prepared.dropped),
            "findings": [{**asdict(finding), "remedy": finding.remedy} for finding in keeper.watch.findings],
        }
        write_json(out / RESULT, result)
        shutil.rmtree(out / WRITING, ignore_errors=True)
    distributed.barrier()


def _write_report(
    recipe: TrainRecipe,
    out: Path,
    asked: Sequence[Asked],
    sets: Sequence[Answers],
    keeper: Keeper,
    prepared: Prepared,
) -> None:
    lines = read_metrics(out / "metrics.jsonl")
    about = (
        f"{len(lines):,} steps over {sum(line['pairs'] for line in lines):,} pairs of {prepared.rows:,} questions; "
        f"{sum(prepared.dropped.values()):,} rows or pairs were left out."
    )
    samples = _samples(asked, sets, _SHOWN_SAMPLES)
    settings = recipe.model_dump_json(indent=2)
    page = report(f"Training run {recipe.name}", about, lines, keeper.watch.findings, samples, settings)
    write_text(out / "report.html", page)


def _judged(samples: Sequence[Sample]) -> dict[str, int] | None:
    """How many questions with a known truth were answered rightly, before and after."""
    known = [sample for sample in samples if sample.before_right is not None]
    if not known:
        return None
    before, after = (
        sum(map(bool, column)) for column in zip(*((s.before_right, s.after_right) for s in known), strict=True)
    )
    return {"judged": len(known), "before": before, "after": after}


def _means(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    names = [name for name, value in lines[0].items() if isinstance(value, float)]
    return {name: sum(line[name] for line in lines) / len(lines) for name in names}


def _samples(asked: Sequence[Asked], sets: Sequence[Answers], most: int | None) -> list[Sample]:
    """The first and the last answers side by side."""
    if len(sets) < 2:
        return []
    before, after = sets[0], sets[-1]
    return [
        Sample(
            question.text,
            question.images,
            question.truth,
            before.texts[i],
            after.texts[i],
            before.right[i],
            after.right[i],
        )
        for i, question in enumerate(asked[:most])
    ]
