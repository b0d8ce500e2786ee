"""The benchmark of the driver at scale, small: what it holds against something is asserted, what it times is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import scale_driver
from benchmarks.scale_tail import EngineModel, compare_with_turns, simulate
from mmpr.pipeline.job import UNADJUDICATED
from mmpr.pipeline.plan import read_build
from mmpr.pipeline.work import what_is_left
from mmpr.storage.shards import folder


@pytest.mark.parametrize(
    ("units", "unit_questions", "samples", "sequences"), [(6, 32, 8, 32), (5, 7, 3, 4), (3, 2, 9, 2)]
)
def test_the_model_lets_in_what_turns_let_in(units: int, unit_questions: int, samples: int, sequences: int) -> None:
    assert compare_with_turns(units, unit_questions, samples, EngineModel(sequences=sequences)) < 1e-9


def test_finer_units_leave_engines_less_idle_and_no_work_undone() -> None:
    coarse, fine = (simulate(6_000, 8, 8, unit_questions, 2) for unit_questions in (256, 32))
    assert 0 < fine.idle < coarse.idle < coarse.drained < 1
    assert fine.drained < coarse.drained
    for made in (coarse, fine):
        assert made.simulated == 6_000
        assert made.tokens_per_s < EngineModel().tokens_per_s()


def test_the_last_questions_stand_for_all_of_them() -> None:
    whole = simulate(24_000, 8, 4, 64, 2)
    last = simulate(24_000, 8, 4, 64, 2, simulated=8_000)
    assert last.hours == pytest.approx(whole.hours, rel=0.03)
    assert last.idle < 0.05


def peaks(name: str, data: Path, outs: list[Path], **more: object) -> list[float]:
    return [scale_driver.measured(name, data=str(data), out=str(out), **more)["peak_mib"] for out in outs]


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_planning_and_finishing_need_no_memory_for_each_question_and_unit(tmp_path: Path) -> None:
    data, peak = tmp_path / "questions.jsonl", {}
    for questions in (1_000, 25_000):
        scale_driver.write_questions(data, questions)
        figures = scale_driver.measured("index", data=str(data), out=str(tmp_path / f"index{questions}"))
        assert figures["questions"] == questions
        peak[questions] = figures["peak_mib"]
    # The questions alone are 9 MB of text; what stays is SQLite's cache, of 8 MiB at most.
    assert peak[25_000] - peak[1_000] < 8

    scale_driver.write_questions(data, 1)
    outs = [tmp_path / "few", tmp_path / "many"]
    for out, units in zip(outs, (100, 1_300), strict=True):
        scale_driver.finished_units(data, out, units, 1.0)
    few, many = peaks("finish", data, outs)
    # The manifest of so many units is 2 MB of text, and was 12 MB in memory.
    assert many - few < 5


@pytest.mark.slow
def test_a_build_goes_on_with_what_its_names_say(tmp_path: Path) -> None:
    data, out = tmp_path / "questions.jsonl", tmp_path / "out"
    scale_driver.write_questions(data, 1)
    scale_driver.finished_units(data, out, 440, 10 / 11)
    state = read_build(out)
    assert state is not None
    left = what_is_left(out, state.of("train"), state.of("heldout"), state.work)
    assert list(left.to_sample) == list(state.of("train"))[400:]
    assert left.totals == {"questions": 40, "to_judge": 40}
    assert not left.to_judge
    assert [len(list(folder(out, stage).iterdir())) for stage in UNADJUDICATED] == [400] * len(UNADJUDICATED)
    assert scale_driver.measured("resume", data=str(data), out=str(out))["wall_s"] > 0
