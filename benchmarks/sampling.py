"""How fast four ways of asking for K samples are, on the same questions, with the same engine and the same seeds.

    ceiling       vllm.LLM.generate, one call for all prompts, n=K: what the engine can do
    mmpr          this project's Generate actor on Ray Data: shards of questions on disk to shards of rollouts on disk
    ray_data_llm  ray.data.llm, each row repeated K times (it keeps one sample a request)
    rounds        K rounds over the prompts in batches of 8, one sample each

    python benchmarks/sampling.py --repeats 3 --json sampling.json

Every way runs in a process of its own, one after the other, and again in each repeat; the next one starts when all
processes of the one before are gone. Only work with a warm engine is timed: each way first answers one unit of other
questions. Rates are generated tokens a second; a ratio is the median over the repeats of mmpr's rate over the other's
in the same repeat, since machines drift.
"""

from __future__ import annotations

import argparse
import ctypes
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# All ways compute with one thread: Ray gives its actors one, as many as they have CPUs.
os.environ["OMP_NUM_THREADS"] = "1"

import psutil
from PIL import Image

from mmpr.config import Recipe, parse_recipe
from mmpr.engine.vllm_engine import engine_args
from mmpr.pipeline.job import Job
from mmpr.pipeline.plan import make_plan, write_index
from mmpr.pipeline.stages import ingest_unit
from mmpr.prompts import to_messages
from mmpr.schema import Question, Rollout, sample_seed
from mmpr.storage.shards import Unit, Units, shard
from mmpr.storage.tables import read_rows
from mmpr.templates import load_template

UNIT_QUESTIONS = 64
BATCH = 8  # of the released scripts
MAX_TOKEN_SPREAD = 0.03
"""How far apart the ways' token counts may lie. They draw with the same seeds, but numbers in bfloat16 depend a little
on what else is in the batch."""

_Ask = Callable[[Any, Recipe, list[dict[str, Any]]], list[Any]]

_GONE_TIMEOUT_S = 90
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Measured:
    """What one way did in one repeat, warm-up and start left out."""

    way: str
    seconds: float
    responses: int
    tokens: int
    prompt_tokens: int

    @property
    def tokens_a_second(self) -> float:
        return self.tokens / self.seconds

    @property
    def responses_a_second(self) -> float:
        return self.responses / self.seconds


def main() -> int:
    parser = _arguments()
    args = parser.parse_args()
    if args.questions < 1 or args.questions % UNIT_QUESTIONS:
        parser.error(f"--questions must be a multiple of {UNIT_QUESTIONS}, which is a unit")
    if args.way:
        measured = _WAYS[args.way](args)
        print(_line(measured))
        if args.json:
            args.json.write_text(json.dumps(asdict(measured)))
        return 0
    _adopt_orphans()
    _wait_until_alone()
    repeats = [_one_repeat(args, number) for number in range(args.repeats)]
    result = summary(repeats, args)
    _print_table(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    if result["token_spread"] > MAX_TOKEN_SPREAD:
        print("error: the ways did not generate the same amount of text, so the rates do not compare", file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("data/demo_model"), help="a model folder")
    parser.add_argument("--questions", type=int, default=512, help="questions that are timed, whole units of 64")
    parser.add_argument("--samples", type=int, default=8, help="K")
    parser.add_argument("--max-tokens", type=int, default=160)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write ratios and raw figures there")
    parser.add_argument("--way", choices=tuple(_WAYS), help="run this way alone, here (what the benchmark itself does)")
    return parser


# --- the same work for all ----------------------------------------------------------------------------------------


def recipe_of(args: argparse.Namespace) -> Recipe:
    """The work as a recipe: digits, template en, the quickstart's engine."""
    return parse_recipe(
        {
            "name": "benchmark",
            "seed": 1,
            "model": {"path": str(args.model.absolute())},
            "engine": {
                "units_in_flight": 4,
                "args": {
                    "dtype": "bfloat16",
                    "enforce_eager": True,
                    "max_model_len": 512,
                    "max_num_seqs": 128,
                    "kv_cache_memory_bytes": 1_000_000_000,
                },
            },
            "sampling": {"samples": args.samples, "temperature": 1.0, "max_tokens": args.max_tokens},
            "unit_questions": UNIT_QUESTIONS,
            "sources": [
                {"name": "digits", "type": "digits", "split": "train", "questions": UNIT_QUESTIONS + args.questions}
            ],
        }
    )


@contextmanager
def prepared(args: argparse.Namespace) -> Iterator[tuple[Job, Units]]:
    """A build whose questions lie on disk, in units of which the first is for warming up."""
    recipe = recipe_of(args)
    with tempfile.TemporaryDirectory(prefix="mmpr-benchmark-") as folder:
        plan = make_plan(recipe, "benchmark")
        units = write_index(Path(folder), plan).of("train")
        job = Job(recipe, Path(folder), plan.model.revision, plan.templates)
        for unit in units:
            ingest_unit(job, unit)
        yield job, units


def requests(job: Job, unit: Unit) -> list[dict[str, Any]]:
    """A unit's prompts in the model's chat format, decoded pictures and seeds, for vLLM's own interfaces."""
    from transformers import AutoTokenizer

    recipe = job.recipe
    tokenizer = AutoTokenizer.from_pretrained(recipe.model.path)
    template = load_template("en")
    return [
        {
            "prompt": tokenizer.apply_chat_template(
                to_messages(template.render(question.question)), add_generation_prompt=True, tokenize=False
            ),
            "images": [Image.open(io.BytesIO(image)).convert("RGB") for image in question.images],
            "seed": sample_seed(recipe.seed, question.id),
        }
        for question in read_rows(shard(job.out, "ingest", unit), Question)
    ]


def sampling(recipe: Recipe, seed: int, samples: int) -> dict[str, Any]:
    spec = recipe.sampling
    common = {"temperature": spec.temperature, "top_p": spec.top_p, "top_k": spec.top_k, "max_tokens": spec.max_tokens}
    return {**common, "n": samples, "seed": seed}


# --- the four ways ------------------------------------------------------------------------------------------------


def ceiling(args: argparse.Namespace) -> Measured:
    """One call of ``LLM.generate`` for all prompts."""

    def ask(llm: Any, recipe: Recipe, asked: list[dict[str, Any]]) -> list[Any]:
        return _generate(llm, recipe, asked, 0, args.samples)

    return _with_llm("ceiling", args, ask)


def rounds(args: argparse.Namespace) -> Measured:
    """K rounds, batch after batch."""

    def ask(llm: Any, recipe: Recipe, asked: list[dict[str, Any]]) -> list[Any]:
        return [
            output
            for place in range(args.samples)
            for first in range(0, len(asked), BATCH)
            for output in _generate(llm, recipe, asked[first : first + BATCH], place, 1)
        ]

    return _with_llm("rounds", args, ask)


def _with_llm(way: str, args: argparse.Namespace, ask: _Ask) -> Measured:
    from vllm import LLM

    with prepared(args) as (job, units):
        llm = LLM(**engine_args(job.recipe, job.recipe.model.path))
        ask(llm, job.recipe, requests(job, units[0]))
        asked = [request for unit in units[1:] for request in requests(job, unit)]
        begin = time.perf_counter()
        outputs = ask(llm, job.recipe, asked)
        seconds = time.perf_counter() - begin
    # A prompt is counted once a question, as the engine with n=K sees it.
    prompts = {output.prompt: len(output.prompt_token_ids) for output in outputs}
    prompt_tokens = sum(prompts[request["prompt"]] for request in asked)
    responses = [response for output in outputs for response in output.outputs]
    return Measured(way, seconds, len(responses), sum(len(r.token_ids) for r in responses), prompt_tokens)


def _generate(llm: Any, recipe: Recipe, asked: list[dict[str, Any]], place: int, samples: int) -> list[Any]:
    from vllm import SamplingParams

    prompts = [{"prompt": request["prompt"], "multi_modal_data": {"image": request["images"]}} for request in asked]
    params = [SamplingParams(**sampling(recipe, request["seed"] + place, samples)) for request in asked]
    return list(llm.generate(prompts, params, use_tqdm=False))


def mmpr(args: argparse.Namespace) -> Measured:
    """The build's own graph from the questions' shards to the rollouts' shards; judging is left out."""
    from mmpr.runners import ray_graph, ray_session
    from mmpr.runners.ray_feed import units_as_rows

    with prepared(args) as (job, units):
        with ray_session.session(job.out / "logs" / "ray.log"):
            meter = ray_graph.start_meter()
            graph = units_as_rows(units, job.out, "complete", len(units)).map(_Gate(job.out), **_GATE_RESOURCES)
            pool = ray_graph.actor_pool(job.recipe.engine)
            graph = graph.map(ray_graph.Generate, fn_constructor_args=(job, job.recipe.model.path, meter), **pool)
            seconds, rows = _time_after_first(job.out, graph, first=1)
            for row in rows:
                if row["error"]:
                    raise SystemExit(row["error"])
        rollouts = [rollout for unit in units[1:] for rollout in read_rows(shard(job.out, "sample", unit), Rollout)]
    responses = [response for rollout in rollouts for response in rollout.responses]
    prompt_tokens = sum(rollout.prompt_tokens for rollout in rollouts)
    return Measured("mmpr", seconds, len(responses), sum(r.tokens for r in responses), prompt_tokens)


def ray_data_llm(args: argparse.Namespace) -> Measured:
    """Ray Data LLM at its leanest: prompts come rendered, pictures decoded, all its stages but the engine are off."""
    import ray
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    from mmpr.runners import ray_graph, ray_session

    with prepared(args) as (job, units):
        recipe = job.recipe
        with ray_session.session(job.out / "logs" / "ray.log"):
            rows = [
                {"number": number, "place": place, **request}
                for number, unit in enumerate(units)
                for request in requests(job, unit)
                for place in range(args.samples)
            ]
            warm = UNIT_QUESTIONS * args.samples
            graph = ray.data.from_items(rows, override_num_blocks=len(rows) // UNIT_QUESTIONS)
            graph = graph.map(_Gate(job.out), **_GATE_RESOURCES)
            arguments = engine_args(recipe, recipe.model.path)
            config = vLLMEngineProcessorConfig(
                model_source=arguments.pop("model"),
                engine_kwargs=arguments,
                batch_size=UNIT_QUESTIONS,
                concurrency=1,
                placement_group_config={"bundle_per_worker": {"CPU": 1, "GPU": 0}},
                log_engine_metrics=False,
                chat_template_stage=False,
                tokenize_stage=False,
                detokenize_stage=False,
            )

            def before(row: dict[str, Any]) -> dict[str, Any]:
                params = sampling(recipe, row["seed"] + row["place"], 1)
                return {"multimodal_data": {"image": row["images"]}, "sampling_params": params}

            def after(row: dict[str, Any]) -> dict[str, Any]:
                kept = ("number", "place", "generated_text", "num_generated_tokens", "num_input_tokens")
                return {name: row[name] for name in kept}

            light = {"num_cpus": ray_graph.STAGE_CPUS}
            process = build_processor(config, before, after, preprocess_map_kwargs=light, postprocess_map_kwargs=light)
            seconds, done = _time_after_first(job.out, process(graph), first=warm)
    timed = [row for row in done if row["number"]]
    prompt_tokens = sum(row["num_input_tokens"] for row in timed if row["place"] == 0)
    tokens = sum(row["num_generated_tokens"] for row in timed)
    return Measured("ray_data_llm", seconds, len(timed), tokens, prompt_tokens)


_WAYS: dict[str, Callable[[argparse.Namespace], Measured]] = {
    "ceiling": ceiling,
    "mmpr": mmpr,
    "ray_data_llm": ray_data_llm,
    "rounds": rounds,
}


# Tasks that wait must not take the cores of those that work.
_GATE_RESOURCES = {"num_cpus": 0, "concurrency": 4}


class _Gate:
    """Lets the first unit pass and holds all others back until a file says go, so that actors start untimed."""

    def __init__(self, folder: Path) -> None:
        self.__name__ = "gate"
        self._go = folder / "go"

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        while row["number"] and not self._go.exists():
            time.sleep(0.005)
        return row


def _time_after_first(folder: Path, graph: Any, first: int) -> tuple[float, list[dict[str, Any]]]:
    """Drain a graph; seconds from the moment when its first rows are out and the gate opens."""
    rows: list[dict[str, Any]] = []
    begin = 0.0
    # Without prefetching: Ray Data would hold the first rows back until it has the next ones.
    for batch in graph.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        rows += batch.to_pylist()
        if begin == 0.0 and len(rows) >= first:
            begin = time.perf_counter()
            (folder / "go").touch()
    return time.perf_counter() - begin, rows


# --- one after the other ------------------------------------------------------------------------------------------


def _one_repeat(args: argparse.Namespace, number: int) -> list[Measured]:
    measured = []
    # The order turns, so that a machine that slows down or speeds up favours nobody.
    ways = list(_WAYS) if number % 2 == 0 else list(reversed(_WAYS))
    for way in ways:
        with tempfile.NamedTemporaryFile(suffix=".json") as result, tempfile.NamedTemporaryFile("w+") as log:
            command = [sys.executable, __file__, "--way", way, "--json", result.name]
            for name in ("model", "questions", "samples", "max_tokens"):
                command += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
            status = subprocess.run(command, stdout=log, stderr=log).returncode
            _wait_until_alone()
            if status:
                log.seek(0)
                raise SystemExit(f"{''.join(log.readlines()[-40:])}\nerror: {way} failed with status {status}")
            one = Measured(**json.loads(Path(result.name).read_text()))
        expected = args.questions * args.samples
        if one.responses != expected:
            raise SystemExit(f"error: {way} gave {one.responses} responses, {expected} were asked for")
        measured.append(one)
        print(f"repeat {number + 1}  {_line(one)}", file=sys.stderr, flush=True)
    return measured


def _line(one: Measured) -> str:
    rates = f"{one.tokens_a_second:9,.0f} tokens/s  {one.responses_a_second:7,.1f} responses/s"
    return f"{one.way:13s} {one.seconds:7.1f} s  {rates}  {one.responses:,} responses, {one.tokens:,} tokens"


def summary(repeats: list[list[Measured]], args: argparse.Namespace) -> dict[str, Any]:
    """Ratios and raw figures."""
    by_way = {way: [one for repeat in repeats for one in repeat if one.way == way] for way in _WAYS}

    def ratios(other: str) -> list[float]:
        pairs = zip(by_way["mmpr"], by_way[other], strict=True)
        return [ours.tokens_a_second / theirs.tokens_a_second for ours, theirs in pairs]

    tokens = [one.tokens for repeat in repeats for one in repeat]
    prompts = {one.prompt_tokens for repeat in repeats for one in repeat}
    if len(prompts) > 1:
        raise SystemExit(f"error: the ways asked different prompts: {sorted(prompts)} tokens")
    ratio_names = {"ceiling": "ratio_to_ceiling", "ray_data_llm": "ratio_to_ray_data_llm", "rounds": "ratio_to_rounds"}
    return {
        **{name: round(statistics.median(ratios(way)), 4) for way, name in ratio_names.items()},
        "ratios": {name: [round(ratio, 4) for ratio in ratios(way)] for way, name in ratio_names.items()},
        "token_spread": round(max(tokens) / min(tokens) - 1, 4),
        "ways": {
            way: {
                "tokens_a_second": round(statistics.median(one.tokens_a_second for one in ones), 1),
                "responses_a_second": round(statistics.median(one.responses_a_second for one in ones), 2),
                "repeats": [asdict(one) for one in ones],
            }
            for way, ones in by_way.items()
        },
        "settings": {
            "questions": args.questions,
            "samples": args.samples,
            "max_tokens": args.max_tokens,
            "repeats": args.repeats,
            "prompt_tokens": prompts.pop(),
            "cpus": os.cpu_count(),
        },
    }


def _print_table(result: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    settings = result["settings"]
    title = f"{settings['questions']} questions x {settings['samples']} samples, median of {settings['repeats']}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    table.add_column("way")
    for name in ("tokens/s", "responses/s", "mmpr is", "from", "to"):
        table.add_column(name, justify="right")
    for way, figures in result["ways"].items():
        ratios = [f"{result[f'ratio_to_{way}']:.3f}x"] if way != "mmpr" else []
        ratios += [f"{edge(result['ratios'][f'ratio_to_{way}']):.3f}" for edge in (min, max) if way != "mmpr"]
        table.add_row(way, f"{figures['tokens_a_second']:,.0f}", f"{figures['responses_a_second']:,.1f}", *ratios)
    Console().print(table)
    print(f"tokens generated differ by at most {result['token_spread']:.1%} between ways and repeats")


def _adopt_orphans() -> None:
    """Have processes whose parents died become this one's children, so that none is overlooked (Linux)."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wait_until_alone() -> None:
    """Return when no process that this one has started is left; engines must not run side by side."""
    deadline = time.monotonic() + _GONE_TIMEOUT_S
    while left := psutil.Process().children(recursive=True):
        _, left = psutil.wait_procs(left, timeout=0.5)
        if left and time.monotonic() > deadline:
            for process in left:
                process.kill()
            raise SystemExit(f"error: still running after {_GONE_TIMEOUT_S} s: {', '.join(p.name() for p in left)}")


if __name__ == "__main__":
    sys.exit(main())
