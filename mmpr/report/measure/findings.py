"""The findings: what a researcher would ask before training on a dataset, each as a number with its thresholds.

The constants below are (look, bad): the level that a finding reaches beyond them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from mmpr.pipeline.reasons import reason_text
from mmpr.report.contents import LEVELS, Contamination, Finding, Flow, Kind, Level, MatchMethod, NumberUnit, Overlap
from mmpr.report.load.info import DatasetInfo
from mmpr.report.measure.contamination import HELDOUT, PERCEPTUAL_BITS
from mmpr.report.measure.dataset_statistics import BIT, LONG_TEXT_CHARS, Statistics
from mmpr.report.measure.sampling import random_numbers

FEW_PAIRS = (2_000, 300)
"""Pairs. At the paper's batch of 256, 2,000 are eight steps and 300 are one."""
ONE_SOURCE = (0.8, 0.95)
"""Share of the largest source. Above 0.8 less than a fifth of each batch is from the others, and is soon forgotten."""
LENGTH_RATIO = (1.3, 1.6)
"""Mean chosen over mean rejected length. The paper's dropout pairs have 1.23, its correctness pairs 0.86."""
LONGER_WINS = (0.65, 0.8)
"""Share of pairs whose chosen is the longer one, ties as halves: how often "longer is better" is right."""
LETTER_SKEW = (1.5, 2.0)
"""Share of the most frequent letter over the even share; of four options, 1.5 is 37 %."""
YES_NO_SKEW = (0.65, 0.8)
"""Share of the more frequent of yes and no; at 0.8 a model that never looks is right four times of five."""
NEAR_DUPLICATES = (0.2, 0.5)
"""Share of chosen texts. Above half, the dataset is much smaller than it looks."""
LOOPS = (0.001, 0.01)
"""Share of pairs whose chosen repeats itself; the judge reads only the final answer and lets it pass."""
TRUNCATED = (0.05, 0.2)
"""Share of responses cut at max_tokens. Above one in twenty the limit shapes the data."""
LEAKAGE = (0.0005, 0.005)
"""Share of pairs with control tokens or a user's turn in the chosen; a model learns these quickly."""
NO_ANSWER: dict[Kind, tuple[float, float]] = {"build": (0.0, 0.0), "release": (0.05, 0.2)}
"""Share of pairs. The chosen of a build always names an answer, unless shards were changed. A release was judged by
others, who may read answers in forms that are not read here."""
LANGUAGE = (0.01, 0.05)
"""Share of pairs whose chosen is in another script than question and prompt."""
EQUAL_PAIRS = (0.0, 0.0)
"""Share of pairs of equal texts, which teach nothing; pairing never makes one."""
REJECTED_ROWS = (0.02, 0.1)
"""Share of unusable source rows. Above a tenth, the source is probably read wrongly."""
UNJUDGED = (0.001, 0.02)
"""Share of verdicts lost to timeouts and failures, which hit hard answers first."""
UNSURE = (0.05, 0.2)
"""Share of verdicts that the judge leaves open. On answers in the asked form it is below 3 %."""
SHARED_IMAGES = (0.0, 0.01)
"""Share of held-out pictures that training also shows. One is worth a look, a hundredth moves a benchmark."""
OVERLAP = (0.0, 0.001)
"""Share of held-out or benchmark questions that are trained on. Only none is good."""
RARELY_RIGHT = (0.05, 0.02)
"""Share of right answers to a source's questions, the lowest. Below one in twenty the truths are read wrongly (the
number of an option for its letter, an explanation for an answer) or the questions are beyond the model."""
ALWAYS_RIGHT = (0.99, 1.0)
"""The same share, the highest. Above 0.99 hardly a question makes a pair, and all of them cost their samples."""
NO_TRUTHS = (0.0, 0.0)
"""Sources without any answer, of those whose recipe does not say ``columns.answer: null``."""
UNACCOUNTED = (0.0, 0.0)
"""Numbers that do not add up: a shard was lost, or changed after the manifest was written."""

_ENOUGH = 50
"""The fewest questions or texts of a kind among which a skew means anything."""
_EXAMPLES = 24

_ADVICE: dict[Kind, dict[str, str]] = {
    "build": {
        "few_pairs": "More samples a question, or more questions of middling difficulty, make more.",
        "dominating_source": "max_questions, repeat_time and max_pairs of sources balance them.",
        "no_answer": "Judge again: python -m mmpr.build ... --from verify.",
        "equal_pairs": "Up to white space. Pair again: --from pair.",
        "reject_rate": "rejects/ lists each with its reason.",
        "unsure": "Look at some in the audit. A template that asks for the answer in a fixed form makes them fewer.",
        "unaccounted": "The shards are not those of the manifest.",
    },
    "release": {
        "few_pairs": "Each pair counts once, whatever its repeat_time.",
        "dominating_source": "repeat_time of the entries and data.source_weights of a training recipe balance them.",
        "no_answer": "No final answer was found in it, so nothing shows that it is right.",
        "equal_pairs": "Up to white space. There is nothing to learn from them.",
        "reject_rate": "The first of each reason are listed.",
        "unaccounted": "The files are not whole, or not those of meta.json.",
    },
}


@dataclass(frozen=True, slots=True)
class _Kind:
    """What all findings of a kind have in common; ``look`` and ``bad`` are their thresholds."""

    title: str
    unit: NumberUnit
    thresholds: tuple[float, float]
    section: str
    more_is_better: bool = False


_KINDS = {
    "few_pairs": _Kind("Number of pairs", "count", FEW_PAIRS, "flow", more_is_better=True),
    "dominating_source": _Kind("Largest source", "share", ONE_SOURCE, "distribution-kinds"),
    "length_bias": _Kind("Length of chosen over rejected", "ratio", LENGTH_RATIO, "distribution-margin_length"),
    "longer_wins": _Kind("Chosen is the longer one", "share", LONGER_WINS, "distribution-margin_length"),
    "letter_bias": _Kind("Most frequent option letter", "ratio", LETTER_SKEW, "distribution-chosen_letters"),
    "yes_no_bias": _Kind("More frequent of yes and no", "share", YES_NO_SKEW, "distribution-chosen_yes_no"),
    "near_duplicates": _Kind("Chosen repeats that of another question", "share", NEAR_DUPLICATES, "gallery"),
    "loops": _Kind("Chosen repeats itself over and over", "share", LOOPS, "gallery"),
    "leakage": _Kind("Template or control tokens in chosen", "share", LEAKAGE, "gallery"),
    "no_answer": _Kind("Chosen names no answer", "share", NO_ANSWER["build"], "gallery"),
    "language": _Kind("Chosen in another language", "share", LANGUAGE, "gallery"),
    "equal_pairs": _Kind("Rejected equals chosen", "share", EQUAL_PAIRS, "gallery"),
    "truncated": _Kind("Responses cut at the token limit", "share", TRUNCATED, "distribution-finish_reasons"),
    "reject_rate": _Kind("Rows that could not be used", "share", REJECTED_ROWS, "flow"),
    "judge_timeouts": _Kind("Verdicts lost to timeouts and failures", "share", UNJUDGED, "distribution-statuses"),
    "unsure": _Kind("Responses that may be right", "share", UNSURE, "distribution-statuses"),
    "rarely_right": _Kind("Right answers, fewest of a source", "share", RARELY_RIGHT, "sources", more_is_better=True),
    "always_right": _Kind("Right answers, most of a source", "share", ALWAYS_RIGHT, "sources"),
    "no_truths": _Kind("Sources without any answer", "count", NO_TRUTHS, "sources"),
    "unaccounted": _Kind("Numbers that do not add up", "count", UNACCOUNTED, "flow"),
    "shared_images": _Kind("Held-out pictures in training", "share", SHARED_IMAGES, "contamination"),
    "heldout_overlap": _Kind("Held-out questions in training", "share", OVERLAP, "contamination"),
}
# A release has no kinds of questions to show, and its answers were found by others.
_RELEASE_KINDS = {
    "dominating_source": replace(_KINDS["dominating_source"], section="sources"),
    "no_answer": replace(_KINDS["no_answer"], thresholds=NO_ANSWER["release"]),
}

BySource = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Basis:
    """What findings are computed from. ``rows`` counts all source rows, ``lost`` the unusable ones by reason."""

    info: DatasetInfo
    stats: Statistics
    flow: Flow
    contamination: Contamination
    rows: int
    lost: Mapping[str, int]

    @property
    def pairs(self) -> int:
        """The number of pairs."""
        return int(self.stats.pairs.sum())

    def pairs_of(self, source: str) -> int:
        """The number of a source's pairs."""
        return int(self.stats.pairs[self.info.sources.index(source)].sum())

    def advice(self, key: str) -> str:
        """What to do about a finding."""
        return _ADVICE[self.info.kind][key]

    def finding(self, key: str, number: float | None, sentence: str, by: BySource = ()) -> Finding:
        """The finding of a kind, with the level that its number reaches."""
        kind = _RELEASE_KINDS.get(key, _KINDS[key]) if self.info.kind == "release" else _KINDS[key]
        return _finding(key, kind, number, sentence, by)


def make_findings(basis: Basis, examples: Callable[[str], tuple[str, ...]]) -> tuple[Finding, ...]:
    """All findings, the worst first. ``examples(key)`` gives ids of questions that a finding was found in."""
    found = [
        replace(finding, examples=examples(finding.key)) if finding.key in BIT else finding
        for group in (_size, _lengths, _answers, _texts, _losses, _splits)
        for finding in group(basis)
    ]
    return tuple(sorted(found, key=lambda finding: LEVELS.index(finding.level)))


def example_numbers(stats: Statistics, name: str, seed: int) -> list[int]:
    """The numbers of a few flagged questions, drawn by the seed."""
    numbers = np.flatnonzero(stats.all_of(stats.flags) & BIT[name])
    order = np.argsort(random_numbers(seed, numbers), kind="stable")[:_EXAMPLES]
    return sorted(int(number) for number in numbers[order])


def level(number: float | None, look: float, bad: float, *, more_is_better: bool = False) -> Level:
    """The level of a number by its thresholds; ``ok`` when nothing was measured."""
    if number is None:
        return "ok"
    if more_is_better:
        return "bad" if number < bad else "look" if number < look else "ok"
    return "bad" if number > bad else "look" if number > look else "ok"


def _finding(key: str, kind: _Kind, number: float | None, sentence: str, by: BySource = ()) -> Finding:
    look, bad = kind.thresholds
    return Finding(
        key=key,
        level=level(number, look, bad, more_is_better=kind.more_is_better),
        title=kind.title,
        number=number,
        unit=kind.unit,
        look=look,
        bad=bad,
        sentence=sentence,
        section=kind.section,
        more_is_better=kind.more_is_better,
        by=by,
    )


def _size(basis: Basis) -> Iterator[Finding]:
    pairs, paired = basis.pairs, basis.stats.counts["outcome/paired"]
    by = tuple((source, float(basis.pairs_of(source))) for source in basis.info.sources)
    sentence = f"{pairs:,} pairs of {paired:,} questions. {basis.advice('few_pairs')}"
    yield basis.finding("few_pairs", float(pairs), sentence, by)
    if not pairs or len(by) < 2:
        number, sentence = None, "There is one source."
    else:
        largest, most = max(by, key=lambda item: item[1])
        number = most / pairs
        sentence = f"{largest} gives {number:.0%} of the pairs. {basis.advice('dominating_source')}"
    shares = tuple((name, count / max(pairs, 1)) for name, count in by)
    yield basis.finding("dominating_source", number, sentence, shares)


def _lengths(basis: Basis) -> Iterator[Finding]:
    stats, pairs, names = basis.stats, basis.pairs, basis.info.sources
    chosen, rejected = stats.histograms["chosen_length"], stats.histograms["rejected_length"]

    def ratio(source: int | None = None) -> float | None:
        above, below = chosen.mean(source=source), rejected.mean(source=source)
        return above / max(below, 1.0) if above is not None and below is not None else None

    by = tuple((name, value) for at, name in enumerate(names) if (value := ratio(at)) is not None)
    sentence = (
        f"Chosen have {chosen.mean() or 0:.1f} {basis.info.length_unit} on average, "
        f"rejected {rejected.mean() or 0:.1f}. DPO amplifies such a difference: the model learns to write at length."
    )
    yield basis.finding("length_bias", ratio(), sentence, by)
    wins = {name: stats.counts[f"longer/{name}"] + stats.counts[f"as_long/{name}"] / 2 for name in names}
    number = sum(wins.values()) / pairs if pairs else None
    sentence = (
        "How often a rule that looks at nothing but length would find the chosen (ties count as halves; 50 % is fair)."
    )
    by = tuple((name, won / basis.pairs_of(name)) for name, won in wins.items() if basis.pairs_of(name))
    yield basis.finding("longer_wins", number, sentence, by)


def _answers(basis: Basis) -> Iterator[Finding]:
    categories = basis.stats.categories
    letters, rejected = categories["chosen_letters"].totals(), categories["rejected_letters"].totals()
    total, options = sum(letters.values()), len({*letters, *rejected})
    number, sentence = None, f"{total} paired multiple-choice questions: too few to tell."
    if total >= _ENOUGH and options > 1:
        [(letter, most)] = letters.most_common(1)
        number = most / total * options
        sentence = (
            f"{letter} is the right letter of {most / total:.0%} of {total:,} paired multiple-choice questions; "
            f"{options} letters are in use. Shuffle the options."
        )
    yield basis.finding("letter_bias", number, sentence)
    words = categories["chosen_yes_no"].totals()
    total = sum(words.values())
    number, sentence = None, f"{total} paired yes-no questions: too few to tell."
    if total >= _ENOUGH:
        [(word, most)] = words.most_common(1)
        number = most / total
        sentence = f"The truth of {number:.0%} of {total:,} paired yes-no questions is {word}."
    yield basis.finding("yes_no_bias", number, sentence)


def _texts(basis: Basis) -> Iterator[Finding]:
    stats, pairs, sources = basis.stats, basis.pairs, basis.info.sources
    owners, alike = stats.duplicates.found()
    source = stats.all_of(stats.source_of)[owners] if len(owners) else owners
    by = tuple((name, float(alike[source == at].mean())) for at, name in enumerate(sources) if (source == at).any())
    sentence = (
        f"{int(alike.sum()):,} of {len(alike):,} chosen texts of {LONG_TEXT_CHARS} characters and more are nearly word "
        "for word the chosen of another question, with the same numbers in them."
    )
    yield basis.finding("near_duplicates", float(alike.mean()) if len(alike) >= _ENOUGH else None, sentence, by)

    def count(name: str) -> int:
        return sum(stats.counts[f"{name}/{source}"] for source in sources)

    for key, sentence in (
        ("loops", f"In {count('loops_rejected'):,} pairs the rejected does, too."),
        ("leakage", "Look at chat format and stop tokens."),
        ("no_answer", basis.advice("no_answer")),
        ("language", "Judged by the script in which question, prompt and chosen are written."),
        ("equal_pairs", basis.advice("equal_pairs")),
    ):
        found = count(key)
        by = tuple((s, stats.counts[f"{key}/{s}"] / basis.pairs_of(s)) for s in sources if basis.pairs_of(s))
        yield basis.finding(key, found / pairs if pairs else None, f"{found:,} of {pairs:,} pairs. {sentence}", by)
    if basis.info.kind == "release":
        return  # it does not tell how its responses ended
    responses, truncated = stats.counts["responses"], stats.counts["truncated"]
    rejected = count("truncated_rejected")  # only in builds of earlier versions
    pairs_of_them = f"the rejected of {rejected:,} pairs, which --from pair leaves out" if rejected else "in no pair"
    sentence = f"{truncated:,} of {responses:,} sampled responses; they are {pairs_of_them}. Raise sampling.max_tokens."
    yield basis.finding("truncated", truncated / responses if responses else None, sentence)


def _losses(basis: Basis) -> Iterator[Finding]:
    lost, rows = sum(basis.lost.values()), basis.rows
    most = ", ".join(f"{reason_text(name)} ({count:,})" for name, count in list(basis.lost.items())[:3])
    sentence = f"{lost:,} of {rows:,} rows" + (f", mostly: {most}. {basis.advice('reject_rate')}" if lost else ".")
    yield basis.finding("reject_rate", lost / rows if rows else None, sentence)
    if basis.info.kind == "build":
        statuses = basis.stats.categories["statuses"].totals()
        judged, unknown = sum(statuses.values()), statuses["timeout"] + statuses["error"]
        sentence = f"{statuses['timeout']:,} timeouts and {statuses['error']:,} failures of {judged:,} verdicts."
        yield basis.finding("judge_timeouts", unknown / judged if judged else None, sentence)
        by_word = sum(basis.stats.counts[f"adjudicated/{word}"] for word in ("correct", "incorrect"))
        paired = f"{by_word:,} stand by the word of a verifier, the others" if by_word else "they"
        sentence = f"{statuses['unsure']:,} of {judged:,} responses; {paired} make no pair. {basis.advice('unsure')}"
        yield basis.finding("unsure", statuses["unsure"] / judged if judged else None, sentence)
        yield from _truths(basis)
    wrong = [check.title for check in basis.flow.checks if not check.agrees]
    wrong += [s.title for s in basis.flow.stages if s.total != sum(part.count for part in s.parts)]
    sentence = f"{len(basis.flow.checks)} numbers that the dataset states agree with counts of its rows."
    if wrong:
        sentence = f"These differ: {'; '.join(wrong[:5])}. {basis.advice('unaccounted')}"
    yield basis.finding("unaccounted", float(len(wrong)), sentence)


def _truths(basis: Basis) -> Iterator[Finding]:
    """Sources whose truths are probably not what they should be."""
    stats, names = basis.stats, basis.info.sources
    shares: list[tuple[str, float]] = []
    for at, name in enumerate(names):
        told = stats.categories["statuses"].totals(at)
        if (judged := sum(told.values()) - told["timeout"] - told["error"]) >= _ENOUGH:
            shares.append((name, told["correct"] / judged))
    for key, pick, advice in (
        ("rarely_right", min, "Look at its truths in the audit: are they the right column, letters and not numbers?"),
        ("always_right", max, "Harder questions, or fewer samples of these, cost less."),
    ):
        number, sentence = None, f"No source has {_ENOUGH} judged responses."
        if shares:
            source, number = pick(shares, key=lambda item: item[1])
            sentence = f"{number:.1%} of the answers to questions of {source} are right. {advice}"
        yield basis.finding(key, number, sentence, tuple(shares))
    without = [name for name in names if name in basis.info.expect_truths and not stats.counts[f"with_truth/{name}"]]
    sentence = "Every source that may have answers has some."
    if without:
        sentence = (
            f"No question of {', '.join(without)} has an answer, so they make dropout pairs only. columns.answer names "
            "the column of the answers; null says that there are none."
        )
    yield basis.finding("no_truths", float(len(without)), sentence)


def _splits(basis: Basis) -> Iterator[Finding]:
    by_method = {overlap.method: overlap for overlap in basis.contamination.overlaps if overlap.against == HELDOUT}
    if by_method:
        yield from _heldout(basis, by_method)
    for other in basis.contamination.overlaps:
        if other.method == "question" and other.against != HELDOUT:
            kind = replace(_KINDS["heldout_overlap"], title=f"Questions of {other.against} in training")
            sentence = (
                f"{other.hits:,} training questions have the text and the picture of one of its {other.theirs:,}."
            )
            yield _finding(f"against_{other.against}", kind, other.share if other.theirs else None, sentence)


def _heldout(basis: Basis, by_method: Mapping[MatchMethod, Overlap]) -> Iterator[Finding]:
    image, perceptual, question = by_method["image"], by_method["perceptual"], by_method["question"]
    sentence = (
        f"{image.hits:,} training questions show a picture of the held-out split, {perceptual.hits:,} one that looks "
        f"the same (perceptual hashes within {PERCEPTUAL_BITS} bits and the same colours)."
    )
    shared = min(1.0, image.share + perceptual.share) if image.theirs else None
    yield basis.finding("shared_images", shared, sentence)
    sentence = "There is no held-out split."
    if question.theirs:
        sentence = f"{question.hits:,} training questions have the text and the picture of a held-out one."
    yield basis.finding("heldout_overlap", question.share if question.theirs else None, sentence)
