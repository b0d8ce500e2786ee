"""What a report consists of: plain data in a stable order, computed from a build or a release and shown by its page.

Texts are as they stand in the dataset. Questions and model output are untrusted: whoever shows them escapes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mmpr.audit.precision import Audited
from mmpr.pages.pictures import Picture
from mmpr.pages.responses import ShownResponse

Level = Literal["ok", "look", "bad", "not measured"]
GroupKind = Literal["all", "source", "method"]
Kind = Literal["build", "release"]
NumberUnit = Literal["share", "count", "ratio"]
LengthUnit = Literal["tokens", "characters"]
MatchMethod = Literal["question", "image", "perceptual", "text"]
"""Same text and pictures; same picture; nearly the same picture; same text, whatever its pictures."""

LEVELS: tuple[Level, ...] = ("bad", "look", "not measured", "ok")
"""The worst first; findings are listed in this order."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question that a researcher asks of a dataset.

    ``number`` was measured in ``unit`` (a ``share`` is in [0, 1]), None when there was nothing to measure. ``look`` and
    ``bad`` are the thresholds of these levels: a number above reaches the level, or one below when ``more_is_better``.
    ``sentence`` says what was found and what to do. ``section`` is the part of the page that shows more: ``flow``,
    ``sources``, ``gallery``, ``audit``, ``contamination`` or ``distribution-KEY``. ``by`` has the number of each
    source, ``examples`` are ids of questions that it was found in. ``fix`` is a command that changes it, where there
    is one, with BUILD, RECIPE and NEW in the place of folders.
    """

    key: str
    level: Level
    title: str
    number: float | None
    unit: NumberUnit
    look: float | None
    bad: float | None
    sentence: str
    section: str
    more_is_better: bool = False
    by: tuple[tuple[str, float], ...] = ()
    examples: tuple[str, ...] = ()
    fix: str = ""


@dataclass(frozen=True, slots=True)
class FlowPart:
    """A part of a stage: kept, or dropped for the reason in ``title``. ``to`` is the key of the stage it goes to."""

    key: str
    title: str
    count: int
    kept: bool
    to: str = ""


@dataclass(frozen=True, slots=True)
class FlowStage:
    """A stage of the data flow: ``total`` things (``unit``: rows, questions, ...), counted apart from its parts.

    The parts add up to ``total`` when nothing was lost.
    """

    key: str
    title: str
    unit: str
    total: int
    parts: tuple[FlowPart, ...]


@dataclass(frozen=True, slots=True)
class FlowCheck:
    """A number from the manifest (or meta.json) beside the same number counted from the files."""

    title: str
    manifest: int
    counted: int

    @property
    def agrees(self) -> bool:
        """Whether both are the same."""
        return self.manifest == self.counted


@dataclass(frozen=True, slots=True)
class Flow:
    """How many rows, questions, responses and pairs each stage kept and dropped, and whether the numbers add up."""

    stages: tuple[FlowStage, ...]
    checks: tuple[FlowCheck, ...]


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row that could not be used: where it stands, and why."""

    source: str
    reason: str
    where: str
    detail: str


@dataclass(frozen=True, slots=True)
class Summary:
    """Exact smallest, largest and mean value; quantiles are exact to the width of a fine bin."""

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
    """A distribution over all things, those of one source, or those of one method.

    ``counts`` has a number for each bin or label. ``summary`` is None for categories and for an empty group.
    """

    by: GroupKind
    name: str
    total: int
    counts: tuple[int, ...]
    summary: Summary | None = None


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram (it has ``edges``) or categories (they have ``labels``) of ``things``: pairs, questions, images, ...

    Bin i counts edges[i] <= value < edges[i + 1], the last bin its right edge too. The first group is that of all
    things, then come the sources, then the methods.
    """

    key: str
    title: str
    unit: str
    things: str
    groups: tuple[Group, ...]
    edges: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShownPair:
    """A pair; ``chosen`` and ``rejected`` are positions in the responses of its question."""

    chosen: int
    rejected: int
    method: str
    reason: str


@dataclass(frozen=True, slots=True)
class GalleryQuestion:
    """A question of the seeded sample with its responses and pairs.

    ``responses`` are those of the rollout in order, then continuations that stand in pairs. ``outcome`` is ``paired``,
    or why there is no pair (``all_correct``, ...). ``findings`` are the keys of findings it is an example of.
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
    """A verdict for a person to confirm or refuse. ``key`` is the same in every report of the same build."""

    key: str
    id: str
    source: str
    question: str
    pictures: tuple[Picture, ...]
    truth: str
    response: ShownResponse


@dataclass(frozen=True, slots=True)
class Hit:
    """A training question that another set holds too, and where it stands there.

    ``distance`` is the number of bits by which the perceptual hashes differ, 0 for the other methods. ``text`` is the
    beginning of the question.
    """

    against: str
    method: MatchMethod
    id: str
    source: str
    where: str
    distance: int
    text: str


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much of another set of questions is found in training, by one method.

    ``ours`` and ``theirs`` count what was compared (questions, or pictures), ``hits`` the training questions that were
    found there; ``share`` is the part of theirs that training also has. ``note`` says how to read the number.
    """

    against: str
    method: MatchMethod
    ours: int
    theirs: int
    hits: int
    share: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Contamination:
    """Overlaps with the held-out split and with every ``--against``, and the first hits of each.

    ``rejected`` counts rows of the other sets that could not be read, by the set's name.
    """

    overlaps: tuple[Overlap, ...]
    hits: tuple[Hit, ...]
    rejected: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Moved:
    """A number in this dataset and in the other one; None where a dataset does not have it."""

    group: str
    title: str
    unit: Literal[NumberUnit, LengthUnit]
    here: float | None
    there: float | None


@dataclass(frozen=True, slots=True)
class MovedFinding:
    """A finding whose level or number differs."""

    key: str
    title: str
    unit: NumberUnit
    here: Level
    there: Level
    here_number: float | None
    there_number: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs from another dataset; ``settings`` are (dotted name, here, there) of those that differ."""

    other: str
    moved: tuple[Moved, ...]
    findings: tuple[MovedFinding, ...]
    settings: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A source in numbers. ``pass_rate`` is None where nothing was judged, ``responses`` None in a release."""

    name: str
    questions: int
    responses: int | None
    pairs: int
    pass_rate: float | None
    by_method: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the page about a build or a release shows.

    ``about`` is (name, text) of how the dataset was made. ``dropped`` are some of the rows that could not be used, for
    a release, which has no ``rejects/``. ``audited`` is what people say of the verdicts, if any did.
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
    audited: Audited | None = None
