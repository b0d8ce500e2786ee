"""The part of a run that needs torch: data, model and trainer, and the files at the end."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainingArguments
from transformers.utils import logging as transformers_logging

from mmpr.errors import MmprError
from mmpr.storage.shards import write_json, write_text
from mmpr.train import distributed, run_folder
from mmpr.train.checks import check_run
from mmpr.train.data.prepare import Prepared, add_reference, prepare, reference_mode
from mmpr.train.loop.callback import RunCallback, read_state
from mmpr.train.loop.checkpoints import forget_half_written, last_checkpoint, publish, step_of
from mmpr.train.loop.greedy_answers import WatchedQuestion, answer, from_rows, held_out
from mmpr.train.loop.metrics import first_and_last_tenth
from mmpr.train.loop.report import report
from mmpr.train.loop.step_log import read_steps
from mmpr.train.loop.trainer import MpoTrainer
from mmpr.train.loop.watch import Answers
from mmpr.train.model import load_config, load_model, load_processor, save_stock, with_weights
from mmpr.train.private_names import use_one_gpu
from mmpr.train.recipe import TrainRecipe
from mmpr.train.rows import StepPart
from mmpr.train.run_folder import data_paths, is_writer
from mmpr.train.shared_prefix.compute import Compute


@dataclass(frozen=True, slots=True)
class Session:
    """What the parts of a run share: ``about`` is the content of ``RUN/run.json``, ``out`` the run's folder.

    ``arguments`` are transformers', with the device; ``checkpoint`` is where the run goes on from, or None.
    """

    recipe: TrainRecipe
    about: Mapping[str, Any]
    out: Path
    arguments: TrainingArguments
    processor: Any
    prepared: Prepared
    checkpoint: Path | None


def run_session(recipe: TrainRecipe, about: Mapping[str, Any], out: Path) -> None:
    """Train to the end, from the last checkpoint if there is one, and write the result.

    Raises:
        MmprError: data or model cannot be used, or the watch has stopped the run.
    """
    started_s = time.monotonic()
    check_run(recipe, about["model"]["path"], out)
    session = _open(recipe, about, out)
    if recipe.reference == "cached":
        _cache_references(session)
    steps = len(session.prepared.steps)
    session.arguments.max_steps = min(steps, recipe.data.max_steps or steps)
    policy = _load(session, weights=session.checkpoint)
    reference = None
    if recipe.reference == "on_the_fly" and recipe.lora is None:
        reference = _load(session, trained=False)
    questions = _questions(session)
    callback = RunCallback(
        out,
        done=step_of(session.checkpoint) if session.checkpoint else 0,
        steps=session.arguments.max_steps,
        keep=recipe.save.keep,
        about=about,
    )
    try:
        trainer = MpoTrainer(
            policy,
            session.arguments,
            session.prepared.steps,
            recipe,
            processor=session.processor,
            reference=reference,
            callbacks=[callback],
            see_step=callback.see_step,
        )
        callback.shift, callback.weights = trainer.shift, trainer.weights
        if session.checkpoint is not None:
            trainer.shift.load_state_dict(read_state(session.checkpoint)["reward_shift"])
        callback.tell(callback.watch.see_drops(session.prepared.dropped, session.prepared.rows))
        if questions:
            _watch_answers(session, policy, questions, callback)
        trainer.train(resume_from_checkpoint=str(session.checkpoint) if session.checkpoint else None)
    except MmprError:
        if is_writer() and (out / run_folder.METRICS).exists():
            _write_report(session, questions, callback)  # it shows why the run was stopped
        raise
    finally:
        callback.close()
    weights = distributed.whole_weights(policy) if distributed.is_sharded(policy) else None  # all ranks gather
    if is_writer():
        _save(session, trainer, weights)
        _write_report(session, questions, callback)
        _write_result(session, trainer, callback, time.monotonic() - started_s)
        shutil.rmtree(out / run_folder.WRITING, ignore_errors=True)
    distributed.leave()


def _open(recipe: TrainRecipe, about: Mapping[str, Any], out: Path) -> Session:
    """Join the other processes, find the last checkpoint, encode the data for its lengths and plan the steps."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if is_writer():
        forget_half_written(out)
    model = about["model"]["path"]
    trusted = recipe.model.trust_remote_code
    arguments = training_arguments(recipe, out)  # joins the group of processes
    processor = load_processor(model, trusted)
    checkpoint = last_checkpoint(out)
    if checkpoint and is_writer():
        print(f"going on from step {step_of(checkpoint)}", file=sys.stderr)
    config = load_config(model, trusted)
    prepared = prepare(recipe, data_paths(about), out, processor, config)
    return Session(recipe, about, out, arguments, processor, prepared, checkpoint)


def training_arguments(recipe: TrainRecipe, out: Path) -> TrainingArguments:
    """The recipe's settings for transformers' Trainer; making them joins the group of processes."""
    optimizer = recipe.optimizer
    on_gpu = torch.cuda.is_available()
    if "tensorboard" in recipe.report_to:  # else its files lie where checkpoints are written, and go with them
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(out / run_folder.TENSORBOARD))
    backend: dict[str, Any] = {} if on_gpu or "RANK" not in os.environ else {"ddp_backend": "gloo"}
    arguments = TrainingArguments(
        output_dir=str(out / run_folder.WRITING),
        use_cpu=not on_gpu,
        per_device_train_batch_size=1,
        num_train_epochs=1,  # the plan of steps holds all epochs
        optim="adamw_torch_fused" if on_gpu else "adamw_torch",
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
        ddp_timeout=distributed.STEP_LIMIT_S,
        **backend,
    )
    use_one_gpu(arguments)
    return arguments


def _cache_references(session: Session) -> None:
    """Compute the starting model's log-probabilities as the policy will, where they are not kept beside the data."""
    made: list[Compute] = []
    mode = reference_mode(session.recipe)
    cast = mode == "bfloat16 weights"

    def scores(parts: Sequence[StepPart]) -> list[Tensor]:
        if not made:  # the model is loaded when there is something to compute
            model = load_model(session.about["model"]["path"], session.recipe).eval()
            if cast:
                distributed.cast_parameters(model, torch.bfloat16)
            made.append(Compute.of(model.to(session.arguments.device), session.recipe.compute))
        wanted = mode != "float32" and not cast
        with torch.autocast(session.arguments.device.type, torch.bfloat16, enabled=wanted):
            return made[0].scores(parts)

    add_reference(session.recipe, session.prepared, scores, session.about["model"]["revision"])


def _load(session: Session, *, weights: Path | None = None, trained: bool = True) -> Any:
    """Load a model onto this rank's device, whole or sharded over all ranks; ``weights`` are of a checkpoint."""
    recipe, device = session.recipe, session.arguments.device
    model = load_model(session.about["model"]["path"], recipe, weights=weights)
    if not trained:
        model.requires_grad_(False).eval()
    distributed.barrier()  # the first rank may have fetched it from the hub
    if recipe.compute.parallel == "fsdp2":  # moves layer by layer what it shards
        distributed.shard(model, device, getattr(torch, recipe.compute.precision))
    else:
        distributed.broadcast(model.to(device))
    return model


def _questions(session: Session) -> list[WatchedQuestion]:
    """Held-out questions, or some of the training data where nothing is held out."""
    most = session.recipe.watch.questions
    of_builds = (held_out(path, most) for path in data_paths(session.about))
    first = next(filter(None, of_builds), [])  # of the first build that keeps any
    return first or from_rows(session.prepared.some_rows(most))


def _watch_answers(session: Session, model: Any, questions: Sequence[WatchedQuestion], callback: RunCallback) -> None:
    """Have the callback ask for greedy answers; each rank generates its share of them."""
    watch = session.recipe.watch

    def answer_now(step: int) -> Answers | None:
        with distributed.gathered(model):
            encoder = session.prepared.steps.encoder
            answers = answer(model, encoder, questions, step=step, max_new_tokens=watch.max_new_tokens)
        return answers if is_writer() else None

    callback.answer_every(watch.every_steps, answer_now)


def _save(session: Session, trainer: MpoTrainer, weights: dict[str, Any] | None) -> None:
    """Write ``RUN/model``, in the model's own precision; ``weights`` are the gathered ones of a sharded model."""
    written = session.out / run_folder.WRITING / run_folder.MODEL
    path, model = session.about["model"]["path"], trainer.model
    if weights is not None and session.recipe.lora is not None:  # adapters, to be merged into a whole model
        model, weights = with_weights(path, session.recipe, weights), None
    dtype = getattr(load_config(path, session.recipe.model.trust_remote_code), "dtype", None)
    save_stock(model, session.processor, written, weights, dtype)
    write_json(written / run_folder.MODEL_ABOUT, {**session.about, "steps": trainer.state.global_step})
    publish(written, session.out / run_folder.MODEL)


def _write_report(session: Session, questions: Sequence[WatchedQuestion], callback: RunCallback) -> None:
    lines = read_steps(session.out / run_folder.METRICS)
    prepared = session.prepared
    about = (
        f"{len(lines):,} steps over {sum(line['pairs'] for line in lines):,} pairs of {prepared.rows:,} questions; "
        f"{sum(prepared.dropped.values()):,} rows or pairs were left out."
    )
    page = report(
        f"Training run {session.recipe.name}",
        about,
        session.recipe.model_dump_json(indent=2),
        lines,
        callback.watch.findings,
        questions,
        callback.answers,
    )
    write_text(session.out / run_folder.REPORT, page)


def _write_result(session: Session, trainer: MpoTrainer, callback: RunCallback, seconds: float) -> None:
    lines = read_steps(session.out / run_folder.METRICS)
    first, last = first_and_last_tenth(lines)
    result = {
        "steps": trainer.state.global_step,
        "pairs": sum(line["pairs"] for line in lines),
        "seconds": seconds,
        "first": _means(first),
        "last": _means(last),
        "answers": _right_answers(callback.answers),
        "dropped": dict(session.prepared.dropped),
        "tokens": asdict(session.prepared.sameness),
        "findings": [{**asdict(finding), "remedy": finding.remedy} for finding in callback.watch.findings],
    }
    write_json(session.out / run_folder.RESULT, result)


def _right_answers(answers: Sequence[Answers]) -> dict[str, int] | None:
    """How many questions with a known truth were answered rightly before and after; None where there are none."""
    if len(answers) < 2:
        return None
    judged = [both for both in zip(answers[0].right, answers[-1].right, strict=True) if both[0] is not None]
    if not judged:
        return None
    before, after = (sum(map(bool, column)) for column in zip(*judged, strict=True))
    return {"judged": len(judged), "before": before, "after": after}


def _means(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    names = [name for name, value in lines[0].items() if isinstance(value, float)]
    return {name: sum(line[name] for line in lines) / len(lines) for name in names}
