"""The frame of mmpr's pages: each is one file that opens from disk and needs no network.

    page("Title", body, links=[("index.html", "Overview")], here="index.html")

A page holds its own style and script, and a Content-Security-Policy that allows these two by their hashes, and pictures
inside the page. Nothing else may load or run, even if text from data became markup. Templates escape every value;
scripts get data as JSON, in a block that browsers do not run.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mmpr.pages.safe_text import visible

TEMPLATES = Path(__file__).parent / "templates"

# Characters that could end a script block or, as line separators, a line of JavaScript.
_JSON_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def page(
    title: str,
    body: Markup,
    *,
    links: Sequence[tuple[str, str]] = (),
    here: str = "",
    footer: str = "",
    style: str = "",
    script: str = "",
    data: Mapping[str, Any] | None = None,
) -> str:
    """A whole HTML page.

    ``title`` is the heading and the title of the window. ``body`` stands in ``<main>`` below it. ``links`` are
    (address, label) of the navigation; the one of address ``here`` is marked as the current page. ``style`` is added to
    the shared style, ``script`` runs at the end of the page, where ``data`` is what
    ``JSON.parse(document.getElementById("data").textContent)`` gives.

    Raises:
        ValueError: ``style`` or ``script`` would end its own element.
    """
    style = asset("frame.css") + style
    for name, own in (("style", style), ("script", script)):
        if f"</{name}" in own.lower() or "<!--" in own:
            raise ValueError(f"the {name} of page {title!r} would end its element")
    allowed = [
        "default-src 'none'",
        "img-src data:",
        f"style-src '{_hash(style)}'",
        f"script-src '{_hash(script)}'" if script else "script-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return render(
        "frame.html",
        title=title,
        body=body,
        links=links,
        here=here,
        footer=footer,
        style=Markup(style),
        script=Markup(script),
        data=None if data is None else json_block(data),
        policy="; ".join(allowed),
    )


def render(template: str, **values: Any) -> Markup:
    """A template filled in; every value that is not ``Markup`` is escaped."""
    return Markup(environment().get_template(template).render(**values))  # escaped by the template


@functools.cache
def asset(name: str) -> str:
    """The text of a style or script in the templates' folder."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


@functools.cache
def environment() -> Environment:
    """The templates, which always escape; an unknown name in one is an error."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=number,
        visible=visible,
        picture=picture_address,
        count=lambda value: f"{value:,}",
        plural=lambda value, noun: f"{value:,} {noun}" if value != 1 else f"1 {noun.removesuffix('s')}",
    )
    return made


def number(value: float | None, unit: str) -> str:
    """A number as text: a ``share`` as a percentage, whole numbers with separators, others with few decimals."""
    if value is None:
        return "\u2013"
    if unit == "share":
        shown = _percent(100 * value)
    elif unit == "count" or (float(value).is_integer() and abs(value) < 1e15):
        shown = f"{value:,.0f}"
    else:
        shown = f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return shown.replace("-", "\u2212")


def _percent(value: float) -> str:
    """A percentage; only exactly 0 and 100 are written as 0% and 100%, never a number that rounds to them."""
    if value in (0, 100):
        return f"{value:.0f}%"
    if 0 < value < 0.005:
        return "<0.01%"
    if 99.995 <= value < 100:
        return ">99.99%"
    return f"{value:.2f}%" if 0 < value < 0.05 or 99.95 <= value < 100 else f"{value:.1f}%"


def json_block(data: Mapping[str, Any]) -> Markup:
    """JSON for ``<script type="application/json">``, safe whatever its strings hold."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.translate(_JSON_ESCAPES))  # escaped in this line


def picture_address(data: bytes) -> str:
    """A PNG or JPEG as a ``data:`` address."""
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _hash(content: str) -> str:
    """The hash by which the policy allows an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode("ascii")
