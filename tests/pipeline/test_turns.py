"""Turns before a question, a conversation's and a template's: from the source to training and exports."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmpr.check.verify import verify
from mmpr.config import parse_recipe
from mmpr.engine import Reply, Request, Tokenization
from mmpr.errors import MmprError, OutputError, RowError
from mmpr.evaluate.questions import find_data
from mmpr.export.run import export
from mmpr.pipeline.plan import make_plan
from mmpr.pipeline.progress import Steps
from mmpr.prompts import to_messages
from mmpr.schema import PreferenceRow, Question, Reject, Response, Rollout, TokenIds, Turn
from mmpr.sources import open_source
from mmpr.sources.ingest import to_question
from mmpr.sources.selection import select_rows
from mmpr.storage.flat import load_pairs
from mmpr.storage.tables import read_rows
from mmpr.templates import load_template, stored_templates
from mmpr.train.data.preference_data import read_train_rows
from mmpr.train.loop.greedy_answers import held_out
from tests.evaluate.evaluations import evaluate_here
from tests.helpers import build_without_ray

TEMPLATE = """
system: Answer as JSON.
turns:
  - user: "Which colour?"
    images: [shots/red.png]
    assistant: '{"answer": "red"}'
  - user: "2 + 2?"
    assistant: '{"answer": 4}'
question: |
  {question}
  Give {"answer": ...} at the end.
"""
TALK: list[dict[str, Any]] = [
    {"from": "human", "value": "<image>\nHow many?"},
    {"from": "gpt", "value": "Three"},
    {"from": "human", "value": "And in <image>?"},
]
SYSTEM, OWN, ROWS = "Be careful.", "Answer as JSON.", "You count."
SHOTS = [("user", "<image>\nWhich colour?"), ("assistant", '{"answer": "red"}')]
SHOTS += [("user", "2 + 2?"), ("assistant", '{"answer": 4}')]
EARLIER = [("user", "<image>\nHow many?"), ("assistant", "Three")]
ASKED = 'And in <image>?\nGive {"answer": ...} at the end.'


def png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (24, 24), colour).save(file, "PNG")
    return file.getvalue()


RED, BLUE, GREEN = map(png, ("red", "blue", "green"))


class Recorded:
    """An engine that keeps what it is asked; every other answer is right."""

    samples_at_once = 64
    about = Tokenization()

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def generate(self, request: Request) -> Reply:
        self.requests.append(request)
        said = [
            f'I look, {request.seed % 97}, {n}. {{"answer": "{7 if n % 2 else 3}"}}' for n in range(request.samples)
        ]
        return Reply(tuple(Response(text, request.seed + n, "stop", 9) for n, text in enumerate(said)), 4)

    def spelling(self, response: Response) -> tuple[TokenIds, list[int]]:
        return tuple(map(ord, response.text)), list(range(1, len(response.text) + 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("turns")
    (at / "shots").mkdir()
    (at / "shots/red.png").write_bytes(RED)
    for name, data in (("a.png", BLUE), ("b.png", GREEN)):
        (at / name).write_bytes(data)
    row = {"image": ["a.png", "b.png"], "system": ROWS}
    truth = {"from": "gpt", "value": "7"}
    (at / "talk.json").write_text(json.dumps([{**row, "id": "1", "conversations": [*TALK, truth]}]))
    (at / "open.json").write_text(json.dumps([{**row, "id": "2", "conversations": TALK}]))
    (at / "shots.yaml").write_text(TEMPLATE)
    return at


def tree(**settings: Any) -> dict[str, Any]:
    source = {"type": "llava", "template": "./shots.yaml", "open_template": "./shots.yaml"}
    return {
        "name": "turns",
        "model": {"path": "none"},
        "engine": {"type": "replay"},
        "chat": {"system": SYSTEM},
        "sampling": {"samples": 4, "max_tokens": 64},
        "dropout": {"variants": [{"start_ratio": 0.5}, {"start_ratio": 0.25, "with_image": True}]},
        "sources": [{"name": name, "path": f"{name}.json", **source} for name in ("talk", "open")],
        "heldout": [{"name": "held", "path": "talk.json", **source}],
        **settings,
    }


@pytest.fixture(scope="module")
def asked(folder: Path) -> list[Request]:
    """The requests of a build of both sources; it lies in ``out``."""
    engine = Recorded()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmpr.runners.local.start_engine", lambda *_, **__: engine)
        build_without_ray(parse_recipe(tree(), folder=folder), folder / "out")
    return engine.requests


def rows(folder: Path, name: str, noun: type[Any]) -> list[Any]:
    return [row for path in sorted((folder / "out" / name).glob("*.parquet")) for row in read_rows(path, noun)]


def pairs_of(turns: Sequence[Turn]) -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in turns]


def test_turns_are_stored_and_asked(folder: Path, asked: list[Request]) -> None:
    told = [("system", f"{OWN}\n\n{ROWS}"), *SHOTS, *EARLIER]
    first = [request for request in asked if not request.prefix]
    assert len(first) == 2
    for request in first:
        assert pairs_of(request.context) == told
        assert (request.prompt, request.images) == (ASKED, (RED, BLUE, GREEN))
    for question in rows(folder, "questions", Question):
        assert pairs_of(question.context) == [("system", ROWS), *EARLIER]
        assert (question.question, question.images) == ("And in <image>?", (BLUE, GREEN))
    for rollout in rows(folder, "rollouts", Rollout):
        assert pairs_of(rollout.context) == told
        assert rollout.template_sha256 == load_template("./shots.yaml", folder).sha256
    paired = rows(folder, "pairs", PreferenceRow)
    assert {row.source for row in paired} == {"talk", "open"}
    for row in paired:
        assert (pairs_of(row.context), row.prompt, row.images) == (told, ASKED, (RED, BLUE, GREEN))
    assert {row.pass_rate for row in paired} == {0.5, None}


def test_continuations_see_no_picture_of_any_turn_unless_they_are_to(folder: Path, asked: list[Request]) -> None:
    continued = [request for request in asked if request.prefix]
    seeing = [request for request in continued if request.images]
    blind = [request for request in continued if not request.images]
    assert seeing
    assert blind
    for request in seeing:
        assert (request.said.count("<image>"), request.images) == (3, (RED, BLUE, GREEN))
    for request in blind:
        assert "<image>" not in request.said
        assert pairs_of(request.context)[1] == ("user", "Which colour?")


def test_the_build_is_whole_and_a_change_of_its_turns_is_found(folder: Path, asked: list[Request]) -> None:
    with Steps(io.StringIO()) as steps:
        assert list(verify(folder / "out", steps)) == []
    template = stored_templates(folder / "out")["./shots.yaml"]
    assert template == load_template("./shots.yaml", folder)
    (folder / "shots/red.png").write_bytes(GREEN)
    changed = make_plan(parse_recipe(tree(), folder=folder), "recipe")
    (folder / "shots/red.png").write_bytes(RED)
    same = make_plan(parse_recipe(tree(), folder=folder), "recipe")
    kept = json.loads((folder / "out/build.json").read_text())["fingerprints"]
    assert same.fingerprints == kept
    assert changed.fingerprints["sample"] != kept["sample"]


def test_training_and_watched_questions_have_the_same_turns(
    folder: Path, asked: list[Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the template's file is not there: the build has it
    context = tuple(Turn(role, text) for role, text in [("system", f"{OWN}\n\n{ROWS}"), *SHOTS, *EARLIER])  # type: ignore[arg-type]
    messages = to_messages(ASKED, SYSTEM, context)
    assert messages[0]["content"] == [{"type": "text", "text": f"{SYSTEM}\n\n{OWN}\n\n{ROWS}"}]
    assert [message["role"] for message in messages] == ["system", *["user", "assistant"] * 3, "user"]
    for row in iter(read_train_rows(folder / "out")):
        assert (list(row.prompt), row.images) == (messages, (RED, BLUE, GREEN))
    for pair in load_pairs(folder / "out"):
        got = [[{k: v for k, v in part.items() if v} for part in turn["content"]] for turn in pair["prompt"]]
        assert got == [turn["content"] for turn in messages]
    [watched] = held_out(folder / "out", 4)
    assert (list(watched.row.prompt), watched.row.images) == (messages, (RED, BLUE, GREEN))
    assert find_data(str(folder / "out")).templates == stored_templates(folder / "out")


def test_an_evaluation_asks_with_the_builds_template_wherever_it_runs(
    folder: Path, asked: list[Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the template's file is not there
    evaluate_here(["one"], folder / "out", tmp_path / "r", styles=("reason", "direct"))
    told = {path.parent.parent.name: path for path in (tmp_path / "r").rglob("rollouts/*.parquet")}
    [reasoned], [direct] = (list(read_rows(told[f"{style}-greedy"], Rollout)) for style in ("reason", "direct"))
    assert pairs_of(reasoned.context) == [("system", f"{OWN}\n\n{ROWS}"), *SHOTS, *EARLIER]
    assert reasoned.template_sha256 == load_template("./shots.yaml", folder).sha256
    assert pairs_of(direct.context) == [("system", ROWS), *EARLIER]
    with pytest.raises(MmprError, match=r"template shots.yaml: cannot be read: No such file"):
        evaluate_here(["one"], folder / "out", tmp_path / "other", template="./shots.yaml")


@pytest.mark.parametrize("format", ["trl", "llama-factory", "ms-swift"])
def test_exports_have_the_turns_and_are_read_back(
    folder: Path, asked: list[Request], tmp_path: Path, format: Any
) -> None:
    export(folder / "out", format, tmp_path / "to")
    own = {json.dumps(row.prompt) for row in iter(read_train_rows(folder / "out"))}
    back = list(iter(read_train_rows(tmp_path / "to")))
    assert back
    for row in back:
        assert json.dumps(row.prompt) in own
        assert len(row.images) == 3
    pairs = sum(len(row.pairs) for row in iter(read_train_rows(folder / "out")))
    assert sum(len(row.pairs) for row in back) == pairs


def test_llama_factory_reads_system_prompts_of_rows_and_templates(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmpr.runners.local.start_engine", lambda *_, **__: Recorded())
    build_without_ray(parse_recipe(tree(chat={}), folder=folder), tmp_path / "out")
    export(tmp_path / "out", "llama-factory", tmp_path / "to")
    [about] = json.loads((tmp_path / "to/dataset_info.json").read_text()).values()
    assert about["columns"]["system"] == "system"
    row = read_train_rows(tmp_path / "to")[0]
    assert row.prompt[0]["content"] == [{"type": "text", "text": f"{OWN}\n\n{ROWS}"}]


def test_mmprs_format_has_no_place_for_turns_and_says_so(folder: Path, asked: list[Request], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"mmpr can hold none of the pairs: 2 x turns, see .*/rejects"):
        export(folder / "out", "mmpr", tmp_path / "to")


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("turns: []", ["question: is missing"]),
        ("question: '{question} {question}'", ["question: must hold {question} exactly once, it holds it 2 times"]),
        ("question: '{question}'\nsystem: <image>", ["system: must not hold <image>"]),
        (
            "question: '{question}'\nturns: [{user: a, assistant: <image>}, {user: <image>, assistant: b}]",
            ["turns.0.assistant: must not hold <image>", "turns.1: 1 times <image> in its question, 0 pictures"],
        ),
        (
            "question: '{question}'\nturns: [{user: a, images: [../out.png, none.png, x.yaml], assistant: b}]",
            ["'../out.png': is not inside", "'none.png': No such file", "'x.yaml'"],
        ),
        ("question: '{question}'\nturns: [{user: a, asistant: b}]", ["asistant: not a setting"]),
        ("[1]", ["a recipe is a mapping"]),
        ("question: [", ["is not a YAML recipe"]),
    ],
)
def test_a_wrong_template_is_told_with_all_its_problems(tmp_path: Path, text: str, problems: list[str]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out.png").write_bytes(RED)
    (tmp_path / "in/x.yaml").write_text(text)
    with pytest.raises(MmprError) as told:
        load_template("./x.yaml", tmp_path / "in")
    assert all(problem in str(told.value) for problem in problems), told.value


def test_a_templates_picture_may_not_be_a_link_that_leaves(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out.png").write_bytes(RED)
    (tmp_path / "in/link.png").symlink_to(tmp_path / "out.png")
    (tmp_path / "in/x.yaml").write_text("question: '{question}'\nturns: [{user: a, images: [link.png], assistant: b}]")
    with pytest.raises(MmprError, match="is not inside the recipe's folder"):
        load_template("./x.yaml", tmp_path / "in")


def test_a_turn_of_too_many_characters_is_refused(folder: Path) -> None:
    recipe = parse_recipe(tree(max_question_chars=30), folder=folder)
    spec = recipe.sources[0]
    source = open_source(spec, recipe)
    [row] = select_rows(source, spec, 0)
    assert not isinstance(row, Reject)
    with pytest.raises(RowError, match="question_too_long"):
        to_question(row, "id", spec, source, recipe)
