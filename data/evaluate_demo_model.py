"""Measures the demo model with vLLM on held-out questions; no digit and no picture of theirs was seen in training.

    python data/evaluate_demo_model.py

Prints, as Markdown tables: greedy accuracy by kind, with reasoning and without; accuracy at temperature 1, and in how
many questions the samples are both right and wrong; and some answers to look at.
"""

from __future__ import annotations

import argparse
import io
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")

from demo_text import SKIPPED  # type: ignore[import-not-found]  # it lies beside this file
from PIL import Image
from transformers import AutoProcessor
from vllm import LLM, SamplingParams

from mmpr.answers import extract, match
from mmpr.prompts import to_messages
from mmpr.schema import SourceRow
from mmpr.sources.digits import Digits
from mmpr.sources.easy_vqa_questions import EasyVqa
from mmpr.templates import load_template

REPOSITORY = Path(__file__).resolve().parent.parent
DIRECT_SUFFIX = "Answer the question using a single word or phrase."
MAX_TOKENS = 128


class Model:
    """The demo model in vLLM, with its processor."""

    def __init__(self, path: str, dtype: str) -> None:
        """Start the engine."""
        self.processor = AutoProcessor.from_pretrained(path)
        self.llm = LLM(
            path,
            dtype=dtype,
            enforce_eager=True,
            max_model_len=512,
            max_num_seqs=128,
            disable_log_stats=True,
            enable_chunked_prefill=False,  # on a CPU, a seeded request whose prompt is split kills the engine (0.32)
        )
        self.sources: dict[str, Digits | EasyVqa] = {"digits": Digits("heldout", 0), "easy_vqa": EasyVqa("heldout", 0)}

    def answer(self, rows: Sequence[SourceRow], template: str, **sampling: Any) -> list[list[str]]:
        """The answers to each question."""
        prompts = []
        for row in rows:
            messages = to_messages(load_template(template).render(row.question))
            text = self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            picture = self.sources[row.images[0].partition(":")[0]].load(row.images[0])
            prompts.append({"prompt": text, "multi_modal_data": {"image": Image.open(io.BytesIO(picture))}})
        outputs = self.llm.generate(prompts, SamplingParams(max_tokens=MAX_TOKENS, **sampling), use_tqdm=False)
        return [[sample.text for sample in output.outputs] for output in outputs]


def is_right(answer: str | None, row: SourceRow) -> bool:
    """The project's own judgement."""
    return match(answer or "", str(row.answer), choices=row.choices or None).status == "correct"


def style_of(text: str) -> str:
    """``blind``, ``jump`` or ``careful`` (see demo_text.py), told from the text."""
    if text.startswith("There"):
        return "blind"
    return "jump" if any(words in text for words in chain.from_iterable(SKIPPED.values())) else "careful"


def new_hits() -> dict[str, list[bool]]:
    """Hits and misses by name."""
    return defaultdict(list)


def table(title: str, hits_by_name: Mapping[str, Sequence[bool]]) -> None:
    """Print one line a name, and one for all together."""
    print(f"\n{title}")
    everything = list(chain.from_iterable(hits_by_name.values()))
    for name, hits in [*sorted(hits_by_name.items()), ("all", everything)]:
        print(f"| {name} | {len(hits)} | {100 * sum(hits) / len(hits):.1f} |")


def measure_greedy(model: Model, rows: Sequence[SourceRow], title: str) -> None:
    """Accuracy of the most likely answer, by kind and by style, with the template ``en``."""
    kinds, styles = new_hits(), new_hits()
    parsed = 0
    for row, (text,) in zip(rows, model.answer(rows, "en", temperature=0.0), strict=True):
        answer = extract(text, "en")
        parsed += answer is not None
        kinds[row.kind].append(is_right(answer, row))
        styles[style_of(text)].append(is_right(answer, row))
    table(f"{title}, greedy: kind, questions, accuracy %", kinds)
    table(f"{title}, greedy: style, questions, accuracy %", styles)
    print(f"with a final answer: {parsed} of {len(rows)}")


def measure_direct(model: Model, rows: Sequence[SourceRow]) -> None:
    """Accuracy of the most likely answer without reasoning."""
    short = [row if row.choices else replace(row, question=f"{row.question}\n{DIRECT_SUFFIX}") for row in rows]
    kinds = new_hits()
    for row, (text,) in zip(short, model.answer(short, "plain", temperature=0.0), strict=True):
        kinds[row.kind].append(is_right(text, row))
    table("digits, greedy, direct answers: kind, questions, accuracy %", kinds)


def measure_samples(model: Model, rows: Sequence[SourceRow], samples: int) -> None:
    """Accuracy at temperature 1, and the share of questions whose samples are both right and wrong."""
    kinds, mixed, styles, kinds_by_style = new_hits(), new_hits(), new_hits(), new_hits()
    for row, texts in zip(rows, model.answer(rows, "en", temperature=1.0, n=samples, seed=1), strict=True):
        hits = [is_right(extract(text, "en"), row) for text in texts]
        kinds[row.kind] += hits
        mixed[row.kind].append(any(hits) and not all(hits))
        for text, hit in zip(texts, hits, strict=True):
            styles[style_of(text)].append(hit)
            kinds_by_style[f"{row.kind}, {style_of(text)}"].append(hit)
    table(f"digits, {samples} samples a question at temperature 1: kind, samples, accuracy %", kinds)
    table("the same by style: style, samples, accuracy %", styles)
    table("the same by both: kind and style, samples, accuracy %", kinds_by_style)
    table("the same, samples both right and wrong: kind, questions, share %", mixed)


def show(model: Model, rows: Sequence[SourceRow], template: str, **sampling: Any) -> None:
    """Print answers to look at."""
    print()
    for row, texts in zip(rows, model.answer(rows, template, **sampling), strict=True):
        print(f"{row.meta} {row.question!r} -> {row.answer}")
        print(*(f"    {text!r}" for text in texts), sep="\n")


def main() -> None:
    """Read the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(REPOSITORY / "data" / "demo_model"))
    parser.add_argument("--dtype", default="bfloat16", help="as in pipelines/quickstart.yaml; float32 on request")
    parser.add_argument("--questions", type=int, default=1200, help="questions on digits, answered greedily")
    parser.add_argument("--shapes", type=int, default=400, help="questions on shapes, answered greedily")
    parser.add_argument("--sampled", type=int, default=400, help="how many of those on digits to sample from")
    parser.add_argument("--samples", type=int, default=8)
    arguments = parser.parse_args()

    model = Model(arguments.model, arguments.dtype)
    digits = list(Digits("heldout", arguments.questions).rows())
    measure_greedy(model, digits, "digits")
    measure_greedy(model, list(EasyVqa("heldout", arguments.shapes).rows()), "easy-VQA")
    measure_direct(model, digits)
    measure_samples(model, digits[: arguments.sampled], arguments.samples)
    show(model, digits[:4], "en", temperature=1.0, n=4, seed=2)
    open_ended = [*Digits("heldout", 4, kinds=["describe"]).rows(), *EasyVqa("heldout", 4, kinds=["describe"]).rows()]
    show(model, open_ended, "plain", temperature=0.0)


if __name__ == "__main__":
    main()
