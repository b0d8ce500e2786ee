"""What people say of verdicts: refused responses never pair, corrected ones pair as they were corrected."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmpr.build import dry_run
from mmpr.check.__main__ import main as check
from mmpr.errors import OutputError
from mmpr.pipeline.audited import are_kept, read_audit, read_judgements
from mmpr.pipeline.plan import make_plan, read_build
from mmpr.pipeline.standing import ADJUDICATED, AUDITED, standing_verdicts
from mmpr.report.__main__ import main as report
from mmpr.report.make import make_report, write_report
from mmpr.schema import (
    Adjudication,
    Adjudications,
    Judgement,
    Judgements,
    PreferenceRow,
    Rollout,
    Status,
    Verdict,
    Verdicts,
)
from mmpr.storage.manifest import read_manifest
from mmpr.storage.shards import Units
from mmpr.storage.tables import read_rows
from tests.conftest import SmallBuild
from tests.helpers import build_without_ray, small_recipe
from tests.report.measure.test_flow import assert_adds_up, flow_of
from tests.test_check import reseal, rewrite

RIGHT, WRONG, CANNOT = "right", "wrong", "unsure"


@pytest.mark.parametrize(
    ("judge", "said", "stands"),
    [
        # (verdict that was judged, says, instead), one a person
        ("correct", [("correct", RIGHT, "")], "correct"),
        ("correct", [("correct", WRONG, "")], "unsure"),
        ("correct", [("correct", WRONG, "incorrect")], "incorrect"),
        ("incorrect", [("incorrect", WRONG, "correct")], "correct"),
        ("incorrect", [("incorrect", WRONG, "unparseable")], "unparseable"),
        ("unsure", [("unsure", WRONG, "correct")], "correct"),
        ("unsure", [("unsure", RIGHT, "")], "unsure"),
        ("correct", [("correct", CANNOT, "")], "correct"),
        ("timeout", [("timeout", RIGHT, "")], "timeout"),
        # people who differ
        ("correct", [("correct", RIGHT, ""), ("correct", WRONG, "")], "unsure"),
        ("correct", [("correct", RIGHT, ""), ("correct", WRONG, "incorrect")], "unsure"),
        ("correct", [("correct", WRONG, "unparseable"), ("correct", WRONG, "incorrect")], "unsure"),
        ("correct", [("correct", WRONG, "incorrect"), ("correct", WRONG, "incorrect")], "incorrect"),
        ("correct", [("correct", WRONG, "incorrect"), ("correct", WRONG, "")], "incorrect"),
        ("correct", [("correct", RIGHT, ""), ("correct", CANNOT, "")], "correct"),
        # the judge has changed its verdict since
        ("incorrect", [("correct", WRONG, "")], "incorrect"),
        ("incorrect", [("correct", RIGHT, "")], "correct"),
        ("correct", [("incorrect", WRONG, "correct")], "correct"),
        ("unparseable", [("incorrect", WRONG, "correct")], "correct"),
    ],
)
def test_what_people_make_of_a_verdict(judge: Status, said: list[tuple[Status, Any, str]], stands: str) -> None:
    judgements = Judgements("i", "s", tuple(Judgement(0, at, *one) for at, one in enumerate(said)))
    [verdict] = standing_verdicts([Verdict(judge, "3", "number", "why")], None, judgements)
    assert verdict.status == stands
    assert verdict.comparator == (AUDITED if stands != judge else "number")
    assert verdict.answer == "3"


def test_people_go_before_a_model() -> None:
    words = Adjudications("i", "s", "m", "r", "p", "", tuple(Adjudication(at, "correct", ()) for at in range(4)))
    said = [("unsure", RIGHT, ""), ("unsure", WRONG, "incorrect"), ("unsure", CANNOT, "")]
    people = Judgements("i", "s", tuple(Judgement(at, 0, *one) for at, one in enumerate(said)))  # type: ignore[arg-type]
    standing = standing_verdicts([Verdict("unsure", "3", "number")] * 4, words, people)
    assert [verdict.status for verdict in standing] == ["correct", "incorrect", "correct", "correct"]
    assert [verdict.comparator for verdict in standing] == [ADJUDICATED, AUDITED, ADJUDICATED, ADJUDICATED]


def test_judgements_on_responses_that_are_not_there_say_nothing() -> None:
    people = Judgements("i", "s", (Judgement(7, 0, "correct", "wrong"),))
    assert standing_verdicts([Verdict("correct")], None, people) == (Verdict("correct"),)


# whole builds


@pytest.fixture
def out(small_build: SmallBuild, tmp_path: Path) -> Path:
    shutil.copytree(small_build.out, tmp_path / "out")
    return tmp_path / "out"


def rows_of(out: Path, folder: str, noun: Any) -> dict[str, Any]:
    return {row.id: row for path in sorted((out / folder).glob("*.parquet")) for row in read_rows(path, noun)}


def line(id: str, sample: int, verdict: str, says: str, instead: str = "", who: str = "ada") -> dict[str, str]:
    return {"response": f"{id}/{sample}", "verdict": verdict, "says": says, "instead": instead, "who": who}


def tell(out: Path, lines: Sequence[dict[str, str]]) -> None:
    (out / "audit.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def units_of(out: Path) -> Units:
    build = read_build(out)
    assert build is not None
    return build.of("train")


def texts(out: Path, side: str) -> set[tuple[str, str]]:
    """(question, text) of every response that stands on a side of a pair of a question with a truth."""
    return {
        (row.id, row.responses[getattr(pair, side)].text)
        for row in rows_of(out, "pairs", PreferenceRow).values()
        for pair in row.pairs
        if pair.method != "dropout"
    }


def paired_samples(out: Path, side: str, count: int) -> list[tuple[str, int]]:
    """The first ``count`` questions that have pairs, with a sample on that side of one."""
    found = [
        (row.id, row.responses[getattr(row.pairs[0], side)].sample)
        for row in rows_of(out, "pairs", PreferenceRow).values()
        if row.pairs[0].method == "correctness"
    ]
    return found[:count]


def test_what_was_refused_never_pairs_and_what_was_corrected_pairs_so(small_build: SmallBuild, out: Path) -> None:
    rollouts, verdicts = rows_of(out, "rollouts", Rollout), rows_of(out, "verdicts", Verdicts)
    refused = paired_samples(out, "chosen", 6)
    corrected = [
        (id, place)
        for id, row in verdicts.items()
        for place, verdict in enumerate(row.verdicts)
        if verdict.status == "incorrect" and rollouts[id].responses[place].finish_reason == "stop"
    ][:4]
    lines = [line(*one, "correct", WRONG) for one in refused]
    tell(out, lines + [line(*one, "incorrect", WRONG, "correct") for one in corrected])

    def text(one: tuple[str, int]) -> tuple[str, str]:
        return one[0], rollouts[one[0]].responses[one[1]].text

    before = {path.name: path.read_bytes() for path in (out / "verdicts").iterdir()}
    assert {text(one) for one in refused} <= texts(out, "chosen")
    build_without_ray(small_build.recipe, out, "pair")
    assert not {text(one) for one in refused} & (texts(out, "chosen") | texts(out, "rejected"))
    assert not {text(one) for one in corrected} & texts(out, "rejected")
    assert {text(one) for one in corrected} & texts(out, "chosen")
    assert {path.name: path.read_bytes() for path in (out / "verdicts").iterdir()} == before
    reasons = [p.reason for row in rows_of(out, "pairs", PreferenceRow).values() for p in row.pairs]
    assert any("is right by the word of a person, " in reason for reason in reasons)
    assert check([str(out), "--verify"]) == 0
    assert_adds_up(flow_of(out))

    (out / "audit.jsonl").unlink()
    build_without_ray(small_build.recipe, out, "pair")
    assert not (out / "judgements").exists()
    assert {p.name: p.read_bytes() for p in (out / "pairs").iterdir()} == {
        p.name: p.read_bytes() for p in (small_build.out / "pairs").iterdir()
    }


def test_a_text_is_refused_whichever_of_its_samples_was_looked_at(tmp_path: Path) -> None:
    replies = [f"So it is.\nFinal answer: {answer}" for answer in (*range(10), "yes", "no", "B")]
    recipe, out = small_recipe(tmp_path, engine={"type": "replay", "args": {"replies": replies}}), tmp_path / "out"
    build_without_ray(recipe, out)
    rollouts = rows_of(out, "rollouts", Rollout)

    def alike(id: str, place: int) -> list[int]:
        responses = rollouts[id].responses
        return [at for at, response in enumerate(responses) if response.text == responses[place].text]

    id, first = next(one for one in paired_samples(out, "chosen", 100) if len(alike(*one)) > 1)
    again, text = alike(id, first), rollouts[id].responses[first].text
    assert first == again[0]
    assert (id, text) in texts(out, "chosen")
    tell(out, [line(id, again[-1], "correct", WRONG)])
    build_without_ray(recipe, out, "pair")
    assert (id, text) not in texts(out, "chosen") | texts(out, "rejected")
    assert_adds_up(flow_of(out))


def test_no_name_of_a_person_is_in_the_build(small_build: SmallBuild, out: Path) -> None:
    [(id, place)] = paired_samples(out, "chosen", 1)
    tell(out, [line(id, place, "correct", WRONG, who="Ada Lovelace"), line(id, place, "correct", RIGHT, who="Bob")])
    build_without_ray(small_build.recipe, out, "pair")
    write_report(make_report(out), out / "report")
    files = [path for path in out.rglob("*") if path.is_file() and path.name != "audit.jsonl"]
    assert len(files) > 20
    assert not [path for path in files if b"Lovelace" in path.read_bytes()]
    [row] = [row for unit in units_of(out) for row in read_judgements(out, unit).values()]
    assert sorted((one.person, one.says) for one in row.judgements) == [(0, "wrong"), (1, "right")]


def test_check_report_and_card_tell_how_often_the_judge_is_right(
    small_build: SmallBuild, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen, rejected = paired_samples(out, "chosen", 5), paired_samples(out, "rejected", 5)
    lines = [line(*one, "correct", RIGHT if at else WRONG) for at, one in enumerate(chosen)]
    lines += [line(*one, "incorrect", RIGHT) for one in rejected]
    lines += [line(*one, "correct", RIGHT, who="bob") for one in chosen[:3]]
    tell(out, lines)
    assert not are_kept(out, units_of(out))
    assert check([str(out), "--width", "10"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for words in (
        "audit.jsonl: how often the judge is right",
        "chosen all all 4 0 1 100.0% 51.0% to 100.0% 31",
        "rejected all all 5 0 0 100.0% 56.6% to 100.0% 30",
        "judgements 13 by 2 people",
        "both on 3 responses, agreeing on 2; Cohen's kappa 0.00",
        "some are not known to the pairs: run the build command again with --from pair",
    ):
        assert words in said, words

    made = make_report(out)
    assert made.audited == read_audit(out, units_of(out))
    page = " ".join((write_report(made, tmp_path / "report").parent / "audit.html").read_text().split())
    assert "13 judgements by 2 people" in page

    assert "Checked by" not in (out / "README.md").read_text()
    build_without_ray(small_build.recipe, out, "pair")
    assert are_kept(out, units_of(out))
    card = " ".join((out / "README.md").read_text().split())
    assert (
        "Checked by 2 people, the share of right verdicts: chosen 100.0% of 4 (51.0% to 100.0%); rejected 100.0% of 5"
        in card
    )
    assert read_manifest(out)["audit"]["judgements"] == 13
    capsys.readouterr()
    assert check([str(out)]) == 0
    assert "not known to the pairs" not in capsys.readouterr().out


def test_a_finished_build_says_that_there_are_new_judgements(
    small_build: SmallBuild, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(out, [line(*paired_samples(out, "chosen", 1)[0], "correct", WRONG)])
    build_without_ray(small_build.recipe, out)
    assert "audit.jsonl has judgements that the pairs do not know; add --from pair" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["id", "sample", "type", "line"])
def test_a_hostile_file_is_a_sentence_and_changes_nothing(
    where: str, small_build: SmallBuild, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    id, place = paired_samples(out, "chosen", 1)[0]
    bad: dict[str, Any] = line(id, place, "correct", WRONG)
    if where == "id":
        bad["response"] = f"{'0' * 32}/0"
    elif where == "sample":
        bad["response"] = f"{id}/9999"
    elif where == "type":
        bad["says"] = {"right": True}
    else:
        bad["why"] = "x" * 1_000_000
    tell(out, [line(id, place, "correct", WRONG), bad])
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != ".lock"}
    with pytest.raises(OutputError, match=r"audit\.jsonl line 2: "):
        build_without_ray(small_build.recipe, out, "pair")
    assert dry_run(make_plan(small_build.recipe, "r"), out, "pair") == 1
    assert "audit.jsonl line 2: " in capsys.readouterr().out
    for command, arguments in ((check, [str(out)]), (report, [str(out), "--out", str(tmp_path / "report")])):
        assert command(arguments) == 1
        said = capsys.readouterr().err
        assert "audit.jsonl line 2: " in said
        assert "Traceback" not in said
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != ".lock"} == before


def test_check_derives_again_what_pairs_do_with_judgements(
    small_build: SmallBuild, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = paired_samples(out, "rejected", 3)
    tell(out, [line(*one, "incorrect", WRONG, "correct") for one in wrong])
    build_without_ray(small_build.recipe, out, "pair")
    assert check([str(out), "--verify"]) == 0
    rewrite(out, "judgements", Judgements, lambda row: replace(row, judgements=()))
    reseal(out)
    capsys.readouterr()
    assert check([str(out), "--verify"]) == 1
    assert "is judged incorrect, not correct" in capsys.readouterr().out


def test_unsure_verdicts_are_drawn_first_on_wish(tmp_path: Path) -> None:
    answers = [2, 3, 4, 7, "B", "yes", "no", "3 or 5"]
    recipe = small_recipe(tmp_path, engine={"type": "replay", "args": {"answers": answers}})
    build_without_ray(recipe, tmp_path / "out")
    total = Counter(v.status for row in rows_of(tmp_path / "out", "verdicts", Verdicts).values() for v in row.verdicts)

    def drawn(unsure_first: bool) -> Counter[str]:
        items = make_report(tmp_path / "out", unsure_first=unsure_first).audit
        return Counter(item.response.status for item in items)

    assert 0 < drawn(False)["unsure"] < total["unsure"] < 200
    first = drawn(True)
    assert first["unsure"] == total["unsure"]
    assert first.total() == drawn(False).total() == 200
