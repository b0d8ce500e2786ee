"""How well the chosen response of a pair is guessed by who sees neither the question nor the picture.

What a small classifier learns from length, first words and format, training learns too: a shortcut.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmpr.report.load.units import Ints
from mmpr.report.measure.sampling import random_numbers
from mmpr.report.measure.text_checks import Hashes

SAMPLED = 4_000
"""Pairs, of one question each: with so many the accuracy is known to within 1.5 points."""

_FOLDS = 5
_READ = 4_000  # characters of a text; of a longer one its beginning and its end
_FIRST_WORDS = 3
_COMMON = 5  # pairs in which a first word must stand to be looked at
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


_Features = dict[str, float]
_Sampled = tuple[_Features, _Features, int]
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
            return _features(texts[chosen[pair]]), _features(texts[rejected[pair]]), int(sources[pair])

        self._kept = [sampled(at) for at in order.tolist()]
        self._drawn = np.concatenate([self._drawn, drawn])[order]

    def guess(self, sources: Sequence[str], enough: int) -> Guess | None:
        """The classifier's accuracy by cross-validation; None for fewer pairs than ``enough``."""
        from sklearn.feature_extraction import DictVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import KFold, cross_val_predict
        from sklearn.preprocessing import StandardScaler

        many = len(self._kept)
        if many < max(enough, 2 * _FOLDS):
            return None
        vectorizer = DictVectorizer(dtype=np.float32)
        both = [chosen for chosen, _, _ in self._kept] + [rejected for _, rejected, _ in self._kept]
        sides = vectorizer.fit_transform(both)
        common = np.asarray((sides != 0).sum(axis=0)).ravel() >= _COMMON
        apart = (sides[:many] - sides[many:])[:, common]
        names = vectorizer.get_feature_names_out()[common]
        # Which side comes first is drawn, so that the classifier cannot learn that it is always the chosen.
        sign = np.where(np.random.default_rng(self._seed).random(many) < 0.5, -1.0, 1.0)
        differs, said = np.asarray(abs(apart).sum(axis=1)).ravel() > 0, sign > 0
        if len(set(said.tolist())) < 2 or not differs.any():
            return Guess(many, 0.5, (), ())
        values = StandardScaler(with_mean=False).fit_transform(apart).multiply(sign[:, None]).tocsr()
        model = LogisticRegression(C=_STRENGTH, fit_intercept=False)
        folds = KFold(_FOLDS, shuffle=True, random_state=self._seed)
        # Sides that do not differ in anything are a guess of one half.
        right = np.where(differs, cross_val_predict(model, values, said, cv=folds) == said, 0.5)
        of = np.array([source for _, _, source in self._kept])
        by = tuple((name, float(right[of == at].mean())) for at, name in enumerate(sources) if (of == at).any())
        weights = model.fit(values, said).coef_[0]
        most = [at for at in np.argsort(-abs(weights))[:_NAMED] if weights[at]]
        return Guess(many, float(right.mean()), by, tuple(_say(str(names[at]), weights[at] > 0) for at in most))


def _features(text: str) -> _Features:
    """What the classifier sees of a response: its length, its first words and its format."""
    many = len(text)
    if many > _READ:
        text = text[: _READ // 2] + text[-_READ // 2 :]
    words, lines = text.split(), [line for line in text.splitlines() if line.strip()]
    found: _Features = {
        "text length": math.log1p(many),
        "last line length": math.log1p(len(lines[-1]) if lines else 0),
        "lines": math.log1p(len(lines)),
        **{name: math.log1p(len(pattern.findall(text))) for name, pattern in _FORMAT.items()},
    }
    for at, word in enumerate(words[:_FIRST_WORDS]):
        found[f"word {at + 1} “{word[:20].casefold()}”"] = 1.0
    found["beginning “" + " ".join(words[:_FIRST_WORDS])[:40].casefold() + "”"] = 1.0
    return found


def _say(feature: str, more: bool) -> str:
    """A feature and the side that has more of it, in words."""
    if feature.startswith(("word ", "beginning ")):
        return f"{feature} ({'chosen' if more else 'rejected'})"
    if feature.endswith(" length"):
        return f"{'longer' if more else 'shorter'} {feature.removesuffix(' length')}"
    return f"{'more' if more else 'less'} {feature}"
