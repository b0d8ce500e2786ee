"""One build under torture, from its first start to the proof."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from benchmarks.torture.faults import ENGINE, Victim, kill_while_it_grows
from benchmarks.torture.ground import REPOSITORY, Ground, kill, wait_until
from mmpr.check.verify import verify
from mmpr.pipeline.plan import read_build
from mmpr.pipeline.progress import Steps
from mmpr.schema import Completions, PreferenceRow, Question, Reject, Rollout, Verdicts, content_id
from mmpr.storage.manifest import read_manifest
from mmpr.storage.tables import read_rows

LIMIT_S = 1800
PATIENCE_S, REAL_PATIENCE_S = 20, 150
"""How long a unit is waited for before the next fault; vLLM is to be hit while it works, not while it starts."""
SHARES = {"kill": 0.004, "die": 0.004, "hang": 0.008, "freeze": 0.003, "block": 0.004, "refuse": 0.04, "short": 0.04}
SHORT_SHARES = {"refuse": 0.1, "short": 0.1}
"""Of all requests, what the engine does from inside. In the short torture engines end by faults from outside alone."""

GROWTH = "the build is made to grow, and the driver killed while it does"
EARLY_GROWTH = 0.2
"""How often a build grows after a fault before it is done."""

PUMPS = (" " * 8_000 + "x", ":" * 4_000 + "}", "a. " * 2_000)
"""Answers that held the judge up for minutes before its patterns took linear time."""

RECIPE = f"""
name: torture
seed: 7
model: {{path: none}}
engine:
  type: replay
  actors: 2
  cpus_per_actor: 0.5
  units_in_flight: 2
  request_timeout_s: 10
  args: {{delay_s: 0.3, answers: {json.dumps([*range(10), *PUMPS])}}}
sampling: {{samples: 8}}
unit_questions: 2
sources:
  - {{name: digits, type: digits, split: train, questions: QUESTIONS}}
  - {{name: open, type: digits, split: train, questions: OPEN, kinds: [describe], seed: 1}}
heldout:
  - {{name: heldout, type: digits, split: heldout, questions: 10}}
"""

GROWING = (
    {"samples": 4, "sources": ("digits", "open"), "heldout": False},
    {"samples": 4, "sources": ("digits", "open", "more"), "heldout": False},
    {"samples": 8, "sources": ("digits", "open", "more"), "heldout": True},
)
"""What a build that grows has at each step; the last one is what the undisturbed build makes at once."""

REAL_RECIPE = f"""
name: torture-vllm
seed: 11
model: {{path: {REPOSITORY / "data" / "demo_model"}}}
engine:
  units_in_flight: 2
  cpus_per_actor: 1
  request_timeout_s: 40
  args: {{dtype: bfloat16, enforce_eager: true, max_model_len: 512, max_num_seqs: 32, kv_cache_memory_bytes: 500000000}}
sampling: {{samples: 8, max_tokens: 160}}
unit_questions: 8
sources:
  - {{name: digits, type: digits, split: train, questions: QUESTIONS}}
  - {{name: open, type: digits, split: train, questions: OPEN, kinds: [describe], seed: 1, samples: 4}}
"""


@dataclass(slots=True)
class Result:
    """What was done to a build and what came of it; ``problems`` is empty when it is proven right."""

    faults: Counter[str] = field(default_factory=Counter)
    drivers: int = 0
    lost: int = 0
    repeated: int = 0
    problems: list[str] = field(default_factory=list)


def growing_recipe(questions: int, step: Mapping[str, object]) -> str:
    """A recipe like ``RECIPE`` with the sources and samples of a step of ``GROWING``."""
    tree = yaml.safe_load(RECIPE.replace("QUESTIONS", str(questions // 2)).replace("OPEN", str(questions // 5)))
    tree["sources"].append({**tree["sources"][0], "name": "more", "seed": 2})
    tree["sources"] = [source for source in tree["sources"] if source["name"] in cast(tuple[str, ...], step["sources"])]
    tree["sampling"]["samples"] = step["samples"]
    if not step["heldout"]:
        del tree["heldout"]
    return yaml.safe_dump(tree)


class Deck:
    """Draws names at random: every one as often as its weight before the deck is shuffled again."""

    def __init__(self, weights: dict[str, int], dice: random.Random) -> None:
        self._weights, self._dice = weights, dice
        self._cards: list[str] = []

    def draw(self) -> str:
        """The next name."""
        if not self._cards:
            self._cards = [name for name, weight in self._weights.items() for _ in range(weight)]
            self._dice.shuffle(self._cards)
        return self._cards.pop()

    def put_back(self, name: str) -> None:
        """Lay a name below the others, for what could not be done now."""
        self._cards.insert(0, name)


def starter(
    ground: Ground, recipe: Path, out: Path, log: Path, *overrides: str
) -> Callable[[], subprocess.Popen[bytes]]:
    """What starts a driver on the head node; its words go to the end of ``log``."""
    command = ["ip", "netns", "exec", ground.nodes[0].name, sys.executable, "-m", "mmpr.build"]

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as file:
            return subprocess.Popen(
                [*command, str(recipe), "--out", str(out), *overrides],
                env=ground.env,
                stdout=file,
                stderr=file,
                cwd=REPOSITORY,
                start_new_session=True,
            )

    return start


def undisturbed(ground: Ground, recipe: Path, out: Path) -> None:
    """The same build in peace."""
    log = out.parent / f"{out.name}.log"
    overrides = ["engine.args.delay_s=0"] if "replay" in recipe.read_text() else []
    driver = starter(ground, recipe, out, log, *overrides)()
    end = time.monotonic() + LIMIT_S
    while driver.poll() is None and time.monotonic() < end:
        time.sleep(1)
        ground.mend()
    if driver.poll() != 0:
        kill([driver.pid])
        raise RuntimeError(f"the undisturbed build failed:\n{log.read_text()}")


def torture(
    ground: Ground,
    recipe: Path,
    out: Path,
    deck: Deck,
    deeds: dict[str, Callable[[Victim], bool]],
    dice: random.Random,
    most: int,
    told: Callable[[str, int], None],
    shares: dict[str, float],
    patience_s: float = PATIENCE_S,
    growing: Sequence[Path] = (),
) -> Result:
    """Build with at most so many faults from outside, and those of the engine; run on until it is done.

    ``growing`` are recipes that the build grows to, one after the other, now and then before it is done with the one
    before. Each command that grows it is killed once while it does. ``told`` hears of each fault from outside, and how
    many there were by then with the engine's.
    """
    result = Result()
    once = ground.folder / f"{out.name}-once"
    once.mkdir()
    faults = ", ".join(f"{kind}: {share}" for kind, share in shares.items())
    overrides = [f"engine.args.once={once}", f"engine.args.faults={{{faults}}}"] if shares else []
    log = ground.folder / f"{out.name}.log"
    victim = Victim(ground, out, starter(ground, recipe, out, log, *overrides), log, dice)
    end = time.monotonic() + LIMIT_S
    to_come = list(growing)

    def grow() -> None:
        next_one = to_come.pop(0)
        victim.start = starter(ground, next_one, out, log, "--grow", *overrides)
        kill_while_it_grows(victim)
        result.faults[GROWTH] += 1
        told(GROWTH, result.faults.total() + sum(1 for _ in once.iterdir()))

    while time.monotonic() < end:
        enough = sampled(out) + 1
        wait_until(lambda enough=enough: sampled(out) >= enough or not victim.runs(), patience_s)
        time.sleep(dice.uniform(0, 1.5))
        if not victim.runs():
            if victim.driver.returncode == 0 and to_come:
                grow()
                continue
            if victim.driver.returncode == 0:
                break
            result.problems.append(f"the driver ended with status {victim.driver.returncode}: {victim.said()[-600:]}")
            result.drivers += 1
            if result.drivers > 20:
                break
            victim.again()
            continue
        ground.mend()  # a node that was given up ends when it hears of it, which may be late
        if result.faults.total() < most and (out / "build.json").exists():
            name = deck.draw()
            if deeds[name](victim):
                result.faults[name] += 1
                told(name, result.faults.total() + sum(1 for _ in once.iterdir()))
            else:
                deck.put_back(name)
            if to_come and dice.random() < EARLY_GROWTH:
                grow()
    else:
        result.problems.append(f"was not done after {LIMIT_S} s")
        kill([victim.driver.pid])
    result.faults.update(ENGINE[mark.name.split("-")[0]] for mark in once.iterdir())
    result.problems += victim.complaints
    if "Traceback" in (said := log.read_text(errors="replace")):
        result.problems.append(f"a driver printed a traceback: {_raised(said)}")
    return result


def _raised(said: str) -> str:
    """What the last traceback in a text ends with: the first line behind it that is not indented."""
    lines = said.rpartition("Traceback")[2].splitlines()[1:]
    return next((line for line in lines if line.strip() and not line.startswith(" ")), "nothing")


def prove(out: Path, peaceful: Path, result: Result) -> None:
    """See that a build is right by itself, and the same as the one in peace; note what is not."""
    if not (out / "manifest.json").exists():
        result.problems.append("there is no manifest")
        return
    with Steps(sys.stderr) as steps:
        result.problems += [str(problem) for problem in verify(out, steps)]
    result.problems += [f"{path}: a temporary file was left" for path in out.rglob("*.tmp")]
    plan = read_build(out)
    assert plan is not None
    for folder in ("questions", "rollouts", "completions", "verdicts", "pairs"):
        names = sorted(path.name for path in (out / folder).iterdir())
        wanted = [unit.file for unit in plan.of("train")]
        if names != wanted:
            result.problems.append(f"{folder}/ holds other files than the shards of its units")
    expected, found = Counter(responses(peaceful)), Counter(responses(out))
    result.lost = (expected - found).total()
    result.repeated = (found - expected).total()
    if result.lost or result.repeated:
        result.problems.append(f"{result.lost} responses lost, {result.repeated} repeated or other ones")
        for path in sorted((out / "rejects").glob("sample-*.parquet")):
            result.problems += [f"{path.name}: {row.id}: {row.reason} {row.detail}" for row in read_rows(path, Reject)]


def same_bytes(out: Path, peaceful: Path) -> list[str]:
    """Shards that differ from those of the undisturbed build, byte by byte."""
    files, wanted = read_manifest(out)["files"], read_manifest(peaceful)["files"]
    return sorted(name for name in {*files, *wanted} if files.get(name) != wanted.get(name))


def other_rows(out: Path, peaceful: Path) -> list[str]:
    """Folders whose rows differ from those of the undisturbed build, be they in other units."""
    nouns: dict[str, type[Any]] = {
        "questions": Question,
        "rollouts": Rollout,
        "completions": Completions,
        "verdicts": Verdicts,
    }
    nouns |= {"pairs": PreferenceRow, "heldout": Question}

    def rows(build: Path, folder: str) -> Counter[str]:
        paths = (build / folder).glob("*.parquet")
        return Counter(content_id(repr(row)) for path in paths for row in read_rows(path, nouns[folder]))

    return [folder for folder in nouns if rows(out, folder) != rows(peaceful, folder)]


def responses(out: Path) -> Iterator[tuple[str, int]]:
    """Each stored response: its question and its seed."""
    for path in sorted((out / "rollouts").glob("*.parquet")):
        for rollout in read_rows(path, Rollout):
            yield from ((rollout.id, response.seed) for response in rollout.responses)


def sampled(out: Path) -> int:
    """Units that are sampled so far."""
    return sum(1 for _ in (out / "rollouts").glob("part-*.parquet"))
