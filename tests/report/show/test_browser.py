"""The page of a report in a browser: what it shows, what its keys do, and that nothing of the data runs."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mmpr.audit.judgements import read_lines
from mmpr.audit.precision import Judged, audited
from mmpr.report.show import page as report_page
from tests.report.reports import made_report

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian: apt install chromium)"),
]

NAMES = ["index.html", "gallery.html", "audit.html"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("report")
    report_page.write_page(made_report(), made)
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=120_000)
        yield started
        started.close()


class Window:
    """A page in a context of its own that notes what the browser complains of and asks for."""

    def __init__(self, context: BrowserContext) -> None:
        context.set_default_timeout(60_000)
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.refused: dict[str, str | None] = {}
        self.page.on("requestfailed", lambda request: self.refused.update({request.url: request.failure}))
        self.page.on("request", lambda request: self.requests.append(request.url))


@pytest.fixture
def window(browser: Browser) -> Iterator[Window]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = Window(context)
    yield opened
    context.close()


def shown(page: Page) -> list[str]:
    return [article.get_attribute("id") or "" for article in page.locator("article:visible").all()]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_the_data_runs_and_nothing_is_fetched(window: Window, folder: Path, name: str) -> None:
    page = window.page
    page.goto(f"{(folder / name).as_uri()}")
    for details in page.locator("details").all():
        details.evaluate("element => { element.open = true }")
    assert window.complaints == []
    assert {url for url in window.requests if not url.startswith("data:")} == {(folder / name).as_uri()}
    assert page.evaluate("window.harm") is None
    assert page.locator(".harm, main script, main style, svg[onload], [onerror]").count() == 0
    assert page.evaluate("getComputedStyle(document.body).display") == "block"
    assert page.locator("main h1").count() == 1
    assert "<script>window.harm=1</script><img class=harm src=x" in page.locator("main").inner_text()
    assert "49" not in page.locator("h1").inner_text()  # a template in the data stays text


def test_the_policy_stops_what_would_become_markup(window: Window, folder: Path) -> None:
    page = window.page
    page.goto((folder / "gallery.html").as_uri())
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.harm = 1";
          document.body.append(script);
          const markup = '<img src="https://example.org/x.png" onerror="window.harm=2">';
          document.body.insertAdjacentHTML("beforeend", markup);
        }"""
    )
    page.wait_for_timeout(200)
    assert page.evaluate("window.harm") is None
    assert any("Content Security Policy" in complaint for complaint in window.complaints)
    assert window.refused == {"https://example.org/x.png": "csp"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [390, 1280])
def test_fits_its_window_in_light_and_dark(browser: Browser, folder: Path, name: str, width: int) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        page = context.new_page()
        page.goto((folder / name).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not page.locator("nav").is_visible()
        context.close()
    assert grounds[0] != grounds[1]


def test_gallery_filters(window: Window, folder: Path) -> None:
    page = window.page
    page.goto((folder / "gallery.html").as_uri())
    state = page.locator("#state")
    expect(state).to_have_text("5 shown")
    page.get_by_label("Source").select_option("scenes")
    assert shown(page) == ["q-" + "d" * 32]
    expect(state).to_have_text("1 of 5 shown")
    page.get_by_label("Source").select_option("digits")
    assert len(shown(page)) == 3
    page.get_by_label("Finding").select_option("letters")
    assert shown(page) == [f"q-{1:032x}"]
    page.get_by_role("button", name="Show all").click()
    expect(state).to_have_text("5 shown")
    page.get_by_label("Method").select_option("dropout")
    assert len(shown(page)) == 1
    page.get_by_role("button", name="Show all").click()
    page.get_by_label("Verdict").select_option("timeout")
    assert len(shown(page)) == 1
    page.get_by_role("button", name="Show all").click()
    expect(state).to_have_text("5 shown")
    page.get_by_label("Search").fill("sky ZEBRA")
    assert shown(page) == ["q-" + "d" * 32]
    page.get_by_label("Search").fill("no such text")
    assert shown(page) == []
    assert page.locator("#nothing").is_visible()
    assert window.complaints == []


def test_gallery_opens_filtered(window: Window, folder: Path) -> None:
    page = window.page
    page.goto((folder / "index.html").as_uri())
    page.get_by_role("link", name="See examples").click()
    expect(page.locator("#state")).to_have_text("1 of 5 shown")
    assert shown(page) == [f"q-{1:032x}"]
    assert page.get_by_label("Finding").input_value() == "letters"
    page.goto((folder / "gallery.html").as_uri() + "#finding=no-such&source=digits")
    expect(page.locator("#state")).to_have_text("3 of 5 shown")


def test_gallery_keys(window: Window, folder: Path) -> None:
    page = window.page
    page.goto((folder / "gallery.html").as_uri())
    focused = "document.activeElement.id"
    page.keyboard.press("j")
    assert page.evaluate(focused) == f"q-{0:032x}"
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) == f"q-{1:032x}"
    expect(page.locator("#state")).to_have_text("2 of 5")
    page.keyboard.press("k")
    page.keyboard.press("k")
    assert page.evaluate(focused) == f"q-{0:032x}"
    page.keyboard.press("/")
    page.keyboard.type("zebra j")
    assert page.evaluate(focused) == "filter-search"
    assert page.get_by_label("Search").input_value() == "zebra j"
    page.get_by_label("Search").fill("zebra")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    assert page.evaluate(focused) == "q-" + "d" * 32
    page.keyboard.press("Control+j")
    expect(page.locator("#state")).to_have_text("1 of 1")


def test_gallery_is_sorted_and_turned(window: Window, tmp_path: Path) -> None:
    [some, *_] = made_report().gallery
    unpaired = replace(some, id="e" * 32, pairs=(), outcome="all_correct", pass_rate=1.0)
    rates = [at / 44 for at in range(45)]
    many = tuple(replace(some, id=f"{at:032x}", pass_rate=rate) for at, rate in enumerate(rates))
    report_page.write_page(replace(made_report(), gallery=(unpaired, *many)), tmp_path)
    page = window.page
    page.goto((tmp_path / "gallery.html").as_uri())
    assert shown(page) == [f"q-{at:032x}" for at in range(20)]  # those with pairs first, twenty a page
    expect(page.locator("#page")).to_have_text("page 1 of 3")
    page.get_by_role("button", name="Later").click()
    assert shown(page) == [f"q-{at:032x}" for at in range(20, 40)]
    page.get_by_role("button", name="Later").click()
    assert shown(page) == [*(f"q-{at:032x}" for at in range(40, 45)), "q-" + "e" * 32]
    assert page.get_by_role("button", name="Later").is_disabled()
    page.get_by_label("Order").select_option("easy")
    assert shown(page)[:2] == ["q-" + "e" * 32, f"q-{44:032x}"]
    page.get_by_label("Order").select_option("hard")
    assert shown(page)[0] == f"q-{0:032x}"
    page.goto((tmp_path / "gallery.html").as_uri() + f"#q-{30:032x}")  # a link to a question opens its page and it
    page.reload()
    expect(page.locator("#page")).to_have_text("page 2 of 3")
    assert page.evaluate("document.activeElement.id") == f"q-{30:032x}"
    assert page.locator(f"#q-{30:032x} .pair").first.is_visible()
    assert window.complaints == []


def test_a_source_and_an_outcome_open_the_gallery(window: Window, folder: Path) -> None:
    page = window.page
    page.goto((folder / "index.html").as_uri())
    page.locator("#sources ~ .wide").first.get_by_role("link", name="digits").click()
    expect(page.locator("#state")).to_have_text("3 of 5 shown")
    assert page.get_by_label("Source").input_value() == "digits"


def test_gallery_marks_what_differs(window: Window, folder: Path) -> None:
    page = window.page
    page.goto((folder / "gallery.html").as_uri())
    assert not page.locator("article").first.locator(".pair").first.is_visible()  # folded until it is stepped to
    page.keyboard.press("j")
    pair = page.locator("article").first.locator(".pair").first
    assert pair.locator(".chosen .differs").all_inner_texts() == [", 2", "3"]
    assert pair.locator(".chosen .answer").all_inner_texts() == ["3"]
    assert pair.locator(".rejected .answer").all_inner_texts() == ["2"]
    dropout = page.locator("#q-" + "d" * 32)
    dropout.locator("details.body > summary").click()
    assert dropout.locator(".pair .prefix").all_inner_texts() == ["A zebra stands ", "A zebra stands "]
    assert dropout.locator("img").count() == 2


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The shares p for which the observed one is 1.96 standard errors away, found by bisection."""
    observed = hits / total

    def edge(inside: float, outside: float) -> float:
        for _ in range(200):
            middle = (inside + outside) / 2
            if abs(observed - middle) <= 1.959963984540054 * math.sqrt(middle * (1 - middle) / total):
                inside = middle
            else:
                outside = middle
        return inside

    return edge(observed, 0.0), edge(observed, 1.0)


def row(page: Page, status: str) -> list[str]:
    return page.locator(f'tr[data-status="{status}"] td').all_inner_texts()


def expected_row(right: int, wrong: int) -> list[str]:
    low, high = wilson(right, right + wrong)
    share = 100 * right / (right + wrong)
    return [str(right), str(wrong), f"{share:.1f}%", f"{100 * low:.1f}\u2013{100 * high:.1f}%"]


def test_audit_counts_and_keeps(window: Window, folder: Path, browser: Browser, tmp_path: Path) -> None:
    page = window.page
    address = (folder / "audit.html").as_uri()
    page.goto(address)
    expect(page.locator("#place")).to_have_text("Verdict 1 of 7")
    assert row(page, "") == ["0", "0", "\u2013", "\u2013"]
    # verdicts are incorrect, correct, incorrect, correct, ...; the last is correct
    for key in "yynyu":
        page.keyboard.press(key)
    expect(page.locator("#place")).to_have_text("Verdict 6 of 7")
    assert row(page, "") == expected_row(3, 1)
    assert row(page, "incorrect") == expected_row(1, 1)
    assert row(page, "correct") == expected_row(2, 0)
    low, high = wilson(3, 4)
    said = f"5 of 7 judged. 3 of 4 verdicts are right: 75.0%, between {100 * low:.1f}% and {100 * high:.1f}%."
    expect(page.locator("#count")).to_have_text(said)
    assert page.locator("#count").get_attribute("aria-live") == "polite"

    page.keyboard.press("ArrowLeft")
    assert page.get_by_role("button", name="Cannot say").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Cannot say").click()  # takes it back
    expect(page.locator("#count")).to_contain_text("4 of 7 judged.")

    page.reload()
    expect(page.locator("#count")).to_contain_text("4 of 7 judged. 3 of 4")
    expect(page.locator("#place")).to_have_text("Verdict 5 of 7")

    with page.expect_download() as download:
        page.get_by_role("button", name="Save to a file").click()
    saved = tmp_path / "answers.json"
    download.value.save_as(saved)
    assert download.value.suggested_filename == "audit.jsonl"
    lines = [json.loads(line) for line in saved.read_text(encoding="utf-8").splitlines()]
    answers = {line["response"]: line["says"] for line in lines}
    assert answers == {"0:0": "right", "1:0": "right", "2:0": "wrong", "3:0": "right"}
    assert [line["verdict"] for line in lines] == ["incorrect", "correct"] * 2
    assert all(set(line) == {"response", "verdict", "says", "instead", "why", "who", "when"} for line in lines)
    real = [{**line, "response": f"{at:032x}/0"} for at, line in enumerate(lines)]
    (tmp_path / "audit.jsonl").write_text("".join(json.dumps(line) + "\n" for line in real))
    sides = audited([Judged(one, "s", "c", one.verdict) for one in read_lines(tmp_path / "audit.jsonl")]).sides
    assert [(side.side, side.right, side.wrong) for side in sides] == [("chosen", 2, 0), ("rejected", 1, 1)]
    assert wilson(sum(side.right for side in sides), len(real)) == pytest.approx((low, high))

    context = browser.new_context()
    other = Window(context)
    other.page.goto(address)
    expect(other.page.locator("#count")).to_have_text("Nothing judged yet.")
    other.page.get_by_label("Load from a file").set_input_files(saved)
    expect(other.page.locator("#message")).to_have_text("4 answers loaded.")
    assert row(other.page, "") == expected_row(3, 1)
    for wrong in ("no json", "[1]", '{"answers": {"0:0": "maybe", "__proto__": "right", "9:9": "right"}}', "null"):
        bad = tmp_path / "bad.json"
        bad.write_text(wrong, encoding="utf-8")
        other.page.locator("#message").evaluate("element => { element.textContent = '' }")
        other.page.get_by_label("Load from a file").set_input_files(bad)
        expect(other.page.locator("#message")).to_contain_text("nothing was changed")
        assert row(other.page, "") == expected_row(3, 1)
    other.page.on("dialog", lambda dialog: dialog.accept())
    other.page.get_by_role("button", name="Forget all").click()
    expect(other.page.locator("#count")).to_have_text("Nothing judged yet.")
    assert other.complaints == []
    context.close()
    assert window.complaints == []


def test_a_wrong_verdict_is_corrected_with_a_reason_and_a_name(window: Window, folder: Path, tmp_path: Path) -> None:
    page = window.page
    page.goto((folder / "audit.html").as_uri())
    page.get_by_label("Your name").fill("ada")
    page.get_by_label("It is wrong, and the response is").select_option("correct")  # of an incorrect one
    page.get_by_label("Why").fill("12 cm is 0.12 m")
    page.get_by_label("Why").press("Tab")
    assert page.get_by_role("button", name="The verdict is wrong").get_attribute("aria-pressed") == "true"
    assert row(page, "incorrect") == expected_row(0, 1)
    page.get_by_role("button", name="Next verdict").click()
    expect(page.get_by_label("Why")).to_have_value("")
    expect(page.get_by_label("Why")).to_be_disabled()
    assert page.locator("#instead option[value=correct]").is_disabled()  # the verdict is that already
    page.keyboard.press("n")
    page.reload()
    expect(page.get_by_label("Your name")).to_have_value("ada")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save to a file").click()
    saved = tmp_path / "audit.jsonl"
    download.value.save_as(saved)
    lines = [json.loads(line) for line in saved.read_text(encoding="utf-8").splitlines()]
    assert [(line["says"], line["instead"], line["why"], line["who"]) for line in lines] == [
        ("wrong", "correct", "12 cm is 0.12 m", "ada"),
        ("wrong", "", "", "ada"),
    ]
    assert window.complaints == []


def test_everything_is_reached_by_tab(window: Window, folder: Path) -> None:
    page = window.page
    page.goto((folder / "audit.html").as_uri())
    reached = []
    for _ in range(16):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
        width = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert width != "none", reached[-1]
    for name in (
        "Skip to the content",
        "Overview",
        "right",
        "wrong",
        "unsure",
        "previous",
        "next",
        "save",
        "load",
        "clear",
    ):
        assert name in reached, (name, reached)
