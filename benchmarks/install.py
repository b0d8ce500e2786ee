"""Proves that a machine with nothing but Python, make, git and a C compiler gets what the README says.

    python benchmarks/install.py quickstart    a fresh clone, `make build-mmpr`, the README's look at a pair
    python benchmarks/install.py gpu-lock      locks/gpu.txt installs, imports, lacks nothing, and plans a build

Both work on what is committed, in a temporary folder that is removed, and in an empty environment: no variable of the
caller but PIP_CERT, no configuration of pip, no cache. What is tried is the Python that runs this, 3.11 or newer; it
needs nothing installed. Each step is printed with the time that it took and the size of what it left.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
CERTIFICATES = "PIP_CERT"
"""Passed on where it is set: whom a machine trusts is a property of the machine, as its clock is."""

SHOW_A_PAIR = "import mmpr; print(mmpr.load_pairs('builds/quickstart')[0])"
IMPORT_ALL = (
    "import ray, torch, transformers, vllm as v; print(*(m.__version__ for m in (ray, torch, transformers, v)))"
)


class FreshMachine:
    """A clone of this checkout in an otherwise empty folder, where commands run in an empty environment."""

    def __init__(self, folder: Path) -> None:
        self.clone = folder / "mmpr"
        home = folder / "home"
        home.mkdir()
        self._env = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PIP_CONFIG_FILE": os.devnull}
        if CERTIFICATES in os.environ:
            self._env[CERTIFICATES] = os.environ[CERTIFICATES]
        print("environment:", *(f"{name}={value}" for name, value in self._env.items()), flush=True)
        self.run("git", "clone", "--quiet", str(ROOT), str(self.clone), cwd=folder)

    def run(self, *command: str, cwd: Path | None = None, leaves: str = "") -> None:
        """Run a command, print its time and the size of what it left.

        Raises:
            SystemExit: it failed.
        """
        print("\n$", *(repr(word) if " " in word else word for word in command), flush=True)
        begun = time.monotonic()
        status = subprocess.run(command, cwd=cwd or self.clone, env=self._env, check=False).returncode
        took = f"{time.monotonic() - begun:.0f} s"
        if status:
            sys.exit(f"error: status {status} after {took}")
        print(f"[{took}{f'; {leaves}: {size_mb(self.clone / leaves):,} MB' if leaves else ''}]", flush=True)


def size_mb(folder: Path) -> int:
    """What lies in a folder, in MB of 10^6 bytes."""
    return sum(file.lstat().st_size for file in folder.rglob("*")) // 10**6


def quickstart(machine: FreshMachine) -> None:
    """What README.md says under "Start", the environment first so that it is timed alone."""
    machine.run("make", "setup", f"PYTHON={sys.executable}", leaves=".venv")
    machine.run("make", "build-mmpr", leaves="builds/quickstart")
    machine.run(".venv/bin/python", "-c", SHOW_A_PAIR)
    machine.run("make", "build-mmpr")


def gpu_lock(machine: FreshMachine) -> None:
    """What can be known of locks/gpu.txt where there is no GPU."""
    machine.run("make", "setup", "EXTRA=gpu", f"PYTHON={sys.executable}", leaves=".venv")
    machine.run(".venv/bin/python", "-c", IMPORT_ALL)
    machine.run(".venv/bin/python", "-m", "pip", "check")
    machine.run(".venv/bin/python", "-m", "mmpr.build", "pipelines/quickstart.yaml", "--dry-run")


WAYS = {"quickstart": quickstart, "gpu-lock": gpu_lock}


def main(arguments: Sequence[str] | None = None) -> None:
    """Try one way in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=WAYS)
    way = parser.parse_args(arguments).way
    changed = subprocess.run(["git", "status", "--short"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    if changed:
        print(f"note: only what is committed is tried; not committed here:\n{changed}", end="")
    print(f"{way} with Python {sys.version.split()[0]}")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mmpr-") as folder:
        WAYS[way](FreshMachine(Path(folder)))
    print(f"\n{way}: all of it works, in {(time.monotonic() - begun) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
