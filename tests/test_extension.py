"""Rules and sources of the user's own: judged by, read from, told apart, and refused in one sentence."""

from __future__ import annotations

import functools
import importlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mmpr.config import parse_recipe
from mmpr.errors import MmprError, RecipeError, RowError
from mmpr.extension import Extensions, fingerprint_of, from_options, judge_by
from mmpr.pipeline.judging import judge
from mmpr.pipeline.plan import make_plan
from mmpr.schema import Reject, SourceRow, Verdict
from mmpr.sources import open_source

RECIPE = {
    "name": "own",
    "model": {"path": "./none"},
    "engine": {"type": "replay"},
    "sources": [{"name": "mine", "type": "python", "rule": "close"}],
}


def close(answer: str, truth: str, choices: tuple[str, ...]) -> bool | None:
    return abs(int(answer) - int(truth)) <= 1 if answer.isdecimal() else None


def recipe_with(sources: dict[str, Any] | None = None, rules: dict[str, Any] | None = None, **changes: Any) -> Any:
    extensions = Extensions(
        {"close": close} if rules is None else rules, {"mine": list} if sources is None else sources
    )
    return parse_recipe({**RECIPE, **changes}, extensions=extensions)


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        (lambda answer, truth, choices: True, "correct"),
        (lambda answer, truth, choices: False, "incorrect"),
        (lambda answer, truth, choices: None, "error"),
        (lambda answer, truth, choices: 1 / 0, "error"),
        (lambda answer, truth, choices: Verdict("unparseable", answer), "unparseable"),
        (lambda answer, truth, choices: choices == ("a", "b"), "correct"),
    ],
)
def test_a_rule_decides(rule: Any, status: str) -> None:
    assert judge_by("mine", rule, "7", "8", ["a", "b"]).status == status


def test_a_rule_that_raises_is_told() -> None:
    verdict = judge_by("mine", lambda answer, truth, choices: bool(1 / 0), "7", "8", [])
    assert (verdict.comparator, verdict.reason) == ("mine", "the rule raised ZeroDivisionError: division by zero")


def test_judging_by_a_rule_takes_extracted_answers() -> None:
    texts = ["So it is.\nFinal answer: 7", "Final answer: 3", "Final answer: many", "I do not know."]
    verdicts = judge(texts, "8", rule="close", rules={"close": close})
    assert [verdict.status for verdict in verdicts] == ["correct", "incorrect", "error", "unparseable"]
    assert [verdict.answer for verdict in verdicts] == ["7", "3", "many", None]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"rules": {}},
            "sources.0.rule: must be one of default, relaxed, anls, exact, multiple_choice, vqa, iou, point_in_box, "
            "count, json, or a rule of your",
        ),
        ({"rules": {"close": close, "default": close}}, "rule 'default': mmpr has a rule of this name"),
        ({"rules": {"close": 7}}, "rule 'close': 7 is no function"),
        ({"rules": {"close": close, "far": close}}, "no source has the rule 'far'"),
        ({"sources": {"mine": list, "other": list}}, "there is no source 'other' of type python"),
        ({"extensions": {}}, "extensions: not a setting of recipes"),
    ],
)
def test_what_does_not_fit_is_a_problem_of_the_recipe(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(RecipeError) as told:
        recipe_with(**changes)
    assert problem in str(told.value)


def test_a_source_that_nobody_gives_is_a_problem_of_the_plan() -> None:
    with pytest.raises(RecipeError, match=r"source 'mine': is of type python: give its rows \(--source mine=module:"):
        make_plan(recipe_with(sources={}), "recipe")


def rows_of(given: Any, folder: Path = Path()) -> list[SourceRow | Reject]:
    recipe = recipe_with({"mine": given}).model_copy(update={"folder": folder})
    return list(open_source(recipe.sources[0], recipe).rows())


def test_rows_of_a_function_and_of_an_object() -> None:
    def function() -> Iterator[dict[str, Any]]:
        yield {"question": "How many?", "answer": 3, "images": ["a.png", "b.png"], "choices": ["2", "3"], "id": 5}
        yield {"question": "Which?", "image": "a.png", "kind": "colour"}

    class Holder:
        rows = staticmethod(function)

    expected = [
        SourceRow("mine:1", "How many?", "3", ("2", "3"), ("a.png", "b.png"), "5"),
        SourceRow("mine:2", "Which?", None, (), ("a.png",), "", "colour"),
    ]
    assert rows_of(function) == rows_of(Holder()) == expected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"answer": "3"}, "missing_field"),
        ({"question": 3}, "wrong_type"),
        ({"question": " "}, "empty_question"),
        ("How many?", "wrong_type"),
        ({"question": "How many?", "image": b"\x89PNG"}, "wrong_type"),
    ],
)
def test_a_wrong_row_is_a_reject(row: Any, reason: str) -> None:
    [reject, good] = rows_of(lambda: iter([row, {"question": "Fine?"}]))
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.id) == (reason, "mine:1")
    assert isinstance(good, SourceRow)


def test_a_source_that_raises_is_told_with_its_line() -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield {"question": "Fine?"}
        raise KeyError("gone")

    with pytest.raises(MmprError, match=r"source 'mine': KeyError: 'gone' \(.*test_extension\.py:\d+\)"):
        rows_of(broken)


def test_pictures_come_from_the_root_or_from_load(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"picture")

    class Loads:
        def rows(self) -> Iterator[dict[str, Any]]:
            yield {"question": "Fine?", "image": "one"}

        def load(self, reference: str) -> Any:
            return {"one": b"picture", "two": "text"}[reference]

    def source(given: Any) -> Any:
        recipe = recipe_with({"mine": given}).model_copy(update={"folder": tmp_path})
        return open_source(recipe.sources[0], recipe)

    assert source(list).load("a.png") == b"picture"
    assert source(Loads()).load("one") == b"picture"
    for given, reference, reason in (
        (list, "../a.png", "image_outside_root"),
        (list, "none.png", "image_missing"),
        (Loads(), "two", "wrong_type"),
        (Loads(), "three", "image_missing"),
    ):
        with pytest.raises(RowError) as told:
            source(given).load(reference)
        assert told.value.reason == reason


MODULE = """
    import functools, math, re
    LIMIT = {limit}
    SEEN = re.compile("{seen}")
    NAMES = {{"a", "{names}"}}
    class Base:
        step = 1
        def half(self): return {half}
    class Rule(Base):
        def __init__(self, most=1): self.most = most
        def __call__(self, answer, truth, choices): return helper(answer) == self.most
    def helper(text): return len(text) + {helper}
    def deep(text): return {deep}
    class Static:
        @staticmethod
        def rule(answer): return deep(answer)
        @property
        def most(self): return SEEN.match("a")
        def __call__(self, answer, truth, choices): return self.rule(answer) and self.most and answer in NAMES
    def other(text): return {other}
    def plain(answer, truth, choices): return [helper(part) for part in answer] == LIMIT
    def closing(value):
        def rule(answer, truth, choices): return answer == value
        return rule
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that makes a module of the user's, with one thing in it that differs."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(**changes: Any) -> ModuleType:
        values = {"limit": 3, "half": 0.5, "helper": 0, "other": 0, "deep": 0, "seen": "a", "names": "b", **changes}
        name = f"own_{abs(hash(tuple(values.items())))}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(MODULE).format(**values))
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield make
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


MAKERS = {
    "plain": lambda m: m.plain,
    "object": lambda m: m.Rule(),
    "partial": lambda m: functools.partial(m.plain, LIMIT=2),
    "closing": lambda m: m.closing("7"),
    "static": lambda m: m.Static(),
}
# what changes: which extensions it changes
CHANGES = {
    "helper": {"plain", "object", "partial"},
    "limit": {"plain", "partial"},
    "half": {"object"},
    "other": set(),
    "deep": {"static"},
    "seen": {"static"},
    "names": {"static"},
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("maker", MAKERS)
def test_a_fingerprint_changes_with_what_is_used_and_with_nothing_else(module: Any, maker: str, change: str) -> None:
    before, after = (fingerprint_of(MAKERS[maker](module(**values))) for values in ({}, {change: 9}))
    assert (before != after) == (maker in CHANGES[change])


def test_a_fingerprint_changes_with_state(module: Any) -> None:
    own = module()
    assert fingerprint_of(own.Rule(1)) == fingerprint_of(own.Rule(1)) != fingerprint_of(own.Rule(2))
    assert fingerprint_of(own.closing("7")) != fingerprint_of(own.closing("8"))
    assert fingerprint_of(functools.partial(own.plain, 1)) != fingerprint_of(functools.partial(own.plain, 2))


def test_a_fingerprint_of_ones_own_counts_alone() -> None:
    class Own:
        fingerprint = "1"
        held = object()

    assert fingerprint_of(Own()) == fingerprint_of(Own())


_HELD = object()


def uses_what_is_not_plain(answer: str, truth: str, choices: tuple[str, ...]) -> bool:
    return _HELD is None


def test_a_value_of_the_module_that_is_not_plain_wants_a_fingerprint() -> None:
    with pytest.raises(RecipeError, match="it holds a object"):
        fingerprint_of(uses_what_is_not_plain)


def test_state_that_is_not_plain_wants_a_fingerprint() -> None:
    class Holds:
        def __init__(self) -> None:
            self.held = object()

    with pytest.raises(RecipeError, match=r"it holds a object.*give it an attribute `fingerprint`"):
        fingerprint_of(Holds())


def test_options_name_extensions(module: Any, capsys: pytest.CaptureFixture[str]) -> None:
    name = module().__name__
    found = from_options([f"close={name}:plain"], [f"mine={name}:Rule"])
    assert found.rules["close"].__name__ == "plain"
    assert type(found.sources["mine"]).__name__ == "Rule"
    assert capsys.readouterr().err.splitlines() == [
        f"note: code of your own runs: plain of {name}",
        f"note: code of your own runs: Rule of {name}",
    ]


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("close", "write it as NAME=module:function"),
        ("close=module", "write it as NAME=module:function"),
        ("=json:dumps", "write it as NAME=module:function"),
        ("close=no_such_module_here:rule", "ModuleNotFoundError"),
        ("close=json:no_such_function", "AttributeError"),
    ],
)
def test_an_option_that_is_wrong(option: str, problem: str) -> None:
    with pytest.raises(MmprError, match=problem):
        from_options([option])
