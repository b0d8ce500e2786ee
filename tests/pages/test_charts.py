"""Histograms as SVG."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from mmpr.pages import charts


def test_histogram_draws_its_counts() -> None:
    drawn = charts.histogram([0, 10, 20, 30], [1, 4, 2], unit="tokens", label='<b>"', middle=12)
    root = ElementTree.fromstring(drawn)
    assert root.attrib["aria-label"] == '<b>"'
    names = {element.tag for element in root.iter()}
    assert names <= {"svg", "g", "path", "text"}
    assert {key for element in root.iter() for key in element.attrib} <= {
        "viewBox",
        "class",
        "role",
        "aria-label",
        "d",
        "x",
        "y",
        "transform",
        "text-anchor",
    }
    (fill,) = [g.find("path") for g in root.iter("g") if g.get("class") == "fill"]
    assert fill is not None
    tops = [float(y) for y in re.findall(r"L [\d.]+ ([\d.]+)", fill.get("d", ""))]
    base = tops[-1]
    heights = list(dict.fromkeys(round(base - y, 2) for y in tops[:-1]))
    assert heights[1] == pytest.approx(4 * heights[0], rel=0.01)
    assert heights[2] == pytest.approx(2 * heights[0], rel=0.01)
    assert [text.text for text in root.iter("text")][:4] == ["0", "5", "10", "15"]


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ([0, 1, 2, 3, 4], (False, False)),
        ([0, 1, 2, 3, 400], (False, True)),
        ([-400, 0, 1, 2, 3, 400], (True, True)),
        ([0, 1], (False, False)),
    ],
)
def test_tails(edges: list[float], expected: tuple[bool, bool]) -> None:
    assert charts.tails(edges) == expected
    drawn = charts.histogram(edges, [1] * (len(edges) - 1), unit="", label="x", middle=None)
    assert drawn.count('class="tail"') == sum(expected)


def test_an_empty_histogram_is_drawn() -> None:
    assert "<svg" in charts.histogram([0, 1], [0], unit="share", label="nothing", middle=None)
    assert "NaN" not in charts.sparkline([0, 0])
