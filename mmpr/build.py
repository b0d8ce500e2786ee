"""``python -m mmpr.build RECIPE --out DIR``: from a recipe to a preference dataset.

    plan ─▶ index ─▶ ingest ─▶ sample ─▶ complete ─▶ verify ─▶ pair ─▶ manifest and card
                     └──────────── one streaming graph on Ray ──────────┘                └▶ report
                                                     (verify ─▶ adjudicate ─▶ pair: a second one, of a verifier)

Every stage leaves whole shards, so the same command goes on where the last one stopped, however it stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmpr.cli.command import RULE_HELP, RUNNER_HELP, RUNNERS, printable, run_command, this_command

if TYPE_CHECKING:
    from mmpr.config import Recipe
    from mmpr.pipeline.adjudicating import Verifier
    from mmpr.pipeline.job import Job
    from mmpr.pipeline.plan import Build, Plan
    from mmpr.runners import Runner, RunnerName
    from mmpr.storage.shards import Stage, Units

Growth = Literal["ask", "grow", "as-it-was"]


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status: 0 done, 1 failed or would fail, 2 wrong recipe, 130 stopped."""
    args = _arguments().parse_intermixed_args(argv)

    def work() -> int:
        from mmpr.config import load_recipe
        from mmpr.extension import from_options
        from mmpr.pipeline.plan import make_plan

        recipe = load_recipe(args.recipe, args.override, from_options(args.rule, args.source))
        plan = make_plan(recipe, str(args.recipe))
        out = args.out or Path("builds") / recipe.name
        if args.dry_run:
            return dry_run(plan, out, args.start, grow=args.growth == "grow")
        build(plan, out, args.start, args.runner, args.growth)
        return 0

    return run_command(work)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmpr build",
        description="Build a multimodal preference dataset: sample answers, judge them, pair them.",
        epilog="Run the same command again to go on after a stop. RAY_ADDRESS names the cluster to use, if any.",
    )
    parser.add_argument(
        "recipe", type=Path, metavar="RECIPE", help="a YAML file, or the name of one that comes with mmpr (quickstart)"
    )
    parser.add_argument("override", nargs="*", metavar="key.path=value", help="settings that replace the recipe's")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the dataset goes (default: builds/NAME)")
    parser.add_argument(
        "--dry-run", action="store_true", help="check recipe, sources, model, DIR; print the plan; stop"
    )
    parser.add_argument(
        "--from",
        dest="start",
        choices=("complete", "verify", "adjudicate", "pair"),
        help="redo this stage and those after it from the stored responses",
    )
    growth = parser.add_mutually_exclusive_group()
    growth.add_argument(
        "--grow",
        dest="growth",
        action="store_const",
        const="grow",
        default="ask",
        help="take what the recipe has more by now (rows, sources, samples, held-out questions) into the build",
    )
    growth.add_argument(
        "--as-it-was",
        dest="growth",
        action="store_const",
        const="as-it-was",
        help="go on without looking whether the sources have changed",
    )
    parser.add_argument("--runner", choices=RUNNERS, default="ray", help=RUNNER_HELP)
    parser.add_argument("--rule", action="append", default=[], metavar="NAME=module:function", help=RULE_HELP)
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="NAME=module:thing",
        help="rows for the recipe's source NAME of type python: a function that yields them, or a class",
    )
    return parser


def dry_run(plan: Plan, out: Path | None = None, start: Stage | None = None, *, grow: bool = False) -> int:
    """Print what a build would do, and what would go wrong; returns 1 when it would fail or a source be lost, else 0.

    Questions, samples, units, expected size, and the first prompt as the model will see it. Nothing is written, no
    engine is started.
    """
    from rich import box
    from rich.table import Table

    from mmpr.models import say_remote_code
    from mmpr.pipeline.estimate import estimate, find_problems, free_bytes, most_words, show_to_model
    from mmpr.pipeline.progress import print_tables

    recipe = plan.recipe
    out = out or Path("builds") / recipe.name
    expected = estimate(plan)
    table = Table(title=f"{recipe.name}: what a build would do", title_justify="left", box=box.SIMPLE)
    for name in ("source", "split", "questions", "with answer", "rejected", "units", "responses"):
        table.add_column(name, justify="left" if name in ("source", "split") else "right")
    for line in expected:
        units = -(-line.questions // recipe.unit_questions)
        numbers = (line.questions, line.with_answer, line.rejected, units, line.responses)
        table.add_row(line.source, line.split, *(f"{number:,}" for number in numbers))
    print_tables(table)
    for line in expected:
        for reason, (many, reject) in line.reasons.items():
            print(printable(f"rejected {line.source}: {many:,} x {reason}, first {reject.id}: {reject.detail}"))
    if marked := sum(line.with_control_tokens for line in expected):
        print(
            f"control  {marked:,} of the questions hold control tokens of the model; they will be dropped when they "
            "are asked (control_tokens)"
        )
    if plan.verifier is not None and recipe.adjudicate is not None:
        name = f"{recipe.adjudicate.model.path} (revision {plan.verifier.model.revision})"
        most = f"at most {most_words(plan, expected):,} replies, if the judge is unsure of every response"
        print(printable(f"verifier {name}, prompt {plan.verifier.prompt.name}: {most}"))
    engine = recipe.engine
    most_tokens = sum(line.responses for line in expected) * recipe.sampling.max_tokens
    print(printable(f"model    {recipe.model.path} (revision {plan.model.revision})"))
    print(f"engines  {engine.actors} x {engine.type}, tensor parallel {engine.tensor_parallel_size}")
    size = sum(line.bytes for line in expected)
    print(
        f"output   about {size / 1e6:,.1f} MB of {free_bytes(out) / 1e9:,.1f} GB free; at most {most_tokens:,} tokens "
        "sampled",
        flush=True,
    )
    say_remote_code(_trusts_code(recipe))
    seen = show_to_model(plan, expected)
    if seen.note:
        print(printable(f"prompt   not shown: {seen.note}"))
    if first := next((prompt for prompt in seen.prompts if not prompt.error), None):
        print(printable(f"prompt   the first, {first.tokens:,} tokens of {seen.context:,}, as the model will see it:"))
        print(printable("".join(f"         | {line}\n" for line in first.text.splitlines())), end="")
    problems = list(find_problems(plan, expected, seen, out, start, grow=grow))
    for problem in problems:
        print(printable(f"{'problem' if problem.is_fatal else 'loses  '}  {problem.text}"))
    return 1 if any(problem.is_fatal for problem in problems) else 0


def build(
    plan: Plan, out: Path, start: Stage | None = None, runner: RunnerName = "ray", growth: Growth = "ask"
) -> dict[str, Any]:
    """Build into ``out``, or go on with what is there. A report is made when there is none.

    Returns the manifest; one that is written here comes without its ``files``.

    ``start`` names a stage that is done again, with those after it, from what the stages before it have stored.
    ``runner`` does the work (``mmpr.runners``). ``growth`` says what happens when the recipe or its sources have more
    than the build was planned with: ``grow`` takes it in, ``as-it-was`` does not look at the sources.

    Raises:
        OutputError: ``out`` is in use or belongs to another recipe, its sources have changed, or the build has ended
            and holds no pair.
        EngineError: an engine did not start, keeps dying, or refuses everything.
    """
    from mmpr.audit.judgements import AUDIT
    from mmpr.errors import OutputError
    from mmpr.models import say_remote_code
    from mmpr.pipeline.audited import are_kept
    from mmpr.pipeline.growth import ask_about_changes, grow, remember_files, remove_strays
    from mmpr.pipeline.plan import prepare, write_index
    from mmpr.storage.manifest import read_manifest
    from mmpr.storage.shards import MANIFEST, locked, remove_temporaries

    out = out.absolute()
    say_remote_code(_trusts_code(plan.recipe))
    with locked(out):
        remove_temporaries(out)
        before = _pairs(read_manifest(out)) if start is not None and (out / MANIFEST).exists() else None
        if growth == "grow" and start is not None:
            raise OutputError(f"{out}: --grow and --from do not go together; grow first")
        state = prepare(out, plan, start, grow=growth == "grow")
        if state is not None:
            remove_strays(out, state)
        if state is None:
            print(f"reading the sources of {plan.recipe.name}", file=sys.stderr)
            remember_files(out, plan.recipe)
            state = write_index(out, plan)
        elif growth == "grow":
            state = grow(out, plan, state)
        elif growth == "ask":
            ask_about_changes(out, plan, state)
        if (out / MANIFEST).exists():
            manifest = read_manifest(out)
            if not are_kept(out, state.of("train")):
                print(f"note: {AUDIT} has judgements that the pairs do not know; add --from pair", file=sys.stderr)
        else:
            run_stages(plan, out, state, runner)
            manifest = _finish(plan, out, state)
            if before is not None:
                _tell_pairs(before, _pairs(manifest))
        shown = tell_build(out, manifest)
    print(f"next      {_next_command(plan, shown)}")
    return manifest


def tell_build(out: Path, manifest: dict[str, Any]) -> str:
    """Print what a finished build holds, and make its report when there is none; returns the folder as it is shown.

    Raises:
        OutputError: it holds no pair.
    """
    from mmpr.pipeline.progress import cost_line, print_tables, reasons_table, summary_table, words_told
    from mmpr.storage.manifest import REPORT

    out = out.absolute()
    print_tables(summary_table(manifest), reasons_table(manifest))
    print(words_told(manifest), end="")
    if cost := cost_line(manifest):
        print(cost)
    if not (out / REPORT).exists():
        _report(out)
    shown = os.path.relpath(out) if out.is_relative_to(Path.cwd()) else str(out)
    if (out / REPORT).exists():
        print(f"report    {shown}/{REPORT}")
    _check_not_empty(out, shown, manifest)
    print(f"dataset   {shown}: pairs/ to train on, heldout/ to evaluate with, README.md describes it")
    return shown


def _pairs(manifest: dict[str, Any]) -> dict[str, int]:
    """The number of pairs by method, and in all."""
    from mmpr.storage.counts import METHODS, total

    counts = manifest.get("counts", {}).get("pair", {})
    return {"pairs": total(counts, "pairs/"), **{method: total(counts, f"pairs/{method}") for method in METHODS}}


def _tell_pairs(before: dict[str, int], now: dict[str, int]) -> None:
    """Say what became of the pairs that were there before a stage was done again."""
    changed = [f"{name} {before[name]:,} to {now[name]:,}" for name in now if before[name] != now[name]]
    print(f"pairs changed: {', '.join(changed) or 'as many as before'}")


def _trusts_code(recipe: Recipe) -> bool:
    """Whether code that comes with the model, or with its verifier, may run."""
    verifier = recipe.adjudicate
    return recipe.model.trust_remote_code or (verifier is not None and verifier.model.trust_remote_code)


def _check_not_empty(out: Path, shown: str, manifest: dict[str, Any]) -> None:
    """Nothing built is not success.

    Raises:
        OutputError: there is no pair; with the three commonest reasons, an example of each.
    """
    from mmpr.errors import OutputError
    from mmpr.pipeline.reasons import commonest, reject_reasons, unpaired_reasons
    from mmpr.storage.counts import total

    counts = manifest["counts"]
    if total(counts["pair"], "pairs/"):
        return
    asked = total(counts["ingest"], "questions")
    reasons = commonest([*reject_reasons(out), *unpaired_reasons(out, counts["pair"])])
    told = "".join(f"\n  - {reason}" for reason in reasons)
    raise OutputError(
        f"{shown}: no pair was built of {asked:,} questions{told}\n{this_command()} rejects {shown} tells all"
    )


def _next_command(plan: Plan, shown: str) -> str:
    """How to train on this build, as it can be pasted: the recipe's model with the general settings.

    The quickstart has training settings of its own, for its model and its kinds of questions.
    """
    from mmpr.resources import RESOURCES

    recipe = plan.recipe
    model = plan.model.path
    if recipe.model.is_local:
        model = os.path.normpath(model)
    is_quickstart = recipe.name == "quickstart" and Path(model) == RESOURCES / "data" / "demo_model"
    if recipe.model.is_local and Path(model).is_relative_to(Path.cwd()):
        model = os.path.relpath(model)
    words = ["quickstart"] * is_quickstart + ["--data", shown, "--model", model, "--out", f"runs/{Path(shown).name}"]
    if recipe.model.trust_remote_code:
        words.append("model.trust_remote_code=true")
    return f"{this_command()} train {shlex.join(words)}"


def run_stages(plan: Plan, out: Path, state: Build, runner: RunnerName = "ray") -> None:
    """Whatever is not there yet, of all stages and units."""
    from mmpr.pipeline.work import what_is_left
    from mmpr.runners import start_runner

    train, verifier = state.of("train"), plan.verifier
    left = what_is_left(out, train, state.of("heldout"), state.work, "verify" if verifier else "pair")
    with contextlib.ExitStack() as stack:
        start = functools.cache(lambda: stack.enter_context(start_runner(runner, out / "logs" / "ray.log")))
        if left:
            if len(left.to_sample) < len(train):
                done = len(train) - len(left.to_sample)
                print(f"resuming: {done} of {len(train)} units were sampled before", file=sys.stderr)
            start().run(_job(plan, out), plan.model.path, left)
        if verifier:
            _adjudicate(plan, verifier, out, train, start)


def _job(plan: Plan, out: Path) -> Job:
    """What the recipe's own model does; with a verifier, pairs wait for its words."""
    from mmpr.pipeline.job import UNADJUDICATED, Job

    stages = tuple(stage for stage in UNADJUDICATED if not (plan.verifier and stage == "pair"))
    return Job(plan.recipe, out, plan.model.revision, plan.templates, stages=stages)


def _adjudicate(plan: Plan, verifier: Verifier, out: Path, train: Units, start: Callable[[], Runner]) -> None:
    """Put what the judge is unsure of to the verifier, then pair; what is there already is not done again."""
    from mmpr.pipeline.job import Job
    from mmpr.pipeline.work import left_to_adjudicate

    left = left_to_adjudicate(out, train)
    if not left:
        return
    running = start()
    if unsure := left.totals["questions"]:
        about = f"adjudicating: {unsure:,} unsure verdicts, {verifier.recipe.model.path}, prompt {verifier.prompt.name}"
        print(printable(about), file=running.terminal, flush=True)
    job = Job(verifier.recipe, out, verifier.model.revision, plan.templates, stages=("adjudicate", "pair"))
    running.run(job, verifier.model.path, left)


def _finish(plan: Plan, out: Path, state: Build) -> dict[str, Any]:
    """Card and manifest, the manifest last. Nobody writes any more: what killed workers left behind goes."""
    from mmpr.pipeline.audited import read_audit
    from mmpr.pipeline.job import UNADJUDICATED
    from mmpr.pipeline.plan import verdict_changes
    from mmpr.storage.manifest import write_manifest
    from mmpr.storage.shards import ATTEMPTS, EARLIER, STAGES, VERDICTS_BEFORE, remove_temporaries, stage_counts
    from mmpr.storage.trees import as_json

    remove_temporaries(out)
    counts = {"index": state.counts}
    counts["heldout"] = stage_counts(out, "ingest", state.of("heldout"))
    for stage in STAGES if plan.verifier else UNADJUDICATED:
        counts[stage] = stage_counts(out, stage, state.of("train"))
    changed = verdict_changes(out, state.of("train"))
    for name in (VERDICTS_BEFORE, ATTEMPTS, EARLIER):
        shutil.rmtree(out / name, ignore_errors=True)
    audit = read_audit(out, state.of("train"))
    manifest = write_manifest(out, {**plan.about(), **({"audit": as_json(audit)} if audit else {})}, counts)
    if changed is not None:
        print("verdicts changed: " + (", ".join(f"{n:,} {what}" for what, n in changed.items()) or "none"))
    return manifest


def _report(out: Path) -> None:
    """The QA report. A dataset that is there is worth more than its picture: a failure is told, not raised."""
    from mmpr.errors import MmprError
    from mmpr.report.make import make_report, write_report

    print("making the report", file=sys.stderr)
    try:
        write_report(make_report(out), out / "report")
    except MmprError as error:
        print(f"warning: no report was made: {printable(str(error))}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
