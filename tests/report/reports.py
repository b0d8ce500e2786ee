"""A small report made by hand: every kind of line once, and texts that mean harm."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import get_args

from PIL import Image

from mmpr.pages.pictures import Picture
from mmpr.pages.responses import ShownResponse
from mmpr.report.contents import (
    AuditItem,
    Comparison,
    Contamination,
    Distribution,
    Finding,
    Flow,
    FlowCheck,
    FlowPart,
    FlowStage,
    GalleryQuestion,
    Group,
    Hit,
    MatchMethod,
    Moved,
    MovedFinding,
    Overlap,
    Report,
    ShownPair,
    SourceLine,
    Summary,
)

MARKUP = (
    '<script>window.harm=1</script><img class=harm src=x onerror="window.harm=1"></div></main>'
    '"\'><svg onload="window.harm=1"></svg><style>body{display:none}</style>{{ 7 * 7 }}<!-- ]]> '
    "javascript:window.harm=1 https://example.org/harm.png"
)
HIDDEN = "evil \u202ereversed\u202c \x00\x07\x1b[31m \u200b\u2066 end \ud800"
LONG = "word " * 200_000


def picture(colour: str) -> Picture:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(file, "PNG")
    return Picture(file.getvalue(), 400, 300)


def response(text: str, sample: int = 0, status: str = "", answer: str | None = None, **more: object) -> ShownResponse:
    start = text.rfind(answer) if answer else -1
    end = start + len(answer or "") if start >= 0 else -1
    made = ShownResponse(text, sample, len(text.split()), "stop", status, answer, start, end)
    return replace(made, **more)  # type: ignore[arg-type]


def judged() -> tuple[GalleryQuestion, ...]:
    """Three questions about digits; of each the first response is right and the second wrong."""
    return tuple(
        GalleryQuestion(
            id=f"{n:032x}",
            source="digits",
            kind="count",
            pictures=(picture("red"),),
            question=f"<image>\nHow many of the {n} digits are odd?",
            prompt="Answer step by step.",
            answer="3",
            pass_rate=0.5,
            outcome="paired",
            responses=(
                response("The digits are 1, 2 and 3.\nFinal answer: 3", 0, "correct", "3", comparator="number"),
                response("The digits are 1 and 3.\nFinal answer: 2", 1, "incorrect", "2", reason="2 against 3"),
            ),
            pairs=(ShownPair(0, 1, "correctness", "3 is right, 2 is wrong"),),
            findings=("letters",) if n == 1 else (),
        )
        for n in range(3)
    )


def described() -> GalleryQuestion:
    return GalleryQuestion(
        id="d" * 32,
        source="scenes",
        kind="",
        pictures=(picture("blue"), picture("green")),
        question="<image> <image> Describe the zebra.",
        prompt="Describe the zebra.",
        answer=None,
        pass_rate=None,
        outcome="paired",
        responses=(
            response("A zebra stands on the grass."),
            response("A zebra stands in the sky.", continued=True, prefix_chars=15),
        ),
        pairs=(ShownPair(0, 1, "dropout", "continued from 0.5 without the image"),),
    )


def hostile() -> GalleryQuestion:
    """Harm in every text that comes from a dataset or a model."""
    return GalleryQuestion(
        id='x"><script>window.harm=1</script>',
        source=MARKUP,
        kind=MARKUP,
        pictures=(picture("white"),),
        question=f"<image>{MARKUP}{HIDDEN}",
        prompt=MARKUP + LONG,
        answer=MARKUP,
        pass_rate=0.0,
        outcome=MARKUP,
        responses=(
            response(MARKUP + HIDDEN + LONG, 0, MARKUP, MARKUP, reason=MARKUP, comparator=MARKUP, finish_reason=MARKUP),
            response(HIDDEN + MARKUP, 1, "timeout", None, reason=HIDDEN, left_out=5),
        ),
        pairs=(ShownPair(0, 1, MARKUP, MARKUP + HIDDEN),),
        findings=(MARKUP,),
    )


def summary(middle: float) -> Summary:
    return Summary(0, 0, middle / 2, middle, middle * 1.5, middle * 2, middle * 4, middle)


def made_report() -> Report:
    audit = tuple(
        AuditItem(
            f"{n}:0",
            f"{n:032x}",
            "digits",
            "<image>How many?",
            (picture("red"),),
            "3",
            response(f"Item {n}.\nFinal answer: {n}", 0, "correct" if n % 2 else "incorrect", str(n)),
        )
        for n in range(6)
    )
    harm = AuditItem("6:0", MARKUP, MARKUP, MARKUP, (), MARKUP, response(MARKUP + HIDDEN, 0, "correct", MARKUP))
    return Report(
        name=f"made {MARKUP}",
        about=(("model", "demo"), (MARKUP, MARKUP + HIDDEN)),
        seed=7,
        sources=(
            SourceLine("digits", 3, 6, 3, 0.5, (("correctness", 3), ("format", 0))),
            SourceLine("scenes", 1, 2, 1, None, (("dropout", 1),)),
            SourceLine(MARKUP, 1, 2, 1, 0.0, ()),
        ),
        findings=(
            Finding(
                "margin", "bad", "Chosen is longer", 1.4, "ratio", 1.1, 1.3, "Balance them.", "distribution-length"
            ),
            Finding("letters", "look", "Letters", 0.4, "share", 0.35, 0.5, MARKUP, "gallery", by=((MARKUP, 0.4),)),
            Finding("pairs", "ok", "Enough pairs", 5, "count", 4, 2, "Enough.", "flow", more_is_better=True),
            Finding("empty", "ok", "Nothing to measure", None, "share", None, None, "Nothing.", "contamination"),
        ),
        flow=Flow(
            (
                FlowStage(
                    "rows",
                    "Rows",
                    "rows",
                    6,
                    (
                        FlowPart("taken", "taken", 5, True, "questions"),
                        FlowPart("broken", MARKUP, 1, False),
                    ),
                ),
                FlowStage(
                    "questions",
                    "Questions",
                    "questions",
                    5,
                    (
                        FlowPart("asked", "asked", 4, True, "pairs"),
                        FlowPart("open", "open", 1, True, "pairs"),
                    ),
                ),
                FlowStage("pairs", "Pairs", "pairs", 5, (FlowPart("all", "pairs", 5, True),)),
                FlowStage("none", "Nothing", "things", 0, (FlowPart("zero", "none", 0, False),)),
            ),
            (FlowCheck("pairs", 5, 5), FlowCheck(MARKUP, 5, 4)),
        ),
        distributions=(
            Distribution(
                "length",
                "Length of chosen",
                "tokens",
                "pairs",
                (
                    Group("all", "all", 10, (1, 4, 3, 2), summary(12)),
                    Group("source", MARKUP, 5, (1, 2, 1, 1), summary(9)),
                    Group("method", "format", 0, (0, 0, 0, 0)),
                ),
                edges=(0, 10, 20, 30, 4000),
            ),
            Distribution(
                "finish",
                "Finish reasons",
                "",
                "responses",
                (
                    Group("all", "all", 10, (8, 2)),
                    Group("source", "digits", 6, (6, 0)),
                    Group("source", MARKUP, 4, (2, 2)),
                ),
                labels=("stop", MARKUP),
            ),
        ),
        gallery=(*judged(), described(), hostile()),
        audit=(*audit, harm),
        contamination=Contamination(
            tuple(Overlap("held-out", method, 5, 9, 1, 0.2, MARKUP) for method in get_args(MatchMethod)),
            (Hit(MARKUP, "perceptual", "a" * 32, MARKUP, MARKUP, 3, MARKUP + HIDDEN),),
            ((MARKUP, 2),),
        ),
        comparison=Comparison(
            MARKUP,
            (Moved(MARKUP, MARKUP, "share", 0.5, 0.4), Moved("pairs", "pairs", "count", 5, None)),
            (MovedFinding("pairs", "Enough pairs", "count", "ok", "look", 5, 3),),
            ((MARKUP, MARKUP, ""),),
        ),
    )
