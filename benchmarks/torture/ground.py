"""The ground that builds are tortured on: Ray nodes in network namespaces of their own, and a small disk of its own.

Linux and root are needed: a namespace and a virtual cable a node, a bridge between them, an ext4 file system in a file
and a memory cgroup. All of it is taken away again in the end.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
RAY = Path(sys.executable).parent / "ray"
PORT = 6399
START_LIMIT_S = 150
STARTS = 5
# Every node has an address of its own. With ports that it knows, Ray does not give up agents that start slowly.
PORTS = [
    f"--{what}-port={port}"
    for port, what in enumerate(
        ("dashboard-agent-grpc", "dashboard-agent-listen", "runtime-env-agent", "metrics-export"), start=52001
    )
]
CPUS = 2
"""What a node says that it has, the head says none: two engines (half a CPU each) and the rest fit on one node."""
TOOLS = ("ip", "mount", "umount", "mkfs.ext4", "fsfreeze", "chattr", "fallocate")
# Names and addresses of its own, so that two can run beside each other; a device's name has at most 15 characters.
_BRIDGE = f"mmpr{os.getpid()}n"
_NET = f"10.{64 + os.getpid() // 256 % 128}.{os.getpid() % 256}"
_CAPABILITIES = 1 << 12 | 1 << 21
_CGROUPS = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))


class GroundError(Exception):
    """The ground itself gives way, whatever the build on it does."""


def missing() -> str:
    """Why there can be no such ground here; empty when there can."""
    if os.geteuid() != 0:
        return "needs root (network namespaces, a disk of its own)"
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    if lacking:
        return f"needs {', '.join(lacking)}"
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    if int(status["CapEff"], 16) & _CAPABILITIES != _CAPABILITIES:
        return "needs the capabilities NET_ADMIN (namespaces) and SYS_ADMIN (mounts)"
    return "" if any(_memory_cgroup()) else "needs a memory cgroup that can be written"


def _memory_cgroup() -> Iterator[Path]:
    return (path for path in _CGROUPS if os.access(path / "cgroup.procs", os.W_OK))


def sh(*command: str | Path, check: bool = True) -> str:
    """Run a command; returns its output."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=300)
    if check and done.returncode:
        raise GroundError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


@dataclass(slots=True)
class Node:
    """A machine: number 0 is the head, where the driver runs too."""

    number: int
    cpus: int
    starting: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The name of its namespace, and of its cable."""
        return f"{_BRIDGE}{self.number}"

    @property
    def address(self) -> str:
        """Its IP address."""
        return f"{_NET}.{10 + self.number}"

    def pids(self) -> list[int]:
        """All processes on it."""
        return [int(pid) for pid in sh("ip", "netns", "pids", self.name, check=False).split()]

    def processes(self, *words: str) -> list[int]:
        """Those whose title holds one of the words."""
        found = []
        for pid in self.pids():
            with contextlib.suppress(OSError):
                title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if any(word in title for word in words):
                    found.append(pid)
        return found

    def plug(self, connected: bool) -> None:
        """Plug its cable in, or pull it out."""
        sh("ip", "link", "set", self.name, "up" if connected else "down")


@dataclass(slots=True)
class Ground:
    """Nodes, disk and what kills for want of memory; ``out`` lies on the disk."""

    folder: Path
    nodes: list[Node]
    env: dict[str, str] = field(default_factory=dict)

    @property
    def disk(self) -> Path:
        """Where the disk is mounted."""
        return self.folder / "disk"

    @property
    def address(self) -> str:
        """The cluster, for ``RAY_ADDRESS``."""
        return f"{self.nodes[0].address}:{PORT}"

    def start(self, node: Node) -> None:
        """Start Ray on a node, or begin to."""
        cluster = (
            (
                "--head",
                f"--port={PORT}",
                "--include-dashboard=false",
                "--no-monitor",
                f"--temp-dir={self.folder / 'ray'}",
            )
            if node.number == 0
            else (f"--address={self.address}",)
        )
        options = (f"--node-ip-address={node.address}", f"--num-cpus={node.cpus}", "--disable-usage-stats")
        memory = f"--object-store-memory={100 << 20}"
        with self._log(node).open("ab") as log:
            node.starting = subprocess.Popen(
                ["ip", "netns", "exec", node.name, RAY, "start", *cluster, *options, memory, *PORTS],
                env=self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _log(self, node: Node) -> Path:
        """What all starts of Ray on a node said."""
        return self.folder / f"{node.name}.log"

    def mend(self) -> None:
        """See that every node is there, connected, and runs Ray; waits for the head, not for the others."""
        for node in self.nodes:
            node.plug(True)
            starts = 0
            while not self._runs(node):
                if starts == STARTS:
                    said = self._log(node).read_text(errors="replace")[-2000:]
                    raise GroundError(f"Ray does not start on node {node.number}:\n{said}")
                # Without its head the cluster is gone, and as long as another node believes in it no new one can start.
                for gone in self.nodes if node.number == 0 else [node]:
                    _end(gone)
                self.start(node)
                starts += 1  # on a machine with much to do Ray gives up a start that takes long

    def _runs(self, node: Node) -> bool:
        """Whether Ray runs on a node; on one that is not the head it may still start."""
        if node.starting is not None:
            if node.number and node.starting.poll() is None:
                return True
            try:
                node.starting.wait(START_LIMIT_S)
                node.starting = None
            except subprocess.TimeoutExpired:
                _end(node)
        return bool(node.processes("raylet/raylet"))

    def fill(self) -> None:
        """Let nothing fit on the disk any more."""
        filler = self.disk / "filler"
        for size in (1 << 26, 1 << 22, 1 << 16, 1 << 12):
            for _ in range(64):
                left = os.statvfs(self.disk).f_bavail * os.statvfs(self.disk).f_frsize
                if left < size:
                    break
                with contextlib.suppress(OSError), filler.open("ab") as file:
                    file.write(bytes(min(left, size)))

    def empty(self) -> None:
        """Let things fit again."""
        (self.disk / "filler").unlink(missing_ok=True)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let everybody who writes wait."""
        sh("fsfreeze", "-f", self.disk)
        try:
            yield
        finally:
            sh("fsfreeze", "-u", self.disk)

    def starve(self, pid: int) -> bool:
        """Take a process all further memory; returns whether the kernel has killed it for want of some."""
        root = next(_memory_cgroup())
        group = root / _BRIDGE
        group.mkdir(exist_ok=True)
        limit = group / ("memory.limit_in_bytes" if root.name == "memory" else "memory.max")
        limit.write_text(str(1 << 20))
        with contextlib.suppress(OSError):
            (group / "cgroup.procs").write_text(str(pid))
        killed = wait_until(lambda: not is_alive(pid), 10)
        with contextlib.suppress(OSError):
            (root / "cgroup.procs").write_text(str(pid))
        return killed


@contextlib.contextmanager
def ground(folder: Path, workers: int, disk_mib: int) -> Iterator[Ground]:
    """Lay the ground in a folder: a head and so many other nodes, all running Ray."""
    made = Ground(folder, [Node(0, 0), *(Node(number, CPUS) for number in range(1, workers + 1))])
    made.env = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ADDRESS": made.address,
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONDONTWRITEBYTECODE": "",  # processes start again and again
        # Workers are started when they are needed: on two cores each costs seconds.
        "RAY_enable_worker_prestart": "0",
        "RAY_prestart_worker_first_driver": "0",
        # A node that does not answer is given up after some seconds, not half a minute.
        "RAY_health_check_initial_delay_ms": "5000",
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "3000",
        "RAY_health_check_failure_threshold": "3",
    }
    try:
        _lay(made, disk_mib)
        made.mend()
        yield made
    finally:
        _clear(made)


def _lay(made: Ground, disk_mib: int) -> None:
    _clear(made)
    sh("ip", "link", "add", _BRIDGE, "type", "bridge")
    sh("ip", "addr", "add", f"{_NET}.1/24", "dev", _BRIDGE)
    sh("ip", "link", "set", _BRIDGE, "up")
    for node in made.nodes:
        sh("ip", "netns", "add", node.name)
        sh("ip", "link", "add", node.name, "type", "veth", "peer", "name", "eth0", "netns", node.name)
        sh("ip", "link", "set", node.name, "master", _BRIDGE, "up")
        for words in (
            ("link", "set", "lo", "up"),
            ("addr", "add", f"{node.address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("route", "add", "default", "via", f"{_NET}.1"),
        ):
            sh("ip", "-n", node.name, *words)
    made.disk.mkdir(parents=True)
    image = made.folder / "disk.img"
    sh("fallocate", "-l", f"{disk_mib}M", image)
    sh("mkfs.ext4", "-q", "-m", "0", image)
    sh("mount", "-o", "loop", image, made.disk)


def _end(node: Node) -> None:
    """Kill all that runs on a node, and what starts Ray there."""
    kill(node.pids())
    if node.starting is not None:
        node.starting.kill()  # it may not have got there yet
        node.starting.wait()
        node.starting = None


def _clear(made: Ground) -> None:
    for node in made.nodes:
        _end(node)
        sh("ip", "link", "del", node.name, check=False)
        sh("ip", "netns", "del", node.name, check=False)
    sh("ip", "link", "del", _BRIDGE, check=False)
    for root in _memory_cgroup():
        with contextlib.suppress(OSError):
            (root / _BRIDGE).rmdir()
    if made.disk.is_mount():
        sh("fsfreeze", "-u", made.disk, check=False)
        sh("umount", "-l", made.disk, check=False)
    shutil.rmtree(made.folder, ignore_errors=True)


def kill(pids: list[int], sig: signal.Signals = signal.SIGKILL) -> int:
    """Send a signal; returns how many processes got it."""
    got = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sig)
            got += 1
    return got


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: object, limit_s: float) -> bool:
    """Wait for a condition; returns whether it came."""
    assert callable(condition)
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False
