"""Adjudication with the real engine, for its mechanics: two engines one after the other, prompts in, replies out.

The demo model is no verifier: what it replies is no label, so everything stays unsure.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mmpr.check.__main__ import main as check
from mmpr.schema import Adjudications, PreferenceRow, Rollout, Verdicts
from mmpr.storage.tables import read_rows

pytestmark = pytest.mark.vllm

MODEL = Path(__file__).resolve().parent.parent / "data" / "demo_model"
ARGS = "{dtype: bfloat16, enforce_eager: true, max_model_len: 1024, max_num_seqs: 32, kv_cache_memory_bytes: 300000000}"
RECIPE = f"""
name: adjudicated
seed: 3
model: {{path: {MODEL}}}
engine: {{args: {ARGS}}}
sampling: {{samples: 4, max_tokens: 100}}
adjudicate: {{model: {{path: {MODEL}}}, prompt: xverify, samples: 2, max_tokens: 60}}
unit_questions: 8
sources:
  - {{name: digits, type: digits, split: train, questions: 10, kinds: [sum]}}
  - {{name: words, type: jsonl, path: words.jsonl}}
"""
ROWS = [{"question": f"What is {n} + {n}?", "answer": "May 1984"} for n in range(1, 7)]


def rows(out: Path, folder: str, noun: type[Any]) -> list[Any]:
    return [row for path in sorted((out / folder).glob("*.parquet")) for row in read_rows(path, noun)]


@pytest.mark.timeout(400)
def test_unsure_verdicts_are_put_to_a_real_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "words.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "mmpr.build", str(tmp_path / "recipe.yaml"), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=380, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "adjudicating: " in done.stderr

    verdicts = {row.id: row for row in rows(out, "verdicts", Verdicts)}
    rollouts = {row.id: row for row in rows(out, "rollouts", Rollout)}
    said = rows(out, "adjudications", Adjudications)
    words = [(row.id, word) for row in said for word in row.words]
    assert len(words) > 3
    for id, word in words:
        assert verdicts[id].verdicts[word.response].status == "unsure"
        assert rollouts[id].responses[word.response].finish_reason == "stop"
        assert len(word.replies) == 2
        assert all(reply.tokens == len(reply.token_ids) > 0 for reply in word.replies)
    assert len({reply.seed for _, word in words for reply in word.replies}) == 2 * len(words)
    assert {row.model_revision for row in said} == {rollouts[said[0].id].model_revision}
    assert {row.prompt for row in said} == {"xverify"}
    assert Counter(word.word for _, word in words) == {"unclear": len(words)}
    assert {pair.method for row in rows(out, "pairs", PreferenceRow) for pair in row.pairs} <= {"correctness", "format"}
    assert check([str(out), "--verify"]) == 0, capsys.readouterr().out
