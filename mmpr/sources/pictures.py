"""Pictures that rows name: files under a root and, where the recipe allows it, addresses of the web."""

from __future__ import annotations

from pathlib import Path

from mmpr.config import ImagesSpec
from mmpr.sources import files


def load_picture(root: Path, ref: str, limits: ImagesSpec) -> bytes:
    """The encoded picture at a path under ``root``, or at an address.

    Raises:
        RowError: as ``files.read_inside``, or as ``mmpr.sources.remote.fetch``.
    """
    if limits.remote is not None and files.is_address(ref):
        from mmpr.sources.remote import fetch

        return fetch(ref, limits.remote, limits.max_bytes)
    return files.read_inside(root, ref, limits.max_bytes)
