"""A release of MMPR as a report reads it (see ``mmpr.report.load.dataset``): ``meta.json`` and its JSONL files.

A release holds pairs and nothing of how they were made, so verdicts, rollouts and continuations are missing, and
lengths are in characters: it has no token counts. Where it does not name a response's final answer, ``mmpr.answers``
finds it in the text. Lines that are no pairs, or whose pictures cannot be loaded, are counted.
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
from mmpr.inputs.release import meta_file, open_release, release_name
from mmpr.report.contents import Dropped
from mmpr.report.load.fingerprints import DECODERS, Fingerprint, fingerprint
from mmpr.report.load.info import DatasetInfo
from mmpr.report.load.units import HashedQuestion, LoadedUnit, StoredRow, UnitColumns, table_of
from mmpr.schema import PairedResponse, PreferenceRow, Reject
from mmpr.sources.mmpr_pairs import LazyRow, Release
from mmpr.storage.manifest import file_sha256

_UNIT_QUESTIONS = 256
_LISTED = 3  # dropped lines that are listed, of each entry and reason


class ReleaseDataset:
    """A release; ``pairs`` counts the pairs of the units taken so far."""

    def __init__(self, path: Path) -> None:
        """Goes through the text once. Raises SourceError when a file is missing or holds something else."""
        self._lost: Counter[tuple[str, str]] = Counter()
        self._listed: dict[tuple[str, str], list[Dropped]] = {}
        self._release = open_release(path, self._count)
        self.pairs = 0
        self._places: list[npt.NDArray[np.uint32]] = []  # of each unit, its questions' positions in the release
        self.info = _info(path, self._release)

    def units(self) -> Iterator[LoadedUnit]:
        """All units in order."""
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
        """None: a release has no held-out split."""

    def ids(self, unit: int, places: Sequence[int]) -> list[str]:
        """The ids of the questions at these positions of a unit."""
        return [self._release[int(self._places[unit][place])].row.id for place in places]

    def rows(self, unit: int, places: Sequence[int]) -> list[StoredRow]:
        """All that is told of the questions at these positions of a unit."""
        return [self._shown(int(self._places[unit][place])) for place in places]

    def lines(self) -> Iterator[tuple[str, int | None, int]]:
        """Entry, lines by ``meta.json`` (None where it does not say), lines counted."""
        for name, count in self._release.lines.items():
            yield name, self._release.told_lines(name), count

    def lost(self) -> tuple[int, dict[str, int]]:
        """The number of lines, and of those that are no usable pairs, by reason."""
        reasons: Counter[str] = Counter()
        for (_, reason), by in self._lost.items():
            reasons[reason] += by
        return sum(self._release.lines.values()), dict(reasons.most_common())

    def dropped(self) -> tuple[Dropped, ...]:
        """The first unusable lines of each entry and reason."""
        return tuple(one for _, some in sorted(self._listed.items()) for one in some)

    def audited(self) -> None:
        """Nothing: a release has no verdicts."""

    def _count(self, reject: Reject, lines: int = 1) -> None:
        """Count lines that are no usable pairs, and list the first of them."""
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
        """Count a question's lines; returns whether all of its pictures can be loaded."""
        source, pairs = lazy.row.source, len(lazy.row.pairs)
        if lazy.lines > pairs:
            detail = f"{lazy.lines - pairs} of the lines that ask this question repeat an earlier pair"
            self._count(Reject("read", source, lazy.where, "duplicate", detail), lazy.lines - pairs)
        for ref in lazy.refs:
            if isinstance(found := prints[ref], RowError):
                self._count(Reject("read", source, lazy.where, found.reason, found.detail), pairs)
                return False
        self.pairs += pairs
        return True

    def _shown(self, place: int) -> StoredRow:
        row = _with_answers(self._release.load(self._release[place]))
        tree = {**asdict(replace(row, images=())), "images": [{"bytes": data} for data in row.images], "prompt": ""}
        return {"ingest": tree, "pair": tree}


def _unit(lazies: Sequence[LazyRow], prints: Mapping[str, Fingerprint | RowError]) -> LoadedUnit:
    rows = [asdict(_with_answers(lazy.row)) for lazy in lazies]
    questions = [
        HashedQuestion(
            id=lazy.row.id,
            source=lazy.row.source,
            question=lazy.row.question,
            prints=[found for ref in lazy.refs if isinstance(found := prints[ref], Fingerprint)],
        )
        for lazy in lazies
    ]
    columns = UnitColumns(
        questions=table_of("ingest", [{**row, "choices": []} for row in rows]),
        # Every question was asked, but only responses that stand in pairs are known.
        rollouts=table_of("sample", [{**row, "prompt_tokens": None, "responses": []} for row in rows]),
        completions=table_of("complete", []),
        verdicts=table_of("verify", []),
        adjudications=table_of("adjudicate", []),
        pairs=table_of("pair", rows),
    )
    return LoadedUnit(columns, [questions])


def _with_answers(row: PreferenceRow) -> PreferenceRow:
    """The row with its responses' final answers, where there is a truth and the release does not name them."""
    if row.answer is None:
        return row

    def answered(response: PairedResponse) -> PairedResponse:
        return replace(response, answer=response.answer or extract(response.text, "direct"))

    return replace(row, responses=tuple(map(answered, row.responses)))


def _info(path: Path, release: Release) -> DatasetInfo:
    sources = release.sources
    weights = ", ".join(f"{name} {release.repeat_time(name):g}" for name in sources)
    return DatasetInfo(
        out=path,
        name=release_name(path),
        sources=sources,
        most_continued=dict.fromkeys(sources, 0),
        kind="release",
        about=(
            ("release", f"{len(sources)} entries, {sum(release.lines.values()):,} lines"),
            ("meta.json", f"sha256 {file_sha256(meta_file(path))}"),
            ("repeat_time", weights),
            ("lengths", "in characters, since a release tells no tokens"),
            ("final answers", "as found in the text by mmpr.answers, where the release does not name them"),
            ("mmpr", mmpr.__version__),
        ),
    )
