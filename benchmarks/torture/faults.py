"""What is done to a build: each fault is a function that does it, and says whether it happened.

Faults of the engine itself (``ENGINE``) are done by the replay engine, a fake, from inside; it leaves a mark for each.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.torture.ground import Ground, kill, sh, wait_until

STOP_LIMIT_S = 180
ENGINES = ("Generate",)
FEED = ("ReadUnits",)
LIGHT = ("_ingest", "_judge", "ray::IDLE", "Meter")
VLLM = ("VLLM::", "EngineCore")


@dataclass(slots=True)
class Victim:
    """A build that runs: its driver, where it lies, and what was wrong with the way it took things."""

    ground: Ground
    out: Path
    start: Callable[[], subprocess.Popen[bytes]]
    log: Path
    dice: random.Random
    driver: subprocess.Popen[bytes] = field(init=False)
    complaints: list[str] = field(default_factory=list)
    _before: int = 0

    def __post_init__(self) -> None:
        self.driver = self.start()

    def runs(self) -> bool:
        """Whether the driver runs."""
        return self.driver.poll() is None

    def said(self) -> str:
        """What the driver that runs, or ran last, has printed."""
        return self.log.read_bytes()[self._before :].decode(errors="replace")

    def again(self) -> None:
        """Start the same command again, on a ground that is whole."""
        self.ground.mend()
        self._before = self.log.stat().st_size
        self.driver = self.start()

    def some(self, *words: str) -> int | None:
        """A process of that title on any node."""
        pids = [pid for node in self.ground.nodes for pid in node.processes(*words)]
        return self.dice.choice(pids) if pids else None


def engine_actor(victim: Victim) -> bool:
    return _kill_one(victim, ENGINES)


def vllm_engine(victim: Victim) -> bool:
    return _kill_one(victim, VLLM)


def vllm_hangs(victim: Victim) -> bool:
    """Stop vLLM's engine process; what it holds must time out."""
    pid = victim.some(*VLLM)
    return pid is not None and kill([pid], signal.SIGSTOP) == 1


def worker(victim: Victim) -> bool:
    return _kill_one(victim, LIGHT)


def feed(victim: Victim) -> bool:
    return _kill_one(victim, FEED)


def node(victim: Victim) -> bool:
    chosen = victim.dice.choice(victim.ground.nodes[1:])
    killed = kill(chosen.pids())
    victim.ground.mend()
    return killed > 0


def driver(victim: Victim) -> bool:
    killed = victim.runs()
    _end(victim, signal.SIGKILL)
    victim.again()
    return killed


def everything(victim: Victim) -> bool:
    """All processes of all nodes at once, the head's and the driver too; the same command goes on on a new cluster."""
    killed = victim.runs()
    kill([pid for one in victim.ground.nodes for pid in one.pids()])
    victim.driver.wait(STOP_LIMIT_S)
    victim.again()
    return killed


def sigterm(victim: Victim) -> bool:
    return _stop(victim, signal.SIGTERM)


def ctrl_c(victim: Victim) -> bool:
    return _stop(victim, signal.SIGINT)


def full_disk(victim: Victim) -> bool:
    victim.ground.fill()
    ended = wait_until(lambda: not victim.runs(), STOP_LIMIT_S)
    victim.ground.empty()
    return _told(victim, ended, "No space left on device")


def read_only(victim: Victim) -> bool:
    folders = [path for path in victim.out.iterdir() if path.is_dir()]
    sh("chattr", "+i", *folders)
    try:
        ended = wait_until(lambda: not victim.runs(), STOP_LIMIT_S)
    finally:
        sh("chattr", "-i", *folders)
    return _told(victim, ended, "cannot be written")


def slow_disk(victim: Victim) -> bool:
    with victim.ground.frozen():
        time.sleep(victim.dice.uniform(1, 4))
    return victim.runs()


def short_partition(victim: Victim) -> bool:
    """The cable is out for a moment: nobody is given up."""
    return _partition(victim, 1.5)


def partition(victim: Victim) -> bool:
    """The cable is out until the cluster has given the node up; what runs there goes on for a while, unseen."""
    return _partition(victim, 15)


def memory(victim: Victim) -> bool:
    pid = victim.some(*ENGINES)
    return pid is not None and victim.ground.starve(pid)


def second_driver(victim: Victim) -> bool:
    """Start the same command beside the first; it must be refused."""
    if not victim.runs():
        return False
    second = victim.start()
    status = second.wait(STOP_LIMIT_S)
    if victim.runs() and (status != 1 or "another build is running there" not in victim.said()):
        victim.complaints.append(f"a second driver ended with status {status}, and was not told why")
    return True


CLUSTER: dict[str, tuple[Callable[[Victim], bool], int]] = {
    "kill -9 of an engine's actor": (engine_actor, 4),
    "kill -9 of the task that lets units in": (feed, 2),
    "kill -9 of another worker": (worker, 3),
    "out of memory in an engine's actor (cgroup)": (memory, 2),
    "kill -9 of a node: raylet and all workers": (node, 1),
    "network to a node cut, briefly": (short_partition, 3),
    "network to a node cut, until it is given up": (partition, 1),
    "slow disk: frozen for 1 to 4 s": (slow_disk, 4),
    "disk full": (full_disk, 1),
    "output cannot be written": (read_only, 1),
    "kill -9 of the driver": (driver, 1),
    "kill -9 of all nodes at once, the head and the driver too": (everything, 1),
    "SIGTERM": (sigterm, 1),
    "Ctrl-C": (ctrl_c, 1),
    "second driver on the same output": (second_driver, 1),
}
"""By name: what does it, and its weight in the draw."""

SHORT = (
    "kill -9 of an engine's actor",
    "kill -9 of another worker",
    "out of memory in an engine's actor (cgroup)",
    "network to a node cut, briefly",
    "slow disk: frozen for 1 to 4 s",
    "second driver on the same output",
)
"""Those after which a build is at work again within seconds."""

ENGINE = {
    "kill": "engine kills its process over a request",
    "die": "engine dies over a request",
    "hang": "engine never answers a request",
    "freeze": "engine hangs altogether",
    "block": "engine's process stands still",
    "refuse": "engine raises for a request",
    "short": "engine returns fewer samples than asked",
}
"""What the replay engine does from inside, once each, by its name there."""

REAL: dict[str, tuple[Callable[[Victim], bool], int]] = {
    "real vLLM: kill -9 of its engine process": (vllm_engine, 1),
    "real vLLM: kill -9 of its actor": (engine_actor, 1),
    "real vLLM: its engine process hangs": (vllm_hangs, 1),
}


def kill_while_it_grows(victim: Victim) -> None:
    """End the driver, start the command that grows its build, and kill that at some moment of its first seconds."""
    if victim.runs():
        _end(victim, signal.SIGINT)
    victim.again()
    with contextlib.suppress(subprocess.TimeoutExpired):
        victim.driver.wait(victim.dice.uniform(1, 12))
    _end(victim, signal.SIGKILL)
    victim.again()


def _kill_one(victim: Victim, words: tuple[str, ...]) -> bool:
    pid = victim.some(*words)
    return pid is not None and kill([pid]) == 1


def _partition(victim: Victim, seconds: float) -> bool:
    chosen = victim.dice.choice(victim.ground.nodes[1:])
    had_work = bool(chosen.processes("ray::"))
    chosen.plug(False)
    time.sleep(seconds)
    chosen.plug(True)
    time.sleep(3)  # a node that was given up ends when it hears of it
    victim.ground.mend()
    return had_work


def _end(victim: Victim, sig: signal.Signals) -> int:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(victim.driver.pid, sig)
    return victim.driver.wait(STOP_LIMIT_S)


def _stop(victim: Victim, sig: signal.Signals) -> bool:
    """Stop the driver politely; it must end in time, with status 130."""
    if not victim.runs():
        return False
    try:
        status = _end(victim, sig)
    except subprocess.TimeoutExpired:
        victim.complaints.append(f"{sig.name} was ignored for {STOP_LIMIT_S} s")
        status = _end(victim, signal.SIGKILL)
    if status not in (0, 130):
        victim.complaints.append(f"{sig.name} ended the driver with status {status}, not 130")
    victim.again()
    return status == 130


def _told(victim: Victim, ended: bool, words: str) -> bool:
    """After a fault that ends the driver: it must have failed with a message; then it goes on."""
    if not ended:
        return False
    status = victim.driver.returncode
    if status == 0:
        return False
    if status != 1 or words not in victim.said():
        victim.complaints.append(f"{words!r} was not told (status {status})")
    victim.again()
    return True
