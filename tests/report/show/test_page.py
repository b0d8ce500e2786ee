"""The page of a report as text: escaped, bounded, in order, readable."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import strategies as st

from mmpr.pages import safe_text
from mmpr.report.contents import Flow, FlowPart, FlowStage
from mmpr.report.show import page
from mmpr.report.show.marked import mark_pair
from tests.report.reports import LONG, made_report, response

anything = st.text(st.characters(exclude_categories=()), max_size=80)


class Elements(HTMLParser):
    """Every element with its attributes, the text of headings, and what a script or style holds."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str]]] = []
        self.blocks: list[tuple[str, str]] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        self._inside = tag
        if tag in ("script", "style"):
            self.blocks.append((tag, ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style"):
            tag, text = self.blocks[-1]
            self.blocks[-1] = (tag, text + data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.found if name == tag]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Elements]:
    folder = tmp_path_factory.mktemp("report")
    page.write_page(made_report(), folder)
    return {path.name: Elements(path.read_text(encoding="utf-8")) for path in folder.iterdir()}


def test_files(pages: dict[str, Elements]) -> None:
    assert set(pages) == {"index.html", "gallery.html", "audit.html"}


@pytest.mark.parametrize("name", ["index.html", "gallery.html", "audit.html"])
class TestEveryPage:
    def test_no_markup_of_data(self, pages: dict[str, Elements], name: str) -> None:
        elements = pages[name]
        pictures = {"index.html": 0, "gallery.html": 6, "audit.html": 6}[name]
        assert len(elements.all("img")) == pictures
        assert all(attrs["src"].startswith("data:image/png;base64,") for attrs in elements.all("img"))
        assert len(elements.all("style")) == 1
        assert len(elements.all("script")) == {"index.html": 0}.get(name, 2)
        assert not {"iframe", "object", "embed", "base"} & {tag for tag, _ in elements.found}

    def test_nothing_inline_and_nothing_from_outside(self, pages: dict[str, Elements], name: str) -> None:
        for tag, attrs in pages[name].found:
            assert "style" not in attrs, tag
            assert not [key for key in attrs if key.startswith("on")], tag
            for key in ("href", "src", "action", "xlink:href"):
                address = attrs.get(key, "#")
                assert re.match(r"(#|data:|(index|gallery|audit)\.html)", address), address

    def test_policy_names_what_is_there(self, pages: dict[str, Elements], name: str) -> None:
        elements = pages[name]
        (policy,) = [a["content"] for a in elements.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; img-src data:;")
        assert "unsafe" not in policy
        scripts = [attrs.get("type") for attrs in elements.all("script")]
        contents = [text for tag, text in elements.blocks if tag == "script"]
        run = [text for kind, text in zip(scripts, contents, strict=True) if kind is None]
        (style,) = [text for tag, text in elements.blocks if tag == "style"]
        for text in [style, *run]:
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy

    def test_headings_are_in_order(self, pages: dict[str, Elements], name: str) -> None:
        levels = [int(tag[1]) for tag, _ in pages[name].found if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(b <= a + 1 for a, b in pairwise(levels)), levels

    def test_names_for_those_who_do_not_see(self, pages: dict[str, Elements], name: str) -> None:
        elements = pages[name]
        assert all(attrs.get("alt") for attrs in elements.all("img"))
        labelled = {attrs.get("for") for attrs in elements.all("label")}
        assert all(attrs["id"] in labelled for tag in ("input", "select") for attrs in elements.all(tag))
        assert all(a.get("aria-hidden") or a.get("aria-label") for a in elements.all("svg"))
        landmarks = [tag for tag, _ in elements.found if tag in ("nav", "main", "footer")]
        assert landmarks == ["nav", "main", "footer"]
        assert elements.all("html") == [{"lang": "en"}]

    def test_ids_are_unique_and_references_there(self, pages: dict[str, Elements], name: str) -> None:
        ids = [attrs["id"] for _, attrs in pages[name].found if "id" in attrs]
        assert len(ids) == len(set(ids))
        for _, attrs in pages[name].found:
            for reference in (
                attrs.get("aria-labelledby"),
                attrs.get("href", "")[1:] if attrs.get("href", "").startswith("#") else None,
            ):
                assert reference is None or reference in ids, reference


def test_links_between_pages_lead_somewhere(pages: dict[str, Elements]) -> None:
    ids = {name: {attrs.get("id") for _, attrs in elements.found} for name, elements in pages.items()}
    links = {a["href"] for elements in pages.values() for a in elements.all("a") if "#finding-" in a["href"]}
    known = {f"finding-{finding.key}" for finding in made_report().findings}
    assert {link.partition("#")[2] for link in links} >= {"finding-letters", "finding-pairs"}
    assert known <= ids["index.html"]
    assert any(a["href"] == "gallery.html#finding=letters" for a in pages["index.html"].all("a"))
    assert not any(a["href"] == "gallery.html#finding=margin" for a in pages["index.html"].all("a"))
    assert "distribution-length" in ids["index.html"]


def test_overview_says_every_number() -> None:
    text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.overview(made_report()))))
    for said in (
        "pairs 5 1.0 a question",
        "questions 5 of 3 sources",
        "1 bad",
        "1 to look at",
        "2 ok",
        "to look at above 1.10 , bad above 1.30".replace(" ,", ","),
        "to look at below 4, bad below 2",
        "taken 5 83.3%",
        "the last 30 to 4,000",
        "differ by 1",
        "+10.0 points",
        "median",
    ):
        assert said in text, said


def test_flow_bars_are_as_long_as_their_counts() -> None:
    body = page.overview(made_report())
    bars = re.findall(r'<svg class="bar".*?</svg>', body, re.S)
    widths = [
        [float(w) for w in re.findall(r'<rect class="(?:kept|dropped)-\d" x="[\d.]+" y="0" width="([\d.]+)"', bar)]
        for bar in bars
    ]
    assert widths == [[833.33, 166.67], [800, 200], [1000], []]
    ribbons = re.findall(r'<svg class="ribbon".*?d="M([\d.]+) 0L([\d.]+) 0L1000', body, re.S)
    assert ribbons == [("0.0", "833.33"), ("0.0", "1000.0")]


def test_flow_ribbons_lead_where_all_of_a_bar_comes_from() -> None:
    def stage(key: str, *to: str) -> FlowStage:
        parts = tuple(FlowPart(name or "end", name or "end", 10, True, name) for name in to)
        return FlowStage(key, key, "rows", 10 * len(to), parts)

    flow = Flow(
        (stage("a", "set-aside", "b"), stage("set-aside", ""), stage("b", "c", "d"), stage("c", "d"), stage("d", "")),
        (),
    )
    drawn = [(bar.stage.key, bar.ribbons) for bar in page._stages(flow)]
    half = (500.0, 500.0)
    # d has parts of b and of c, so that no ribbon may fill it; what was set aside is drawn last
    assert drawn == [("a", [half]), ("b", [(0.0, 500.0)]), ("c", []), ("d", []), ("set-aside", [])]


def test_without_optional_parts() -> None:
    report = replace(made_report(), comparison=None, audit=(), gallery=(), distributions=())
    report = replace(report, contamination=replace(report.contamination, overlaps=(), hits=()))
    assert "nothing to compare with" in page.overview(report)
    assert 'href="#comparison"' not in page.overview(report)
    assert "nothing to audit" in page.audit(report)
    assert "0 questions" in page.gallery(report)


def test_pages_are_bounded(tmp_path: Path) -> None:
    report = made_report()
    wide = response("<" * 12_000, 0, "correct", "<")
    question = replace(report.gallery[0], responses=(wide,) * 8)
    many = tuple(replace(question, id=f"{n:032x}") for n in range(60))
    lines = replace(report.sources[0], name="<" * 1000)
    verdicts = tuple(replace(report.audit[0], key=str(n), question=LONG, response=wide) for n in range(60))
    report = replace(report, gallery=many, audit=verdicts, sources=(lines,) * 3000)
    page.write_page(report, tmp_path)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sum(sizes.values()) < page.PAGE_BYTES
    assert sizes["gallery.html"] > page.GALLERY_BYTES / 2
    text = (tmp_path / "gallery.html").read_text(encoding="utf-8")
    left_out = re.search(r"(\d+) more questions did not fit", text)
    assert left_out is not None
    assert int(left_out[1]) + text.count("<article") == 60
    assert "2,976 more sources" in (tmp_path / "index.html").read_text(encoding="utf-8").replace("2976", "2,976")


sentences = st.lists(st.sampled_from(["the", "sum", "is", "7", "8", "+", ".", "答案", "\n"]), max_size=30).map(" ".join)


def test_pair_marks_prefix_answer_and_difference() -> None:
    chosen = response("A zebra stands on the grass. So 3", 0, "", "3")
    rejected = response("A zebra stands in the sky.", continued=True, prefix_chars=15)
    card = mark_pair(made_report().gallery[3].pairs[0], (chosen, rejected))
    for side, differs, answer in ((card.chosen, "on|grass|So 3", "3"), (card.rejected, "in|sky", "")):
        marked = {mark: [p.text for p in side.pieces if mark in p.marks] for mark in ("prefix", "differs", "answer")}
        assert "".join(marked["prefix"]) == "A zebra stands "
        assert "".join(marked["differs"]) == differs.replace("|", "")
        assert "".join(marked["answer"]) == answer
    assert (
        str(safe_text.Piece("<7>", ("answer", "differs")).__html__()) == '<mark class="answer differs">&lt;7&gt;</mark>'
    )
