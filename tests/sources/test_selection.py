"""Which rows are chosen: each question once, shares and limits by seed, and sums that add up."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpr.config import SourceSpec, parse_recipe
from mmpr.schema import Reject, SourceRow, question_id
from mmpr.sources.selection import Selection, select_rows


class Rows:
    """A source that holds its rows in memory."""

    def __init__(self, rows: list[SourceRow | Reject]) -> None:
        self.all = rows

    def rows(self) -> Iterator[SourceRow | Reject]:
        return iter(self.all)

    def load(self, ref: str) -> bytes:
        raise AssertionError("selecting rows opens no picture")


class Weighted(Rows):
    """Rows of kind ``few`` weigh a tenth."""

    def repeat_time(self, row: SourceRow) -> float:
        return 0.1 if row.kind == "few" else 3.0


def spec_of(**settings: object) -> SourceSpec:
    source = {"name": "s", "type": "jsonl", "path": "x", **settings}
    return parse_recipe({"name": "t", "model": {"path": "./m"}, "sources": [source]}).sources[0]


def rows_of(count: int, kind: str = "") -> list[SourceRow | Reject]:
    return [SourceRow(f"x:{place}", f"question {place} {kind}", kind=kind, images=("a.png",)) for place in range(count)]


def chosen(source: Rows, seed: int = 0, **settings: object) -> tuple[list[str], Selection]:
    selection = select_rows(source, spec_of(**settings), seed)
    return [item.where for item in selection if isinstance(item, SourceRow)], selection


def counts(selection: Selection) -> tuple[int, int, int]:
    return selection.selected, selection.rejected, selection.not_selected


def test_everything_by_default() -> None:
    source = Rows(rows_of(50))
    found, selection = chosen(source)
    assert found == [f"x:{place}" for place in range(50)]
    assert counts(selection) == (50, 0, 0)
    assert chosen(source, repeat_time=5.0)[0] == found
    assert chosen(source, max_questions=50)[0] == chosen(source, max_questions=99)[0] == found


def test_rejects_pass_through_in_their_place() -> None:
    bad = Reject("ingest", "s", "x:1", "bad_json")
    items = list(select_rows(Rows([*rows_of(1), bad, *rows_of(3)[1:]]), spec_of(max_questions=3), 0))
    assert items[1] is bad
    assert len(items) == 4


def test_a_question_is_asked_once() -> None:
    row = SourceRow("x:1", "What?", "3", images=("a.png",))
    same = SourceRow("x:2", "What?", "3", images=("a.png",), kind="another kind")
    others = [
        SourceRow("x:3", "What?", "4", images=("a.png",)),
        SourceRow("x:4", "What?", None, images=("a.png",)),
        SourceRow("x:5", "What?", "3", images=("b.png",)),
        SourceRow("x:6", "What?", "3", images=("a.png",), choices=("3", "4")),
        SourceRow("x:7", "What?", "3", images=("a.png",), key="k"),
    ]
    same_key = SourceRow("x:8", "Another question with the same id", key="k")
    items = list(select_rows(Rows([row, same, *others, same_key]), spec_of(), 0))
    assert [item.where for item in items if isinstance(item, SourceRow)] == ["x:1", *(other.where for other in others)]
    first, second = [item for item in items if isinstance(item, Reject)]
    assert (first.reason, first.id, first.stage) == ("duplicate", question_id("s", row), "ingest")
    assert "x:2" in first.detail
    assert "x:8" in second.detail


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_share_of_the_rows(share: float) -> None:
    source = Rows(rows_of(4000))
    found, selection = chosen(source, repeat_time=share)
    assert abs(len(found) - 4000 * share) < 4 * (4000 * share * (1 - share)) ** 0.5
    assert counts(selection) == (len(found), 0, 4000 - len(found))
    assert found == sorted(found, key=lambda where: int(where[2:]))
    assert chosen(source, repeat_time=share)[0] == found
    assert chosen(source, seed=1, repeat_time=share)[0] != found
    assert set(found) > set(chosen(source, repeat_time=share / 2)[0])


def test_at_most_so_many() -> None:
    source = Rows(rows_of(1000))
    found, selection = chosen(source, max_questions=100)
    assert counts(selection) == (100, 0, 900)
    assert set(chosen(source, max_questions=50)[0]) < set(found)
    assert set(chosen(source, seed=1, max_questions=100)[0]) != set(found)
    # Not the first ones, not the last ones: a hundred from everywhere.
    assert 300 < sum(int(where[2:]) for where in found) / 100 < 700


def test_the_choice_does_not_depend_on_order() -> None:
    rows = rows_of(500)
    for settings_ in ({"max_questions": 50}, {"repeat_time": 0.2}, {"repeat_time": 0.5, "max_questions": 50}):
        forwards = chosen(Rows(rows), **settings_)[0]
        assert sorted(chosen(Rows(rows[::-1]), **settings_)[0]) == sorted(forwards)


def test_weights_of_rows_hold_under_a_limit() -> None:
    rows = [*rows_of(2000, "few"), *rows_of(2000, "many")]
    selection = select_rows(Weighted(rows), spec_of(max_questions=400), 0)
    kinds = [item.kind for item in selection if isinstance(item, SourceRow)]
    assert len(kinds) == 400
    assert 10 < kinds.count("few") < 80  # a tenth of the weight: 36 expected
    both, _ = chosen(Weighted(rows_of(4000, "few")), repeat_time=0.5)
    assert 130 < len(both) < 270  # 0.1 times 0.5 of 4,000


def test_duplicates_under_a_limit() -> None:
    rows = [row for row in rows_of(300) for _ in range(5)]
    found, selection = chosen(Rows(rows), max_questions=100)
    assert len(found) == len(set(found)) == 100
    assert counts(selection) == (100, 400, 1000)


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 30), max_size=60),
    st.none() | st.integers(1, 40),
    st.sampled_from([0.3, 0.7, 1.0, 2.0]),
    st.integers(0, 3),
)
def test_sums_add_up(numbers: list[int], most: int | None, share: float, seed: int) -> None:
    rows: list[SourceRow | Reject] = [
        Reject("ingest", "s", "x", "bad_json") if number % 7 == 0 else SourceRow("x", str(number)) for number in numbers
    ]
    found = select_rows(Rows(rows), spec_of(max_questions=most, repeat_time=share), seed)
    items = list(found)
    assert found.selected + found.rejected + found.not_selected == len(rows)
    assert found.selected + found.rejected == len(items)
    asked = [item.question for item in items if isinstance(item, SourceRow)]
    assert len(asked) == len(set(asked))
    distinct = {row.question for row in rows if isinstance(row, SourceRow)}
    if share >= 1:
        assert len(asked) == min(len(distinct), most or 60)
