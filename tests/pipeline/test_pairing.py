"""Golden tables of pairs, and what holds for all of them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpr.pipeline.pairing import Pairing, distinct, pair_by_correctness, pair_by_dropout, pass_rate
from mmpr.schema import Completion, Response, Rollout, Status, Verdict

STATUSES: dict[str, Status] = {
    "+": "correct",
    "-": "incorrect",
    "?": "unparseable",
    "t": "timeout",
    "e": "error",
    "u": "unsure",
}


def rollout_of(*responses: Response, id: str = "q") -> Rollout:
    return Rollout(id, "s", "prompt", "en", "00", "model", "rev", 3, responses)


def judged(words: str, id: str = "q") -> tuple[Rollout, list[Verdict]]:
    """``+3 -4 -4/again ?- +3!``: status, answer, perhaps ``/text``; ``!`` is truncated, ``#`` an engine's error.

    Texts differ unless given.
    """
    responses, verdicts = [], []
    for place, word in enumerate(words.split()):
        finish = {"!": "length", "#": "error"}.get(word[-1], "stop")
        word = word.rstrip("!#")
        answer, _, text = word[1:].partition("/")
        unclear = "I cannot tell" + " at all" * place
        text = text or (unclear if word[0] == "?" else f"text {place}: {answer}")
        responses.append(Response(text, 100 + place, finish, 5))
        verdicts.append(Verdict(STATUSES[word[0]], None if word[0] == "?" else answer))
    return rollout_of(*responses, id=id), verdicts


def pairs_of(pairing: Pairing) -> set[tuple[int, int, str]]:
    """Pairs as positions in the rollout."""
    samples = [response.sample for response in pairing.responses]
    return {(samples[pair.chosen], samples[pair.rejected], pair.method) for pair in pairing.pairs}


# responses, options, outcome, pairs as sample positions, what was skipped
GOLDEN = [
    ("+3 -4", {}, "paired", {(0, 1, "correctness")}, {}),
    ("-4 +3", {}, "paired", {(1, 0, "correctness")}, {}),
    ("+3 -4 -5", {}, "paired", {(0, 1, "correctness"), (0, 2, "correctness")}, {}),
    ("+3 ?", {}, "paired", {(0, 1, "format")}, {}),
    ("+3 -4 ?", {}, "paired", {(0, 1, "correctness"), (0, 2, "format")}, {}),
    # an unclear response that ends with the right answer may be right
    ("+3 ?/3", {}, "all_entailed", set(), {"entailed": 1}),
    ("+3 ?/3 -4", {}, "paired", {(0, 2, "correctness")}, {"entailed": 1}),
    # what nobody knows is on neither side
    ("+3 u", {}, "nothing_to_reject", set(), {}),
    ("u -4", {}, "none_correct", set(), {}),
    ("u t", {}, "not_judged", set(), {}),
    # format pairs only fill what correctness pairs leave of the cap
    ("? ? +3 -4", {"max_pairs": 1}, "paired", {(2, 3, "correctness")}, {"capped": 2}),
    ("+3 ?", {"format_pairs": False}, "nothing_to_reject", set(), {}),
    ("+3 -4 ?", {"format_pairs": False}, "paired", {(0, 1, "correctness")}, {}),
    # why a question has none
    ("+3 +3", {}, "all_correct", set(), {}),
    ("-4 -5", {}, "none_correct", set(), {}),
    ("-4 ? t", {}, "none_correct", set(), {}),
    ("? ?", {}, "all_unparseable", set(), {}),
    ("? t", {}, "none_correct", set(), {}),
    ("t e", {}, "not_judged", set(), {}),
    ("", {}, "not_judged", set(), {}),
    ("+3 t", {}, "nothing_to_reject", set(), {}),
    ("+3 e", {}, "nothing_to_reject", set(), {}),
    ("+3! -4", {}, "correct_only_truncated", set(), {}),
    ("+3! +3!", {}, "correct_only_truncated", set(), {}),
    ("+3! ?", {}, "correct_only_truncated", set(), {}),
    # truncated: neither chosen nor rejected, and counted
    ("+3! +3 -4", {}, "paired", {(1, 2, "correctness")}, {}),
    ("+3 -4!", {}, "wrong_only_truncated", set(), {"truncated": 1}),
    ("+3 ?!", {}, "wrong_only_truncated", set(), {"truncated": 1}),
    ("+3 ?!", {"format_pairs": False}, "nothing_to_reject", set(), {}),
    ("+3 +3 -4! -5 ?!", {}, "paired", {(0, 3, "correctness"), (1, 3, "correctness")}, {"truncated": 4}),
    ("+3 -3,4 -4!", {}, "all_entailed", set(), {"entailed": 1, "truncated": 1}),
    ("+3! -4!", {}, "correct_only_truncated", set(), {}),
    # so is what the engine broke off, in builds of earlier versions
    ("+3 -4 ?#", {}, "paired", {(0, 1, "correctness")}, {"truncated": 1}),
    ("+3# -4", {}, "correct_only_truncated", set(), {}),
    # nobody knows: never on either side
    ("+3 -4 t e", {}, "paired", {(0, 1, "correctness")}, {}),
    # the chosen answer is contained in the rejected one, compared as answers
    ("+3 -3,4", {}, "all_entailed", set(), {"entailed": 1}),
    ("+3 -3,4 -5", {}, "paired", {(0, 2, "correctness")}, {"entailed": 1}),
    ("+3 -3,4 ?", {}, "paired", {(0, 2, "format")}, {"entailed": 1}),
    ("+1 -10", {}, "paired", {(0, 1, "correctness")}, {}),
    ("+10 -1", {}, "paired", {(0, 1, "correctness")}, {}),
    ("+Paris -Paris,France", {}, "all_entailed", set(), {"entailed": 1}),
    # equal texts count once, also up to white space around them; whole ones before truncated ones
    ("+3/a +3/a -4/b -4/b", {}, "paired", {(0, 2, "correctness")}, {}),
    ("+3/a! +3/a -4/b", {}, "paired", {(1, 2, "correctness")}, {}),
    # the cap
    ("+3 -4 -5 -6", {"max_pairs": 3}, "paired", {(0, i, "correctness") for i in (1, 2, 3)}, {}),
]


@pytest.mark.parametrize(("words", "options", "outcome", "pairs", "skipped"), GOLDEN)
def test_golden(words: str, options: dict, outcome: str, pairs: set, skipped: dict) -> None:
    rollout, verdicts = judged(words)
    pairing = pair_by_correctness(rollout, verdicts, **options)
    assert (pairing.outcome, pairs_of(pairing), pairing.skipped) == (outcome, pairs, skipped)


def test_white_space_around_a_text_makes_no_other_text() -> None:
    rollout = rollout_of(*(Response(text, i, "stop", 1) for i, text in enumerate((" a", "a\n", "b", "a b", "ab"))))
    assert distinct(rollout.responses) == [0, 2, 3, 4]


def test_choices_decide_what_is_entailed() -> None:
    rollout, verdicts = judged("+B -red")
    assert pair_by_correctness(rollout, verdicts, choices=("blue", "red")).outcome == "all_entailed"
    assert pair_by_correctness(rollout, verdicts, choices=("red", "blue")).outcome == "paired"


def test_paired_responses_keep_what_is_known_of_them() -> None:
    rollout, verdicts = judged("-9 +3 -4 ?")
    pairing = pair_by_correctness(rollout, verdicts, max_pairs=15)
    assert [r.sample for r in pairing.responses] == [0, 1, 2, 3]
    for response in pairing.responses:
        drawn, verdict = rollout.responses[response.sample], verdicts[response.sample]
        assert (response.text, response.tokens, response.seed) == (drawn.text, drawn.tokens, drawn.seed)
        assert (response.finish_reason, response.continued, response.prefix_chars) == (drawn.finish_reason, False, 0)
        assert (response.status, response.answer) == (verdict.status, verdict.answer)
    reasons = {pair.method: pair.reason for pair in pairing.pairs}
    assert reasons["format"] == "3 is right, the other names no clear answer"
    assert reasons["correctness"] in ("3 is right, 9 is wrong", "3 is right, 4 is wrong")


def test_pairs_spread_over_both_sides() -> None:
    rollout, verdicts = judged(" ".join([f"+3/c{i}" for i in range(5)] + [f"-{i}0/w{i}" for i in range(1, 6)]))
    pairing = pair_by_correctness(rollout, verdicts, max_pairs=15)
    assert pairing.skipped == {"capped": 10}
    uses = Counter(pair.chosen for pair in pairing.pairs) + Counter(pair.rejected for pair in pairing.pairs)
    assert set(uses.values()) == {3}


def test_format_pairs_go_to_those_that_have_no_pair_yet() -> None:
    for i in range(8):
        rollout, verdicts = judged("+3 +5 -3,4 ?", id=f"q{i}")
        pairing = pair_by_correctness(rollout, verdicts, max_pairs=2)
        assert pairs_of(pairing) == {(1, 2, "correctness"), (0, 3, "format")}
        assert pairing.skipped == {"entailed": 1, "capped": 1}


def test_distinct_wrong_answers_come_before_repeated_ones() -> None:
    rollout, verdicts = judged("+3 " + " ".join(["-4"] * 20) + " -5 -6")
    pairing = pair_by_correctness(rollout, verdicts, max_pairs=3)
    assert {verdicts[sample].answer for _, sample, _ in pairs_of(pairing)} == {"4", "5", "6"}


def test_the_selection_depends_on_the_question_alone() -> None:
    words = " ".join(["+3"] * 8 + [f"-{i}" for i in range(10, 30)] + ["?"] * 4)
    chosen = [pair_by_correctness(*judged(words, id=f"q{i}")) for i in range(6)]
    assert chosen == [pair_by_correctness(*judged(words, id=f"q{i}")) for i in range(6)]
    assert len({frozenset(pairs_of(pairing)) for pairing in chosen}) > 1


def test_each_pair_of_answers_is_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def entailments(pairs, choices):
        asked.extend(pairs)
        return [False] * len(pairs)

    monkeypatch.setattr("mmpr.pipeline.pairing.entailments", entailments)
    pair_by_correctness(*judged(" ".join(["+3"] * 16 + ["-4", "-5"] * 8)))
    assert sorted(asked) == [("4", "3"), ("5", "3")]


def test_a_pair_that_cannot_be_compared_in_time_is_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"4": None, "5": True, "6": False}
    monkeypatch.setattr("mmpr.pipeline.pairing.entailments", lambda pairs, choices: [told[wrong] for wrong, _ in pairs])
    pairing = pair_by_correctness(*judged("+3 -4 -5 -6"))
    assert pairing.skipped == {"undecided": 1, "entailed": 1}
    assert pairs_of(pairing) == {(0, 3, "correctness")}


RESPONSES = st.lists(
    st.tuples(
        st.sampled_from(sorted(STATUSES)),
        st.sampled_from(["1", "2", "10", "3,4", "3", "B"]),
        st.integers(0, 9),
        st.booleans(),
    ),
    max_size=24,
)


@given(RESPONSES, st.integers(1, 20), st.booleans())
def test_what_holds_of_all_pairings(drawn: list, max_pairs: int, format_pairs: bool) -> None:
    # A text has one verdict, as judging makes it; only whether it was truncated may differ.
    texts: dict[int, tuple[str, str]] = {}
    responses: list[Response] = []
    verdicts = []
    for status, answer, text, whole in drawn:
        status, answer = texts.setdefault(text, (status, answer))
        responses.append(Response(f"{text}", len(responses), "stop" if whole else "length", 1))
        verdicts.append(Verdict(STATUSES[status], None if status == "?" else answer))
    pairing = pair_by_correctness(rollout_of(*responses), verdicts, max_pairs=max_pairs, format_pairs=format_pairs)
    kept = pairing.responses
    assert bool(pairing.pairs) == (pairing.outcome == "paired")
    assert len(pairing.pairs) <= max_pairs
    assert len(set(pairing.pairs)) == len({(p.chosen, p.rejected) for p in pairing.pairs}) == len(pairing.pairs)
    assert {place for p in pairing.pairs for place in (p.chosen, p.rejected)} == set(range(len(kept)))
    assert len({response.text for response in kept}) == len(kept)
    methods = [pair.method for pair in pairing.pairs]
    assert methods == sorted(methods)  # correctness before format
    for pair in pairing.pairs:
        chosen, rejected = kept[pair.chosen], kept[pair.rejected]
        assert chosen.text != rejected.text
        assert (chosen.status, chosen.finish_reason, rejected.finish_reason) == ("correct", "stop", "stop")
        assert rejected.status == {"correctness": "incorrect", "format": "unparseable"}[pair.method]
        assert format_pairs or pair.method == "correctness"
    if pairing.skipped.get("capped"):
        assert len(pairing.pairs) == max_pairs
    if pairing.pairs or pairing.skipped:
        good = {
            r.text
            for r, v in zip(responses, verdicts, strict=True)
            if v.status == "correct" and r.finish_reason == "stop"
        }
        wrong = {r.text for r, v in zip(responses, verdicts, strict=True) if v.status == "incorrect"}
        unclear = {
            r.text for r, v in zip(responses, verdicts, strict=True) if v.status == "unparseable" and format_pairs
        }
        possible = len(good) * (len(wrong) + len(unclear))
        assert len(pairing.pairs) + sum(pairing.skipped.values()) == possible


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 40), st.text(max_size=3))
def test_no_response_is_used_much_more_than_another(right: int, wrong: int, most: int, id: str) -> None:
    words = " ".join([f"+3/c{i}" for i in range(right)] + [f"-{i}0/w{i}" for i in range(1, wrong + 1)])
    pairing = pair_by_correctness(*judged(words, id=id), max_pairs=most)
    assert len(pairing.pairs) == min(most, right * wrong)
    for side, size in (("chosen", right), ("rejected", wrong)):
        uses = Counter(getattr(pair, side) for pair in pairing.pairs)
        assert len(uses) == min(size, len(pairing.pairs))
        # even at the paper's cap; when nearly all pairs are taken, a response may lag one behind
        assert max(uses.values()) - min(uses.values()) <= (1 if most == 15 else 2)


@pytest.mark.parametrize(
    ("words", "rate"),
    [
        ("+1 -2", 0.5),
        ("+1 -2 ? ?", 0.25),
        ("+1 t e", 1.0),
        ("-1", 0.0),
        ("t e", None),
        ("", None),
        ("+1 +1! -2", 2 / 3),
    ],
)
def test_pass_rate(words: str, rate: float | None) -> None:
    assert pass_rate(judged(words)[1]) == rate


# dropout pairs


def completion(
    response: int, prefix: str, text: str, ratio: float = 0.5, with_image: bool = False, finish: str = "stop"
) -> Completion:
    return Completion(response, ratio, with_image, prefix, 2, Response(text, 7, finish, 4))


ORIGINALS = rollout_of(
    Response("a red cat", 1, "stop", 5), Response("a dog", 2, "stop", 4), Response("cut", 3, "length", 9)
)

DROPOUT = [
    ([completion(0, "a red", " dog")], {}, [(0, "a red dog")], {}),
    ([completion(0, "", "anything")], {}, [(0, "anything")], {}),
    ([completion(0, "a red", " cat")], {}, [], {"same": 1}),
    ([completion(0, "a red", "\n  cat \n")], {}, [], {"same": 1}),
    ([completion(0, "a red", "cat")], {}, [], {"same": 1}),
    # chosen in one pair, it cannot be rejected in another
    ([completion(0, "a", " dog"), completion(1, "a", " red  cat")], {}, [], {"same_as_another": 2}),
    ([completion(0, "a red", " \n")], {}, [], {"empty_continuation": 1}),
    ([completion(2, "c", "at")], {}, [], {"truncated": 1}),
    ([completion(0, "a", " x", finish="length"), completion(0, "a", " y")], {}, [(0, "a y")], {"truncated": 1}),
    ([completion(0, "a", "", finish="error")], {}, [], {"truncated": 1}),
    ([], {}, [], {}),
    ([completion(0, "a", " x"), completion(1, "a", " x")], {}, [(0, "a x"), (1, "a x")], {}),
    ([completion(0, "a", " x"), completion(1, "a", " y")], {"max_pairs": 1}, [(0, "a x")], {"capped": 1}),
    ([completion(0, "a", " x")], {"max_pairs": 0}, [], {"capped": 1}),
    # two variants that write the same make one pair
    ([completion(0, "a", " x"), completion(0, "a", " x", with_image=True)], {}, [(0, "a x")], {"repeated": 1}),
    ([completion(0, "a", " x"), completion(0, "a", " y", 0.25)], {}, [(0, "a x"), (0, "a y")], {}),
]


@pytest.mark.parametrize(("completions", "options", "pairs", "skipped"), DROPOUT)
def test_dropout(completions: list, options: dict, pairs: list, skipped: dict) -> None:
    pairing = pair_by_dropout(ORIGINALS, completions, **options)
    kept = pairing.responses
    assert [(kept[p.chosen].sample, kept[p.rejected].text) for p in pairing.pairs] == pairs
    assert pairing.skipped == skipped
    assert pairing.outcome == ("paired" if pairs else "no_continuation")
    assert {place for p in pairing.pairs for place in (p.chosen, p.rejected)} == set(range(len(kept)))
    for pair in pairing.pairs:
        chosen, rejected = kept[pair.chosen], kept[pair.rejected]
        assert (chosen.continued, rejected.continued, pair.method) == (False, True, "dropout")
        assert chosen.sample == rejected.sample
        assert chosen.text == ORIGINALS.responses[chosen.sample].text
        assert rejected.text.startswith(chosen.text[: rejected.prefix_chars])


def test_an_original_stands_once_however_often_it_was_continued() -> None:
    made = [completion(0, "a", " x"), completion(0, "a", " y", 0.25), completion(0, "a", " z", with_image=True)]
    pairing = pair_by_dropout(ORIGINALS, made)
    assert [response.continued for response in pairing.responses] == [False, True, True, True]
    assert [pair.reason for pair in pairing.pairs] == [
        "continued from 0.5 without the image",
        "continued from 0.25 without the image",
        "continued from 0.5 with the image",
    ]
    rejected = pairing.responses[1]
    assert (rejected.text, rejected.tokens, rejected.finish_reason, rejected.seed) == ("a x", 6, "stop", 7)
    assert (rejected.prefix_chars, rejected.status, rejected.answer) == (1, "", None)
