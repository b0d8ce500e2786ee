"""Exports of four builds of mixed shape, read by the tools that they are for: ``make test-readers``.

    python -m tests.export.with_tools [--environments DIR] [tool ...]

LLaMA-Factory and ms-swift want versions of libraries of their own: each is installed once into an environment in DIR,
which takes from this one what it does not replace. TRL, ``datasets``, DuckDB and pandas are those that are here. Every
reader must give every pair of every build, to the letter and to the pixel; the exit status is 1 if one does not.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from mmpr.export.formats import IMAGES, Format, Images
from mmpr.export.run import export
from tests.export.builds import mixed_builds, pairs_of, pixels
from tests.helpers import REPOSITORY


@dataclasses.dataclass(frozen=True)
class Tool:
    """A reader: what it reads, and the requirement of its environment (empty: this one)."""

    format: Format
    requirement: str = ""


TOOLS = {
    "llamafactory": Tool("llama-factory", "llamafactory==0.9.5"),
    "ms-swift": Tool("ms-swift", "ms-swift==4.6.0"),
    "trl": Tool("trl"),
    "datasets": Tool("mmpr"),
    "duckdb": Tool("llama-factory"),
    "pandas": Tool("ms-swift"),
}


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("tools", nargs="*", metavar="TOOL", help=f"of {', '.join(TOOLS)} (default: all)")
    parser.add_argument("--environments", type=Path, default=REPOSITORY / ".venv" / "readers", metavar="DIR")
    args = parser.parse_args()
    if unknown := set(args.tools) - TOOLS.keys():
        parser.error(f"there is no tool {', '.join(sorted(unknown))}")
    failed = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with contextlib.redirect_stdout(sys.stderr):
            builds = mixed_builds(folder / "builds")
        for tool in args.tools or TOOLS:
            python = _python(tool, args.environments)
            for images in IMAGES[TOOLS[tool].format]:
                for build, out in builds.items():
                    if not _reads(python, tool, images, out, folder / f"{build}-{TOOLS[tool].format}-{images}"):
                        failed.append(f"{tool} of {build} with {images}")
    print(f"\n{len(failed)} failed: {'; '.join(failed)}" if failed else "\nevery reader gave every pair")
    return 1 if failed else 0


def _python(tool: str, environments: Path) -> str:
    """The Python of a tool's environment, which is made if it is not there."""
    requirement = TOOLS[tool].requirement
    if not requirement:
        return sys.executable
    folder = environments / tool
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        print(f"installing {requirement} into {folder} (minutes)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        beneath = folder / "lib" / version / "site-packages" / "beneath.pth"
        beneath.write_text(f"{sysconfig.get_paths()['purelib']}\n")
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
        subprocess.run(install, check=True)
        (folder / "installed").write_text(requirement)
    return str(python)


def _reads(python: str, tool: str, images: Images, out: Path, to: Path) -> bool:
    """Export a build, have the tool read it, and say whether it gave all pairs."""
    if not to.exists():
        export(out, TOOLS[tool].format, to, images)
    expected = sorted(
        [list(map(_digest, pair[1])), pair[2].replace("<image>\n", "<image>"), *pair[3:]] for pair in pairs_of(out)
    )
    begun = time.monotonic()
    home = to.parent / "home"
    code = Path(__file__).with_name("read_with_tool.py")
    done = subprocess.run(
        [python, str(code), tool, str(to), str(REPOSITORY / "data" / "demo_model")],
        capture_output=True,
        text=True,
        check=False,
        cwd=to.parent,
        env={**os.environ, "HOME": str(home), "HF_HUB_OFFLINE": "1", "PYTHONPATH": "", "CUDA_VISIBLE_DEVICES": ""},
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("READ ")]
    found = json.loads(lines[-1].removeprefix("READ ")) if lines and not done.returncode else {"pairs": []}
    pairs = sorted(
        [pictures, prompt.replace("<image>\n", "<image>"), *sides] for pictures, prompt, *sides in found["pairs"]
    )
    right = pairs == expected
    seconds = time.monotonic() - begun
    word = "equal" if right else "DIFFERENT"
    version = found.get("version", "")
    print(f"{tool} {version}  {to.name}: {len(pairs)} of {len(expected)} pairs, {word} ({seconds:.0f} s)", flush=True)
    if not right:
        print(done.stderr[-3000:], file=sys.stderr)
    return right


def _digest(picture: bytes) -> str:
    from hashlib import sha256

    return sha256(pixels(picture)).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
