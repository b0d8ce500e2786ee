"""Ids and seeds: functions of what is asked, never of when or where."""

import random
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from mmpr.schema import SourceRow, Turn, content_id, question_id, sample_seed

TEXTS = st.lists(st.text(), max_size=4)
ROWS = st.builds(
    SourceRow,
    where=st.text(),
    question=st.text(),
    answer=st.none() | st.text(),
    choices=TEXTS.map(tuple),
    images=TEXTS.map(tuple),
    kind=st.text(),
)


@given(TEXTS, TEXTS)
@example(["ab"], ["a", "b"])
@example(["a", ""], ["", "a"])
@example([""], [])
@example(["\ud800"], ["\ud801"])
def test_no_two_lists_of_parts_share_an_id(left: list[str], right: list[str]) -> None:
    assert (content_id(*left) == content_id(*right)) == (left == right)


def test_content_id_is_the_same_for_ever() -> None:
    assert content_id("a", "b") == content_id(b"a", b"b") == "3c9d591045bc8876f9d0399bbfb05c6a"


@given(ROWS, ROWS)
@example(SourceRow("w", "q", None), SourceRow("w", "q", ""))
@example(SourceRow("w", "q", choices=("a",)), SourceRow("w", "q", images=("a",)))
@example(SourceRow("w", "q", choices=("a", "b")), SourceRow("w", "q", choices=("a",), images=("b",)))
def test_rows_without_a_key_are_known_by_what_they_ask(left: SourceRow, right: SourceRow) -> None:
    same = (left.question, left.answer, left.choices, left.images) == (
        right.question,
        right.answer,
        right.choices,
        right.images,
    )
    assert (question_id("s", left) == question_id("s", right)) == same


def test_turns_before_a_question_make_another_one_of_it() -> None:
    row = SourceRow("a.json[0]", "And now?", "3", images=("a.png",))
    assert question_id("s", row) == "137c3389cac148003ace436c7ebaf36c", "as ever"
    talks = [(), (Turn("user", "a"), Turn("assistant", "b")), (Turn("user", "a"), Turn("assistant", "c"))]
    talks.append((Turn("system", "a"), Turn("user", "b")))
    assert len({question_id("s", replace(row, context=context)) for context in talks}) == 4


def test_a_key_decides_alone_and_never_meets_content() -> None:
    row = SourceRow("w", "q", "a", key="k")
    assert question_id("s", row) == question_id("s", SourceRow("elsewhere", "other", key="k"))
    assert question_id("s", row) != question_id("t", row)
    assert question_id("s", row) != question_id("s", SourceRow("w", "q", "a"))


@given(st.integers(0, 2**63), st.text(), st.integers(0, 1023))
def test_sample_i_has_the_first_seed_plus_i_and_fits_64_bits(run: int, question: str, sample: int) -> None:
    assert sample_seed(run, question, sample) == sample_seed(run, question) + sample
    assert 0 <= sample_seed(run, question, sample) <= 2**62 + sample < 2**63


def test_seeds_are_distinct_whatever_the_order() -> None:
    ids = [content_id(str(i)) for i in range(3000)]
    seeds = {(id, i): sample_seed(7, id, i) for id in ids for i in range(32)}
    assert len(set(seeds.values())) == len(seeds)
    again = list(seeds)
    random.Random(0).shuffle(again)
    assert all(sample_seed(7, *key) == seeds[key] for key in again)
    assert not set(seeds.values()) & {sample_seed(8, id, i) for id in ids for i in range(32)}


def test_seeds_never_change_between_versions() -> None:
    # Frozen: a build that is resumed by a later version must go on with the same seeds.
    assert sample_seed(20261123, "0123456789abcdef0123456789abcdef", 3) == 175404977657900160
    assert question_id("s", SourceRow("w", "q", "a", ("x", "y"), ("i.png",))) == "4061c875c3e9e97480b9e12e724863d0"
