"""What the findings of a report have in common: titles, thresholds, and what to do.

The constants are (look, bad): the level that a finding reaches beyond them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mmpr.report.contents import Kind, Level, NumberUnit

FEW_PAIRS = (2_000, 300)
"""Pairs. At the paper's batch of 256, 2,000 are eight steps and 300 are one."""
ONE_SOURCE = (0.8, 0.95)
"""Share of the largest source. Above 0.8 less than a fifth of each batch is from the others, and is soon forgotten."""
LENGTH_RATIO = (1.3, 1.6)
"""Mean chosen over mean rejected length. The paper's dropout pairs have 1.23, its correctness pairs 0.86."""
LONGER_WINS = (0.65, 0.8)
"""Share of pairs whose chosen is the longer one, ties as halves: how often "longer is better" is right."""
CHOSEN_SHORTER = (1.3, 1.6)
"""Mean rejected over mean chosen length: the other side of LENGTH_RATIO. The paper's correctness pairs have 1.16."""
GUESSABLE = (0.65, 0.8)
"""Accuracy of a classifier that sees only length, first words and format; one half is chance. What it learns from four
thousand pairs, training learns at once."""
LAST_LINE = (0.2, 0.5)
"""Share of pairs whose sides differ in nothing but their last line: the reasoning before it is equally good or bad on
both sides, so only the answer is learned."""
PERSONAL_DATA = (0.0, 0.001)
"""Share of pairs with an address, a number or a key in a response. One is worth a look."""
LABEL_NOISE = (0.0, 0.01)
"""Share of the answers that several samples of a question give and whose verdicts differ: one of the two is wrong."""
TRUTH_NOT_OPTION = (0.0, 0.01)
"""Share of the multiple-choice questions whose truth is a letter that no option has."""
TINY_PICTURES = (0.01, 0.1)
"""Share of pictures under 32 pixels: nothing that a question may ask about can be seen."""
DARK_PICTURES = (0.01, 0.1)
"""Share of pictures that are black to the eye: a channel or a file was read wrongly."""
BLURRED_PICTURES = (0.02, 0.1)
"""Share of pictures that are blank or blurred beyond making out."""
REPEATED_PICTURES = (0.2, 0.5)
"""Share of distinct pictures that look like another one, or that several sources have."""
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

ENOUGH = 50
"""The fewest questions or texts of a kind among which a skew means anything."""
ADVICE: dict[Kind, dict[str, str]] = {
    "build": {
        "few_pairs": "More samples a question, or more questions of middling difficulty, make more.",
        "dominating_source": "max_questions, repeat_time and max_pairs of sources balance them.",
        "chosen_shorter": "pairing.length_balance drops pairs whose sides differ much.",
        "no_answer": "Judge again: python -m mmpr.build ... --from verify.",
        "equal_pairs": "Up to white space. Pair again: --from pair.",
        "reject_rate": "rejects/ lists each with its reason.",
        "unsure": "Look at some in the audit. A template that asks for the answer in a fixed form makes them fewer.",
        "unaccounted": "The shards are not those of the manifest.",
    },
    "release": {
        "few_pairs": "Each pair counts once, whatever its repeat_time.",
        "dominating_source": "repeat_time of the entries and data.source_weights of a training recipe balance them.",
        "chosen_shorter": "Leave out pairs whose sides differ much.",
        "no_answer": "No final answer was found in it, so nothing shows that it is right.",
        "equal_pairs": "Up to white space. There is nothing to learn from them.",
        "reject_rate": "The first of each reason are listed.",
        "unaccounted": "The files are not whole, or not those of meta.json.",
    },
}


_BALANCE = "mmpr build RECIPE --out BUILD --from pair pairing.length_balance=1.5"
FIXES = {
    "few_pairs": "mmpr build RECIPE --out BUILD --grow sampling.samples=16",
    "length_bias": _BALANCE,
    "longer_wins": _BALANCE,
    "chosen_shorter": _BALANCE,
    "guessable": _BALANCE,
    "dominating_source": "mmpr select BUILD --where \"source != 'NAME'\" --out NEW",
    "always_right": "mmpr build RECIPE --out BUILD --from pair 'pairing.pass_rate=[0,0.9]'",
    "near_duplicates": 'mmpr select BUILD --where "not near_duplicate" --out NEW',
    "repeated_pictures": 'mmpr select BUILD --where "not near_duplicate" --out NEW',
    "last_line": "mmpr build RECIPE --out BUILD --from pair pairing.chosen=most_different",
    "no_answer": "mmpr build RECIPE --out BUILD --from verify",
    "equal_pairs": "mmpr build RECIPE --out BUILD --from pair",
    "unsure": "mmpr build RECIPE --out BUILD --from adjudicate adjudicate.model.path=MODEL",
}
"""Of builds: a command that makes a finding better, by its key; others want other data, or another model."""


@dataclass(frozen=True, slots=True)
class FindingKind:
    """What all findings of a kind have in common; ``look`` and ``bad`` are their thresholds."""

    title: str
    unit: NumberUnit
    thresholds: tuple[float, float]
    section: str
    more_is_better: bool = False


KINDS = {
    "few_pairs": FindingKind("Number of pairs", "count", FEW_PAIRS, "flow", more_is_better=True),
    "dominating_source": FindingKind("Largest source", "share", ONE_SOURCE, "distribution-kinds"),
    "length_bias": FindingKind("Length of chosen over rejected", "ratio", LENGTH_RATIO, "distribution-margin_length"),
    "longer_wins": FindingKind("Chosen is the longer one", "share", LONGER_WINS, "distribution-margin_length"),
    "chosen_shorter": FindingKind(
        "Length of rejected over chosen", "ratio", CHOSEN_SHORTER, "distribution-margin_length"
    ),
    "guessable": FindingKind("Chosen guessed from its form alone", "share", GUESSABLE, "distribution-margin_length"),
    "last_line": FindingKind("Sides differ in the last line only", "share", LAST_LINE, "gallery"),
    "letter_bias": FindingKind("Most frequent option letter", "ratio", LETTER_SKEW, "distribution-chosen_letters"),
    "yes_no_bias": FindingKind("More frequent of yes and no", "share", YES_NO_SKEW, "distribution-chosen_yes_no"),
    "near_duplicates": FindingKind("Chosen repeats that of another question", "share", NEAR_DUPLICATES, "gallery"),
    "loops": FindingKind("Chosen repeats itself over and over", "share", LOOPS, "gallery"),
    "leakage": FindingKind("Template or control tokens in chosen", "share", LEAKAGE, "gallery"),
    "no_answer": FindingKind("Chosen names no answer", "share", NO_ANSWER["build"], "gallery"),
    "language": FindingKind("Chosen in another language", "share", LANGUAGE, "gallery"),
    "equal_pairs": FindingKind("Rejected equals chosen", "share", EQUAL_PAIRS, "gallery"),
    "personal_data": FindingKind("Personal data or secrets in responses", "share", PERSONAL_DATA, "gallery"),
    "tiny_pictures": FindingKind("Pictures too small to see", "share", TINY_PICTURES, "distribution-image_side"),
    "dark_pictures": FindingKind("Black pictures", "share", DARK_PICTURES, "gallery"),
    "blurred_pictures": FindingKind("Blank or blurred pictures", "share", BLURRED_PICTURES, "gallery"),
    "repeated_pictures": FindingKind("Pictures like another one", "share", REPEATED_PICTURES, "gallery"),
    "truncated": FindingKind("Responses cut at the token limit", "share", TRUNCATED, "distribution-finish_reasons"),
    "reject_rate": FindingKind("Rows that could not be used", "share", REJECTED_ROWS, "flow"),
    "judge_timeouts": FindingKind("Verdicts lost to timeouts and failures", "share", UNJUDGED, "distribution-statuses"),
    "unsure": FindingKind("Responses that may be right", "share", UNSURE, "distribution-statuses"),
    "label_noise": FindingKind("Equal answers with different verdicts", "share", LABEL_NOISE, "gallery"),
    "truth_not_option": FindingKind("Truth is a letter without an option", "share", TRUTH_NOT_OPTION, "gallery"),
    "rarely_right": FindingKind(
        "Right answers, fewest of a source", "share", RARELY_RIGHT, "sources", more_is_better=True
    ),
    "always_right": FindingKind("Right answers, most of a source", "share", ALWAYS_RIGHT, "sources"),
    "no_truths": FindingKind("Sources without any answer", "count", NO_TRUTHS, "sources"),
    "unaccounted": FindingKind("Numbers that do not add up", "count", UNACCOUNTED, "flow"),
    "shared_images": FindingKind("Held-out pictures in training", "share", SHARED_IMAGES, "contamination"),
    "heldout_overlap": FindingKind("Held-out questions in training", "share", OVERLAP, "contamination"),
}
# A release has no kinds of questions to show, and its answers were found by others.
RELEASE_KINDS = {
    "dominating_source": replace(KINDS["dominating_source"], section="sources"),
    "no_answer": replace(KINDS["no_answer"], thresholds=NO_ANSWER["release"]),
}


def level(number: float | None, look: float, bad: float, *, more_is_better: bool = False) -> Level:
    """The level of a number by its thresholds."""
    if number is None:
        return "not measured"
    if more_is_better:
        return "bad" if number < bad else "look" if number < look else "ok"
    return "bad" if number > bad else "look" if number > look else "ok"
