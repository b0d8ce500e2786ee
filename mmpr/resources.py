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
    """The recipe that a person names: a file, or one of ``folder`` or ``folder/models`` by its bare name.

    A file that exists wins. A path that is neither comes back as it is, for its reader to complain of.
    """
    if len(name.parts) == 1 and not name.exists():
        known = (place / f"{name}.yaml" for place in (folder, folder / "models"))
        return next((path for path in known if path.is_file()), name)
    return name
