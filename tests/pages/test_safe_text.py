"""Text is escaped, bounded, and shown with what it hides."""

from __future__ import annotations

import html
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpr.pages import safe_text
from tests.report.reports import HIDDEN

anything = st.text(st.characters(exclude_categories=()), max_size=80)


@given(anything)
def test_visible_hides_nothing(text: str) -> None:
    shown = safe_text.visible(text)
    assert re.fullmatch(r'(?:[^<>]|<span class="code-point">[U+0-9A-F ]+(?:and [\d,]+ more)?</span>)*', shown, re.S)
    plain = html.unescape(re.sub(r"<span[^>]*>.*?</span>", "", shown))
    hidden = [c for c in text.replace("\r\n", "\n") if safe_text._is_hidden(c)]
    assert plain == "".join(c for c in text.replace("\r\n", "\n") if c not in hidden)
    assert hidden or "<span" not in shown


def test_visible_names_what_is_hidden() -> None:
    assert safe_text.visible(HIDDEN) == (
        'evil <span class="code-point">U+202E</span>reversed<span class="code-point">U+202C</span> '
        '<span class="code-point">U+0000 U+0007 U+001B</span>[31m '
        '<span class="code-point">U+200B U+2066</span> end <span class="code-point">U+D800</span>'
    )
    assert safe_text.visible("\x00" * 9) == '<span class="code-point">U+0000 U+0000 U+0000 U+0000 and 5 more</span>'
    assert safe_text.visible("e\u0301 日本\tनि\u200d 😀\n\u00a0") == "e\u0301 日本\tनि\u200d 😀\n\u00a0"


def test_visible_is_bounded() -> None:
    shown = safe_text.visible("ab" * 500_000, 100)
    assert "999,900 characters not shown" in shown
    assert len(shown) < 300


@given(st.text(max_size=60), st.integers(0, 70), st.integers(-1, 60), st.integers(-1, 60))
def test_pieces_make_up_the_text(text: str, prefix: int, start: int, end: int) -> None:
    found = safe_text.pieces(text, prefix_chars=prefix, answer=(start, end))
    assert "".join(piece.text for piece in found) == text
    assert "".join(piece.text for piece in found if "prefix" in piece.marks) == text[:prefix]
    expected = text[start:end] if 0 <= start < end else ""
    assert "".join(piece.text for piece in found if "answer" in piece.marks) == expected


def test_pieces_of_a_long_text_keep_its_ends() -> None:
    text = "a" * 20_000 + " 42"
    found = safe_text.pieces(text, answer=(20_001, 20_003))
    assert [piece.marks for piece in found] == [(), ("gap",), (), ("answer",)]
    assert sum(len(piece.text) for piece in found if not piece.marks) <= safe_text.SHOWN_CHARS
    assert "8,003 characters not shown" in found[1].text
    assert found[-1].text == "42"


def words(text: str) -> list[str]:
    return [word for word, _ in safe_text._words(text)]


def without(text: str, spans: tuple[safe_text.Span, ...]) -> str:
    for start, end in reversed(spans):
        assert 0 <= start < end <= len(text)
        text = text[:start] + " " + text[end:]
    return text


sentences = st.lists(st.sampled_from(["the", "sum", "is", "7", "8", "+", ".", "答案", "\n"]), max_size=30).map(" ".join)


@given(sentences | anything, sentences | anything)
def test_what_does_not_differ_is_the_same(a: str, b: str) -> None:
    ours, theirs = safe_text.differing(a, b)
    assert words(without(a, ours)) == words(without(b, theirs))
    if words(a) == words(b):
        assert (ours, theirs) == ((), ())


@pytest.mark.parametrize(
    ("a", "b", "ours", "theirs"),
    [
        ("I see 7 cats.", "I see 9 cats.", ["7"], ["9"]),
        ("same", "same ", [], []),
        ("", "new words", [], ["new words"]),
        ("他有3只猫", "他有3只狗", ["猫"], ["狗"]),
        ("The largest is 7. Answer: 7", "The smallest is 7. Answer: 1", ["largest", "7"], ["smallest", "1"]),
    ],
)
def test_differing(a: str, b: str, ours: list[str], theirs: list[str]) -> None:
    left, right = safe_text.differing(a, b)
    assert [a[start:end] for start, end in left] == ours
    assert [b[start:end] for start, end in right] == theirs


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("a b " * 100_000, "b a " * 100_000),
        (" " * 1_000_000 + "x", "x" + " " * 1_000_000),
        ("a" * 1_000_000, "b" * 1_000_000),
        (" ".join(str(n % 37) for n in range(1400)), " ".join(str(n % 41) for n in range(1400))),
        (" ".join(str(n * n % 401) for n in range(1400)), " ".join(str(n * n * n % 401) for n in range(1400))),
    ],
)
def test_differing_takes_bounded_time(a: str, b: str) -> None:
    before = time.process_time()
    safe_text.differing(a, b)
    assert time.process_time() - before < 2
