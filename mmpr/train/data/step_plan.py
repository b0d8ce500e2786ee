"""Which pairs each optimizer step has: it depends on data and seed alone, not on the number of processes.

    Pairs (columns) ─plan_steps─▶ StepPlan ─[k]─▶ the parts of step k that this process computes

In an epoch every pair stands as often as the weights of its source and kind say. A step has exactly ``pairs_a_step``
pairs over all processes; the last step of an epoch has what is left.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmpr.errors import MmprError

Ints = npt.NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Pairs:
    """All pairs of a data set as columns, in 12 bytes a pair, 16 a row, 4 a response.

    Attributes:
        row: ``[pairs]`` the row that a pair belongs to; ascending.
        chosen, rejected: ``[pairs]`` positions in the row's responses.
        source: ``[rows]`` position in ``sources``.
        sources: names.
        kind: ``[rows]`` position in ``kinds``.
        kinds: names of kinds of questions, ``""`` where the data names none.
        prompt_tokens: ``[rows]``.
        response_tokens: ``[responses]`` of all rows, one row after the other.
        first_response: ``[rows + 1]`` where a row's responses begin in ``response_tokens``.
    """

    row: Ints
    chosen: Ints
    rejected: Ints
    source: Ints
    sources: tuple[str, ...]
    kind: Ints
    kinds: tuple[str, ...]
    prompt_tokens: Ints
    response_tokens: Ints
    first_response: Ints

    def __len__(self) -> int:
        return len(self.row)

    def of_row(self, row: int) -> tuple[tuple[int, int], ...]:
        """The pairs of a row as (chosen, rejected) positions in its responses."""
        start, end = np.searchsorted(self.row, [row, row + 1])
        return tuple(zip(self.chosen[start:end].tolist(), self.rejected[start:end].tolist(), strict=True))

    def tokens(self, row: int, pairs: Sequence[tuple[int, int]]) -> int:
        """Tokens of a row's prompt and of the responses that stand in ``pairs``, each once."""
        start = int(self.first_response[row])
        used = {position for pair in pairs for position in pair}
        return int(self.prompt_tokens[row]) + sum(int(self.response_tokens[start + position]) for position in used)


class PlannedPart(NamedTuple):
    """Pairs of one row that one process computes in one step: (chosen, rejected) positions in the row's responses."""

    row: int
    pairs: tuple[tuple[int, int], ...]


@dataclass(kw_only=True, slots=True)
class StepPlan:
    """The optimizer steps of a run; ``plan[k]`` is what process ``rank`` of ``world`` computes in step k.

    Steps can be asked for in any order. The order of one epoch is kept in memory, 4 bytes a pair.

    Attributes:
        occurrences: the pairs of an epoch as positions in ``pairs``, ascending, repeated ones repeatedly.
        cap: how many pairs of one row a step has at most.
    """

    pairs: Pairs
    occurrences: Ints
    pairs_a_step: int
    cap: int
    epochs: int
    seed: int
    rank: int
    world: int
    _epoch: int = -1
    _order: Ints = field(default_factory=lambda: np.empty(0, np.int32))

    @property
    def steps_an_epoch(self) -> int:
        """The number of steps in an epoch; the last one may have fewer pairs."""
        return -(-len(self.occurrences) // self.pairs_a_step)

    @property
    def rows(self) -> Ints:
        """The rows that any step has, ascending."""
        return np.unique(self.pairs.row[self.occurrences])

    def rows_until(self, steps: int) -> Ints:
        """The rows that the first ``steps`` steps have, ascending."""
        if steps >= self.steps_an_epoch:
            return self.rows
        return np.unique(np.concatenate([self.pairs.row[self.pairs_of(step)] for step in range(steps)]))

    def __len__(self) -> int:
        return self.epochs * self.steps_an_epoch

    def pairs_of(self, step: int) -> Ints:
        """The pairs of a step over all processes, as positions in ``pairs``; the same for every ``world``."""
        if not 0 <= step < len(self):
            raise IndexError(step)
        epoch, place = divmod(step, self.steps_an_epoch)
        if epoch != self._epoch:
            rng = _rng("epoch", self.seed, epoch)
            self._order = _epoch_order(self.pairs.row, self.occurrences, self.pairs_a_step, self.cap, rng)
            self._epoch = epoch
        return self._order[place * self.pairs_a_step : (place + 1) * self.pairs_a_step]

    def __getitem__(self, step: int) -> tuple[PlannedPart, ...]:
        """The parts of a step that this process computes; every process has nearly the same number of tokens."""
        return tuple(self.shares(step, self.world)[self.rank])

    def shares(self, step: int, world: int) -> list[list[PlannedPart]]:
        """The parts of a step for each of ``world`` processes."""
        parts: dict[int, list[tuple[int, int]]] = {}
        for pair in self.pairs_of(step).tolist():
            both = (int(self.pairs.chosen[pair]), int(self.pairs.rejected[pair]))
            parts.setdefault(int(self.pairs.row[pair]), []).append(both)
        planned = [PlannedPart(row, tuple(both)) for row, both in parts.items()]
        return _balanced(self.pairs, planned, world)


def plan_steps(
    pairs: Pairs,
    *,
    pairs_a_step: int,
    max_pairs_a_question: int | None = None,
    epochs: int = 1,
    seed: int = 0,
    source_weights: Mapping[str, float] | None = None,
    kind_weights: Mapping[str, float] | None = None,
    rank: int = 0,
    world: int = 1,
) -> StepPlan:
    """Plan a run for process ``rank`` of ``world``.

    Args:
        pairs: all pairs of the data.
        pairs_a_step: over all processes.
        max_pairs_a_question: of one row in one step; None: no limit.
        epochs: how often everything is planned, each time in another order.
        seed: of the order, and of the choice where a weight is no whole number.
        source_weights: how often a source's pairs stand in an epoch (default 1). 2.5: twice, and half of them a third
            time; 0.3: three tenths of them. A fraction is made of whole questions as far as it can be, and is the same
            in all epochs.
        kind_weights: the same for the kinds of questions; a pair's weight is the product of both.

    Raises:
        MmprError: there is no pair, a weight names no source or kind, or a question has too many pairs for the number
            of steps, ``max_pairs_a_question`` of them in each.
    """
    by_source, by_kind = dict(source_weights or {}), dict(kind_weights or {})
    for what, weights, known in (("source", by_source, pairs.sources), ("kind", by_kind, pairs.kinds)):
        if unknown := sorted(set(weights) - set(known)):
            names = ", ".join(filter(None, known)) or "none"
            raise MmprError(f"{what}_weights: the data has no {what} {', '.join(unknown)}; it has: {names}")
    occurrences = _occurrences(pairs, by_source, by_kind, seed)
    if not len(occurrences):
        raise MmprError(
            "there is no pair to train on; see what was dropped and why, and the weights of sources and kinds"
        )
    cap = min(max_pairs_a_question or pairs_a_step, pairs_a_step)
    _check_cap(pairs.row[occurrences], pairs_a_step, cap)
    return StepPlan(
        pairs=pairs,
        occurrences=occurrences,
        pairs_a_step=pairs_a_step,
        cap=cap,
        epochs=epochs,
        seed=seed,
        rank=rank,
        world=world,
    )


def _occurrences(pairs: Pairs, by_source: Mapping[str, float], by_kind: Mapping[str, float], seed: int) -> Ints:
    """The pairs of an epoch as positions in ``pairs``, ascending; a pair that is seen twice stands in it twice."""
    times = np.zeros(len(pairs), np.int64)
    of_pair = (pairs.source.astype(np.int64) * len(pairs.kinds) + pairs.kind)[pairs.row]
    for group in np.unique(of_pair).tolist():
        mine = np.flatnonzero(of_pair == group)
        source, kind = pairs.sources[group // len(pairs.kinds)], pairs.kinds[group % len(pairs.kinds)]
        whole, share = divmod(float(by_source.get(source, 1.0) * by_kind.get(kind, 1.0)), 1.0)
        times[mine] = int(whole)
        if share:
            # Whole questions in a seeded order: the more pairs of a question, the more its shared prompt saves.
            rows = np.unique(pairs.row[mine])
            rank = np.empty(int(rows[-1]) + 1, np.int64)
            rank[rows] = _rng("share", seed, source, kind).permutation(len(rows))
            chosen = mine[np.argsort(rank[pairs.row[mine]], kind="stable")][: round(share * len(mine))]
            times[chosen] += 1
    return np.repeat(np.arange(len(pairs), dtype=np.int32), times)


def _check_cap(rows: Ints, per_step: int, cap: int) -> None:
    full, rest = divmod(len(rows), per_step)
    most = int(np.bincount(rows).max())
    if most > full * cap + min(cap, rest):
        raise MmprError(
            f"an epoch of {len(rows)} pairs is {full + bool(rest)} step(s) of {per_step}, which hold at most "
            f"{full * cap + min(cap, rest)} pairs of one question ({cap} a step); one has {most}: "
            "raise max_pairs_a_question or lower pairs_a_step"
        )


def _epoch_order(row_of: Ints, occurrences: Ints, per_step: int, cap: int, rng: np.random.Generator) -> Ints:
    """The pairs of an epoch in the order of its steps, at most ``cap`` of one row in a step.

    A row's pairs are divided into groups of ``cap``, evenly spaced over the epoch from a random point on. When a step
    has no room for a group, the rest of it goes to the next step. A row that could not be finished otherwise is taken
    first: after any step at most ``cap`` times the number of remaining steps may be left of it.

    A last step of fewer pairs is filled first and then moved to the end, so that all steps after it are full.
    """
    rows, starts, counts = np.unique(row_of[occurrences], return_index=True, return_counts=True)
    # Shuffled within a row; no pair comes a second time before all others of its row have come once.
    copy = np.arange(len(occurrences)) - np.searchsorted(occurrences, occurrences)
    shuffled = occurrences[np.lexsort((rng.random(len(occurrences)), copy, row_of[occurrences]))]
    groups = -(-counts // cap)
    owner = np.repeat(np.arange(len(rows)), groups)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(groups) - groups, groups)
    place = (rng.random(len(rows))[owner] + number / groups[owner]) % 1.0
    stream = iter(owner[np.argsort(place, kind="stable")].tolist())

    order: Ints = np.empty_like(shuffled)
    left: list[int] = counts.tolist()
    next_of: list[int] = starts.tolist()
    steps = -(-len(shuffled) // per_step)
    short = len(shuffled) % per_step
    filled = end = 0
    used: dict[int, int] = {}  # pairs of each row in the current step
    waiting: deque[int] = deque()  # rows with a group that had no room in an earlier step
    # (step, row): from this step on every step must have ``cap`` pairs of the row, or some of its pairs are left over.
    pressing = [(steps - int(groups[row]), int(row)) for row in np.flatnonzero(groups > 1)]
    heapq.heapify(pressing)

    def take(row: int, most: int) -> int:
        nonlocal filled
        taken = max(0, min(most, cap - used.get(row, 0), left[row], end - filled))
        order[filled : filled + taken] = shuffled[next_of[row] : next_of[row] + taken]
        filled, next_of[row], left[row] = filled + taken, next_of[row] + taken, left[row] - taken
        used[row] = used.get(row, 0) + taken
        return taken

    for step in range(steps):
        end = filled + (short if short and not step else per_step)
        used.clear()
        while pressing and pressing[0][0] <= step:
            _, row = heapq.heappop(pressing)
            take(row, left[row] - cap * (steps - step - 1))
            if left[row]:
                heapq.heappush(pressing, (max(step + 1, steps - -(-left[row] // cap)), row))
        due, waiting = waiting, deque()
        while filled < end:
            row = due.popleft() if due else next(stream, -1)
            if row < 0:
                raise MmprError(
                    f"step {step + 1} of {steps} cannot be filled with {per_step} pairs, {cap} of a question at most: "
                    "the data has too few questions; raise max_pairs_a_question or lower pairs_a_step"
                )
            wanted = min(cap, left[row])
            if take(row, wanted) < wanted:
                waiting.append(row)
        waiting.extend(due)
    return np.roll(order, -short)


def _balanced(pairs: Pairs, parts: list[PlannedPart], world: int) -> list[list[PlannedPart]]:
    """The parts of a step for each process: the largest first, each to the process with the fewest tokens so far.

    Where there are fewer parts than processes, the largest are halved, so that no process only waits.
    """
    if world == 1:
        return [parts]
    sized = [(pairs.tokens(*part), part) for part in parts]
    while len(sized) < world and any(len(part.pairs) > 1 for _, part in sized):
        largest = max((item for item in sized if len(item[1].pairs) > 1), key=lambda item: item[0])
        sized.remove(largest)
        row, both = largest[1]
        middle = len(both) // 2
        for half in (PlannedPart(row, both[:middle]), PlannedPart(row, both[middle:])):
            sized.append((pairs.tokens(*half), half))
    shares: list[list[PlannedPart]] = [[] for _ in range(world)]
    loads = [(0, rank) for rank in range(world)]
    for tokens, part in sorted(sized, key=lambda item: -item[0]):
        load, rank = heapq.heappop(loads)
        shares[rank].append(part)
        heapq.heappush(loads, (load + tokens, rank))
    return shares


def _rng(*what: object) -> np.random.Generator:
    """A random generator that depends on ``what`` alone."""
    digest = hashlib.sha256(repr(what).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
