"""The page of an evaluation: scores, kinds of questions, differences, and questions whose scores differ.

It is one file and stays below about 15 MB: of many questions and models only the first are shown, and the page says how
many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mmpr.evaluate.results import Difference, Evaluation, Paired, Result, Scores
from mmpr.evaluate.score import read_differing
from mmpr.evaluate.store import StoredQuestions, read_stored
from mmpr.evaluate.terminal import ends, points, share
from mmpr.pages import frame
from mmpr.pages.pictures import Picture, small_copy
from mmpr.pages.responses import MarkedResponse, ShownResponse, judged_response, mark_response, shorten
from mmpr.pages.safe_text import differing
from mmpr.prompts import strip_short_answer
from mmpr.schema import shown_question, shown_truth
from mmpr.storage.columns import column_of, read_columns, read_selected
from mmpr.storage.shards import Stage, shard

EXAMPLE_BYTES = 12_000_000
"""The size of all shown questions together."""

MODELS_LISTED, PAIRS_LISTED, KINDS_LISTED = 24, 24, 60
DIFFERING_LISTED = 40
"""Responses of a run of which score and official differ that are shown."""


@dataclass(frozen=True, slots=True)
class _Side:
    """One model's answer: a response, how many of its ``samples`` are right, and its colour (chosen or rejected)."""

    model: str
    card: MarkedResponse | None
    right: int
    samples: int
    tone: str


@dataclass(frozen=True, slots=True)
class _Example:
    """A question on which two models' scores differ."""

    id: str
    source: str
    kind: str
    pictures: tuple[Picture, ...]
    question: str
    answer: str
    sides: tuple[_Side, _Side]


def page(evaluation: Evaluation, root: Path) -> str:
    """The page of the evaluation in ``root``, as HTML.

    Raises:
        OutputError: a shard that is shown cannot be read.
    """
    left = EXAMPLE_BYTES
    compared = []
    for paired in evaluation.paired[:PAIRS_LISTED]:
        articles: list[Markup] = []
        for example in _examples(paired, root):
            article = frame.render("differing.html", example=example)
            if len(article) > left:
                break
            left -= len(article)
            articles.append(article)
        compared.append((paired, articles))
    body = frame.render(
        "evaluation.html",
        evaluation=evaluation,
        tables=list(_tables(evaluation, root)),
        compared=compared,
        pairs_left_out=len(evaluation.paired) - len(compared),
        kinds_listed=KINDS_LISTED,
        share=share,
        points=points,
        ends=ends,
        bar=_bar,
        span=_span,
        widest=widest,
    )
    sections = [("#scores", "Scores")] + ([("#differences", "Differences")] if compared else [])
    footer = "Intervals are 95 %, by drawing questions again. All numbers are in report.json, all responses in runs/."
    style = frame.asset("report.css") + frame.asset("evaluation.css")
    return frame.page("Evaluation", body, links=sections, footer=footer, style=style)


def _tables(evaluation: Evaluation, root: Path) -> Iterator[dict[str, Any]]:
    """The values of a table for each set of questions, style and way: its models, and their scores by kind."""
    alike: dict[tuple[str, str, str], list[Result]] = {}
    for result in evaluation.results:
        alike.setdefault((result.data, result.style, result.way), []).append(result)
    for (data, style, way), results in alike.items():
        listed = results[:MODELS_LISTED]
        lines: dict[tuple[str, str], list[Scores | None]] = {}
        by_group = [{(group.source, group.kind): group for group in result.groups} for result in listed]
        for source, kind in by_group[0]:
            if source:
                lines[source, kind] = [groups.get((source, kind)) for groups in by_group]
        yield {
            "data": data,
            "style": style,
            "way": way,
            "results": listed,
            "more": len(results) - len(listed),
            "lines": list(lines.items()),
            "differing": [_differing(result, root) for result in listed if result.differing],
        }


def _differing(result: Result, root: Path) -> dict[str, Any]:
    """Where a benchmark's published rule thinks otherwise of a run's responses: reasons, and the first responses."""
    return {
        "model": result.model,
        "folder": result.folder,
        "reasons": result.differing,
        "count": sum(count for _, count in result.differing),
        "examples": read_differing(root / result.folder)[:DIFFERING_LISTED],
    }


def _bar(score: Scores) -> Markup:
    """Accuracy and its interval on a line from 0 to 1."""
    if score.accuracy is None:
        return Markup("")
    low, high = score.low, score.high
    return _drawn(score.accuracy, score.accuracy if low is None else low, score.accuracy if high is None else high)


def _span(difference: Difference, widest: float) -> Markup:
    """A difference and its interval on a line from -widest to widest, with a mark at 0."""
    ends = (difference.low, difference.high)
    values = [difference.difference, *(difference.difference if end is None else end for end in ends)]
    middle, low, high = (0.5 + value / (2 * widest) for value in values)
    return _drawn(middle, low, high, zero=True)


def widest(differences: Iterable[Difference]) -> float:
    """The largest distance from 0 in any of the intervals, at least 0.05."""
    return max([0.05, *(abs(v) for d in differences for v in (d.low, d.high, d.difference) if v is not None)])


def _drawn(at: float, low: float, high: float, zero: bool = False) -> Markup:
    at, low, high = (100 * min(max(value, 0.0), 1.0) for value in (at, low, high))
    mark = Markup('<rect class="zero" x="49.8" y="0" width=".4" height="8"/>') if zero else Markup("")
    return Markup(
        '<svg class="forest" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="whole" x="0" y="3.8" width="100" height=".4"/>{}'
        '<rect class="ends" x="{:.2f}" y="3" width="{:.2f}" height="2"/>'
        '<rect class="at" x="{:.2f}" y="1" width="1" height="6"/></svg>'
    ).format(mark, low, max(high - low, 0.3), min(max(at - 0.5, 0), 99))


def _examples(paired: Paired, root: Path) -> Iterator[_Example]:
    """The questions that a comparison names, in its order."""
    if not paired.examples:
        return
    stored = read_stored(root / "data" / paired.data)
    asked = dict(_selected(stored, stored.folder, "ingest", paired.examples, _QUESTION))
    said = [
        (
            model,
            dict(_selected(stored, root / folder, "sample", paired.examples, ("id", "responses"))),
            dict(_selected(stored, root / folder, "verify", paired.examples, ("id", "verdicts"))),
        )
        for model, folder in zip((paired.first, paired.second), paired.folders, strict=True)
    ]
    for id in paired.examples:
        question = asked[id]
        text = shown_question(question["question"], question.get("context"))
        answers = [
            (
                model,
                rollouts[id]["responses"] if id in rollouts else [],
                verdicts[id]["verdicts"] if id in verdicts else [],
            )
            for model, rollouts, verdicts in said
        ]
        yield _Example(
            id=id,
            source=question["source"],
            kind=question["kind"],
            pictures=tuple(small_copy(image["bytes"]) for image in question["images"]),
            question=shorten(text if paired.style == "direct" else strip_short_answer(text))[0],
            answer=shown_truth(question["answer"], question.get("answers")) or "",
            sides=_sides(answers),
        )


_QUESTION = ("id", "source", "kind", "question", "answer", "answers", "images", "context")
_Said = tuple[str, list[Mapping[str, Any]], list[Mapping[str, Any]]]


def _sides(answers: list[_Said]) -> tuple[_Side, _Side]:
    """Both models' sides: a right response of the better one, a wrong one of the other."""
    right = [sum(verdict["status"] == "correct" for verdict in verdicts) for _, _, verdicts in answers]
    better = 0 if right[0] > right[1] else 1
    picked: list[ShownResponse | None] = []
    for place, (_, responses, verdicts) in enumerate(answers):
        wanted = [at for at, v in enumerate(verdicts) if (v["status"] == "correct") == (place == better)]
        at = wanted[0] if wanted else 0
        picked.append(judged_response(responses[at], at, verdicts[at] if verdicts else None) if responses else None)
    differs = differing(*(response.text if response else "" for response in picked))
    first, second = (
        _Side(
            model=model,
            card=mark_response(response, differs=spans) if response else None,
            right=count,
            samples=len(responses),
            tone="chosen" if place == better else "rejected",
        )
        for place, ((model, responses, _), response, count, spans) in enumerate(
            zip(answers, picked, right, differs, strict=True)
        )
    )
    return first, second


def _selected(
    stored: StoredQuestions, folder: Path, stage: Stage, ids: tuple[str, ...], columns: tuple[str, ...]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a stage by id; units that hold none of the ids are not read."""
    wanted = frozenset(ids)
    for unit in stored.all_units():
        path = shard(folder, stage, unit)
        mine = [id for id in column_of(read_columns(path, ["id"]), "id").to_pylist() if id in wanted]
        if mine:
            yield from read_selected(path, columns, mine).items()
