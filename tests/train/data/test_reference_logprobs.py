"""Lengths and reference log-probabilities: computed once, resumed, exact, and refused where anything differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from mmpr.errors import MmprError, OutputError
from mmpr.schema import Reject
from mmpr.train.data import reference_logprobs, token_lengths
from mmpr.train.data.encoding import Encoder
from mmpr.train.data.preference_data import TrainRows, read_train_rows
from mmpr.train.data.reference_logprobs import PlannedRows, Reference, ReferenceModel, compute_reference, read_reference
from mmpr.train.data.step_plan import Pairs, plan_steps
from mmpr.train.data.token_lengths import TokenLengths, measure_lengths, read_lengths
from mmpr.train.data.unit_cache import Workers, cache_base
from mmpr.train.rows import StepPart
from mmpr.train.shared_prefix.compute import Compute
from tests.helpers import REPOSITORY
from tests.train.data.test_preference_data import BLUE, RED, build, preference

pytestmark = pytest.mark.slow

DEMO = REPOSITORY / "data" / "demo_model"
LONG = "The digits are 1, 2 and 3. " * 20
ROWS = [
    preference(0, (RED,), ("The sum is 6.", "The sum is 7.", "5"), ((0, 1), (0, 2))),
    preference(1, (), ("x", "y"), ((1, 0),)),
    preference(2, (RED, BLUE), ("a", "b", LONG, "d"), ((0, 1), (2, 3), (0, 3))),
    preference(3, (b"no picture",), ("a", "b"), ((0, 1),)),
    preference(4, (BLUE,), ("same", "<image>", "other"), ((0, 1), (0, 2))),
    preference(5, (BLUE,), (LONG, "b"), ((0, 1),)),
    preference(6, (RED,), ("4", "5"), ((0, 1),)),
]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(AutoProcessor.from_pretrained(DEMO), AutoConfig.from_pretrained(DEMO))


@pytest.fixture(scope="module")
def model() -> Any:
    return AutoModelForImageTextToText.from_pretrained(DEMO).eval()


@pytest.fixture(autouse=True)
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_lengths, "UNIT_ROWS", 3)
    monkeypatch.setattr(reference_logprobs, "UNIT_ROWS", 2)


@pytest.fixture
def rows(tmp_path: Path) -> TrainRows:
    return read_train_rows(build(tmp_path / "out", ROWS))


def measured(rows: TrainRows, encoder: Encoder, base: Path) -> TokenLengths:
    return read_lengths(measure_lengths(rows, encoder, base), rows)


def test_a_survey_tells_lengths_and_what_is_left_out(rows: TrainRows, encoder: Encoder, tmp_path: Path) -> None:
    found = measured(rows, encoder, tmp_path / "s")
    pairs, rejects = found.pairs(max_tokens=10_000)
    assert len(found) == len(ROWS)
    assert [(int(r), int(c), int(j)) for r, c, j in zip(pairs.row, pairs.chosen, pairs.rejected, strict=True)] == [
        (0, 0, 1), (0, 0, 2), (1, 0, 1), (2, 0, 1), (2, 2, 3), (2, 0, 3), (4, 0, 2), (5, 0, 1), (6, 0, 1),
    ]  # fmt: skip
    assert [(reject.id, reject.reason) for reject in rejects] == [
        (ROWS[3].id, "image_broken"),
        (ROWS[4].id, "image_token_in_response"),
    ]
    for place in (0, 1, 2, 5):
        encoded = encoder.encode(rows[place]).row
        assert pairs.prompt_tokens[place] == len(encoded.prompt_ids)
        start, end = pairs.first_response[place : place + 2]
        assert pairs.response_tokens[start:end].tolist() == [len(ids) for ids in encoded.response_ids]
    assert [pairs.sources[number] for number in pairs.source] == [row.source for row in ROWS]
    assert [pairs.kinds[number] for number in pairs.kind] == [row.kind for row in ROWS]
    assert pairs.of_row(2) == ((0, 1), (2, 3), (0, 3))


def test_a_pair_that_does_not_fit_is_left_out_to_the_token(rows: TrainRows, encoder: Encoder, tmp_path: Path) -> None:
    found = measured(rows, encoder, tmp_path / "s")
    encoded = encoder.encode(rows[2]).row
    needed = len(encoded.prompt_ids) + len(encoded.response_ids[2])
    fits, before = found.pairs(needed)
    tight, rejects = found.pairs(needed - 1)
    assert fits.of_row(2) == ((0, 1), (2, 3), (0, 3))
    assert tight.of_row(2) == ((0, 1), (0, 3)), "the other pairs of a question stay"
    [new] = [reject for reject in rejects if reject not in before and reject.id == ROWS[2].id]
    assert new == Reject(
        "encode",
        ROWS[2].source,
        ROWS[2].id,
        "too_long",
        f"responses 2 and 3: {needed} tokens, the limit is {needed - 1} (data.max_tokens)",
    )
    assert len(fits) - len(tight) == len(rejects) - len(before)
    assert len(found.pairs(3)[0]) == 0


def test_workers_ranks_and_resumes_see_the_same(
    rows: TrainRows, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = measure_lengths(rows, encoder, tmp_path / "alone")
    helped = measure_lengths(rows, encoder, tmp_path / "helped", Workers(helpers=2))
    for rank in (1, 0):
        shared = measure_lengths(rows, encoder, tmp_path / "shared", Workers(rank, 2))
    for path in alone.glob("*.parquet"):
        for other in (helped, shared):
            assert (other / path.name).read_bytes() == path.read_bytes()
    [middle] = alone.glob("part-00001-*")
    middle.unlink()
    with pytest.raises(OutputError, match="delete it and run again"):
        read_lengths(alone, rows)
    looked = []
    measure_row = token_lengths.measure_row
    monkeypatch.setattr(token_lengths, "measure_row", lambda *a: looked.append(a[2]) or measure_row(*a))
    measure_lengths(rows, encoder, tmp_path / "alone")
    assert looked == [3, 4, 5]
    assert middle.read_bytes() == (helped / middle.name).read_bytes()


class Case:
    """A data set with its plan, and how to compute its reference."""

    def __init__(self, rows: TrainRows, encoder: Encoder, base: Path) -> None:
        self.rows, self.encoder, self.base = rows, encoder, base
        self.pairs: Pairs = measured(rows, encoder, base / "survey").pairs(200)[0]
        self.wanted = plan_steps(self.pairs, pairs_a_step=2).rows

    def compute(self, scores: Any, **changes: Any) -> Path:
        how: dict[str, Any] = {
            "rows": self.rows,
            "encoder": self.encoder,
            "pairs": self.pairs,
            "wanted": self.wanted,
            "base": self.base / "reference",
            "model_revision": "sha256:1",
            "precision": "float32",
            "batch_tokens": 100,
            "workers": Workers(),
            **changes,
        }
        planned = PlannedRows(how["rows"], how["encoder"], how["pairs"], how["wanted"])
        model = ReferenceModel(scores, how["model_revision"], how["precision"], how["batch_tokens"])
        return compute_reference(planned, model, how["base"], how["workers"])

    def read(self, folder: Path) -> Reference:
        return read_reference(folder, self.wanted)


@pytest.fixture
def case(rows: TrainRows, encoder: Encoder, tmp_path: Path) -> Case:
    return Case(rows, encoder, tmp_path)


def counted(parts: Sequence[StepPart]) -> list[Tensor]:
    """Scores that tell row and response: a model without a model."""
    return [torch.tensor([-int(part.row.id, 16) - position / 8 - 0.1 for position in part.used]) for part in parts]


def expected(case: Case, place: int) -> list[float]:
    used = {position for pair in case.pairs.of_row(place) for position in pair}
    return [
        float(torch.tensor(-place - k / 8 - 0.1)) if k in used else float("nan")
        for k in range(len(case.encoder.encode(case.rows[place]).row.response_ids))
    ]


def test_every_row_has_its_own_values_bit_for_bit(case: Case) -> None:
    assert case.wanted.tolist() == [0, 1, 2, 4, 6]
    found = case.read(case.compute(counted))
    assert len(found) == 5
    for place in case.wanted.tolist():
        row = found.attach(place, case.encoder.encode(case.rows[place]))
        assert row.reference is not None
        assert row.reference.dtype == torch.float32
        np.testing.assert_array_equal(row.reference.numpy(), np.array(expected(case, place), np.float32))


def test_a_real_model_s_log_probabilities(case: Case, model: Any) -> None:
    folder = case.compute(Compute(model, max_pack_tokens=512).scores)
    found = case.read(folder)
    for place in (0, 1, 2):
        row = found.attach(place, case.encoder.encode(case.rows[place]))
        for position in {position for pair in case.pairs.of_row(place) for position in pair}:
            ids = torch.cat([row.prompt_ids, row.response_ids[position]])
            with torch.no_grad():
                logits = model(input_ids=ids[None], **row.extras).logits[0, len(row.prompt_ids) - 1 : -1]
            alone = logits.log_softmax(-1).gather(1, row.response_ids[position][:, None]).sum()
            assert row.reference is not None
            torch.testing.assert_close(row.reference[position], alone, rtol=1e-4, atol=1e-4)


def test_a_killed_computation_goes_on_where_it_was(case: Case) -> None:
    calls: list[int] = []

    def dies(parts: Sequence[StepPart]) -> Iterator[Tensor]:
        for part in parts:
            if len(calls) == 3:
                raise KeyboardInterrupt
            calls.append(int(part.row.id, 16))
        yield from counted(parts)

    whole = case.compute(counted, base=case.base / "whole")
    with pytest.raises(KeyboardInterrupt):
        case.compute(lambda parts: list(dies(parts)), batch_tokens=1)
    folder = case.base / "reference" / whole.name
    assert [path.name for path in folder.glob("*.parquet")] == ["part-00000-of-00003.parquet"]
    with pytest.raises(OutputError, match=r"part-00001-of-00003.parquet: cannot be read"):
        case.read(folder)
    again: list[int] = []
    assert case.compute(lambda parts: again.extend(int(p.row.id, 16) for p in parts) or counted(parts)) == folder
    assert again == [2, 4, 6]
    for path in whole.glob("*.parquet"):
        assert (folder / path.name).read_bytes() == path.read_bytes()
    assert not list(folder.glob(".*")), "nothing half-written stays"


@pytest.mark.parametrize("workers", [0, 2])
def test_processes_and_workers_compute_the_same(case: Case, workers: int) -> None:
    whole = case.compute(counted, base=case.base / "whole")
    for rank in (2, 0, 1):
        shared = case.compute(counted, base=case.base / "shared", workers=Workers(rank, 3, workers))
    for path in whole.glob("*.parquet"):
        assert (shared / path.name).read_bytes() == path.read_bytes()


def test_batches_hold_about_so_many_tokens(case: Case) -> None:
    sizes: list[int] = []
    case.compute(lambda parts: sizes.append(len(parts)) or counted(parts), batch_tokens=10**6)
    assert sizes == [2, 2, 1], "a unit at once"
    sizes.clear()
    case.compute(lambda parts: sizes.append(len(parts)) or counted(parts), batch_tokens=1, base=case.base / "small")
    assert sizes == [1] * 5


def test_anything_else_is_computed_anew_and_said(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    first = case.compute(counted)
    assert "something else" not in capsys.readouterr().err
    other_encoder = Encoder(AutoProcessor.from_pretrained(DEMO))
    other_encoder.fingerprint = "0" * 32
    fewer = plan_steps(case.pairs, pairs_a_step=1, source_weights={"s1": 0}).rows
    changes: list[dict[str, Any]] = [
        {"model_revision": "sha256:2"},
        {"precision": "bfloat16"},
        {"encoder": other_encoder},
        {"wanted": fewer},
        {"pairs": replace(case.pairs, chosen=case.pairs.rejected, rejected=case.pairs.chosen)},
        {"rows": read_train_rows(build(case.base / "other", ROWS[:1])), "wanted": case.wanted[:1]},
    ]
    folders = {first}
    for change in changes:
        folders.add(case.compute(counted, **change))
        assert capsys.readouterr().err.count("is of something else") == 1
    assert len(folders) == len(changes) + 1
    case.compute(counted, base=case.base / "reference")
    assert capsys.readouterr().err == ""


def test_a_folder_of_another_model_is_refused_with_what_differs(case: Case) -> None:
    folder = case.compute(counted)
    text = (folder / "about.json").read_text().replace("sha256:1", "sha256:9")
    (folder / "about.json").write_text(text)
    with pytest.raises(OutputError, match=r"something else \(model: sha256:9 there, sha256:1 here\); delete it"):
        case.compute(counted)
    (folder / "about.json").write_text("{")
    with pytest.raises(OutputError, match="cannot be read"):
        case.compute(counted)


def test_a_row_that_is_another_one_now_is_refused(case: Case) -> None:
    found = case.read(case.compute(counted))
    encoded = case.encoder.encode(case.rows[0])
    with pytest.raises(MmprError, match="other tokens or pictures now"):
        found.attach(0, case.encoder.encode(replace(case.rows[0], images=(BLUE,))))
    with pytest.raises(MmprError, match="other tokens or pictures now"):
        found.attach(1, encoded)
    with pytest.raises(MmprError, match="no reference log-probabilities of row"):
        found.attach(3, encoded)
    with pytest.raises(OutputError, match="other rows"):
        read_reference(found._folder, np.array([0, 1, 2, 4, 5]))


@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
def test_what_is_not_finite_is_never_kept(case: Case, bad: float) -> None:
    with pytest.raises(MmprError, match="are not finite"):
        case.compute(lambda parts: [values.fill_(bad) for values in counted(parts)])
    assert not list((case.base / "reference").rglob("*.parquet"))


def test_what_is_kept_beside_a_table_is_no_row_of_it(encoder: Encoder, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"prompt": ["p"], "chosen": ["a"], "rejected": ["b"]}), tmp_path / "rows.parquet")
    rows = read_train_rows(tmp_path)
    measured(rows, encoder, cache_base(tmp_path, tmp_path) / "survey")
    assert len(read_train_rows(tmp_path)) == 1
    assert read_train_rows(tmp_path).fingerprint == rows.fingerprint
