"""Greedy answers: together they are what each is by itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from mmpr.train.loop import greedy_answers
from mmpr.train.loop.greedy_answers import WatchedQuestion, answer
from tests.train.models import IMAGE, MODELS, make, make_row

pytestmark = pytest.mark.slow


class Encoder:
    """Prompts that are made already; text is the tokens."""

    ends = frozenset({2})
    tokenizer = SimpleNamespace(pad_token_id=0, decode=lambda ids: " ".join(map(str, ids)))

    def encode_prompt(self, row: Any) -> tuple[list[int], dict[str, Tensor]]:
        extras = dict(row.extras)
        if "image_grid_thw" in extras:
            extras["mm_token_type_ids"] = (row.prompt_ids == IMAGE).long()[None]
        return row.prompt_ids.tolist(), extras


def questions(name: str) -> list[WatchedQuestion]:
    """With one picture and none, and of several lengths."""
    rows = [make_row(name, seed, (), images=seed % 2, text=3 + seed) for seed in range(1, 6)]
    return [WatchedQuestion(row.id, row) for row in rows]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MODELS)
def test_answers_together_are_those_by_themselves(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = make(name)
    model.generation_config.eos_token_id = 2
    batches: list[int] = []
    generate = model.generate

    def counted(**inputs: Any) -> Any:
        batches.append(len(inputs["input_ids"]))
        return generate(**inputs)

    model.generate = counted
    encoder: Any = Encoder()
    together = answer(model, encoder, questions(name), step=0, max_new_tokens=6)
    assert max(batches) > 1
    monkeypatch.setattr(greedy_answers, "_TOGETHER", 1)
    batches.clear()
    alone = answer(model, encoder, questions(name), step=0, max_new_tokens=6)
    assert batches == [1] * 5
    assert together == alone
    assert len(set(together.texts)) > 1
    assert model.training


def test_an_answer_ends_where_it_ended_and_not_at_its_padding() -> None:
    model: Any = SimpleNamespace(
        config=SimpleNamespace(model_type="llama"),
        generation_config=SimpleNamespace(eos_token_id=[2, 9]),
        device=torch.device("cpu"),
        training=False,
        eval=lambda: None,
        train=lambda mode: None,
    )
    said = torch.tensor([[5, 2, 0, 0], [5, 6, 7, 8], [9, 0, 0, 0]])
    model.generate = lambda **inputs: torch.cat([inputs["input_ids"], said], 1)
    rows = [make_row("llama", seed, (), text=seed) for seed in (1, 2, 3)]
    asked = [WatchedQuestion(row.id, row) for row in rows]  # type: ignore[arg-type]
    encoder: Any = Encoder()
    answers = answer(model, encoder, asked, step=0, max_new_tokens=4)
    assert answers.texts == ("5", "5 6 7 8", "9")  # 9 stops this model, and is no end of an answer by its template
    assert answers.tokens == (2, 4, 1)
