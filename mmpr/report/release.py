"""A release of MMPR as a report reads it: ``meta.json`` and its JSONL files, some questions at a time.

A release holds pairs and nothing of how they were made, so that all of a build that comes before its pairs is missing.
Lengths are in characters: it tells no tokens. Where it does not name a response's final answer, the answer is the one
that ``mmpr.answers`` finds in the text. Lines that are no pairs, or whose pictures cannot be had, are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

import mmpr
from mmpr.answers import extract
from mmpr.errors import RowError
from mmpr.report.facts import Facts
from mmpr.report.flow import dropped_parts
from mmpr.report.histogram import METHODS
from mmpr.report.inputs import DECODERS, Asked, ShownRow, Unit
from mmpr.report.nouns import Dropped, Flow, FlowCheck, FlowPart, FlowStage
from mmpr.report.pictures import Fingerprint, fingerprint
from mmpr.report.read import UnitColumns, table_of
from mmpr.report.tally import Tally
from mmpr.schema import PairedResponse, PreferenceRow, Reject
from mmpr.sources.mmpr_pairs import LazyRow, Release
from mmpr.storage.manifest import file_sha256

_UNIT_QUESTIONS = 256
_LISTED = 3  # dropped lines that are named, of each entry and reason


class ReleaseInput:
    """A release (see ``mmpr.report.inputs.Input``); its facts have no counts, since nothing tells them beforehand."""

    def __init__(self, path: Path) -> None:
        """Goes through the text once. Raises SourceError when a file is missing or holds something else."""
        self._lost: Counter[tuple[str, str]] = Counter()
        self._listed: dict[tuple[str, str], list[Dropped]] = {}
        self._release = Release(path, self._tell)
        self._kept = 0  # pairs
        self._places: list[npt.NDArray[np.uint32]] = []  # a unit's questions, by their places in the release
        self.facts = _facts(path, self._release)

    def units(self) -> Iterator[Unit]:
        """All units in order (see ``Input``)."""
        with ThreadPoolExecutor(DECODERS) as pool:
            for start in range(0, len(self._release), _UNIT_QUESTIONS):
                places = range(start, min(start + _UNIT_QUESTIONS, len(self._release)))
                lazies = [self._release[place] for place in places]
                refs = list(dict.fromkeys(ref for lazy in lazies for ref in lazy.refs))
                prints = dict(zip(refs, pool.map(self._print, refs), strict=True))
                used = [(place, lazy) for place, lazy in zip(places, lazies, strict=True) if self._take(lazy, prints)]
                if used:
                    self._places.append(np.array([place for place, _ in used], dtype=np.uint32))
                    yield _unit([lazy for _, lazy in used], prints)

    def heldout(self) -> None:
        """None: a release has no such split."""

    def ids(self, unit: int, places: Sequence[int]) -> list[str]:
        """Ids by places (see ``Input``)."""
        return [self._release[int(self._places[unit][place])].row.id for place in places]

    def rows(self, unit: int, places: Sequence[int]) -> list[ShownRow]:
        """Rows by places (see ``Input``)."""
        return [self._shown(int(self._places[unit][place])) for place in places]

    def flow(self, tally: Tally) -> Flow:
        """Lines to pairs. Every line is a pair or was dropped; ``meta.json`` tells once more how many there are."""
        lines, lost = self.lost()
        stages = (
            FlowStage(
                "rows",
                "Lines of the release",
                "lines",
                lines,
                (FlowPart("pairs", "pairs", self._kept, True, "pairs"), *dropped_parts(lost)),
            ),
            FlowStage(
                "pairs",
                "Pairs",
                "pairs",
                self._kept,
                tuple(FlowPart(name, f"{name} pairs", tally.counts[f"pairs/{name}"], True) for name in METHODS),
            ),
        )
        told = ((name, self._release.told_lines(name), count) for name, count in self._release.lines.items())
        checks = (FlowCheck(f"lines of {name}", said, count) for name, said, count in told if said is not None)
        return Flow(stages, tuple(checks))

    def lost(self) -> tuple[int, dict[str, int]]:
        """Rows, and those not used (see ``Input``)."""
        reasons: Counter[str] = Counter()
        for (_, reason), by in self._lost.items():
            reasons[reason] += by
        return sum(self._release.lines.values()), dict(reasons.most_common())

    def dropped(self) -> tuple[Dropped, ...]:
        """The first lines of each reason (see ``Input``)."""
        return tuple(one for _, some in sorted(self._listed.items()) for one in some)

    def _tell(self, reject: Reject, lines: int = 1) -> None:
        """Count lines that are no pairs, and name the first of them."""
        key = reject.source, reject.reason
        self._lost[key] += lines
        some = self._listed.setdefault(key, [])
        if len(some) < _LISTED:
            some.append(Dropped(reject.source, reject.reason, reject.id, reject.detail))

    def _print(self, ref: str) -> Fingerprint | RowError:
        try:
            return fingerprint(self._release.picture(ref))
        except RowError as error:
            return error

    def _take(self, lazy: LazyRow, prints: Mapping[str, Fingerprint | RowError]) -> bool:
        """Count a question's lines; whether its pictures are there."""
        source, pairs = lazy.row.source, len(lazy.row.pairs)
        if lazy.lines > pairs:
            detail = f"{lazy.lines - pairs} of the lines that ask this question repeat an earlier pair"
            self._tell(Reject("read", source, lazy.where, "duplicate", detail), lazy.lines - pairs)
        for ref in lazy.refs:
            if isinstance(found := prints[ref], RowError):
                self._tell(Reject("read", source, lazy.where, found.reason, found.detail), pairs)
                return False
        self._kept += pairs
        return True

    def _shown(self, place: int) -> ShownRow:
        row = _with_answers(self._release.load(self._release[place]))
        tree = {**asdict(replace(row, images=())), "images": [{"bytes": data} for data in row.images], "prompt": ""}
        return {"ingest": tree, "pair": tree}


def _unit(lazies: Sequence[LazyRow], prints: Mapping[str, Fingerprint | RowError]) -> Unit:
    rows = [asdict(_with_answers(lazy.row)) for lazy in lazies]
    asked = [
        Asked(
            id=lazy.row.id,
            source=lazy.row.source,
            question=lazy.row.question,
            prints=[found for ref in lazy.refs if isinstance(found := prints[ref], Fingerprint)],
        )
        for lazy in lazies
    ]
    columns = UnitColumns(
        questions=table_of("ingest", [{**row, "choices": []} for row in rows]),
        # Each was asked; of the responses only those in pairs are known.
        rollouts=table_of("sample", [{**row, "prompt_tokens": None, "responses": []} for row in rows]),
        completions=table_of("complete", []),
        verdicts=table_of("verify", []),
        pairs=table_of("pair", rows),
    )
    return Unit(columns, [asked])


def _with_answers(row: PreferenceRow) -> PreferenceRow:
    """The row with the final answers of its responses, where there is a truth and the release does not name them."""
    if row.answer is None:
        return row

    def answered(response: PairedResponse) -> PairedResponse:
        return replace(response, answer=response.answer or extract(response.text, "direct"))

    return replace(row, responses=tuple(map(answered, row.responses)))


def _facts(path: Path, release: Release) -> Facts:
    meta = path / "meta.json" if path.is_dir() else path
    sources = release.sources
    weights = ", ".join(f"{name} {release.repeat_time(name):g}" for name in sources)
    return Facts(
        kind="release",
        out=path,
        name=meta.resolve().parent.name,
        recipe={},
        sources=sources,
        heldout=(),
        format_pairs=False,
        variants=0,
        most_continued=dict.fromkeys(sources, 0),
        counts={},
        rows={},
        units={},
        about=(
            ("release", f"{len(sources)} entries, {sum(release.lines.values()):,} lines"),
            ("meta.json", f"sha256 {file_sha256(meta)}"),
            ("repeat_time", weights),
            ("lengths", "in characters, since a release tells no tokens"),
            ("final answers", "as found in the text by mmpr.answers, where the release does not name them"),
            ("mmpr", mmpr.__version__),
        ),
    )
