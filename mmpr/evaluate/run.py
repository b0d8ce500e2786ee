"""An evaluation from end to end: store the questions, ask the models, count, compare, show."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from mmpr.command import printable
from mmpr.evaluate.data import find_data
from mmpr.evaluate.nouns import Evaluation, Style
from mmpr.evaluate.plan import Asking, base_recipe, name_models, plan_runs
from mmpr.evaluate.store import check_folder, claim, store_questions
from mmpr.models import say_remote_code
from mmpr.stages import Job
from mmpr.storage.shards import ATTEMPTS, Stage, add_counts, is_done, locked, remove_temporaries, write_json, write_text
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
) -> Evaluation:
    """Evaluate models into ``root``, or go on with what is there; returns everything that lies there then.

    ``samples`` None asks greedily. Words are those of the command line (see ``python -m mmpr.evaluate --help``).

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
    recipe = base_recipe(found, samples, template, overrides)
    named = name_models(models, recipe.model)
    say_remote_code(recipe.model.trust_remote_code)
    with locked(root):
        check_folder(root)
        remove_temporaries(root)
        stored = store_questions(found, recipe, root, lambda line: print(printable(line), file=sys.stderr))
        asking = plan_runs(recipe, named, styles, stored, root)
        for one in asking:
            claim(one.run)
        unfinished = [one for one in asking if not one.run.is_finished()]
        if unfinished:
            _ask(unfinished, root)
        remove_temporaries(root)
        if found.benchmark is not None:
            for one in asking:
                write_metrics(one.run, found.benchmark)
        evaluation = read_evaluation(root, [one.run.folder for one in asking])
        write_json(root / "report.json", {"format": 1, **as_json(evaluation, without=("data",))})
        write_text(root / "index.html", page(evaluation, root))
    return evaluation


def _ask(asking: Sequence[Asking], root: Path) -> None:
    """Whatever is not there yet, run by run, in one session of Ray."""
    from mmpr import cluster
    from mmpr.progress import BuildProgress

    with cluster.session(root / "logs" / "ray.log") as terminal:
        for one in asking:
            run, job = one.run, job_of(one)
            units = run.stored.all_units()
            to_sample = [unit for unit in units if not is_done(run.folder, "sample", unit)]
            sampled = [unit for unit in units if unit not in set(to_sample)]
            to_judge = [unit for unit in sampled if not is_done(run.folder, "verify", unit)]
            totals: dict[str, int] = {}
            for unit in to_sample:
                add_counts(totals, read_counts(job.asked(unit)))
            questions = sum(totals.values())
            totals = {"questions": questions, "to_judge": questions * one.recipe.sampling.samples}
            going_on = f", {len(sampled)} of {len(units)} units are there" if sampled else ""
            asked = f"{run.about['model']}, {run.about['style']}, {run.about['way']}{going_on}"
            print(printable(asked), file=terminal)
            if to_sample:
                cluster.check_room(one.recipe.engine, terminal)
            meter = cluster.start_meter()
            engines = one.recipe.engine.actors
            with BuildProgress(lambda meter=meter: cluster.read_meter(meter), totals, engines, terminal) as bars:  # type: ignore[misc]
                cluster.run(
                    job,
                    one.model.path,
                    to_sample=to_sample,
                    to_judge=to_judge,
                    heldout=[],
                    meter=meter,
                    on_done=bars.judged,
                )
            shutil.rmtree(run.folder / ATTEMPTS, ignore_errors=True)


def job_of(one: Asking) -> Job:
    """What the workers of a run must know."""
    return Job(one.recipe, one.run.folder, one.model.revision, questions=one.run.stored.folder, stages=STAGES)
