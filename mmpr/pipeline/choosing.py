"""Which of a question's possible pairs are kept, by the settings under ``pairing``.

A choice depends on the question and its responses alone; ``balance`` then looks at all pairs of a unit, which is the
same whenever and wherever the unit is paired.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmpr.config import PairingSpec
from mmpr.schema import content_id

Place = int
"""The position of a response in its rollout."""
Candidate = tuple[Place, Place]
"""Chosen and rejected."""

LENGTH_TOLERANCE = 0.02
"""Of a unit's tokens: how much more one side may have than the other, with ``length_balance``."""
WINS_TOLERANCE = 0.1
"""Of a unit's pairs: how many more may be won by the longer side than by the shorter."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a choice looks at: of each response its ``tokens``, its ``words``, and how common its answer is.

    ``words`` are empty where nobody compares them. ``commonness`` counts the wrong responses with the same answer.
    """

    tokens: Mapping[Place, int]
    words: Mapping[Place, frozenset[str]]
    commonness: Mapping[Place, int]


def in_window(spec: PairingSpec, rate: float | None) -> bool:
    """Whether a question of this pass rate may make pairs; one without a pass rate may."""
    if spec.pass_rate is None or rate is None:
        return True
    low, high = spec.pass_rate
    return low <= rate <= high


def is_kept(spec: PairingSpec, id: str, source: str, kind: str) -> bool:
    """Whether a question is in the share of its source and of its kind that makes pairs."""
    share = spec.keep.source.get(source, 1.0) * spec.keep.kind.get(kind, 1.0)
    return share >= 1 or int(content_id("keep", id), 16) < share * 2**128


def lengths_fit(spec: PairingSpec, chosen: int, rejected: int) -> bool:
    """Whether two lengths in tokens are near enough to each other."""
    if spec.length_balance is None:
        return True
    return max(chosen, rejected) <= spec.length_balance * max(1, min(chosen, rejected))


def choose(
    possible: Sequence[Candidate], most: int, spec: PairingSpec, facts: Facts, before: Sequence[Candidate] = ()
) -> list[Candidate]:
    """At most ``most`` of the possible pairs beside those that were chosen ``before``, the best ones first.

    Each next one is the pair whose sides have been used least so far. Before that, ``rejected: commonest`` prefers the
    commonest wrong answer, and ``length_balance`` a pair whose longer side is not the one that is longer so far; after
    that, ``chosen: most_different`` prefers the pair that shares the fewest words. A response that is in
    ``max_pairs_a_response`` pairs is in no other.
    """
    uses: Counter[tuple[str, Place]] = Counter()
    longer = 0  # tokens of chosen, less those of rejected

    def use(pair: Candidate) -> int:
        uses.update((("chosen", pair[0]), ("rejected", pair[1])))
        return facts.tokens[pair[0]] - facts.tokens[pair[1]]

    for pair in before:
        longer += use(pair)

    def used_up(pair: Candidate) -> bool:
        limit = spec.max_pairs_a_response
        return limit is not None and (uses["chosen", pair[0]] >= limit or uses["rejected", pair[1]] >= limit)

    likeness = {pair: _likeness(facts, pair) if spec.chosen == "most_different" else 0.0 for pair in possible}

    def cost(pair: Candidate) -> tuple[float, ...]:
        common = -facts.commonness[pair[1]] if spec.rejected == "commonest" else 0
        margin = facts.tokens[pair[0]] - facts.tokens[pair[1]]
        worse, apart = (longer * margin > 0, abs(longer + margin)) if spec.length_balance is not None else (False, 0)
        return (common, worse, uses["chosen", pair[0]] + uses["rejected", pair[1]], likeness[pair], apart)

    left = [pair for pair in possible if not used_up(pair)]
    kept: list[Candidate] = []
    while left and len(kept) < most:
        best = min(left, key=cost)
        left.remove(best)
        longer += use(best)
        kept.append(best)
        if spec.max_pairs_a_response is not None:
            left = [pair for pair in left if not used_up(pair)]
    return kept


def balance(margins: Sequence[int], tokens: int) -> set[int]:
    """Which of a unit's pairs to leave out, so that neither side is longer on average, nor the longer one more often.

    ``margins`` are tokens of chosen less those of rejected, a pair each; ``tokens`` are those of all pairs, both sides.
    The pairs with the largest margins go until the sums agree to ``LENGTH_TOLERANCE``, those with the smallest until
    the numbers of pairs do to ``WINS_TOLERANCE``.
    """
    order = sorted(range(len(margins)), key=lambda at: (abs(margins[at]), at))
    sides = {sign: deque(at for at in order if margins[at] * sign > 0) for sign in (1, -1)}
    total, many = sum(margins), len(margins)
    out: set[int] = set()
    while True:
        sign = 1 if total > 0 else -1
        ahead = len(sides[1]) - len(sides[-1])
        if abs(total) > LENGTH_TOLERANCE * tokens / 2 and sides[sign]:
            gone = sides[sign].pop()
        elif abs(ahead) > max(1, WINS_TOLERANCE * (many - len(out))):
            gone = sides[1 if ahead > 0 else -1].popleft()
        else:
            return out
        total -= margins[gone]
        out.add(gone)


def _likeness(facts: Facts, pair: Candidate) -> float:
    """Share of words that two responses have in common (Jaccard's index), in [0, 1]."""
    one, other = facts.words[pair[0]], facts.words[pair[1]]
    return len(one & other) / max(1, len(one | other))
