"""Everything that is counted in one pass over all units, for findings, flow and distributions.

A question keeps 16 bytes of memory and a chosen text 52 (``NearDuplicates``), a verdict none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmpr.report.load.info import DatasetInfo
from mmpr.report.load.units import Bools, Ints, UnitColumns, booleans, nested, positions, value_codes
from mmpr.report.measure.answers import add_answers, disputed_answers, without_option
from mmpr.report.measure.histograms import COUNTS, SHARES, SIGNED, Categories, Histogram
from mmpr.report.measure.joined import WORDS, JoinedUnit
from mmpr.report.measure.personal_data import personal_data
from mmpr.report.measure.pictures import POOR, Pictures
from mmpr.report.measure.sampling import VerdictSample
from mmpr.report.measure.shortcuts import PairSample
from mmpr.report.measure.text_checks import (
    NearDuplicates,
    instruction_lines,
    leaks,
    loops,
    scripts,
    text_hashes,
    without_spaces,
)
from mmpr.storage.columns import column_of
from mmpr.storage.counts import METHODS, STATUSES, UNKNOWN

OUTCOMES = (
    "paired",
    "all_correct",
    "none_correct",
    "all_unparseable",
    "correct_only_truncated",
    "wrong_only_truncated",
    "nothing_to_reject",
    "all_entailed",
    "all_left_out",
    "not_judged",
    "no_continuation",
    "not_asked",
)
"""What became of a question, by number: an outcome of pairing, or the engine refused it (``not_asked``)."""
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
    "unsure",
    "shared_images",
    "heldout_overlap",
    "last_line",
    "personal_data",
    "label_noise",
    "truth_not_option",
    *POOR,
)
"""Findings that a question can be an example of; bit i of its flags stands for the i-th."""
BIT = {name: 1 << at for at, name in enumerate(FLAGS)}

LONG_TEXT_CHARS = 100
"""Near duplicates are looked for among texts of this length and more: short answers repeat anyway."""
_MASKED = 5  # examples of personal data
_UNSURE = STATUSES.index("unsure")
_MUCH_LONGER = 2.0  # chosen over rejected length of an example of the length bias


@dataclass(slots=True)
class Statistics:
    """What is counted in a pass over the units: call ``add`` for every unit in order, then read the fields.

    ``flags``, ``source_of``, ``outcome_of`` and ``pairs_of`` hold an array a unit with an entry a question; a
    question's number is its position in all of them together. ``pairs`` (sources, methods) counts pairs, ``verdicts``
    is a sample of them for the audit, ``shortcuts`` one of pairs, ``masked`` are examples of personal data,
    ``instructions`` are the lines that each source's template adds to a question.
    """

    info: DatasetInfo
    seed: int = 0
    unsure_first: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    flags: list[npt.NDArray[np.uint32]] = field(default_factory=list)
    source_of: list[npt.NDArray[np.uint16]] = field(default_factory=list)
    outcome_of: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    pairs_of: list[npt.NDArray[np.uint32]] = field(default_factory=list)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    categories: dict[str, Categories] = field(default_factory=dict)
    verdicts: VerdictSample = field(init=False)
    duplicates: NearDuplicates = field(default_factory=NearDuplicates)
    shortcuts: PairSample = field(init=False)
    pictures: Pictures = field(default_factory=Pictures)
    masked: list[str] = field(default_factory=list)
    instructions: dict[str, list[str]] = field(default_factory=dict)
    questions: int = 0
    pairs: Ints = field(init=False)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the sources, in the order of ``source_of``."""
        return self.info.sources

    def __post_init__(self) -> None:
        self.verdicts = VerdictSample(self.seed, self.unsure_first)
        self.shortcuts = PairSample(self.seed)
        self.pairs = np.zeros((len(self.sources), len(METHODS)), dtype=np.int64)

        def histogram(key: str, title: str, unit: str, things: str, edges: npt.NDArray[np.float64]) -> None:
            self.histograms[key] = Histogram(key, title, unit, things, edges, self.sources, methods=things == "pairs")

        def categories(key: str, title: str, things: str) -> None:
            self.categories[key] = Categories(key, title, things, self.sources, methods=things == "pairs")

        histogram("pass_rate", "Pass rate of a question", "share of its judged responses", "questions", SHARES)
        histogram("pairs_per_question", "Pairs of a question", "pairs", "questions", COUNTS)
        histogram("question_tokens", "Length of prompts, pictures included", "tokens", "questions", COUNTS)
        histogram("response_tokens", "Length of sampled responses", "tokens", "responses", COUNTS)
        histogram("chosen_length", "Length of chosen", self.info.length_unit, "pairs", COUNTS)
        histogram("rejected_length", "Length of rejected", self.info.length_unit, "pairs", COUNTS)
        histogram("margin_length", "Chosen minus rejected", self.info.length_unit, "pairs", SIGNED)
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
        joined = JoinedUnit.of(columns, self.sources)
        self.source_of.append(joined.source.astype(np.uint16))
        self.flags.append(np.zeros(len(joined.source), dtype=np.uint32))
        self.pairs_of.append(np.bincount(joined.pair_question, minlength=len(joined.source)).astype(np.uint32))
        self._add_responses(columns, joined)
        self._add_pairs(columns, joined)
        repeated, disputed = disputed_answers(joined)
        self.counts.update({"repeated_answers": repeated, "disputed_answers": len(disputed)})
        self.flag("label_noise", disputed)
        shown, without = without_option(columns, add_answers(columns, joined, self.categories))
        self.counts.update({"with_options": shown, "truth_not_option": len(without)})
        self.flag("truth_not_option", without)
        for at, count in enumerate(np.bincount(joined.source[joined.has_truth], minlength=len(self.sources))):
            self.counts[f"with_truth/{self.sources[at]}"] += int(count)
        self.questions += len(joined.source)

    def all_of(self, parts: Sequence[npt.NDArray[np.generic]]) -> Ints:
        """The entries of all questions as one array."""
        return np.concatenate([np.asarray(part, dtype=np.int64) for part in parts] or [np.zeros(0, dtype=np.int64)])

    def distributions(self) -> list[Histogram | Categories]:
        """All histograms and categories, in the order of the page."""
        return [*self.histograms.values(), *self.categories.values()]

    def flag(self, name: str, questions: Ints) -> None:
        """Flag questions of the last unit (positions in it) as examples of a finding."""
        np.bitwise_or.at(self.flags[-1], questions, np.uint32(BIT[name]))

    def _add_responses(self, columns: UnitColumns, joined: JoinedUnit) -> None:
        """Count responses, verdicts and continuations, and what became of each question."""
        counts, source = self.counts, joined.source
        counts["questions"] += len(source)
        counts["rollouts"] += len(joined.rollout_question)
        counts["verdict_rows"] += columns.verdicts.num_rows
        counts["completion_rows"] += columns.completions.num_rows
        tokens = joined.responses.numbers("tokens")
        counts["responses"] += len(tokens)
        counts["response_tokens"] += int(tokens.sum())
        prompt_tokens = column_of(columns.rollouts, "prompt_tokens")
        told = booleans(pc.is_valid(prompt_tokens))
        lengths = np.asarray(prompt_tokens.filter(pa.array(told)).to_numpy(zero_copy_only=False))
        self.histograms["question_tokens"].add(lengths, source[joined.rollout_question[told]])
        self.histograms["response_tokens"].add(tokens, source[joined.response_question])
        finish = value_codes(joined.responses.texts("finish_reason"))
        self.categories["finish_reasons"].add(*finish, source[joined.response_question])
        rates = column_of(columns.verdicts, "pass_rate")
        known = booleans(pc.is_valid(rates))
        rate = np.asarray(pc.fill_null(rates, 0.0).to_numpy(zero_copy_only=False))
        self.histograms["pass_rate"].add(rate[known], source[joined.verdict_question[known]])
        judged = source[np.repeat(joined.verdict_question, joined.verdicts.lengths)]
        comparators = value_codes(joined.verdicts.texts("comparator"))
        self.categories["comparators"].add(*comparators, judged)
        numbers = np.repeat(joined.verdict_question, joined.verdicts.lengths) + self.questions
        within = np.arange(len(numbers)) - np.repeat(joined.verdicts.starts, joined.verdicts.lengths)
        unsure = booleans(pc.equal(joined.verdicts.texts("status"), "unsure"))
        self.verdicts.add(*comparators, numbers, within, unsure)
        self.categories["statuses"].add(
            STATUSES, positions(joined.verdicts.texts("status"), pa.array(STATUSES)), judged
        )
        truncated = ~joined.stopped
        counts["truncated"] += int(truncated.sum())
        self.flag("truncated", joined.response_question[truncated])
        for flag, statuses in (("judge_timeouts", ("timeout", "error")), ("unsure", ("unsure",))):
            those = np.isin(joined.judged, [STATUSES.index(status) for status in statuses])
            self.flag(flag, joined.response_question[those])

        many = len(source)
        first = joined.first_of_its_text()
        for code, by in enumerate(np.bincount(joined.word[joined.word >= 0], minlength=len(WORDS))):
            counts[f"adjudicated/{WORDS[code]}"] += int(by)
        counts["adjudicated/not_asked"] += int(((joined.judged == _UNSURE) & ~(first & joined.stopped)).sum())
        chosen = np.bincount(joined.response_question[first & (joined.status == 0) & joined.stopped], minlength=many)
        wrong = first & (joined.status == 1)
        unclear = first & (joined.status == 2) & self.info.format_pairs
        rejectable = joined.response_question[wrong | unclear]
        rejectable_whole = joined.response_question[(wrong | unclear) & joined.stopped]
        for method, where in (("correctness", wrong), ("format", unclear)):
            counts[f"possible/{method}"] += int(chosen[joined.response_question[where]].sum())
        self._add_outcomes(
            joined, chosen, np.bincount(rejectable, minlength=many), np.bincount(rejectable_whole, minlength=many)
        )
        self._add_continuations(columns, joined, first)

    def _add_outcomes(self, joined: JoinedUnit, chosen: Ints, rejectable: Ints, rejectable_whole: Ints) -> None:
        many = len(joined.source)
        asked = np.zeros(many, dtype=np.bool_)
        asked[joined.rollout_question] = True
        of_status = [
            np.bincount(joined.response_question[joined.status == code], minlength=many)
            for code in range(len(STATUSES))
        ]
        judged = sum(of_status[1:], of_status[0])
        name = {outcome: code for code, outcome in enumerate(OUTCOMES)}
        outcome = np.full(many, name["none_correct"], dtype=np.uint8)
        # As in mmpr.pipeline.pairing: the last line that applies gives the outcome.
        outcome[of_status[2] == judged] = name["all_unparseable"]
        outcome[sum(of_status[STATUSES.index(status)] for status in UNKNOWN) == judged] = name["not_judged"]
        outcome[of_status[0] > 0] = name["correct_only_truncated"]
        outcome[chosen > 0] = name["nothing_to_reject"]
        outcome[(chosen > 0) & (of_status[0] == judged)] = name["all_correct"]
        outcome[(chosen > 0) & (rejectable > 0)] = name["wrong_only_truncated"]
        left_out = self.info.chooses
        outcome[(chosen > 0) & (rejectable_whole > 0)] = name["all_left_out" if left_out else "all_entailed"]
        outcome[~joined.has_truth] = name["all_left_out" if left_out else "no_continuation"]
        outcome[np.bincount(joined.pair_question, minlength=many) > 0] = name["paired"]
        outcome[~asked] = name["not_asked"]
        self.outcome_of.append(outcome)
        self.categories["outcomes"].add(OUTCOMES, outcome.astype(np.int64), joined.source)
        for code, by in enumerate(np.bincount(outcome, minlength=len(OUTCOMES))):
            self.counts[f"outcome/{OUTCOMES[code]}"] += int(by)

    def _add_continuations(self, columns: UnitColumns, joined: JoinedUnit, first: Bools) -> None:
        """Count what became of the responses to open-ended questions."""
        done = nested(columns.completions, "completions")
        self.counts["continuations"] += len(done.items)
        position = np.full(len(joined.source), -1, dtype=np.int64)
        position[joined.rollout_question] = joined.responses.starts
        completed = position[positions(column_of(columns.completions, "id"), column_of(columns.questions, "id"))]
        continued = np.zeros(len(joined.status), dtype=np.bool_)
        continued[np.repeat(completed, done.lengths) + done.numbers("response")] = True
        open_ended = ~joined.has_truth[joined.response_question]
        whole = open_ended & first & joined.stopped & ~joined.empty
        before: Ints = np.cumsum(whole) - whole
        rank: Ints = before - before[np.repeat(joined.responses.starts, joined.responses.lengths)]
        most = np.array([self.info.most_continued[name] for name in self.sources], dtype=np.int64)
        planned = whole & (rank * self.info.variants < most[joined.source[joined.response_question]])
        for name, where in (
            ("continued", continued),
            ("same_text", open_ended & ~first),
            ("truncated", open_ended & first & ~joined.stopped),
            ("empty", open_ended & first & joined.stopped & joined.empty),
            ("capped", whole & ~planned & ~continued),
            ("refused", planned & ~continued),
        ):
            self.counts[f"open/{name}"] += int(where.sum())

    def _add_pairs(self, columns: UnitColumns, joined: JoinedUnit) -> None:
        """Count pairs, and check their texts."""
        per_question = self.pairs_of[-1][joined.rollout_question]
        self.histograms["pairs_per_question"].add(per_question, joined.source[joined.rollout_question])
        if not len(joined.pair_question):
            return
        source, method = joined.source[joined.pair_question], joined.method
        np.add.at(self.pairs, (source, method), 1)
        for at, pairing in enumerate(METHODS):
            self.counts[f"pairs/{pairing}"] += int((method == at).sum())
        lengths = joined.paired.numbers("tokens")
        if self.info.length_unit == "characters":
            lengths = np.asarray(pc.utf8_length(joined.paired.texts("text")), dtype=np.int64)
        chosen, rejected = lengths[joined.chosen], lengths[joined.rejected]
        self.histograms["chosen_length"].add(chosen, source, method)
        self.histograms["rejected_length"].add(rejected, source, method)
        self.histograms["margin_length"].add(chosen - rejected, source, method)
        for name, where in (("longer", chosen > rejected), ("as_long", chosen == rejected)):
            for at, count in enumerate(np.bincount(source[where], minlength=len(self.sources))):
                self.counts[f"{name}/{self.sources[at]}"] += int(count)
        self.flag("length_bias", joined.pair_question[chosen > _MUCH_LONGER * np.maximum(rejected, 1)])
        kinds = value_codes(column_of(columns.questions, "kind"))
        self.categories["kinds"].add(kinds[0], kinds[1][joined.pair_question], source, method)
        self._add_texts(columns, joined, source)

    def _add_texts(self, columns: UnitColumns, joined: JoinedUnit, source: Ints) -> None:
        texts = joined.paired.texts("text").to_pylist()
        owner = joined.pair_row_question[joined.paired.rows]
        is_chosen = np.zeros(len(texts), dtype=np.bool_)
        is_chosen[joined.chosen] = True
        characters = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))

        def count(name: str, pairs: Bools) -> None:
            """Count pairs by source, and flag their questions."""
            for at, by in enumerate(np.bincount(source[pairs], minlength=len(self.sources))):
                self.counts[f"{name}/{self.sources[at]}"] += int(by)
            if name in BIT:
                self.flag(name, joined.pair_question[pairs])

        looped = loops(texts)
        count("loops", looped[joined.chosen])
        count("loops_rejected", looped[joined.rejected])
        count("truncated_rejected", ~booleans(pc.equal(joined.paired.texts("finish_reason"), "stop"))[joined.rejected])
        bare = text_hashes(map(without_spaces, texts))
        equal = bare[joined.chosen] == bare[joined.rejected]
        count("equal_pairs", equal)
        above = text_hashes(without_spaces(text.rstrip().rpartition("\n")[0]) for text in texts)
        has_lines = above != text_hashes([""])[0]
        count("last_line", (above[joined.chosen] == above[joined.rejected]) & has_lines[joined.chosen] & ~equal)
        personal = np.array([self._is_personal(text) for text in texts], dtype=np.bool_)
        count("personal_data", personal[joined.chosen] | personal[joined.rejected])
        self.shortcuts.add(joined.pair_question + self.questions, source, joined.chosen, joined.rejected, texts)
        names_answer = booleans(pc.is_valid(joined.paired.texts("answer")))
        if self.info.kind == "build":  # a release does not tell its verdicts
            names_answer &= booleans(pc.equal(joined.paired.texts("status"), "correct"))
        count("no_answer", ~names_answer[joined.chosen] & (joined.method != METHODS.index("dropout")))

        prompts, rows = column_of(columns.pairs, "prompt"), np.arange(len(joined.pair_row_question))
        questions = column_of(columns.questions, "question").take(pa.array(joined.pair_row_question))
        leaked = np.zeros(len(texts), dtype=np.bool_)
        chosen_places = np.flatnonzero(is_chosen)
        for at in np.unique(joined.source[joined.pair_row_question]):
            name = self.sources[at]
            if name not in self.instructions:
                row = int(rows[joined.source[joined.pair_row_question] == at][0])
                self.instructions[name] = instruction_lines(prompts[row].as_py(), questions[row].as_py())
            of_source = chosen_places[joined.source[owner[chosen_places]] == at]
            leaked[of_source] = leaks([texts[i] for i in of_source], self.instructions[name])
        count("leakage", leaked[joined.chosen])
        count("language", self._foreign(texts, is_chosen, prompts, questions, joined)[joined.chosen])

        # A release may not say how long the shared prefix is.
        dropout = (joined.method == METHODS.index("dropout")) & joined.paired.flags("continued")[joined.rejected]
        prefix = joined.paired.numbers("prefix_chars")[joined.rejected[dropout]]
        share = prefix / np.maximum(characters[joined.chosen[dropout]], 1)
        self.histograms["prefix_end"].add(np.minimum(share, 1.0), source[dropout], joined.method[dropout])

        long = np.flatnonzero(is_chosen & (characters >= LONG_TEXT_CHARS))
        self.counts["chosen_texts"] += int(is_chosen.sum())
        self.duplicates.add([texts[i] for i in long], owner[long] + self.questions)

    def _is_personal(self, text: str) -> bool:
        """Whether a text holds personal data; keeps some of it masked, as examples."""
        found = personal_data(text)
        for form, shown in found[: max(0, _MASKED - len(self.masked))]:
            self.masked.append(f"{form} {shown}")
        return bool(found)

    def _foreign(
        self, texts: list[str], is_chosen: Bools, prompts: pa.Array, questions: pa.Array, joined: JoinedUnit
    ) -> Bools:
        """Whether each text (N,) is chosen and in another script than both its question and its prompt."""
        foreign = np.zeros(len(texts), dtype=np.bool_)
        row_of = joined.paired.rows
        plain = booleans(pc.string_is_ascii(questions)) & booleans(pc.string_is_ascii(prompts))
        unsure = is_chosen & ~(plain[row_of] & booleans(pc.string_is_ascii(joined.paired.texts("text"))))
        if not unsure.any():
            return foreign
        at = np.flatnonzero(unsure)
        rows = np.unique(row_of[at])
        asked, prompted = (scripts([column[int(row)].as_py() for row in rows]) for column in (questions, prompts))
        mine, own = scripts([texts[i] for i in at]), np.searchsorted(rows, row_of[at])
        known = (mine > 0) & (asked[own] > 0)
        foreign[at] = known & (mine != asked[own]) & (mine != prompted[own])
        return foreign
