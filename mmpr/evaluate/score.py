"""Scores of runs, and of every two models on the same questions, from stored responses and verdicts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, combinations, groupby, zip_longest
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mmpr.errors import OutputError
from mmpr.evaluate.benchmarks.layout import LocalBenchmark
from mmpr.evaluate.intervals import Ints, interval, mcnemar, pass_at
from mmpr.evaluate.results import (
    STYLES,
    Answered,
    Difference,
    Differing,
    Evaluation,
    GroupBy,
    Metric,
    Paired,
    QuestionSet,
    Result,
    Scores,
    Style,
)
from mmpr.evaluate.store import Run, finished_runs
from mmpr.report.measure.text_checks import loops
from mmpr.schema import Question, Reject, Rollout, Verdicts, content_id
from mmpr.storage.counts import UNKNOWN
from mmpr.storage.shards import Unit, rejects_shard, shard, write_json
from mmpr.storage.tables import read_rows

T = TypeVar("T")

OFFICIAL = "official.json"
"""In the folder of a run: the responses of which the matcher and the benchmark's published rule think differently."""

EXAMPLES = 48
"""Questions whose scores differ that are named for each two models."""

_COUNTED = ("drawn", "correct", "unparseable", "undecided", "truncated", "looping", "tokens", "failed")

_OF_THE_MODEL = ("engine_refused", "control_tokens")
"""Why a question has no responses although the engine works: the model cannot take it, which counts as wrong.

All other reasons are failures of the engine, which tell nothing of the model.
"""


@dataclass(frozen=True, slots=True)
class RunCounts:
    """The counts of a run: one entry for each question with a truth, in the order of the questions.

    ``samples`` responses were asked for each; ``counts`` (Q, 8) has a column for each of ``_COUNTED``. ``failed`` is 1
    for a question that the engine failed to answer.
    """

    ids: tuple[str, ...]
    sources: tuple[str, ...]
    kinds: tuple[str, ...]
    samples: int
    counts: Ints

    def column(self, name: str) -> Ints:
        """One of the counts (Q,)."""
        return self.counts[:, _COUNTED.index(name)]

    def answered(self, at: Ints) -> Ints:
        """Of the questions at the positions ``at`` (N,), those that the engine did not fail."""
        kept: Ints = at[self.column("failed")[at] == 0]
        return kept

    def groups(self) -> Iterator[tuple[GroupBy, str, str, Ints]]:
        """(by, source, kind, positions of its questions): all, then each source, then each kind of a source."""
        everything = np.arange(len(self.ids))
        yield "all", "", "", everything
        for source in sorted(set(self.sources)):
            yield "source", source, "", everything[[name == source for name in self.sources]]
        pairs = list(zip(self.sources, self.kinds, strict=True))
        for source, kind in sorted(set(pairs)):
            if kind:
                yield "kind", source, kind, everything[[pair == (source, kind) for pair in pairs]]


def read_answers(run: Run) -> Iterator[Answered]:
    """Every question of a run with its responses and verdicts, unit by unit, without pictures.

    Raises:
        OutputError: a shard is damaged.
    """
    for unit in run.stored.all_units():
        yield from unit_answers(run, unit)


def unit_answers(run: Run, unit: Unit) -> Iterator[Answered]:
    """The questions of one unit, with their responses and verdicts."""
    rollouts = {row.id: row for row in read_rows(shard(run.folder, "sample", unit), Rollout)}
    verdicts = {row.id: row for row in read_rows(shard(run.folder, "verify", unit), Verdicts)}
    failures = _failures(run, unit)
    for question in read_rows(shard(run.stored.folder, "ingest", unit), Question, without=("images",)):
        rollout, judged = rollouts.get(question.id), verdicts.get(question.id)
        yield Answered(
            question,
            rollout.responses if rollout else (),
            judged.verdicts if judged else (),
            run.about["style"],
            failed=question.id in failures,
        )


def _failures(run: Run, unit: Unit) -> set[str]:
    """Ids of the questions of a unit that the engine failed to answer."""
    path = rejects_shard(run.folder, "sample", unit)
    rejects = read_rows(path, Reject) if path.exists() else ()
    return {reject.id for reject in rejects if reject.reason not in _OF_THE_MODEL}


def count_run(run: Run) -> RunCounts:
    """Count a run; memory holds the texts of a unit, and a few numbers a question."""
    ids, sources, kinds, counts = [], [], [], []
    for unit in run.stored.all_units():
        answers = [answered for answered in unit_answers(run, unit) if answered.question.answer is not None]
        looping = iter(loops([response.text for answered in answers for response in answered.responses]))
        for answered in answers:
            statuses = [verdict.status for verdict in answered.verdicts]
            responses = answered.responses
            ids.append(answered.question.id)
            sources.append(answered.question.source)
            kinds.append(answered.question.kind)
            counts.append(
                (
                    len(responses),
                    statuses.count("correct"),
                    statuses.count("unparseable"),
                    sum(statuses.count(status) for status in UNKNOWN),
                    sum(response.finish_reason == "length" for response in responses),
                    sum(bool(next(looping)) for _ in responses),
                    sum(response.tokens for response in responses),
                    answered.failed,
                )
            )
    table = np.array(counts, dtype=np.int64).reshape(len(counts), len(_COUNTED))
    return RunCounts(tuple(ids), tuple(sources), tuple(kinds), run.about["settings"]["sampling"]["samples"], table)


def scores(of: RunCounts) -> tuple[Scores, ...]:
    """The scores of every group of a run."""
    return tuple(_scores(of, by, source, kind, at) for by, source, kind, at in of.groups())


def differences(first: RunCounts, second: RunCounts) -> tuple[Difference, ...]:
    """The differences between two runs of the same questions, group by group, where the engine failed neither.

    Raises:
        ValueError: they are not of the same questions.
    """
    if first.ids != second.ids or first.samples != second.samples:
        raise ValueError("the two runs asked other questions, or drew other numbers of samples")
    found = []
    for by, source, kind, at in first.groups():
        both = second.answered(first.answered(at))
        if len(both):
            found.append(_difference(first, second, by, source, kind, both))
    return tuple(found)


def write_metrics(run: Run, benchmark: LocalBenchmark) -> None:
    """Write a benchmark's own metrics into the folder of a run, and where its published rule thinks differently.

    The questions that the engine failed are left out.
    """
    answered = [answered for answered in read_answers(run) if not answered.failed]
    write_json(run.folder / "metrics.json", [asdict(metric) for metric in benchmark.metrics(answered)])
    write_json(run.folder / OFFICIAL, [asdict(one) for one in benchmark.differing(answered)])


def read_evaluation(root: Path, latest: Sequence[Path] = ()) -> Evaluation:
    """The results of all finished runs in a folder.

    Models come in the order in which they were first run, then those whose run folders are ``latest``, in their order:
    in a comparison the later one is the second.

    Raises:
        OutputError: something in it is damaged.
    """
    place = {folder: at for at, folder in enumerate(latest)}
    runs = sorted(finished_runs(root), key=lambda run: (*_asked_alike(run), place.get(run.folder, -1)))
    labels = _labels(runs)
    results, paired = [], []
    for _, alike in groupby(runs, key=_asked_alike):
        counted = [(run, count_run(run)) for run in alike]
        results += [_result(root, run, of, labels[run.folder]) for run, of in counted]
        paired += [
            _paired(root, run, of, other, of_other, labels) for (run, of), (other, of_other) in combinations(counted, 2)
        ]
    data = {run.stored.folder: run.stored for run in runs}
    return Evaluation(
        tuple(
            QuestionSet(folder.name, one.origin, one.fingerprint, one.questions, tuple(one.left_out.items()))
            for folder, one in data.items()
        ),
        tuple(results),
        tuple(paired),
    )


def _scores(of: RunCounts, by: GroupBy, source: str, kind: str, at: Ints) -> Scores:
    def total(name: str) -> int:
        return int(of.column(name)[at].sum())

    failed = total("failed")
    at = of.answered(at)
    drawn, correct = total("drawn"), of.column("correct")[at]
    rates = correct / of.samples
    ends = interval(rates)
    asked = np.full(len(at), of.samples)
    return Scores(
        by=by,
        source=source,
        kind=kind,
        questions=len(at) + failed,
        samples=drawn,
        accuracy=float(rates.mean()) if len(at) else None,
        low=ends[0] if ends else None,
        high=ends[1] if ends else None,
        pass_at=tuple((k, chance) for k in _ks(of.samples) if (chance := pass_at(asked, correct, k)) is not None),
        unparseable=total("unparseable") / drawn if drawn else None,
        truncated=total("truncated") / drawn if drawn else None,
        repetition=total("looping") / drawn if drawn else None,
        mean_tokens=total("tokens") / drawn if drawn else None,
        undecided=total("undecided"),
        unanswered=int((of.column("drawn")[at] == 0).sum()),
        failed=failed,
    )


def _ks(samples: int) -> list[int]:
    """The k of pass@k: 1, 2, 4, … and all samples; none when there is one."""
    return sorted({*(1 << power for power in range(samples.bit_length())), samples}) if samples > 1 else []


def _difference(first: RunCounts, second: RunCounts, by: GroupBy, source: str, kind: str, at: Ints) -> Difference:
    ours, theirs = first.column("correct")[at], second.column("correct")[at]
    gained = (theirs - ours) / first.samples
    ends = interval(gained)
    single = first.samples == 1
    only_first, only_second = int((ours > theirs).sum()), int((theirs > ours).sum())
    return Difference(
        by=by,
        source=source,
        kind=kind,
        questions=len(at),
        first=float(ours.mean()) / first.samples,
        second=float(theirs.mean()) / first.samples,
        difference=float(gained.mean()),
        low=ends[0] if ends else None,
        high=ends[1] if ends else None,
        only_first=only_first if single else None,
        only_second=only_second if single else None,
        p_value=mcnemar(only_first, only_second) if single else None,
    )


def _examples(first: RunCounts, second: RunCounts) -> tuple[str, ...]:
    """Ids of the questions with the largest differences, each model the better one in turn."""
    gained = second.column("correct") - first.column("correct")
    gained[(first.column("failed") | second.column("failed")) > 0] = 0
    ranked = sorted(np.flatnonzero(gained), key=lambda at: (-abs(gained[at]), content_id("example", first.ids[at])))
    won, lost = [at for at in ranked if gained[at] > 0], [at for at in ranked if gained[at] < 0]
    turns = [at for at in chain.from_iterable(zip_longest(won, lost)) if at is not None]
    return tuple(first.ids[at] for at in turns[:EXAMPLES])


def _result(root: Path, run: Run, of: RunCounts, label: str) -> Result:
    about = run.about
    return Result(
        data=run.stored.folder.name,
        model=label,
        model_path=about["model_path"],
        revision=about["revision"],
        style=about["style"],
        way=about["way"],
        template=about["template"],
        folder=run.folder.relative_to(root).as_posix(),
        groups=scores(of),
        metrics=tuple(_read_rows(run.folder / "metrics.json", Metric)),
        differing=tuple(Counter(one.reason for one in read_differing(run.folder)).most_common()),
    )


def _paired(root: Path, run: Run, of: RunCounts, other: Run, of_other: RunCounts, labels: dict[Path, str]) -> Paired:
    return Paired(
        data=run.stored.folder.name,
        style=run.about["style"],
        way=run.about["way"],
        first=labels[run.folder],
        second=labels[other.folder],
        folders=(run.folder.relative_to(root).as_posix(), other.folder.relative_to(root).as_posix()),
        groups=differences(of, of_other),
        examples=_examples(of, of_other),
    )


def _asked_alike(run: Run) -> tuple[str, int, str]:
    """A key that runs share whose models may be compared: questions, style and way."""
    style: Style = run.about["style"]
    return run.stored.folder.name, STYLES.index(style), run.about["way"]


def _labels(runs: Sequence[Run]) -> dict[Path, str]:
    """The name of each run's model; two models of one name get the ends of their folders' names too."""
    models: dict[str, set[str]] = {}
    for run in runs:
        models.setdefault(run.about["model"], set()).add(run.folder.parent.name)
    return {
        run.folder: label if len(models[label]) == 1 else f"{label} {run.folder.parent.name[-8:]}"
        for run in runs
        for label in [str(run.about["model"])]
    }


def read_differing(folder: Path) -> list[Differing]:
    """The responses of a run on which the matcher and a benchmark's published rule think differently.

    Raises:
        OutputError: the file is damaged.
    """
    return _read_rows(folder / OFFICIAL, Differing)


def _read_rows(path: Path, kind: Callable[..., T]) -> list[T]:
    """The rows of a JSON file that ``write_metrics`` wrote; none when it is not there."""
    if not path.exists():
        return []
    try:
        tree: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return [kind(**row) for row in tree]
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(f"{path}: is damaged ({error}); delete it and run again") from None
