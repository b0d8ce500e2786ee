"""Files that come with mmpr: ``prompts/``, ``pipelines/`` and the demo model of ``data/``.

They lie at the top of a checkout; a wheel holds them inside the package, in the same folders (``pyproject.toml``).
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_IN_WHEEL = _PACKAGE / "_resources"

RESOURCES = _IN_WHEEL if _IN_WHEEL.is_dir() else _PACKAGE.parent
"""The folder that holds ``prompts/``, ``pipelines/`` and ``data/``."""

PROMPTS = RESOURCES / "prompts"
PIPELINES = RESOURCES / "pipelines"


def find_pipeline(name: Path, folder: Path = PIPELINES) -> Path:
    """The recipe that a person names: a file, or a recipe of ``folder`` by its bare name (``quickstart``).

    A file that exists wins. A path that is neither comes back as it is, for its reader to complain of.
    """
    known = folder / f"{name}.yaml"
    return known if len(name.parts) == 1 and not name.exists() and known.is_file() else name
