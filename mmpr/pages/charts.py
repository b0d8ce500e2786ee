"""Histograms as inline SVG that takes colours and fonts from the page, light or dark.

Matplotlib does the layout. Its colours and fonts are removed, since a page's policy allows no inline style; elements
get classes instead: ``fill`` (the counts), ``tail``, ``grid``, ``axis``, ``middle`` (the median).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

_SVG = "{http://www.w3.org/2000/svg}"
_POINTS = 72  # SVG units in an inch of matplotlib's
_CLASSES = ("fill", "tail", "grid", "middle", "axis")
# The attributes and elements that are kept: geometry alone.
_KEPT = {"d", "x", "y", "transform", "viewBox"}
_TAGS = {"svg", "g", "path", "text"}

WIDTH, HEIGHT = 400, 150
_SMALL_WIDTH, _SMALL_HEIGHT = 120, 22


def histogram(edges: Sequence[float], counts: Sequence[int], *, unit: str, label: str, middle: float | None) -> Markup:
    """A histogram with its axes, ``WIDTH`` by ``HEIGHT`` units.

    ``label`` describes it in words, for screen readers; ``middle`` is the median, drawn as a line. A wide bin at an
    end, which holds a long tail, is drawn as wide as the others, apart from them and paler.
    """
    left, right = tails(edges)
    first, last = int(left), len(counts) - int(right)
    body = edges[first : last + 1]
    step = body[1] - body[0]
    low, high = body[0] - 1.5 * step * left, body[-1] + 1.5 * step * right
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "mmpr", "font.size": 10.5}):
        figure = Figure(figsize=(WIDTH / _POINTS, HEIGHT / _POINTS))
        axes = figure.add_axes((0.11, 0.2, 0.87, 0.75))
        axes.stairs(counts[first:last], body, fill=True, gid="fill")
        if left:
            axes.stairs(counts[:1], (low, low + step), fill=True, gid="tail")
        if right:
            axes.stairs(counts[-1:], (high - step, high), fill=True, gid="tail")
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, unit)))
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axes.set_xlim(low, high)
        axes.set_ylim(0, max(max(counts), 1) * 1.05)
        for tick in axes.get_yticks():
            if 0 < tick < axes.get_ylim()[1]:
                axes.axhline(tick, gid="grid")
        axes.axhline(0, gid="axis")
        if middle is not None:
            axes.axvline(min(max(middle, low), high), gid="middle")
        axes.set_xticks([tick for tick in axes.get_xticks() if body[0] <= tick <= body[-1]])
        axes.set_frame_on(False)
        axes.tick_params(length=0)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _bare(file.getvalue(), label)


def tails(edges: Sequence[float]) -> tuple[bool, bool]:
    """Whether the first and the last bin of a histogram are much wider than the others."""
    widths = sorted(b - a for a, b in pairwise(edges))
    if len(widths) < 3:
        return False, False
    usual = 1.5 * widths[len(widths) // 2]
    return edges[1] - edges[0] > usual, edges[-1] - edges[-2] > usual


def sparkline(counts: Sequence[int]) -> Markup:
    """The outline of a histogram without axes, for a table row."""
    most = max(counts, default=0) or 1
    step = _SMALL_WIDTH / max(len(counts), 1)
    path = "".join(
        f"V{_SMALL_HEIGHT * (1 - count / most):.1f}H{(place + 1) * step:.1f}" for place, count in enumerate(counts)
    )
    return Markup(
        f'<svg class="spark" viewBox="0 0 {_SMALL_WIDTH} {_SMALL_HEIGHT}" preserveAspectRatio="none"'
        ' aria-hidden="true">'
        f'<path d="M0 {_SMALL_HEIGHT}{path}V{_SMALL_HEIGHT}Z"/></svg>'
    )


def short(value: float) -> str:
    """A number as an axis shows it: 1.5k for 1,500."""
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{name}"
    return f"{value:.3g}".replace("-", "\u2212")


def _tick(value: float, unit: str) -> str:
    return f"{100 * value:.3g}%" if unit == "share" else short(value)


def _bare(svg: str, label: str) -> Markup:
    """Matplotlib's SVG without styles, ids and references."""
    root = ElementTree.fromstring(svg)
    _strip(root)
    root.set("class", "chart")
    root.set("role", "img")
    root.set("aria-label", label)
    root.tag = "svg"
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _strip(element: ElementTree.Element) -> None:
    for child in list(element):
        name = child.tag.removeprefix(_SVG) if isinstance(child.tag, str) else ""
        gid = child.get("id", "")
        if name not in _TAGS or gid == "patch_1":  # the figure's background
            element.remove(child)
            continue
        styles = dict(part.strip().split(": ", 1) for part in child.get("style", "").split(";") if ": " in part)
        kept = {key: value for key, value in child.attrib.items() if key in _KEPT}
        if "text-anchor" in styles:
            kept["text-anchor"] = styles["text-anchor"]
        if gid in _CLASSES:
            kept["class"] = gid
        child.attrib.clear()
        child.attrib.update(kept)
        child.tag = name
        child.tail = None
        if name != "text":
            child.text = None
        _strip(child)
        if name == "g" and not len(child):
            element.remove(child)
    element.attrib.pop("style", None)
    for key in [key for key in element.attrib if key not in {*_KEPT, "class", "text-anchor"}]:
        del element.attrib[key]
