"""How well the chosen response of a pair is guessed by who sees neither the question nor the picture.

What a small classifier learns from length, first words and format, training learns too: a shortcut.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmpr.report.load.units import Ints
from mmpr.report.measure.sampling import random_numbers
from mmpr.report.measure.text_checks import Hashes

SAMPLED = 4_000
"""Pairs, of one question each: with so many the accuracy is known to within 1.5 points."""

_FOLDS = 5
_READ = 4_000  # characters of a text; of a longer one its beginning and its end
_FIRST_WORDS = 3
_COMMON = 5  # responses that must begin with a word for it to be looked at
_MOST_WORDS = 200
_STRENGTH = 0.1  # of the regularisation (scikit-learn's C): few pairs have many first words
_NAMED = 3  # features that are named
_FORMAT = {
    "bold": re.compile(r"\*\*"),
    "headings": re.compile(r"^#", re.MULTILINE),
    "list items": re.compile(r"^[ \t]*+(?:[-*•]|\d++[.)])[ \t]", re.MULTILINE),
    "formulas": re.compile(r"\$|\\[(\[]"),
    "boxes": re.compile(r"\\boxed"),
    "digits": re.compile(r"\d"),
    "commas": re.compile(r"[,，、]"),
    "full stops": re.compile(r"[.。]"),
    "questions and exclamations": re.compile(r"[?!？！]"),
}


_NUMBERS = ("text length", "last line length", "lines", *_FORMAT)
_Seen = tuple[npt.NDArray[np.float32], str]
"""What is kept of a response: the numbers of ``_NUMBERS``, and its first words."""
_Sampled = tuple[_Seen, _Seen, int]
"""Chosen, rejected, and the position of their source."""


@dataclass(frozen=True, slots=True)
class Guess:
    """How often the chosen was found among held-out ``pairs``, for each source too, and what gave it away."""

    pairs: int
    accuracy: float
    by: tuple[tuple[str, float], ...]
    looks_at: tuple[str, ...]


class PairSample:
    """What the classifier sees of a uniform sample of pairs, one a question: those with the smallest random numbers."""

    def __init__(self, seed: int) -> None:
        # Loaded before the dataset is read, not on top of what that has taken; heavy, so not where others would wait.
        import sklearn.linear_model
        import sklearn.model_selection  # noqa: F401

        self._seed = seed
        self._drawn: Hashes = np.zeros(0, dtype=np.uint64)
        self._kept: list[_Sampled] = []

    def add(self, questions: Ints, sources: Ints, chosen: Ints, rejected: Ints, texts: Sequence[str]) -> None:
        """Add pairs (N,): the numbers of their questions, their sources, the places of both sides in ``texts``."""
        _, first = np.unique(questions, return_index=True)
        drawn, before = random_numbers(self._seed, questions[first]), len(self._drawn)
        order = np.argsort(np.concatenate([self._drawn, drawn]), kind="stable")[:SAMPLED]

        def sampled(at: int) -> _Sampled:
            if at < before:
                return self._kept[at]
            pair = first[at - before]
            return _seen(texts[chosen[pair]]), _seen(texts[rejected[pair]]), int(sources[pair])

        self._kept = [sampled(at) for at in order.tolist()]
        self._drawn = np.concatenate([self._drawn, drawn])[order]

    def guess(self, sources: Sequence[str], enough: int) -> Guess | None:
        """The classifier's accuracy by cross-validation; None for fewer pairs than ``enough``."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import KFold, cross_val_predict

        many = len(self._kept)
        if many < max(enough, 2 * _FOLDS):
            return None
        apart, names = _differences(self._kept)
        # Which side comes first is drawn, so that the classifier cannot learn that it is always the chosen.
        sign = np.where(np.random.default_rng(self._seed).random(many) < 0.5, -1, 1).astype(np.float32)
        differs, said = apart.any(axis=1), sign > 0
        if len(set(said.tolist())) < 2 or not differs.any():
            return Guess(many, 0.5, (), ())
        spread = apart.std(axis=0)
        values = apart / np.where(spread > 0, spread, 1) * sign[:, None]
        model = LogisticRegression(C=_STRENGTH, fit_intercept=False)
        folds = KFold(_FOLDS, shuffle=True, random_state=self._seed)
        # Sides that do not differ in anything are a guess of one half.
        right = np.where(differs, cross_val_predict(model, values, said, cv=folds) == said, 0.5)
        of = np.array([source for _, _, source in self._kept])
        by = tuple((name, float(right[of == at].mean())) for at, name in enumerate(sources) if (of == at).any())
        weights = model.fit(values, said).coef_[0]
        most = [at for at in np.argsort(-abs(weights))[:_NAMED] if weights[at]]
        return Guess(many, float(right.mean()), by, tuple(_say(names[at], weights[at] > 0) for at in most))


def _seen(text: str) -> _Seen:
    many = len(text)
    if many > _READ:
        text = text[: _READ // 2] + text[-_READ // 2 :]
    lines = [line for line in text.splitlines() if line.strip()]
    counts = (many, len(lines[-1]) if lines else 0, len(lines), *(len(p.findall(text)) for p in _FORMAT.values()))
    beginning = " ".join(word[:20] for word in text.split()[:_FIRST_WORDS])
    return np.log1p(np.array(counts, dtype=np.float32)), beginning.casefold()


def _differences(pairs: Sequence[_Sampled]) -> tuple[npt.NDArray[np.float32], list[str]]:
    """What chosen have more than rejected, pairs by features, and the names of the features.

    A first word is a feature when it is common enough.
    """
    common = Counter(word for pair in pairs for seen in pair[:2] for word in _first_words(seen))
    names = [*_NUMBERS, *(word for word, count in common.most_common(_MOST_WORDS) if count >= _COMMON)]
    place = {name: at for at, name in enumerate(names)}
    apart = np.zeros((len(pairs), len(names)), dtype=np.float32)
    for row, (chosen, rejected, _) in zip(apart, pairs, strict=True):
        row[: len(_NUMBERS)] = chosen[0] - rejected[0]
        for seen, sign in ((chosen, 1), (rejected, -1)):
            for word in _first_words(seen):
                if word in place:
                    row[place[word]] += sign
    return apart, names


def _first_words(seen: _Seen) -> list[str]:
    beginning = seen[1]
    words = [f"word {at} “{word}”" for at, word in enumerate(beginning.split(), start=1)]
    return [*words, f"beginning “{beginning}”"]


def _say(feature: str, more: bool) -> str:
    """A feature and the side that has more of it, in words."""
    if feature.startswith(("word ", "beginning ")):
        return f"{feature} ({'chosen' if more else 'rejected'})"
    if feature.endswith(" length"):
        return f"{'longer' if more else 'shorter'} {feature.removesuffix(' length')}"
    return f"{'more' if more else 'less'} {feature}"
