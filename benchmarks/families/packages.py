"""Packages that picture processors of other families import, in a folder of their own.

Most picture processors and vLLM's models import torchvision. Its wheel's operators are those of the CUDA build, which a
CPU build of PyTorch cannot load; of these only two names must be there for its Python to work. It stays out of the
locks: with it, transformers resizes pictures in another way, and the quickstart's figures would move.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = ("torchvision==0.28.0", "num2words==0.5.14")
_DECLARATION = """

if not _has_ops():  # without compiled operators: declare what torchvision's Python wants to be there
    for _name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{_name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def installed(folder: Path) -> Path:
    """Install them into ``folder`` with pip if they are not there, and return the folder.

    Raises:
        SystemExit: pip could not.
    """
    complete = folder / ".complete"
    if complete.exists() and complete.read_text().split() == list(PACKAGES):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    print(f"installing {' and '.join(PACKAGES)} without dependencies into {folder}", file=sys.stderr, flush=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    if subprocess.run([*pip, "--target", str(folder), *PACKAGES], check=False).returncode:
        sys.exit(f"error: pip could not install {' '.join(PACKAGES)}")
    package = folder / "torchvision"
    for compiled in package.glob("*.so"):
        compiled.unlink()
    shutil.rmtree(folder / "torchvision.libs", ignore_errors=True)
    extension = package / "extension.py"
    extension.write_text(extension.read_text() + _DECLARATION)
    complete.write_text("\n".join(PACKAGES))
    return folder
