"""What ``import mmpr`` gives: the commands as functions, datasets to iterate, the judge. ``docs/python.md`` shows it.

Functions raise ``mmpr.errors.MmprError`` with the text that a command would print; none of them ends the process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mmpr import config
from mmpr.cli.command import printable
from mmpr.config import Recipe
from mmpr.errors import MmprError, OutputError
from mmpr.extension import Extensions, RuleFunction
from mmpr.pipeline.judging import NO_RULES, judge
from mmpr.schema import Completions, PreferenceRow, Question, Reject, Rollout, Verdicts

if TYPE_CHECKING:
    from mmpr.build import Growth
    from mmpr.evaluate.results import Evaluation, Style
    from mmpr.export.formats import Format, Images
    from mmpr.storage.integrity import Problem
    from mmpr.storage.shards import Stage

PathLike = str | os.PathLike[str]
Noun = TypeVar("Noun", Question, Rollout, Completions, Verdicts, PreferenceRow, Reject)


def load_recipe(
    recipe: PathLike | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    rules: Mapping[str, RuleFunction] | None = None,
    sources: Mapping[str, Any] | None = None,
) -> Recipe:
    """A checked recipe.

    Args:
        recipe: a YAML file, the name of one that comes with mmpr (``"quickstart"``), or its settings as a mapping; then
            its paths start at the working directory.
        overrides: ``key.path=value``, as on the command line.
        rules: answer rules of your own by the names that the recipe's sources use:
            ``rule(answer, truth, choices) -> bool | None``, None where it cannot tell.
        sources: rows for the recipe's sources of type ``python``, by their names: a function that yields mappings, or
            an object with ``rows()`` and perhaps ``load(reference) -> bytes`` for pictures.

    Raises:
        RecipeError: with every problem found.
    """
    extensions = Extensions(dict(rules or {}), dict(sources or {}))
    if isinstance(recipe, Mapping):
        return config.parse_recipe(dict(recipe), overrides, extensions=extensions)
    return config.load_recipe(Path(recipe), overrides, extensions)


def build_dataset(
    recipe: Recipe | PathLike | Mapping[str, Any],
    out: PathLike | None = None,
    *,
    overrides: Sequence[str] = (),
    rules: Mapping[str, RuleFunction] | None = None,
    sources: Mapping[str, Any] | None = None,
    redo_from: Stage | None = None,
    growth: Growth = "ask",
) -> Dataset:
    """Sample, judge and pair: ``mmpr build``. The same call goes on where an earlier one stopped.

    Args:
        recipe: as ``load_recipe`` takes it, or what it returned (then without the next three).
        out: the folder of the build (default: ``builds/NAME``).
        overrides, rules, sources: see ``load_recipe``.
        redo_from: do this stage (``complete``, ``verify`` or ``pair``) and those after it again.
        growth: ``grow`` takes into the build what the recipe and its sources have more by now, ``as-it-was`` does not
            look; ``ask`` raises when the sources have changed.

    Raises:
        RecipeError: the recipe is wrong; every problem is named.
        OutputError: ``out`` is in use or belongs to another recipe, or the build has ended and holds no pair.
        EngineError: an engine did not start, keeps dying, or refuses everything.
    """
    from mmpr.build import build
    from mmpr.pipeline.plan import make_plan

    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, overrides, rules=rules, sources=sources)
    elif overrides or rules or sources:
        raise MmprError("overrides, rules and sources belong to load_recipe, which has made this recipe")
    folder = Path(out) if out is not None else Path("builds") / recipe.name
    build(make_plan(recipe, recipe.name), folder, start=redo_from, growth=growth)
    return open_dataset(folder)


@dataclass(frozen=True, slots=True)
class Preference:
    """One pair. ``images`` are encoded files; ``prompt`` is a list of chat messages, as chat templates take them."""

    id: str
    source: str
    images: tuple[bytes, ...]
    prompt: Sequence[Mapping[str, Any]]
    chosen: str
    rejected: str


class Dataset:
    """A build, a release of MMPR (``meta.json``) or a table of pairs; nothing is read before it is asked for."""

    def __init__(self, path: PathLike) -> None:
        """Raises MmprError when there is no such file or folder."""
        self.path = Path(path)
        if not self.path.exists():
            raise OutputError(f"{self.path}: there is no such file or folder")

    def __repr__(self) -> str:
        return f"Dataset({str(self.path)!r})"

    def pairs(self) -> Iterator[Preference]:
        """Every pair, question by question. Rows that cannot be used are left out; at the end standard error says so.

        Raises:
            OutputError: it is a build that is not finished.
            SourceError: it is nothing that holds pairs, or a file cannot be read.
        """
        from mmpr.train.data.preference_data import read_train_rows, try_row

        rows = read_train_rows(self.path)
        left_out = list(rows.rejects)
        for place in range(len(rows)):
            row = try_row(rows, place)
            if isinstance(row, Reject):
                left_out.append(row)
                continue
            for pair in row.pairs:
                chosen, rejected = (row.responses[place] for place in pair)
                yield Preference(row.id, row.source, row.images, row.prompt, chosen, rejected)
        if left_out:
            first = left_out[0]
            why = f"the first is {first.id}: {first.reason}: {first.detail}"
            told = f"note: {len(left_out):,} rows of {self.path} cannot be used; {why}"
            print(printable(told), file=sys.stderr, flush=True)

    def questions(self) -> Iterator[Question]:
        """Every question of a build, with its pictures."""
        return self._rows("questions", Question)

    def heldout(self) -> Iterator[Question]:
        """The questions that a build keeps for evaluation."""
        return self._rows("heldout", Question)

    def rollouts(self) -> Iterator[Rollout]:
        """Every sampled response of a build, a rollout a question."""
        return self._rows("rollouts", Rollout)

    def completions(self) -> Iterator[Completions]:
        """What a build's model wrote after halves of responses, without the picture."""
        return self._rows("completions", Completions)

    def verdicts(self) -> Iterator[Verdicts]:
        """What the judge said of each response, for questions that have an answer."""
        return self._rows("verdicts", Verdicts)

    def rejects(self) -> Iterator[Reject]:
        """Everything that a build dropped, with the reason."""
        return self._rows("rejects", Reject)

    def manifest(self) -> dict[str, Any]:
        """Recipe, model, versions, counts and checksums of a finished build."""
        from mmpr.storage.manifest import read_manifest

        return read_manifest(self.path)

    def _rows(self, folder: str, noun: type[Noun]) -> Iterator[Noun]:
        from mmpr.inputs.kinds import kind_of
        from mmpr.storage.tables import read_rows

        if kind_of(self.path) not in ("build", "unfinished"):
            raise OutputError(f"{self.path}: is no build, and only builds have {folder}/")
        for file in sorted((self.path / folder).glob("*.parquet")):
            yield from read_rows(file, noun)


def open_dataset(path: PathLike) -> Dataset:
    """A build, a release of MMPR (``meta.json`` or its folder), or a table of pairs (Parquet, JSONL), to iterate.

    Raises:
        OutputError: there is no such file or folder.
    """
    return Dataset(path)


def reward_function(
    rule: str | RuleFunction = "default",
    *,
    template: str | None = None,
    answer: str = "answer",
    choices: str = "choices",
) -> Callable[..., list[float | None]]:
    """The judge as a reward: 1 for a right answer, 0 for a wrong or missing one, None where nobody can tell.

    What comes back has the signature of TRL's GRPO: called with ``completions`` (texts, or lists of messages) and the
    data set's columns as keyword arguments.

    Args:
        rule: how answers are compared: a rule of ``mmpr.match``, or a function as ``load_recipe`` takes it.
        template: the prompt template that was asked (see ``mmpr.judge``).
        answer: the column of the truths.
        choices: the column of the options' texts; it may be missing.
    """
    name = rule if isinstance(rule, str) else getattr(rule, "__name__", "own rule")
    own = {} if isinstance(rule, str) else {name: rule}

    def reward(completions: Sequence[Any], **columns: Any) -> list[float | None]:
        if answer not in columns:
            raise MmprError(f"the reward needs the column {answer!r}; there are {', '.join(sorted(columns)) or 'none'}")
        options = columns.get(choices) or [None] * len(completions)
        verdicts = (
            judge([_text(completion)], truth, choices=given or (), rule=name, template=template, rules=own)[0]
            for completion, truth, given in zip(completions, columns[answer], options, strict=True)
        )
        return [_REWARDS.get(verdict.status) for verdict in verdicts]

    reward.__name__ = "mmpr_reward"  # TRL names a column of its log after it
    return reward


_REWARDS = {"correct": 1.0, "incorrect": 0.0, "unparseable": 0.0}


def _text(completion: Any) -> str:
    """A completion as text: its own, or that of its messages' text parts."""
    if isinstance(completion, str):
        return completion
    parts = []
    for message in completion:
        content = message["content"]
        parts += [content] if isinstance(content, str) else [part.get("text", "") for part in content]
    return "\n".join(parts)


def train_model(
    data: PathLike | Sequence[PathLike],
    model: PathLike,
    out: PathLike,
    recipe: PathLike | None = None,
    *,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Train by MPO: ``mmpr train``. The same call goes on where an earlier one stopped.

    Args:
        data: a finished build, a release of MMPR or a table of pairs; or several, which are read one after the other.
        model: a folder, or a name on the hub.
        out: the folder of the run; ``out/model`` is the result.
        recipe: a YAML file, or a name of ``pipelines/train`` (default: the paper's settings).
        overrides: ``key.path=value``, as on the command line.

    Returns:
        What ``out/result.json`` says.
    """
    from mmpr.train.recipe import load_train_recipe
    from mmpr.train.run import train

    loaded = load_train_recipe(Path(recipe) if recipe is not None else None, overrides)
    paths = [data] if isinstance(data, str | os.PathLike) else data
    return train(loaded, data=[os.fspath(path) for path in paths], model=os.fspath(model), out=Path(out))


def evaluate_models(
    models: Sequence[PathLike] | PathLike,
    data: PathLike,
    out: PathLike,
    *,
    samples: int | None = None,
    styles: Sequence[Style] = ("reason",),
    template: str | None = None,
    overrides: Sequence[str] = (),
    rules: Mapping[str, RuleFunction] | None = None,
) -> Evaluation:
    """Accuracy of one or several models on held-out questions or a benchmark: ``mmpr evaluate``.

    Args:
        models: folders, or names on the hub; ``NAME=MODEL`` gives one a name.
        data: a build (its held-out questions), questions with answers, or ``BENCHMARK:PATH``.
        out: where responses and the report go.
        samples: draw so many answers at temperature 1 (default: one, greedily).
        styles: ``reason``, ``direct`` or both.
        template: the prompt template that asks for reasoning (default: the source's).
        overrides: ``key.path=value``, as on the command line.
        rules: answer rules of your own, see ``load_recipe``.
    """
    from mmpr.evaluate.run import evaluate

    named = [models] if isinstance(models, str | os.PathLike) else models
    return evaluate(
        [os.fspath(model) for model in named],
        os.fspath(data),
        Path(out),
        samples=samples,
        styles=styles,
        template=template,
        overrides=overrides,
        extensions=Extensions(dict(rules or {})),
    )


def export_pairs(data: PathLike, format: Format, to: PathLike, images: Images | None = None) -> dict[str, Any]:
    """Write the pairs of a build or a release for another trainer: ``mmpr export``.

    ``format`` is ``trl``, ``mmpr``, ``llama-factory`` or ``ms-swift``; ``images`` is ``bytes`` (inside the rows) or
    ``files`` (beside them), and each format has its default. Returns what ``to/export.json`` says.
    """
    from mmpr.export.run import export

    return export(Path(data), format, Path(to), images)


def write_report(
    data: PathLike, out: PathLike | None = None, *, against: Sequence[PathLike] = (), compare: PathLike | None = None
) -> Path:
    """Make the page about a build or a release: ``mmpr report``; returns the path of ``index.html``.

    Args:
        data: a finished build, or a release of MMPR.
        out: where the report goes (default: inside a build, ``reports/NAME`` for a release; a
            comparison goes to a folder of its own beside it).
        against: other questions that are looked for among the training questions.
        compare: another build or release.
    """
    from mmpr.report import make

    other = Path(compare) if compare is not None else None
    report = make.make_report(Path(data), against=[Path(path) for path in against], other=other)
    folder = Path(out) if out is not None else make.report_folder(Path(data), other)
    return make.write_report(report, folder.absolute())


def check_build(build: PathLike, rules: Mapping[str, RuleFunction] = NO_RULES) -> list[Problem]:
    """Everything that is wrong with a finished build, proved byte by byte and pair by pair: ``mmpr check --verify``.

    ``rules`` are those of your own by which it was judged.
    """
    from mmpr.check.verify import verify
    from mmpr.pipeline.progress import Steps

    with Steps(sys.stderr) as steps:
        return list(verify(Path(build), steps, rules))
