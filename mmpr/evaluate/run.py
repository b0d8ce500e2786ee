"""An evaluation from end to end: store the questions, ask the models, score, compare, write the page."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from mmpr.cli.command import printable
from mmpr.evaluate.questions import find_data
from mmpr.evaluate.recipes import PlannedRun, base_recipe, name_models, plan_runs
from mmpr.evaluate.results import Evaluation, Style
from mmpr.evaluate.store import check_folder, claim, store_questions
from mmpr.extension import NO_EXTENSIONS, Extensions
from mmpr.models import say_remote_code
from mmpr.pipeline.job import Job
from mmpr.pipeline.work import Left
from mmpr.runners import RunnerName, start_runner
from mmpr.storage.shards import (
    ATTEMPTS,
    Stage,
    Units,
    done,
    locked,
    remove_temporaries,
    write_json,
    write_text,
)
from mmpr.storage.tables import read_counts

STAGES: tuple[Stage, ...] = ("ingest", "sample", "verify")


def evaluate(
    models: Sequence[str],
    data: str,
    root: Path,
    *,
    samples: int | None = None,
    styles: Sequence[Style] = ("reason",),
    template: str | None = None,
    overrides: Sequence[str] = (),
    runner: RunnerName = "ray",
    extensions: Extensions = NO_EXTENSIONS,
) -> Evaluation:
    """Evaluate models in the folder ``root``, or continue there; returns the results of everything in the folder.

    ``samples`` None asks greedily. The arguments are those of the command line (``python -m mmpr.evaluate --help``).

    Raises:
        RecipeError: settings or models are wrong; all problems are named.
        SourceError: the questions cannot be read.
        OutputError: ``root`` is in use, holds something else, or a run with other settings.
        EngineError: an engine did not start, or keeps dying.
    """
    from mmpr.evaluate.page import page
    from mmpr.evaluate.score import read_evaluation, write_metrics
    from mmpr.storage.trees import as_json

    root = root.absolute()
    found = find_data(data)
    recipe = base_recipe(found, samples, template, overrides, extensions)
    named = name_models(models, recipe.model)
    say_remote_code(recipe.model.trust_remote_code)
    with locked(root):
        check_folder(root)
        remove_temporaries(root)
        stored = store_questions(found, recipe, root, lambda line: print(printable(line), file=sys.stderr))
        runs = plan_runs(recipe, named, styles, stored, root, {} if template else found.templates)
        for one in runs:
            claim(one.run)
        unfinished = [one for one in runs if not one.run.is_finished()]
        if unfinished:
            ask(unfinished, root, runner)
        remove_temporaries(root)
        if found.benchmark is not None:
            for one in runs:
                write_metrics(one.run, found.benchmark)
        evaluation = read_evaluation(root, [one.run.folder for one in runs])
        write_json(root / "report.json", {"format": 1, **as_json(evaluation)})
        write_text(root / "index.html", page(evaluation, root))
    return evaluation


def ask(runs: Sequence[PlannedRun], root: Path, runner: RunnerName) -> None:
    """Ask and judge what is missing, run by run, with one runner for all."""
    with start_runner(runner, root / "logs" / "ray.log") as running:
        for one in runs:
            run, job = one.run, job_of(one)
            units = run.stored.all_units()
            left = _left(job, units, one.recipe.sampling.samples)
            finished = len(units) - len(left.to_sample)
            going_on = f", {finished} of {len(units)} units are there" if finished else ""
            about = f"{run.about['model']}, {run.about['style']}, {run.about['way']}{going_on}"
            print(printable(about), file=running.terminal)
            running.run(job, one.model.path, left)
            shutil.rmtree(run.folder / ATTEMPTS, ignore_errors=True)


def _left(job: Job, units: Units, samples: int) -> Left:
    """What a run has still to sample, and to judge."""
    sampled, judged = (done(job.out, stage, units) for stage in ("sample", "verify"))
    to_sample = units.where([not there for there in sampled])
    questions = sum(sum(read_counts(job.asked(unit)).values()) for unit in to_sample)
    return Left(
        to_sample=to_sample,
        to_judge=units.where([s and not j for s, j in zip(sampled, judged, strict=True)]),
        heldout=Units("heldout", len(units), ()),
        totals={"questions": questions, "to_judge": questions * samples},
    )


def job_of(one: PlannedRun) -> Job:
    """The job that the workers of a run get."""
    folder, stored = one.run.folder, one.run.stored.folder
    return Job(one.recipe, folder, one.model.revision, one.templates, questions=stored, stages=STAGES)
