"""The whole build with the real engine: vLLM on a Ray actor, the demo model, every kind of question; one start."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images
from transformers import AutoConfig, AutoProcessor

from mmpr.answers import extract, match
from mmpr.check.__main__ import main as check
from mmpr.errors import MmprError
from mmpr.schema import Completions, PreferenceRow, Question, Reject, Rollout, Verdicts, sample_seed
from mmpr.storage.tables import read_rows
from mmpr.templates import load_template
from mmpr.train.data.encoding import Encoder
from mmpr.train.data.preference_data import read_train_rows

pytestmark = pytest.mark.vllm

MODEL = Path(__file__).resolve().parent.parent / "data" / "demo_model"
K = 8
RECIPE = """
name: real
seed: 11
model: {path: MODEL}
engine:
  units_in_flight: 2
  args: {dtype: bfloat16, enforce_eager: true, max_model_len: 512, max_num_seqs: 64, kv_cache_memory_bytes: 1000000000}
sampling: {samples: 8, max_tokens: 160, logprobs: true}
dropout:
  variants: [{start_ratio: 0.5}, {start_ratio: 0.5, with_image: true}]
unit_questions: 32
sources:
  - {name: digits, type: digits, split: train, questions: 72}
  - {name: open, type: digits, split: train, questions: 12, kinds: [describe], seed: 1, samples: 4}
  - {name: mine, type: jsonl, path: mine.jsonl, columns: {id: id}, template: en_v2, samples: 2}
  - {name: chinese, type: jsonl, path: chinese.jsonl, template: zh, samples: 2}
heldout:
  - {name: heldout, type: digits, split: heldout, questions: 24}
"""
MINE: list[dict[str, Any]] = [
    {"id": "two", "image": ["a.png", "b.png"], "question": "Is <image> the same as <image>?", "answer": "no"},
    {"id": "words", "question": "What is 3 + 4?", "answer": 7},
    {"id": "long", "image": "a.png", "question": "Read this: " + "1 2 3 " * 400, "answer": "1"},
    {"id": "gone", "image": "none.png", "question": "What is it?", "answer": "a cat"},
    {"id": "out", "image": "../a.png", "question": "What is it?", "answer": "a cat"},
    {"id": "text", "image": "mine.jsonl", "question": "What is it?", "answer": "a cat"},
    {"id": "two", "question": "What is 3 + 5?", "answer": "8"},
]
CHINESE = [{"image": "b.png", "question": "图中有几朵花？请用一个单词或短语回答问题。", "answer": "一"}]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real build; everything below looks at it."""
    folder = tmp_path_factory.mktemp("real")
    for name, pixels in zip(("a.png", "b.png"), load_sample_images().images, strict=True):
        Image.fromarray(pixels).save(folder / name)
    (folder / "mine.jsonl").write_text("\n".join(json.dumps(row) for row in MINE) + '\n{"question": \n')
    (folder / "chinese.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in CHINESE))
    (folder / "recipe.yaml").write_text(RECIPE.replace("MODEL", str(MODEL)))
    done = subprocess.run(
        [sys.executable, "-m", "mmpr.build", str(folder / "recipe.yaml"), "--out", str(folder / "out")],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    (folder / "out" / "stdout").write_text(done.stdout)
    return folder / "out"


def rows(out: Path, folder: str, noun: type[Any]) -> list[Any]:
    return [row for path in sorted((out / folder).glob("*.parquet")) for row in read_rows(path, noun)]


@pytest.mark.timeout(300)
def test_every_question_has_its_responses(out: Path) -> None:
    rollouts = rows(out, "rollouts", Rollout)
    assert Counter(rollout.source for rollout in rollouts) == {"digits": 72, "open": 12, "mine": 2, "chinese": 1}
    for rollout in rollouts:
        want = {"digits": K, "open": 4}.get(rollout.source, 2)
        assert [response.seed for response in rollout.responses] == [
            sample_seed(11, rollout.id, i) for i in range(want)
        ]
        assert rollout.model_revision.startswith("sha256:")
        assert rollout.template_sha256 == load_template(rollout.template).sha256
        assert rollout.prompt_tokens == len(rollout.prompt_token_ids) > 0
        for response in rollout.responses:
            assert response.finish_reason in ("stop", "length")
            assert (response.tokens == 160) or response.finish_reason == "stop"
            assert 0 < response.tokens == len(response.token_ids) == len(response.logprobs) <= 160
            assert max(response.logprobs) <= 0


def test_what_was_sampled_is_what_is_trained_on(out: Path) -> None:
    """Token by token: the prompt with its pictures, each response, and continuations of kept halves."""
    encoder = Encoder(AutoProcessor.from_pretrained(MODEL), AutoConfig.from_pretrained(MODEL))
    pairs = {row.id: row for row in rows(out, "pairs", PreferenceRow)}
    assert pairs
    continued = 0
    for row in iter(read_train_rows(out)):
        encoded = encoder.encode(row)
        stored = pairs[row.id]
        by_text = {response.text: response.token_ids for response in stored.responses}
        assert encoded.prompt == "equal"
        assert encoded.row.prompt_ids.tolist() == list(stored.prompt_token_ids)
        for text, ids in zip(row.responses, encoded.row.response_ids, strict=True):
            assert tuple(ids.tolist()) == by_text[text]
        assert encoded.as_sampled == len(row.responses)
        continued += sum(response.continued for response in stored.responses)
    assert continued
    for completions in rows(out, "completions", Completions):
        rollout = next(row for row in rows(out, "rollouts", Rollout) if row.id == completions.id)
        for each in completions.completions:
            kept = rollout.responses[each.response].token_ids[: each.prefix_tokens]
            assert each.prefix_token_ids == kept


def test_samples_differ_and_are_reasoned(out: Path) -> None:
    texts = [{response.text for response in rollout.responses} for rollout in rows(out, "rollouts", Rollout)]
    assert sum(map(len, texts)) > 0.5 * sum(len(rollout.responses) for rollout in rows(out, "rollouts", Rollout))
    digits = [r for rollout in rows(out, "rollouts", Rollout) if rollout.source == "digits" for r in rollout.responses]
    answered = [r for r in digits if extract(r.text, "en") is not None]
    assert len(answered) > 0.9 * len(digits)
    assert sum(not r.text.startswith("Final answer") for r in answered) > 0.9 * len(answered)


def test_the_model_is_sometimes_right_and_sometimes_wrong(out: Path) -> None:
    rates = [row.pass_rate for row in rows(out, "verdicts", Verdicts) if row.source == "digits"]
    assert 0.2 < sum(rates) / len(rates) < 0.9
    assert sum(0 < rate < 1 for rate in rates) > 0.3 * len(rates)


def test_prompts_hold_pictures_words_and_templates(out: Path) -> None:
    prompts = {rollout.source: rollout.prompt for rollout in rows(out, "rollouts", Rollout)}
    assert prompts["digits"].startswith("<image>\nYour task is to answer the question below.")
    assert prompts["open"].startswith("<image>\n")
    assert "Your task" not in prompts["open"]
    assert "请用" not in prompts["chinese"].rsplit("图中", 1)[1]
    mine = [rollout.prompt for rollout in rows(out, "rollouts", Rollout) if rollout.source == "mine"]
    assert sorted(prompt.count("<image>") for prompt in mine) == [0, 2]
    assert all("\\boxed" in prompt for prompt in mine)


def test_bad_rows_are_kept_with_their_reasons(out: Path) -> None:
    rejects = rows(out, "rejects", Reject)
    unsure = [reject for reject in rejects if reject.stage == "verify"]  # responses that may be right
    assert {reject.reason for reject in unsure} <= {"unsure"}
    assert Counter((reject.stage, reject.reason) for reject in rejects if reject not in unsure) == {
        ("ingest", "bad_json"): 1,
        ("ingest", "duplicate"): 1,
        ("ingest", "image_missing"): 1,
        ("ingest", "image_outside_root"): 1,
        ("ingest", "image_not_a_picture"): 1,
        ("sample", "engine_refused"): 1,
    }
    assert all(reject.detail for reject in rejects)


def test_chosen_is_right_and_rejected_is_not(out: Path) -> None:
    pairs = [row for row in rows(out, "pairs", PreferenceRow) if row.answer is not None]
    assert len(pairs) > 15
    templates = {rollout.id: rollout.template for rollout in rows(out, "rollouts", Rollout)}
    for row in pairs:
        for pair in row.pairs:
            chosen, rejected = row.responses[pair.chosen], row.responses[pair.rejected]
            answer = extract(chosen.text, templates[row.id])
            assert answer is not None
            assert match(answer, row.answer).status == "correct"
            assert chosen.finish_reason == "stop"
            wrong = extract(rejected.text, templates[row.id])
            assert (wrong is None) == (pair.method == "format")
            assert wrong is None or match(wrong, row.answer).status == "incorrect"


def test_dropout_pairs_share_a_beginning_and_part(out: Path) -> None:
    completions = rows(out, "completions", Completions)
    assert len(completions) == 12
    assert {c.with_image for row in completions for c in row.completions} == {True, False}
    rollouts = {rollout.id: rollout for rollout in rows(out, "rollouts", Rollout)}
    for row in completions:
        for completion in row.completions:
            whole = rollouts[row.id].responses[completion.response]
            assert whole.text.startswith(completion.prefix)
            assert abs(completion.prefix_tokens - whole.tokens / 2) <= 3
    open_rows = [row for row in rows(out, "pairs", PreferenceRow) if row.answer is None]
    assert len(open_rows) == 12
    for row in open_rows:
        for pair in row.pairs:
            chosen, rejected = row.responses[pair.chosen], row.responses[pair.rejected]
            assert pair.method == "dropout"
            assert rejected.continued
            assert rejected.text[: rejected.prefix_chars] == chosen.text[: rejected.prefix_chars]
            assert rejected.text != chosen.text


def test_heldout_questions_are_kept_and_not_asked(out: Path) -> None:
    heldout = rows(out, "heldout", Question)
    assert len(heldout) == 24
    pictures = {image for question in rows(out, "questions", Question) for image in question.images}
    assert not pictures & {image for question in heldout for image in question.images}
    assert not {question.id for question in heldout} & {rollout.id for rollout in rows(out, "rollouts", Rollout)}


def test_the_summary_tells_what_is_there(out: Path) -> None:
    printed = (out / "stdout").read_text()
    pairs = sum(len(row.pairs) for row in rows(out, "pairs", PreferenceRow))
    assert f"{pairs:,}" in printed
    assert "engine refused" in printed
    manifest = json.loads((out / "manifest.json").read_text())
    on_disk = {str(path.relative_to(out)) for path in out.rglob("*.parquet")}
    assert set(manifest["files"]) == on_disk
    assert (
        manifest["files"]["pairs/part-00000-of-00003.parquet"]["rows"]
        == pq.read_metadata(out / "pairs/part-00000-of-00003.parquet").num_rows
    )


def test_prompts_are_shown_beside_those_of_training(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check([str(out), "--model", str(MODEL), "--prompts", "4"]) == 0
    told = capsys.readouterr().out
    assert told.count(": equal, ") == 4
    assert "prompts    4 of 4 are the tokens that were sampled after" in told
    other = tmp_path / "other"
    shutil.copytree(MODEL, other)
    template = other / "chat_template.jinja"
    template.write_text(template.read_text().replace("Assistant:", "Answer:"))
    assert check([str(out), "--model", str(other), "--prompts", "2"]) == 1
    told = capsys.readouterr().out
    assert told.count("differs from token") == 2
    assert told.count("Assistant:") == 2
    assert told.count("Answer:") == 2
    with pytest.raises(MmprError, match="--allow-prompt-mismatch"):
        Encoder(AutoProcessor.from_pretrained(other), AutoConfig.from_pretrained(other)).encode(read_train_rows(out)[0])
