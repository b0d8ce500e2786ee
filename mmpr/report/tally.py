"""One pass over all units: everything that findings, flow and distributions are made of.

Per question 16 bytes stay in memory, per chosen text 44 (``mmpr.report.texts.NearDuplicates``), per verdict nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmpr.report.draw import VerdictDraw
from mmpr.report.facts import Facts
from mmpr.report.histogram import COUNTS, METHODS, SHARES, SIGNED, Categories, Histogram
from mmpr.report.read import Bools, Ints, UnitColumns, nested, one, places, truths
from mmpr.report.texts import (
    YES_NO,
    NearDuplicates,
    answer_kind,
    instruction_lines,
    keys,
    leaks,
    letters,
    loops,
    scripts,
)
from mmpr.report.view import STATUSES, View, encode

OUTCOMES = (
    "paired",
    "all_correct",
    "none_correct",
    "all_unparseable",
    "correct_only_truncated",
    "nothing_to_reject",
    "all_entailed",
    "not_judged",
    "no_continuation",
    "not_asked",
)
"""How a question fared, by number; the words of ``mmpr.pairing``, and ``not_asked`` where the engine refused it."""
FLAGS = (
    "length_bias",
    "near_duplicates",
    "loops",
    "truncated",
    "leakage",
    "no_answer",
    "language",
    "equal_pairs",
    "judge_timeouts",
    "shared_images",
    "heldout_overlap",
)
"""Findings that questions are examples of; bit i of a question's flags is the i-th."""
BIT = {name: 1 << at for at, name in enumerate(FLAGS)}

LONG_TEXT_CHARS = 100
"""Near duplicates are looked for among longer texts: short answers repeat by nature."""
_MUCH_LONGER = 2.0  # an example of the length bias has a chosen so many times as long as its rejected


@dataclass(slots=True)
class Tally:
    """What a pass over the units counts. Call ``add`` for every unit in order, then read the fields.

    Arrays of the questions are lists of one part a unit (``flags``, ``source_of``, ``outcome_of``, ``pairs_of``);
    a question's number is its place in all of them. ``pairs`` are counted by source and method (sources, methods).
    """

    facts: Facts
    seed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    flags: list[npt.NDArray[np.uint32]] = field(default_factory=list)
    source_of: list[npt.NDArray[np.uint16]] = field(default_factory=list)
    outcome_of: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    pairs_of: list[npt.NDArray[np.uint32]] = field(default_factory=list)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    categories: dict[str, Categories] = field(default_factory=dict)
    drawn: VerdictDraw = field(init=False)
    duplicates: NearDuplicates = field(default_factory=NearDuplicates)
    instructions: dict[str, list[str]] = field(default_factory=dict)
    questions: int = 0
    pairs: Ints = field(init=False)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names that a question's source number stands for."""
        return self.facts.sources

    def __post_init__(self) -> None:
        self.drawn = VerdictDraw(self.seed)
        self.pairs = np.zeros((len(self.sources), len(METHODS)), dtype=np.int64)

        def histogram(key: str, title: str, unit: str, things: str, edges: npt.NDArray[np.float64]) -> None:
            self.histograms[key] = Histogram(key, title, unit, things, edges, self.sources, methods=things == "pairs")

        def categories(key: str, title: str, things: str) -> None:
            self.categories[key] = Categories(key, title, things, self.sources, methods=things == "pairs")

        histogram("pass_rate", "Pass rate of a question", "share of its judged responses", "questions", SHARES)
        histogram("pairs_per_question", "Pairs of a question", "pairs", "questions", COUNTS)
        histogram("question_tokens", "Length of prompts, pictures included", "tokens", "questions", COUNTS)
        histogram("response_tokens", "Length of sampled responses", "tokens", "responses", COUNTS)
        histogram("chosen_length", "Length of chosen", self.facts.measure, "pairs", COUNTS)
        histogram("rejected_length", "Length of rejected", self.facts.measure, "pairs", COUNTS)
        histogram("margin_length", "Chosen minus rejected", self.facts.measure, "pairs", SIGNED)
        histogram("prefix_end", "Where the dropout prefix ends", "share of the chosen text", "pairs", SHARES)
        histogram("image_side", "Longer side of the pictures", "pixels", "images", COUNTS)
        histogram("images_per_question", "Pictures of a question", "pictures", "questions", COUNTS)
        categories("outcomes", "What became of the questions", "questions")
        categories("statuses", "Verdicts", "responses")
        categories("comparators", "What decided the verdicts", "responses")
        categories("finish_reasons", "Why responses ended", "responses")
        categories("answer_kinds", "Kinds of true answers", "questions")
        categories("kinds", "Pairs by kind of question", "pairs")
        categories("chosen_letters", "Option letters that are chosen", "questions")
        categories("rejected_letters", "Option letters that are rejected", "questions")
        categories("chosen_yes_no", "Yes and no among the chosen", "questions")

    def add(self, columns: UnitColumns) -> None:
        """Count a unit."""
        view = View.of(columns, self.sources)
        self.source_of.append(view.source.astype(np.uint16))
        self.flags.append(np.zeros(len(view.source), dtype=np.uint32))
        self.pairs_of.append(np.bincount(view.pair_question, minlength=len(view.source)).astype(np.uint32))
        self._add_responses(columns, view)
        self._add_pairs(columns, view)
        self._add_answers(columns, view)
        self.questions += len(view.source)

    def all_of(self, parts: Sequence[npt.NDArray[np.generic]]) -> Ints:
        """One of the per-question lists as one array."""
        return np.concatenate([np.asarray(part, dtype=np.int64) for part in parts] or [np.zeros(0, dtype=np.int64)])

    def distributions(self) -> list[Histogram | Categories]:
        """All that was counted, in the order of the page."""
        return [*self.histograms.values(), *self.categories.values()]

    def flag(self, name: str, questions: Ints) -> None:
        """Mark questions of the last unit (positions in it) as examples of a finding."""
        np.bitwise_or.at(self.flags[-1], questions, np.uint32(BIT[name]))

    def _add_responses(self, columns: UnitColumns, view: View) -> None:
        """Responses, verdicts and continuations, and how each question fared."""
        counts, source = self.counts, view.source
        counts["questions"] += len(source)
        counts["rollouts"] += len(view.rollout_question)
        counts["verdict_rows"] += columns.verdicts.num_rows
        counts["completion_rows"] += columns.completions.num_rows
        tokens = view.responses.numbers("tokens")
        counts["responses"] += len(tokens)
        counts["response_tokens"] += int(tokens.sum())
        prompt_tokens = one(columns.rollouts, "prompt_tokens")
        told = truths(pc.is_valid(prompt_tokens))
        lengths = np.asarray(prompt_tokens.filter(pa.array(told)).to_numpy(zero_copy_only=False))
        self.histograms["question_tokens"].add(lengths, source[view.rollout_question[told]])
        self.histograms["response_tokens"].add(tokens, source[view.response_question])
        finish = encode(view.responses.texts("finish_reason"))
        self.categories["finish_reasons"].add(*finish, source[view.response_question])
        rates = one(columns.verdicts, "pass_rate")
        known = truths(pc.is_valid(rates))
        rate = np.asarray(pc.fill_null(rates, 0.0).to_numpy(zero_copy_only=False))
        self.histograms["pass_rate"].add(rate[known], source[view.verdict_question[known]])
        judged = source[np.repeat(view.verdict_question, view.verdicts.lengths)]
        comparators = encode(view.verdicts.texts("comparator"))
        self.categories["comparators"].add(*comparators, judged)
        numbers = np.repeat(view.verdict_question, view.verdicts.lengths) + self.questions
        within = np.arange(len(numbers)) - np.repeat(view.verdicts.starts, view.verdicts.lengths)
        self.drawn.add(*comparators, numbers, within)
        self.categories["statuses"].add(STATUSES, places(view.verdicts.texts("status"), pa.array(STATUSES)), judged)
        truncated = ~view.stopped
        counts["truncated"] += int(truncated.sum())
        self.flag("truncated", view.response_question[truncated])
        unknown = (view.status == 3) | (view.status == 4)
        self.flag("judge_timeouts", view.response_question[unknown])

        many = len(source)
        rep = view.first_of_its_text()
        chosen = np.bincount(view.response_question[rep & (view.status == 0) & view.stopped], minlength=many)
        wrong = np.bincount(view.response_question[rep & (view.status == 1)], minlength=many)
        unclear = np.bincount(view.response_question[rep & (view.status == 2)], minlength=many)
        if not self.facts.format_pairs:
            unclear[:] = 0
        counts["possible/correctness"] += int((chosen * wrong).sum())
        counts["possible/format"] += int((chosen * unclear).sum())
        self._add_outcomes(view, chosen, wrong + unclear)
        self._add_continuations(columns, view, rep)

    def _add_outcomes(self, view: View, chosen: Ints, rejectable: Ints) -> None:
        many = len(view.source)
        asked = np.zeros(many, dtype=np.bool_)
        asked[view.rollout_question] = True
        of_status = [
            np.bincount(view.response_question[view.status == code], minlength=many) for code in range(len(STATUSES))
        ]
        judged = sum(of_status[1:], of_status[0])
        name = {outcome: code for code, outcome in enumerate(OUTCOMES)}
        outcome = np.full(many, name["none_correct"], dtype=np.uint8)
        # As in mmpr.pairing, from the last to the first word that fits.
        outcome[of_status[2] == judged] = name["all_unparseable"]
        outcome[of_status[3] + of_status[4] == judged] = name["not_judged"]
        outcome[of_status[0] > 0] = name["correct_only_truncated"]
        outcome[chosen > 0] = name["nothing_to_reject"]
        outcome[(chosen > 0) & (of_status[0] == judged)] = name["all_correct"]
        outcome[(chosen > 0) & (rejectable > 0)] = name["all_entailed"]
        outcome[~view.has_truth] = name["no_continuation"]
        outcome[np.bincount(view.pair_question, minlength=many) > 0] = name["paired"]
        outcome[~asked] = name["not_asked"]
        self.outcome_of.append(outcome)
        self.categories["outcomes"].add(OUTCOMES, outcome.astype(np.int64), view.source)
        for code, by in enumerate(np.bincount(outcome, minlength=len(OUTCOMES))):
            self.counts[f"outcome/{OUTCOMES[code]}"] += int(by)

    def _add_continuations(self, columns: UnitColumns, view: View, rep: Bools) -> None:
        """What became of each response to an open-ended question."""
        done = nested(columns.completions, "completions")
        self.counts["continuations"] += len(done.items)
        position = np.full(len(view.source), -1, dtype=np.int64)
        position[view.rollout_question] = view.responses.starts
        completed = position[places(one(columns.completions, "id"), one(columns.questions, "id"))]
        continued = np.zeros(len(view.status), dtype=np.bool_)
        continued[np.repeat(completed, done.lengths) + done.numbers("response")] = True
        open_ended = ~view.has_truth[view.response_question]
        whole = open_ended & rep & view.stopped & ~view.empty
        before: Ints = np.cumsum(whole) - whole
        rank: Ints = before - before[np.repeat(view.responses.starts, view.responses.lengths)]
        most = np.array([self.facts.most_continued[name] for name in self.sources], dtype=np.int64)
        planned = whole & (rank * self.facts.variants < most[view.source[view.response_question]])
        for name, where in (
            ("continued", continued),
            ("same_text", open_ended & ~rep),
            ("truncated", open_ended & rep & ~view.stopped),
            ("empty", open_ended & rep & view.stopped & view.empty),
            ("capped", whole & ~planned & ~continued),
            ("refused", planned & ~continued),
        ):
            self.counts[f"open/{name}"] += int(where.sum())

    def _add_pairs(self, columns: UnitColumns, view: View) -> None:
        """Pairs and the texts in them."""
        per_question = self.pairs_of[-1][view.rollout_question]
        self.histograms["pairs_per_question"].add(per_question, view.source[view.rollout_question])
        if not len(view.pair_question):
            return
        source, method = view.source[view.pair_question], view.method
        np.add.at(self.pairs, (source, method), 1)
        for at, name in enumerate(METHODS):
            self.counts[f"pairs/{name}"] += int((method == at).sum())
        lengths = view.paired.numbers("tokens")
        if self.facts.measure == "characters":
            lengths = np.asarray(pc.utf8_length(view.paired.texts("text")), dtype=np.int64)
        chosen, rejected = lengths[view.chosen], lengths[view.rejected]
        self.histograms["chosen_length"].add(chosen, source, method)
        self.histograms["rejected_length"].add(rejected, source, method)
        self.histograms["margin_length"].add(chosen - rejected, source, method)
        for name, where in (("longer", chosen > rejected), ("as_long", chosen == rejected)):
            for at, count in enumerate(np.bincount(source[where], minlength=len(self.sources))):
                self.counts[f"{name}/{self.sources[at]}"] += int(count)
        self.flag("length_bias", view.pair_question[chosen > _MUCH_LONGER * np.maximum(rejected, 1)])
        kinds = encode(one(columns.questions, "kind"))
        self.categories["kinds"].add(kinds[0], kinds[1][view.pair_question], source, method)
        self._add_texts(columns, view, source)

    def _add_texts(self, columns: UnitColumns, view: View, source: Ints) -> None:
        texts = view.paired.texts("text").to_pylist()
        owner = view.pair_row_question[view.paired.rows]
        is_chosen = np.zeros(len(texts), dtype=np.bool_)
        is_chosen[view.chosen] = True
        characters = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))

        def count(name: str, pairs: Bools) -> None:
            """Count pairs by source, and mark their questions."""
            for at, by in enumerate(np.bincount(source[pairs], minlength=len(self.sources))):
                self.counts[f"{name}/{self.sources[at]}"] += int(by)
            if name in BIT:
                self.flag(name, view.pair_question[pairs])

        looped = loops(texts)
        count("loops", looped[view.chosen])
        count("loops_rejected", looped[view.rejected])
        count("truncated_rejected", ~truths(pc.equal(view.paired.texts("finish_reason"), "stop"))[view.rejected])
        bare = keys(map(letters, texts))
        count("equal_pairs", bare[view.chosen] == bare[view.rejected])
        names_answer = truths(pc.is_valid(view.paired.texts("answer")))
        if self.facts.kind == "build":  # a release does not say what its judge said
            names_answer &= truths(pc.equal(view.paired.texts("status"), "correct"))
        count("no_answer", ~names_answer[view.chosen] & (view.method != METHODS.index("dropout")))

        prompts, rows = one(columns.pairs, "prompt"), np.arange(len(view.pair_row_question))
        questions = one(columns.questions, "question").take(pa.array(view.pair_row_question))
        leaked = np.zeros(len(texts), dtype=np.bool_)
        chosen_places = np.flatnonzero(is_chosen)
        for at in np.unique(view.source[view.pair_row_question]):
            name = self.sources[at]
            if name not in self.instructions:
                row = int(rows[view.source[view.pair_row_question] == at][0])
                self.instructions[name] = instruction_lines(prompts[row].as_py(), questions[row].as_py())
            of_source = chosen_places[view.source[owner[chosen_places]] == at]
            leaked[of_source] = leaks([texts[i] for i in of_source], self.instructions[name])
        count("leakage", leaked[view.chosen])
        count("language", self._foreign(texts, is_chosen, prompts, questions, view)[view.chosen])

        # A release may not tell which part a rejected response shares.
        dropout = (view.method == METHODS.index("dropout")) & view.paired.flags("continued")[view.rejected]
        prefix = view.paired.numbers("prefix_chars")[view.rejected[dropout]]
        share = prefix / np.maximum(characters[view.chosen[dropout]], 1)
        self.histograms["prefix_end"].add(np.minimum(share, 1.0), source[dropout], view.method[dropout])

        long = np.flatnonzero(is_chosen & (characters >= LONG_TEXT_CHARS))
        self.counts["chosen_texts"] += int(is_chosen.sum())
        self.duplicates.add([texts[i] for i in long], owner[long] + self.questions)

    def _foreign(self, texts: list[str], is_chosen: Bools, prompts: pa.Array, questions: pa.Array, view: View) -> Bools:
        """Whether a chosen text is in another script than both its question and its prompt."""
        foreign = np.zeros(len(texts), dtype=np.bool_)
        row_of = view.paired.rows
        plain = truths(pc.string_is_ascii(questions)) & truths(pc.string_is_ascii(prompts))
        look = is_chosen & ~(plain[row_of] & truths(pc.string_is_ascii(view.paired.texts("text"))))
        if not look.any():
            return foreign
        at = np.flatnonzero(look)
        rows = np.unique(row_of[at])
        asked, prompted = (scripts([column[int(row)].as_py() for row in rows]) for column in (questions, prompts))
        mine, own = scripts([texts[i] for i in at]), np.searchsorted(rows, row_of[at])
        known = (mine > 0) & (asked[own] > 0)
        foreign[at] = known & (mine != asked[own]) & (mine != prompted[own])
        return foreign

    def _add_answers(self, columns: UnitColumns, view: View) -> None:
        """Kinds of truths, and which letters and words of yes and no are chosen; each question counts once."""
        answers = one(columns.questions, "answer").to_pylist()
        kinds = [answer_kind(answer) for answer in answers]
        names = sorted(set(kinds))
        codes = np.array([names.index(kind) for kind in kinds], dtype=np.int64)
        self.categories["answer_kinds"].add(names, codes, view.source)
        paired = view.pair_row_question[view.row_is_judged()]
        for row in paired:
            answer, at = (answers[row] or "").strip(), int(view.source[row])
            if kinds[row] == "letter":
                self.categories["chosen_letters"].count(answer.strip("()."), at)
            elif kinds[row] == "yes or no":
                self.categories["chosen_yes_no"].count(YES_NO[answer.casefold()], at)
        if any(kind == "letter" for kind in kinds):
            self._add_rejected_letters(view, np.array([kind == "letter" for kind in kinds]))

    def _add_rejected_letters(self, view: View, has_letters: Bools) -> None:
        pair_at = np.flatnonzero(has_letters[view.pair_question] & (view.method == 0))
        said = view.paired.texts("answer").take(pa.array(view.rejected[pair_at]))
        found = pc.extract_regex(said, r"^\(?(?P<letter>[A-Z])(?:[^A-Za-z]|$)").field("letter")
        first: dict[int, str] = {}
        for question, letter in zip(view.pair_question[pair_at], found.to_pylist(), strict=True):
            if letter:
                first.setdefault(int(question), letter)
        for question, letter in first.items():
            self.categories["rejected_letters"].count(letter, int(view.source[question]))
