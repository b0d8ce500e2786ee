"""The nouns of a report: what is computed from a build or a release, and what its page shows.

Everything is plain data in a stable order. Texts are as they stand in the build - model output and questions are
hostile, whoever shows them escapes them. Pictures are the only bytes; ``as_json`` leaves them out.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["ok", "look", "bad"]
GroupKind = Literal["all", "source", "method"]
Kind = Literal["build", "release"]
Measure = Literal["tokens", "characters"]
HitMethod = Literal["question", "image", "perceptual", "text"]
"""Same text and same pictures; same picture; nearly the same picture; same text, whatever its pictures."""

LEVELS: tuple[Level, ...] = ("bad", "look", "ok")
"""From the worst on; findings are listed in this order."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One question that a researcher asks of a dataset, answered.

    ``number`` is what was measured in ``unit`` (``share`` is in [0, 1], shown as a percentage; ``count``, ``ratio``),
    None when there was nothing to measure. ``look`` and ``bad`` are the thresholds of the two levels, None when a level
    has none; a level is reached by a number above its threshold, or below it when ``more_is_better``. ``sentence`` says
    what it is and what to do, in plain text. ``section`` is the anchor of the part of the page that shows more:
    ``flow``, ``gallery``, ``audit``, ``contamination`` or ``distribution-KEY``. ``examples`` are ids of
    questions that fall under it, of which the gallery shows some; ``by`` breaks the number down by source.
    """

    key: str
    level: Level
    title: str
    number: float | None
    unit: Literal["share", "count", "ratio"]
    look: float | None
    bad: float | None
    sentence: str
    section: str
    more_is_better: bool = False
    by: tuple[tuple[str, float], ...] = ()
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FlowPart:
    """A part of a stage. ``to`` is the key of the stage that it goes on to, empty where it ends.

    ``kept`` parts go on or are the product, ``dropped`` ones fell out for the reason that is their title.
    """

    key: str
    title: str
    count: int
    kept: bool
    to: str = ""


@dataclass(frozen=True, slots=True)
class FlowStage:
    """A stage of the way of the data: ``total`` things (``unit``: rows, questions, responses, ...), all in its parts.

    The counts of the parts add up to ``total``, which was counted on its own.
    """

    key: str
    title: str
    unit: str
    total: int
    parts: tuple[FlowPart, ...]


@dataclass(frozen=True, slots=True)
class FlowCheck:
    """A number that is known twice: from the manifest, and counted from the shards."""

    title: str
    manifest: int
    counted: int

    @property
    def agrees(self) -> bool:
        """Whether both are the same."""
        return self.manifest == self.counted


@dataclass(frozen=True, slots=True)
class Flow:
    """Where everything went: the stages in order, and whether the numbers add up."""

    stages: tuple[FlowStage, ...]
    checks: tuple[FlowCheck, ...]


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row that could not be used, where it stands and why."""

    source: str
    reason: str
    where: str
    detail: str


@dataclass(frozen=True, slots=True)
class Summary:
    """Exact smallest, largest and mean value, and quantiles (exact to the width of a fine bin)."""

    least: float
    p05: float
    p25: float
    p50: float
    p75: float
    p95: float
    most: float
    mean: float


@dataclass(frozen=True, slots=True)
class Group:
    """A distribution over some of the things: all of them, one source's, or one method's.

    ``counts`` has one number a bin (or label) of its distribution. ``summary`` is None for categories and when empty.
    """

    by: GroupKind
    name: str
    total: int
    counts: tuple[int, ...]
    summary: Summary | None = None


@dataclass(frozen=True, slots=True)
class Distribution:
    """How something is distributed, over all rows.

    A histogram has ``edges`` (one more than bins; bin i holds edges[i] <= value < edges[i + 1], the last one its right
    edge too), categories have ``labels``; the other one is empty. ``things`` is what is counted (pairs, questions,
    responses, images). The first group is the one of all things, then the sources, then the methods.
    """

    key: str
    title: str
    unit: str
    things: str
    groups: tuple[Group, ...]
    edges: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture made small for the page: PNG or JPEG, and the size in pixels of the one in the build."""

    data: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ShownResponse:
    """A response as the page shows it.

    ``sample`` is its position in the rollout. ``answer_start`` and ``answer_end`` say where in ``text`` the final
    answer stands, both -1 when it is not there word for word. A ``continued`` response begins with ``prefix_chars``
    characters of sample ``sample``. ``left_out`` characters of a very long text were cut from its middle (all positions
    here are those in the text that is shown). ``status`` is empty for open-ended questions. What a
    release does not tell is None or empty.
    """

    text: str
    sample: int | None
    tokens: int | None
    finish_reason: str
    status: str = ""
    answer: str | None = None
    answer_start: int = -1
    answer_end: int = -1
    comparator: str = ""
    reason: str = ""
    continued: bool = False
    prefix_chars: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class ShownPair:
    """``chosen`` and ``rejected`` are positions in the responses of its question."""

    chosen: int
    rejected: int
    method: str
    reason: str


@dataclass(frozen=True, slots=True)
class GalleryQuestion:
    """A question of the seeded sample with everything that belongs to it.

    ``responses`` are the rollout's in order of their samples, then continuations that stand in pairs. ``outcome`` says
    how the question fared: ``paired``, or why not (``all_correct``, ``none_correct``, ...). ``findings`` are the keys
    of the findings it is an example of.
    """

    id: str
    source: str
    kind: str
    pictures: tuple[Picture, ...]
    question: str
    prompt: str
    answer: str | None
    pass_rate: float | None
    outcome: str
    responses: tuple[ShownResponse, ...]
    pairs: tuple[ShownPair, ...]
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AuditItem:
    """One verdict for a person to confirm or refuse. ``key`` is the same in every report of the same build."""

    key: str
    id: str
    source: str
    question: str
    pictures: tuple[Picture, ...]
    truth: str
    response: ShownResponse


@dataclass(frozen=True, slots=True)
class Hit:
    """A training question that is also elsewhere: its id and source, and where the other one stands.

    ``distance`` is the number of bits in which the perceptual hashes differ, 0 for the other methods. ``text`` begins
    the question, for a person.
    """

    against: str
    method: HitMethod
    id: str
    source: str
    where: str
    distance: int
    text: str


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much of the build is found in one other set of questions by one method.

    ``ours`` and ``theirs`` count what was compared (questions, or pictures of ours and theirs), ``hits`` the training
    questions that were found there, ``share`` the part of theirs that training also has. ``note`` says how to read it:
    questions of a generated source repeat by nature with other pictures.
    """

    against: str
    method: HitMethod
    ours: int
    theirs: int
    hits: int
    share: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Contamination:
    """Overlaps with the held-out split and with every ``--against``; ``hits`` are listed up to a fixed number each."""

    overlaps: tuple[Overlap, ...]
    hits: tuple[Hit, ...]
    rejected: tuple[tuple[str, int], ...] = ()
    """Rows of the others that could not be read, by name."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A number in this build and in the other one; None where a build does not have it."""

    group: str
    title: str
    unit: Literal["share", "count", "ratio", "tokens", "characters"]
    here: float | None
    there: float | None


@dataclass(frozen=True, slots=True)
class MovedFinding:
    """A finding whose level or number differs."""

    key: str
    title: str
    unit: Literal["share", "count", "ratio"]
    here: Level
    there: Level
    here_number: float | None
    there_number: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What moved against another build; settings are the recipe's by dotted name, as text."""

    other: str
    moved: tuple[Moved, ...]
    findings: tuple[MovedFinding, ...]
    settings: tuple[tuple[str, str, str], ...]
    """(name, here, there) of settings that differ."""


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A source in numbers; shares are of what was judged, None where nothing was; responses are None in a release."""

    name: str
    questions: int
    responses: int | None
    pairs: int
    pass_rate: float | None
    by_method: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a page about a build or a release shows.

    ``about`` are facts of the manifest as (name, text). ``dropped`` are a few of the rows that could not be used, of
    each source and reason, where no other file lists them.
    """

    name: str
    about: tuple[tuple[str, str], ...]
    seed: int
    sources: tuple[SourceLine, ...]
    findings: tuple[Finding, ...]
    flow: Flow
    distributions: tuple[Distribution, ...]
    gallery: tuple[GalleryQuestion, ...]
    audit: tuple[AuditItem, ...]
    contamination: Contamination
    comparison: Comparison | None = None
    kind: Kind = "build"
    dropped: tuple[Dropped, ...] = ()


def as_json(value: Any) -> Any:
    """A noun as a tree for ``json.dumps``: dataclasses are objects in the order of their fields, without pictures."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: as_json(getattr(value, f.name)) for f in fields if f.name not in ("data", "pictures")}
    if isinstance(value, tuple):
        return [as_json(item) for item in value]
    return value
