"""The findings: what a researcher would ask before training on a dataset, each as a number with its thresholds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from mmpr.pipeline.reasons import reason_text
from mmpr.report.contents import LEVELS, Contamination, Finding, Flow, MatchMethod, Overlap
from mmpr.report.load.info import DatasetInfo
from mmpr.report.measure.contamination import HELDOUT
from mmpr.report.measure.dataset_statistics import BIT, LONG_TEXT_CHARS, Statistics
from mmpr.report.measure.pictures import ALIKE_BITS, DARK_LEVEL, SMALL_PX
from mmpr.report.measure.sampling import random_numbers
from mmpr.report.measure.thresholds import ADVICE, ENOUGH, FIXES, GUESSABLE, KINDS, RELEASE_KINDS, FindingKind, level

_EXAMPLES = 24


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
        return ADVICE[self.info.kind][key]

    def finding(self, key: str, number: float | None, sentence: str, by: BySource = ()) -> Finding:
        """The finding of a kind, with the level that its number reaches."""
        kind = RELEASE_KINDS.get(key, KINDS[key]) if self.info.kind == "release" else KINDS[key]
        found = _finding(key, kind, number, sentence, by)
        return replace(found, fix=FIXES.get(key, "")) if self.info.kind == "build" else found


def make_findings(basis: Basis, examples: Callable[[str], tuple[str, ...]]) -> tuple[Finding, ...]:
    """All findings, the worst first. ``examples(key)`` gives ids of questions that a finding was found in."""
    found = [
        replace(finding, examples=examples(finding.key)) if finding.key in BIT else finding
        for group in (_size, _lengths, _answers, _texts, _pictures, _losses, _splits)
        for finding in group(basis)
    ]
    return tuple(sorted(found, key=lambda finding: LEVELS.index(finding.level)))


def example_numbers(stats: Statistics, name: str, seed: int) -> list[int]:
    """The numbers of a few flagged questions, drawn by the seed."""
    numbers = np.flatnonzero(stats.all_of(stats.flags) & BIT[name])
    order = np.argsort(random_numbers(seed, numbers), kind="stable")[:_EXAMPLES]
    return sorted(int(number) for number in numbers[order])


def _finding(key: str, kind: FindingKind, number: float | None, sentence: str, by: BySource = ()) -> Finding:
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
    by = tuple((name, 1 / value) for name, value in by if value)
    opposite = 1 / value if (value := ratio()) else None
    sentence = (
        f"Rejected have {rejected.mean() or 0:.1f} {basis.info.length_unit} on average, "
        f"chosen {chosen.mean() or 0:.1f}. The model learns to stop early. {basis.advice('chosen_shorter')}"
    )
    yield basis.finding("chosen_shorter", opposite, sentence, by)
    wins = {name: stats.counts[f"longer/{name}"] + stats.counts[f"as_long/{name}"] / 2 for name in names}
    number = sum(wins.values()) / pairs if pairs else None
    sentence = (
        "How often a rule that looks at nothing but length would find the chosen (ties count as halves; 50 % is fair)."
    )
    by = tuple((name, won / basis.pairs_of(name)) for name, won in wins.items() if basis.pairs_of(name))
    yield basis.finding("longer_wins", number, sentence, by)
    guess = stats.shortcuts.guess(names, ENOUGH)
    if guess is None:
        yield basis.finding("guessable", None, f"Fewer than {ENOUGH} questions have pairs.")
        return
    clues = ""
    if guess.accuracy > GUESSABLE[0]:
        clues = f" What gives it away: {', '.join(guess.looks_at)}. Training learns this before anything else."
    sentence = (
        "A small classifier that sees length, first words and format, but neither question nor picture, finds the "
        f"chosen in {guess.accuracy:.0%} of {guess.pairs:,} pairs that it was not fitted to (50 % is chance).{clues}"
    )
    yield basis.finding("guessable", guess.accuracy, sentence, guess.by)


def _answers(basis: Basis) -> Iterator[Finding]:
    categories = basis.stats.categories
    letters, rejected = categories["chosen_letters"].totals(), categories["rejected_letters"].totals()
    total, options = sum(letters.values()), len({*letters, *rejected})
    number, sentence = None, f"{total} paired multiple-choice questions: too few to tell."
    if total >= ENOUGH and options > 1:
        [(letter, most)] = letters.most_common(1)
        number = most / total * options
        sentence = (
            f"{letter} is the right letter of {most / total:.0%} of {total:,} paired multiple-choice questions; "
            f"{options} letters are in use. Shuffle the options."
        )
    yield basis.finding("letter_bias", number, sentence)
    shown, without = basis.stats.counts["with_options"], basis.stats.counts["truth_not_option"]
    sentence = (
        f"The truth of {without:,} of {shown:,} questions with lettered options is a letter that none of them has. "
        "Look at the columns of the answers and the options."
    )
    yield basis.finding("truth_not_option", without / shown if shown >= ENOUGH else None, sentence)
    words = categories["chosen_yes_no"].totals()
    total = sum(words.values())
    number, sentence = None, f"{total} paired yes-no questions: too few to tell."
    if total >= ENOUGH:
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
    yield basis.finding("near_duplicates", float(alike.mean()) if len(alike) >= ENOUGH else None, sentence, by)

    def count(name: str) -> int:
        return sum(stats.counts[f"{name}/{source}"] for source in sources)

    for key, sentence in (
        ("loops", f"In {count('loops_rejected'):,} pairs the rejected does, too."),
        ("leakage", "Look at chat format and stop tokens."),
        ("no_answer", basis.advice("no_answer")),
        ("language", "Judged by the script in which question, prompt and chosen are written."),
        ("equal_pairs", basis.advice("equal_pairs")),
        ("last_line", "Both sides reason alike, so training learns the answer and not the way to it."),
        ("personal_data", f"{'; '.join(stats.masked)}. Leave these rows out of the source." if stats.masked else ""),
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


def _pictures(basis: Basis) -> Iterator[Finding]:
    pictures, names = basis.stats.pictures, basis.info.sources
    total = sum(pictures.shown.values())
    for key, sentence in (
        ("tiny_pictures", f"are smaller than {SMALL_PX} pixels on their longer side. Use the originals."),
        ("dark_pictures", f"are black: their mean is below {DARK_LEVEL:.0f} of 255. Look at how they were converted."),
        ("blurred_pictures", "show nothing that can be made out. Leave these rows out of the source."),
    ):
        found = sum(pictures.poor[key, at] for at in range(len(names)))
        by = tuple((s, pictures.poor[key, at] / shown) for at, s in enumerate(names) if (shown := pictures.shown[at]))
        said = f"{found:,} of {total:,} pictures {sentence}"
        yield basis.finding(key, found / total if total else None, said, by)
    distinct, alike, several = pictures.repeated()
    sentence = (
        f"Of {distinct:,} distinct pictures {alike:,} look like another one (perceptual hashes within {ALIKE_BITS} "
        f"bits and the same colours) and {several:,} stand in several sources."
    )
    share = min(1.0, (alike + several) / distinct) if distinct >= ENOUGH else None
    yield basis.finding("repeated_pictures", share, sentence)


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
        repeated, disputed = basis.stats.counts["repeated_answers"], basis.stats.counts["disputed_answers"]
        sentence = (
            f"{disputed:,} of {repeated:,} answers that several samples of a question give have verdicts that differ. "
            f"{basis.advice('no_answer')}"
        )
        yield basis.finding("label_noise", disputed / repeated if repeated else None, sentence)
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
        if (judged := sum(told.values()) - told["timeout"] - told["error"]) >= ENOUGH:
            shares.append((name, told["correct"] / judged))
    for key, pick, advice in (
        ("rarely_right", min, "Look at its truths in the audit: are they the right column, letters and not numbers?"),
        ("always_right", max, "Harder questions, or fewer samples of these, cost less."),
    ):
        number, sentence = None, f"No source has {ENOUGH} judged responses."
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
            kind = replace(KINDS["heldout_overlap"], title=f"Questions of {other.against} in training")
            sentence = (
                f"{other.hits:,} training questions have the text and the picture of one of its {other.theirs:,}."
            )
            yield _finding(f"against_{other.against}", kind, other.share if other.theirs else None, sentence)


def _heldout(basis: Basis, by_method: Mapping[MatchMethod, Overlap]) -> Iterator[Finding]:
    image, perceptual, question = by_method["image"], by_method["perceptual"], by_method["question"]
    sentence = (
        f"{image.hits:,} training questions show a picture of the held-out split, {perceptual.hits:,} one that looks "
        f"the same (perceptual hashes within {ALIKE_BITS} bits and the same colours)."
    )
    shared = min(1.0, image.share + perceptual.share) if image.theirs else None
    yield basis.finding("shared_images", shared, sentence)
    sentence = "There is no held-out split."
    if question.theirs:
        sentence = f"{question.hits:,} training questions have the text and the picture of a held-out one."
    yield basis.finding("heldout_overlap", question.share if question.theirs else None, sentence)
