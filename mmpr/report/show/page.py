"""The page of a report: an overview, a gallery of questions, and an audit of the judge, as three files.

A release has no verdicts and so no audit. Each file needs no other file (``mmpr.pages.frame``). The files together stay
under ``PAGE_BYTES`` whatever the dataset holds: long lists are cut, questions are left out, and the page says how many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mmpr.audit.precision import WIDTH
from mmpr.pages import charts, frame
from mmpr.pages.responses import mark_response
from mmpr.report.contents import LEVELS, Distribution, Finding, Flow, FlowStage, Group, Kind, Level, MatchMethod, Report
from mmpr.report.show import marked
from mmpr.schema import content_id

GALLERY_BYTES, AUDIT_BYTES = 12_000_000, 4_000_000
PAGE_BYTES = 20_000_000
"""All files together; the overview takes a few hundred kilobytes."""

LISTED = 24
"""Rows shown of a table; the rest is in report.json."""
_HITS = 200
_BAR = 1000  # width of a flow's bar in its own units

LINKS: dict[Kind, tuple[tuple[str, str], ...]] = {
    "build": (("index.html", "Overview"), ("gallery.html", "Gallery"), ("audit.html", "Judge audit")),
    "release": (("index.html", "Overview"), ("gallery.html", "Gallery")),
}
_SECTIONS = (
    ("#findings", "Findings"),
    ("#flow", "Flow"),
    ("#distributions", "Distributions"),
    ("#contamination", "Contamination"),
)

_WORDS: dict[Level, str] = {"bad": "bad", "look": "to look at", "not measured": "not measured", "ok": "ok"}
_OPEN = ("pass_rate", "margin_length")  # distributions that are open at first
_REASONS = 5  # for a dataset without pairs

_MATCH_METHODS: dict[MatchMethod, str] = {
    "question": "same question",
    "image": "same picture",
    "perceptual": "similar picture",
    "text": "same text",
}


def write_page(report: Report, folder: Path) -> None:
    """Write the files of a report's page into an existing folder.

    Raises:
        OSError: the folder cannot be written.
    """
    pages = {"index.html": overview, "gallery.html": gallery, "audit.html": audit}
    for name, _ in LINKS[report.kind]:
        # Unpaired surrogates cannot be written as UTF-8; texts on the page show them by their code points.
        (folder / name).write_text(pages[name](report), encoding="utf-8", errors="replace")


def overview(report: Report) -> str:
    """The first page: the dataset in four numbers, findings, flow, distributions, contamination."""
    compared = (("#comparison", "Comparison"),) if report.comparison else ()
    shown = {key for question in report.gallery for key in question.findings}
    sections = {
        "gallery",
        "audit",
        "flow",
        "sources",
        "contamination",
        *(f"distribution-{d.key}" for d in report.distributions),
    }
    lines = [_FindingLine.of(finding, shown, sections) for finding in report.findings]
    pairs = sum(source.pairs for source in report.sources)
    body = frame.render(
        "overview.html",
        report=report,
        levels=[(level, _WORDS[level], sum(f.level == level for f in report.findings)) for level in LEVELS],
        words=_WORDS,
        tiles=_tiles(report),
        nothing=_reasons(report.flow) if not pairs else [],
        pressing=[line for line in lines if line.finding.level in ("bad", "look")],
        others=[line for line in lines if line.finding.level not in ("bad", "look")],
        shown_sources={question.source for question in report.gallery},
        outcomes={question.outcome for question in report.gallery},
        stages=list(_stages(report.flow)),
        histograms=[_histogram(d) for d in report.distributions if d.edges],
        categories=[_categories(d) for d in report.distributions if not d.edges],
        open=_OPEN,
        listed=LISTED,
        hits=_HITS,
        ledger={"build": "the manifest", "release": "meta.json"}[report.kind],
        methods=_MATCH_METHODS,
        moved=_grouped(report),
    )
    return _page(report, f"{report.name}: report", body, "index.html", links=(*_SECTIONS, *compared))


def gallery(report: Report) -> str:
    """The gallery: questions with their pictures, responses and pairs, with filters and search."""
    titles = {finding.key: finding.title for finding in report.findings}
    all_cards = (frame.render("question.html", card=card) for card in map(marked.mark_question, report.gallery))
    shown = _within(all_cards, GALLERY_BYTES)
    questions = report.gallery[: len(shown)]
    items = [marked.filter_values(question) for question in questions]
    choices = [
        (name, label, _options(items, name, titles if name == "finding" else {}))
        for name, label in (
            ("source", "Source"),
            ("method", "Method"),
            ("outcome", "Outcome"),
            ("verdict", "Verdict"),
            ("comparator", "Decided by"),
            ("finding", "Finding"),
        )
    ]
    body = frame.render(
        "gallery.html",
        cards=shown,
        choices=choices,
        left_out=len(report.gallery) - len(shown),
        seed=report.seed,
    )
    script = frame.asset("gallery.js")
    return _page(report, f"{report.name}: gallery", body, "gallery.html", script=script, data={"items": items})


def audit(report: Report) -> str:
    """The audit: verdicts for a person to confirm or refuse."""
    rendered = (frame.render("verdict.html", item=item, card=mark_response(item.response)) for item in report.audit)
    shown = _within(rendered, AUDIT_BYTES)
    items = report.audit[: len(shown)]
    body = frame.render(
        "audit.html",
        cards=shown,
        statuses=list(dict.fromkeys(item.response.status for item in items)),
        found=report.audited,
        width=WIDTH,
        listed=LISTED,
    )
    data = {
        "sample": content_id(*sorted(item.key for item in report.audit)),
        "items": [{"key": item.key, "status": item.response.status} for item in items],
    }
    return _page(report, f"{report.name}: judge audit", body, "audit.html", script=frame.asset("audit.js"), data=data)


def _page(
    report: Report, title: str, body: Markup, here: str, links: Iterable[tuple[str, str]] = (), **more: Any
) -> str:
    drawn = "Pictures and verdicts were" if report.audit else "What the gallery shows was"
    footer = f"{drawn} drawn with seed {report.seed}. All numbers are in report.json."
    return frame.page(
        title,
        body,
        links=(*LINKS[report.kind], *links),
        here=here,
        footer=footer,
        style=frame.asset("report.css"),
        **more,
    )


def _within(parts: Iterable[Markup], limit: int) -> list[Markup]:
    """The first parts, as many as fit into ``limit`` bytes."""
    kept: list[Markup] = []
    for part in parts:
        limit -= len(part.encode("utf-8", "replace"))
        if limit < 0:
            break
        kept.append(part)
    return kept


def _options(items: list[dict[str, Any]], name: str, titles: dict[str, str]) -> list[tuple[str, str, int]]:
    """(value, label, count) of each setting of a filter, the most frequent first."""
    counts: dict[str, int] = {}
    for value in chain.from_iterable(item[name] for item in items):
        counts[value] = counts.get(value, 0) + 1
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return [(value, titles.get(value, value.replace("_", " "))[:80], count) for value, count in ranked]


@dataclass(frozen=True, slots=True)
class _FindingLine:
    """A finding with its links, and the positions (0 to 100) of its number and thresholds on a line."""

    finding: Finding
    link: str
    examples: str
    number_at: float | None
    look_at: float | None
    bad_at: float | None

    @classmethod
    def of(cls, finding: Finding, shown: set[str], sections: set[str]) -> _FindingLine:
        pages = {"gallery": "gallery.html", "audit": "audit.html"}
        examples = f"gallery.html#finding={finding.key}" if finding.key in shown else ""
        link = pages.get(finding.section, f"#{finding.section}") if finding.section in sections else ""
        thresholds = [value for value in (finding.look, finding.bad) if value is not None]
        top = 1.5 * max(thresholds, default=0)
        places = (_place(value, top) for value in (finding.number, finding.look, finding.bad))
        return cls(finding, link, examples, *places)


def _place(value: float | None, top: float) -> float | None:
    """The position of a value from 0 to ``top``, in percent."""
    return None if value is None or top <= 0 else round(100 * min(max(value / top, 0), 1), 1)


def _tiles(report: Report) -> list[tuple[str, str, str]]:
    """The dataset in four numbers: (name, value, a note)."""
    sources = report.sources
    pairs, questions = (sum(getattr(source, name) for source in sources) for name in ("pairs", "questions"))
    methods: dict[str, int] = {}
    for name, count in chain.from_iterable(source.by_method for source in sources):
        methods[name] = methods.get(name, 0) + count
    rates = [d for d in report.distributions if d.key == "pass_rate" and d.groups[0].summary]
    rate = rates[0].groups[0].summary.mean if rates and rates[0].groups[0].summary else None
    told = ", ".join(f"{count:,} {name}" for name, count in sorted(methods.items()) if count)
    return [
        ("pairs", f"{pairs:,}", f"{pairs / questions:.1f} a question" if questions else ""),
        ("questions", f"{questions:,}", f"of {len(sources):,} sources" if len(sources) != 1 else "of one source"),
        ("pass rate", frame.number(rate, "share"), "mean over the judged questions" if rate is not None else "unknown"),
        ("methods", f"{sum(count > 0 for count in methods.values())}", told or "none"),
    ]


def _reasons(flow: Flow) -> list[str]:
    """The commonest reasons for which something was dropped, in words, the most frequent first."""
    dropped = [
        (part.count, f"{part.title}: {part.count:,} {stage.unit}")
        for stage in flow.stages
        for part in stage.parts
        if not part.kept and part.count
    ]
    return [said for _, said in sorted(dropped, key=lambda item: -item[0])[:_REASONS]]


@dataclass(frozen=True, slots=True)
class _FlowBar:
    """A stage as a bar: its parts (part, x, width, style), and ribbons (x, width) to the next bar, in thousandths."""

    stage: FlowStage
    bars: list[tuple[Any, float, float, str]]
    ribbons: list[tuple[float, float]]
    goes_to: dict[str, str]


def _stages(flow: Flow) -> Iterator[_FlowBar]:
    """The stages in the order in which they are drawn: those at the end of a side branch come last.

    A ribbon leads to the next bar only when everything in that bar came from this one.
    """
    titles = {stage.key: stage.title for stage in flow.stages}
    feeds = {stage.key: {part.to for part in stage.parts if part.to} for stage in flow.stages}
    aside = {to for fed in feeds.values() if len(fed) > 1 for to in fed if not feeds.get(to)} - {flow.stages[-1].key}
    stages = sorted(flow.stages, key=lambda stage: stage.key in aside)
    for stage, after in zip(stages, [*(stage.key for stage in stages[1:]), ""], strict=True):
        sole = all(after not in fed for key, fed in feeds.items() if key != stage.key)
        bars: list[tuple[Any, float, float, str]] = []
        ribbons: list[tuple[float, float]] = []
        place = 0.0
        seen = {True: 0, False: 0}
        for part in stage.parts:
            width = _BAR * part.count / stage.total if stage.total else 0.0
            style = f"kept-{seen[True] % 4}" if part.kept else f"dropped-{seen[False] % 3}"
            bars.append((part, place, width, style))
            seen[part.kept] += 1
            if sole and after and part.to == after and width:
                ribbons.append((place, width))
            place += width
        yield _FlowBar(stage, bars, ribbons, titles)


def _histogram(distribution: Distribution) -> dict[str, Any]:
    """The values of the template for a histogram."""
    whole = distribution.groups[0]
    middle = whole.summary.p50 if whole.summary else None
    things, unit = distribution.things, distribution.unit
    said = f"{distribution.title}: {whole.total:,} {things}"
    if whole.summary:
        low, mid, high = (frame.number(value, _unit(unit)) for value in (whole.summary.p05, middle, whole.summary.p95))
        said += f"; median {mid}, 90 % between {low} and {high}"
    left, right = charts.tails(distribution.edges)
    edges = [frame.number(edge, _unit(unit)) for edge in distribution.edges]
    ends = [f"the first bar gathers {edges[0]} to {edges[1]}"] * left + [f"the last {edges[-2]} to {edges[-1]}"] * right
    constant = ""
    if whole.summary and whole.summary.least == whole.summary.most:
        constant = f"{frame.number(whole.summary.least, _unit(unit))} {unit if not _unit(unit) else ''}".strip()
    chart = charts.histogram(distribution.edges, whole.counts, unit=_unit(unit), label=said, middle=middle)
    lines = [(group, charts.sparkline(group.counts)) for group in distribution.groups[:LISTED]]
    return {
        "distribution": distribution,
        "unit": _unit(unit),
        "chart": chart,
        "constant": constant,
        "brief": f"all {constant}" if constant else f"median {frame.number(middle, _unit(unit))}",
        "tails": "; ".join(ends),
        "lines": lines,
        "more": len(distribution.groups) - len(lines),
    }


def _categories(distribution: Distribution) -> dict[str, Any]:
    """The values of the template for categories: a bar for each, and the shares of each group."""
    whole = distribution.groups[0]
    order = sorted(range(len(distribution.labels)), key=lambda at: -whole.counts[at])
    shown = order[:LISTED]
    return {
        "distribution": distribution,
        "brief": ", ".join(_brief(distribution, whole, at) for at in shown[:2]),
        "bars": [(distribution.labels[at], whole.counts[at], _share(whole.counts[at], whole)) for at in shown],
        "columns": [distribution.labels[at] for at in shown[:_COLUMNS]],
        "lines": [
            (group, [_share(group.counts[at], group) for at in shown[:_COLUMNS]])
            for group in distribution.groups[1 : LISTED + 1]
        ],
        "more": len(order) - len(shown),
    }


_COLUMNS = 6


def _brief(distribution: Distribution, whole: Group, at: int) -> str:
    label = distribution.labels[at].replace("_", " ") or "(none)"
    return f"{label[:40]} {frame.number(_share(whole.counts[at], whole), 'share')}"


def _share(count: int, group: Group) -> float | None:
    return count / group.total if group.total else None


def _unit(unit: str) -> str:
    """How numbers of a distribution's unit are written: ``share of its responses`` as shares."""
    return "share" if unit.startswith("share") else ""


def _grouped(report: Report) -> list[tuple[str, list[Any]]]:
    """The numbers that moved, by group, in order."""
    groups: dict[str, list[Any]] = {}
    for line in report.comparison.moved if report.comparison else ():
        groups.setdefault(line.group, []).append(line)
    return list(groups.items())
