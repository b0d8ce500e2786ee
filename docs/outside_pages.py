"""A hook of mkdocs: shows files outside docs/ as pages of the site, and adapts the links from and to them."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "timings.md",
    "data/README.md": "demo-model.md",
}
"""File of the repository: page of the site."""
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages."""
    root = Path(config.config_file_path).parent
    for path, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(root / path)))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A page's text with its relative links as the site needs them; in the files they are right for the repository."""
    root = Path(config.config_file_path).parent
    folder = posixpath.dirname(Path(os.path.relpath(str(page.file.abs_src_path), root)).as_posix())

    def adapt(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[1]))
        target = PAGES.get(target, target.removeprefix("docs/"))
        return posixpath.relpath(target, posixpath.dirname(page.file.src_uri) or ".")

    return _LINK.sub(adapt, markdown)
