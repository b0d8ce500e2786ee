"""The verdict: what a researcher would ask before training on a dataset, each with a number and its thresholds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from mmpr.report.contamination import HELDOUT, PERCEPTUAL_BITS
from mmpr.report.draw import draw
from mmpr.report.facts import Facts
from mmpr.report.flow import words
from mmpr.report.nouns import LEVELS, Contamination, Finding, Flow, HitMethod, Kind, Level, Overlap
from mmpr.report.tally import BIT, LONG_TEXT_CHARS, Tally

FEW_PAIRS = (2_000, 300)
"""At batch 256 (the paper's) 2,000 pairs are eight steps; 300 are one."""
ONE_SOURCE = (0.8, 0.95)
"""Above four fifths the other sources have less than one gradient step in five, and what they teach is forgotten."""
LENGTH_RATIO = (1.3, 1.6)
"""Mean chosen over mean rejected tokens. The paper's own dropout pairs stand at 1.23, its correctness pairs at 0.86."""
LONGER_WINS = (0.65, 0.8)
"""Pairs whose chosen is the longer one, ties as halves. A rule "longer is better" is then right that often."""
LETTER_SKEW = (1.5, 2.0)
"""The most frequent letter over its even share; 1.5 is 37 % of four options."""
YES_NO_SKEW = (0.65, 0.8)
"""The more frequent of yes and no; 50 % is even, and at 80 % a model that never looks is right four times of five."""
NEAR_DUPLICATES = (0.2, 0.5)
"""Above half, most chosen repeat each other and the dataset is smaller than it looks; a fifth is worth a look."""
LOOPS = (0.001, 0.01)
"""A chosen that goes round in circles teaches just that, and the judge, who reads the final answer only, lets it in."""
TRUNCATED = (0.05, 0.2)
"""Responses cut at max_tokens. Above one in twenty the limit shapes the data."""
LEAKAGE = (0.0005, 0.005)
"""Control tokens or turns of the user in chosen; they are learned at once, so few are tolerable."""
NO_ANSWER: dict[Kind, tuple[float, float]] = {"build": (0.0, 0.0), "release": (0.05, 0.2)}
"""A build's chosen is right by construction; one that names no answer means that shards were changed or are from
elsewhere. A release's was judged by others, who find answers in forms that are not read here."""
LANGUAGE = (0.01, 0.05)
"""Chosen in another script than the question and its prompt."""
EQUAL_PAIRS = (0.0, 0.0)
"""A pair of equal texts has no gradient but noise, and pairing never makes one."""
REJECTED_ROWS = (0.02, 0.1)
"""Source rows that could not be used: above a tenth the source is probably read wrongly."""
UNJUDGED = (0.001, 0.02)
"""Verdicts lost to time or failure; they are not random, hard answers go first."""
SHARED_IMAGES = (0.0, 0.01)
"""Held-out pictures that training also shows. One is worth a look, a hundredth moves a benchmark."""
OVERLAP = (0.0, 0.001)
"""Questions of the held-out split that are trained on. There is no good number but none."""
UNACCOUNTED = (0.0, 0.0)
"""Numbers that do not add up: a shard was lost, or changed after the manifest was written."""

_ENOUGH = 50
"""Questions of a kind that are needed before a skew among them means anything."""
_ENOUGH_TEXTS = 50
_EXAMPLES = 24

_ADVICE: dict[Kind, dict[str, str]] = {
    "build": {
        "few_pairs": "More samples a question, or more questions of middling difficulty, make more.",
        "dominating_source": "max_questions, repeat_time and max_pairs of sources balance them.",
        "no_answer": "Judge again: python -m mmpr.build ... --from verify.",
        "equal_pairs": "Up to white space. Pair again: --from pair.",
        "reject_rate": "rejects/ has each with its reason.",
        "unaccounted": "The shards are not those of the manifest.",
    },
    "release": {
        "few_pairs": "Each counts once, whatever its repeat_time.",
        "dominating_source": "repeat_time of the entries and data.source_weights of a training recipe balance them.",
        "no_answer": "None was found in it, so that nothing shows that it is right.",
        "equal_pairs": "Up to white space. There is nothing to learn from them.",
        "reject_rate": "The first of each reason are listed.",
        "unaccounted": "The files are not whole, or not those of meta.json.",
    },
}

Unit = Literal["share", "count", "ratio"]


@dataclass(frozen=True, slots=True)
class Basis:
    """What findings are made of; of ``rows`` rows those that were ``lost``, by reason."""

    facts: Facts
    tally: Tally
    flow: Flow
    contamination: Contamination
    rows: int
    lost: Mapping[str, int]

    @property
    def pairs(self) -> int:
        """All pairs."""
        return int(self.tally.pairs.sum())

    def pairs_of(self, source: str) -> int:
        """A source's pairs."""
        return int(self.tally.pairs[self.facts.sources.index(source)].sum())

    def advice(self, key: str) -> str:
        """What to do about a finding."""
        return _ADVICE[self.facts.kind][key]


def make_findings(basis: Basis, examples: Callable[[str], tuple[str, ...]]) -> tuple[Finding, ...]:
    """All findings, the worst first. ``examples`` gives ids of questions that fall under the flag of that name."""
    found = [
        replace(finding, examples=examples(finding.key)) if finding.key in BIT else finding
        for group in (_size, _lengths, _answers, _texts, _losses, _splits)
        for finding in group(basis)
    ]
    return tuple(sorted(found, key=lambda finding: LEVELS.index(finding.level)))


def example_numbers(tally: Tally, name: str, seed: int) -> list[int]:
    """A few numbers of questions that fall under a flag, drawn by the seed."""
    numbers = np.flatnonzero(tally.all_of(tally.flags) & BIT[name])
    order = np.argsort(draw(seed, numbers), kind="stable")[:_EXAMPLES]
    return sorted(int(number) for number in numbers[order])


def level(number: float | None, look: float, bad: float, *, more_is_better: bool = False) -> Level:
    """The level of a number; nothing measured is nothing wrong."""
    if number is None:
        return "ok"
    if more_is_better:
        return "bad" if number < bad else "look" if number < look else "ok"
    return "bad" if number > bad else "look" if number > look else "ok"


def _finding(
    key: str,
    title: str,
    number: float | None,
    unit: Unit,
    thresholds: tuple[float, float],
    sentence: str,
    section: str,
    *,
    by: tuple[tuple[str, float], ...] = (),
    more_is_better: bool = False,
) -> Finding:
    look, bad = thresholds
    reached = level(number, look, bad, more_is_better=more_is_better)
    return Finding(key, reached, title, number, unit, look, bad, sentence, section, more_is_better, by)


def _size(basis: Basis) -> Iterator[Finding]:
    pairs = basis.pairs
    by = tuple((source, float(basis.pairs_of(source))) for source in basis.facts.sources)
    yield _finding(
        "few_pairs",
        "Number of pairs",
        float(pairs),
        "count",
        FEW_PAIRS,
        f"{pairs:,} pairs of {basis.tally.counts['outcome/paired']:,} questions. {basis.advice('few_pairs')}",
        "flow",
        by=by,
        more_is_better=True,
    )
    largest, most = max(by, key=lambda item: item[1], default=("", 0.0))
    number = most / pairs if pairs and len(by) > 1 else None
    yield _finding(
        "dominating_source",
        "Largest source",
        number,
        "share",
        ONE_SOURCE,
        f"{largest} gives {most / max(pairs, 1):.0%} of the pairs. {basis.advice('dominating_source')}"
        if number is not None
        else "There is one source.",
        "distribution-kinds" if basis.facts.kind == "build" else "sources",
        by=tuple((name, count / max(pairs, 1)) for name, count in by),
    )


def _lengths(basis: Basis) -> Iterator[Finding]:
    tally, pairs = basis.tally, basis.pairs
    chosen, rejected = tally.histograms["chosen_length"], tally.histograms["rejected_length"]

    def ratio(source: int | None = None) -> float | None:
        above, below = chosen.mean(source=source), rejected.mean(source=source)
        return above / max(below, 1.0) if above is not None and below is not None else None

    names = basis.facts.sources
    by = tuple((name, value) for at, name in enumerate(names) if (value := ratio(at)) is not None)
    measure = basis.facts.measure
    sentence = f"Chosen have {chosen.mean() or 0:.1f} {measure} on average, rejected {rejected.mean() or 0:.1f}."
    yield _finding(
        "length_bias",
        "Length of chosen over rejected",
        ratio(),
        "ratio",
        LENGTH_RATIO,
        f"{sentence} DPO amplifies such a difference: the model learns to write at length.",
        "distribution-margin_length",
        by=by,
    )
    wins = {name: tally.counts[f"longer/{name}"] + tally.counts[f"as_long/{name}"] / 2 for name in names}
    yield _finding(
        "longer_wins",
        "Chosen is the longer one",
        sum(wins.values()) / pairs if pairs else None,
        "share",
        LONGER_WINS,
        "How often a rule that looks at nothing but length would find the chosen (ties count as halves; 50 % is fair).",
        "distribution-margin_length",
        by=tuple((name, won / basis.pairs_of(name)) for name, won in wins.items() if basis.pairs_of(name)),
    )


def _answers(basis: Basis) -> Iterator[Finding]:
    categories = basis.tally.categories
    letters, rejected = categories["chosen_letters"].totals(), categories["rejected_letters"].totals()
    total, options = sum(letters.values()), len({*letters, *rejected})
    enough = total >= _ENOUGH and options > 1
    letter, most = letters.most_common(1)[0] if letters else ("", 0)
    yield _finding(
        "letter_bias",
        "Most frequent option letter",
        most / total * options if enough else None,
        "ratio",
        LETTER_SKEW,
        f"{letter} is the right letter of {most / total:.0%} of {total:,} paired multiple-choice questions; "
        f"{options} letters are in use. Shuffle the options."
        if enough
        else f"{total} paired multiple-choice questions: too few to tell.",
        "distribution-chosen_letters",
    )
    words_of = categories["chosen_yes_no"].totals()
    total = sum(words_of.values())
    word, most = words_of.most_common(1)[0] if words_of else ("", 0)
    yield _finding(
        "yes_no_bias",
        "More frequent of yes and no",
        most / total if total >= _ENOUGH else None,
        "share",
        YES_NO_SKEW,
        f"The truth of {most / total:.0%} of {total:,} paired yes-no questions is {word}."
        if total >= _ENOUGH
        else f"{total} paired yes-no questions: too few to tell.",
        "distribution-chosen_yes_no",
    )


def _texts(basis: Basis) -> Iterator[Finding]:
    tally, pairs = basis.tally, basis.pairs
    owners, alike = tally.duplicates.found()
    source = tally.all_of(tally.source_of)[owners] if len(owners) else owners
    by = tuple(
        (name, float(alike[source == at].mean())) for at, name in enumerate(basis.facts.sources) if (source == at).any()
    )
    yield _finding(
        "near_duplicates",
        "Chosen said again for another question",
        float(alike.mean()) if len(alike) >= _ENOUGH_TEXTS else None,
        "share",
        NEAR_DUPLICATES,
        f"{int(alike.sum()):,} of {len(alike):,} chosen texts of {LONG_TEXT_CHARS} characters and more are nearly word "
        "for word the chosen of another question, with the same numbers in them.",
        "gallery",
        by=by,
    )

    def share(name: str) -> tuple[float | None, int, tuple[tuple[str, float], ...]]:
        counts = {s: tally.counts[f"{name}/{s}"] for s in basis.facts.sources}
        of = {s: basis.pairs_of(s) for s in basis.facts.sources}
        total = sum(counts.values())
        return total / pairs if pairs else None, total, tuple((s, counts[s] / of[s]) for s in counts if of[s])

    rejected_loops, rejected_cut = share("loops_rejected")[1], share("truncated_rejected")[1]
    no_answer = NO_ANSWER[basis.facts.kind]
    for key, title, thresholds, sentence in (
        ("loops", "Chosen goes round in circles", LOOPS, f"So do the rejected of {rejected_loops:,} pairs."),
        (
            "leakage",
            "Template or control tokens in chosen",
            LEAKAGE,
            "Look at chat format and stop tokens.",
        ),
        ("no_answer", "Chosen names no answer", no_answer, basis.advice("no_answer")),
        ("language", "Chosen in another language", LANGUAGE, "Told by the script of question, prompt and chosen."),
        ("equal_pairs", "Rejected equals chosen", EQUAL_PAIRS, basis.advice("equal_pairs")),
    ):
        number, count, by_source = share(key)
        text = f"{count:,} of {pairs:,} pairs. {sentence}"
        yield _finding(key, title, number, "share", thresholds, text, "gallery", by=by_source)
    if basis.facts.kind == "release":
        return  # how its responses ended is not known
    responses, cut = tally.counts["responses"], tally.counts["truncated"]
    yield _finding(
        "truncated",
        "Responses cut at the token limit",
        cut / responses if responses else None,
        "share",
        TRUNCATED,
        f"{cut:,} of {responses:,} sampled responses, and the rejected of {rejected_cut:,} pairs; truncated responses "
        "are never chosen. Raise sampling.max_tokens.",
        "distribution-finish_reasons",
    )


def _losses(basis: Basis) -> Iterator[Finding]:
    lost, rows = sum(basis.lost.values()), basis.rows
    most = ", ".join(f"{words(name)} ({by:,})" for name, by in list(basis.lost.items())[:3])
    yield _finding(
        "reject_rate",
        "Rows that could not be used",
        lost / rows if rows else None,
        "share",
        REJECTED_ROWS,
        f"{lost:,} of {rows:,} rows" + (f", mostly: {most}. {basis.advice('reject_rate')}" if lost else "."),
        "flow",
    )
    if basis.facts.kind == "build":
        yield _judge_timeouts(basis)
    wrong = [check.title for check in basis.flow.checks if not check.agrees]
    wrong += [s.title for s in basis.flow.stages if s.total != sum(part.count for part in s.parts)]
    yield _finding(
        "unaccounted",
        "Numbers that do not add up",
        float(len(wrong)),
        "count",
        UNACCOUNTED,
        f"These differ: {'; '.join(wrong[:5])}. {basis.advice('unaccounted')}"
        if wrong
        else f"{len(basis.flow.checks)} numbers are the same where they are told and where they are counted.",
        "flow",
    )


def _judge_timeouts(basis: Basis) -> Finding:
    statuses = basis.tally.categories["statuses"].totals()
    judged, unknown = sum(statuses.values()), statuses["timeout"] + statuses["error"]
    return _finding(
        "judge_timeouts",
        "Verdicts that nobody knows",
        unknown / judged if judged else None,
        "share",
        UNJUDGED,
        f"{statuses['timeout']:,} timeouts and {statuses['error']:,} failures of {judged:,} verdicts.",
        "distribution-statuses",
    )


def _splits(basis: Basis) -> Iterator[Finding]:
    by_method = {overlap.method: overlap for overlap in basis.contamination.overlaps if overlap.against == HELDOUT}
    if by_method:
        yield from _heldout(by_method)
    for other in basis.contamination.overlaps:
        if other.method == "question" and other.against != HELDOUT:
            yield _finding(
                f"against_{other.against}",
                f"Questions of {other.against} in training",
                other.share if other.theirs else None,
                "share",
                OVERLAP,
                f"{other.hits:,} training questions have the text and the picture of one of its {other.theirs:,}.",
                "contamination",
            )


def _heldout(by_method: Mapping[HitMethod, Overlap]) -> Iterator[Finding]:
    image, perceptual, question = by_method["image"], by_method["perceptual"], by_method["question"]
    yield _finding(
        "shared_images",
        "Held-out pictures in training",
        min(1.0, image.share + perceptual.share) if image.theirs else None,
        "share",
        SHARED_IMAGES,
        f"{image.hits:,} training questions show a picture of the held-out split, {perceptual.hits:,} one that looks "
        f"the same (perceptual hashes within {PERCEPTUAL_BITS} bits and the same colours).",
        "contamination",
    )
    yield _finding(
        "heldout_overlap",
        "Held-out questions in training",
        question.share if question.theirs else None,
        "share",
        OVERLAP,
        f"{question.hits:,} training questions have the text and the picture of a held-out one."
        if question.theirs
        else "There is no held-out split.",
        "contamination",
    )
