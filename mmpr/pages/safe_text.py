"""Texts of models and datasets, made safe to show: escaped, bounded, with hidden characters made visible.

Characters that cannot be seen, or that change what is seen (control characters, direction overrides, unpaired
surrogates), are shown by their code points. A response is cut into pieces by what they are: the prefix that it shares
with another response, its final answer, what differs.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

SHOWN_CHARS = 12_000
"""The longest text on a page; of a longer one the middle is left out."""

MAX_WORDS = 1_500
MAX_WORK = 4_000_000
"""Bounds on a comparison by words (see ``differing``)."""

# Joiners are part of ordinary Persian, Hindi and emoji; they only change the shape of their neighbours.
_ORDINARY = {"\n", "\t", "\u200c", "\u200d"}
_NAMED = 4  # code points written out of a run of hidden characters

# A word, or one character of a script without spaces, with the space before it.
_WORD = re.compile(
    r"\s*(?:[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+|[^\w\s])|\s+"
)

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text with its marks: any of ``prefix``, ``differs``, ``answer``, or ``gap`` for text left out."""

    text: str
    marks: tuple[str, ...] = ()

    def __html__(self) -> str:
        """The piece as markup, with its text escaped."""
        if "gap" in self.marks:
            return Markup('<span class="gap">{}</span>').format(self.text)
        shown = visible(self.text)
        if not self.marks:
            return shown
        tag = "span" if self.marks == ("prefix",) else "mark"
        return Markup('<{0} class="{1}">{2}</{0}>').format(Markup(tag), " ".join(self.marks), shown)


def visible(text: str | None, limit: int = SHOWN_CHARS) -> Markup:
    """A text as markup: escaped, at most ``limit`` characters, hidden characters shown by their code points."""
    text = text or ""
    if len(text) > limit:
        cut = len(text) - limit
        head, tail = text[: limit - limit // 4], text[len(text) - limit // 4 :]
        gap = Markup('<span class="gap">{}</span>').format(gap_note(cut))
        return visible(head, limit) + gap + visible(tail, limit)
    text = text.replace("\r\n", "\n")
    if text.replace("\n", "").isprintable():
        return escape(text)
    parts: list[str] = []
    plain = 0
    place = 0
    while place < len(text):
        if not _is_hidden(text[place]):
            place += 1
            continue
        end = place + 1
        while end < len(text) and _is_hidden(text[end]):
            end += 1
        parts.append(escape(text[plain:place]))
        parts.append(_codes(text[place:end]))
        plain = place = end
    parts.append(escape(text[plain:]))
    return Markup("").join(parts)


def gap_note(characters: int) -> str:
    """The note in place of text that is left out."""
    return f" \u2026 {characters:,} characters not shown \u2026 "


def pieces(text: str, *, prefix_chars: int = 0, answer: Span = (-1, -1), differs: tuple[Span, ...] = ()) -> list[Piece]:
    """Cut a text wherever its marks change. Spans are clipped to it; the middle of a very long text is left out."""
    spans = [("prefix", 0, prefix_chars), ("answer", *answer), *(("differs", *span) for span in differs)]
    size = len(text)
    spans = [(name, max(0, start), min(end, size)) for name, start, end in spans if 0 <= start < end and start < size]
    first, last = SHOWN_CHARS - SHOWN_CHARS // 4, size - SHOWN_CHARS // 4
    if size > SHOWN_CHARS:
        spans.append(("gap", first, last))
    cuts = sorted({0, size, *(place for _, start, end in spans for place in (start, end))})
    found: list[Piece] = []
    for start, end in pairwise(cuts):
        marks = tuple(sorted({name for name, a, b in spans if a <= start and end <= b}))
        if "gap" not in marks:
            found.append(Piece(text[start:end], marks))
        elif start == first:
            found.append(Piece(gap_note(last - first), ("gap",)))
    return found


def differing(a: str, b: str) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """The spans of each text that differ from the other, by words; white space does not count.

    A common beginning and end are set aside first. The rest differs as a whole when it has more than ``MAX_WORDS``
    words, or when comparing it would take more than about ``MAX_WORK`` steps, so that time is bounded.
    """
    a, b = a[:SHOWN_CHARS], b[:SHOWN_CHARS]
    ours, theirs = _words(a), _words(b)
    begin = 0
    while begin < min(len(ours), len(theirs)) and ours[begin][0] == theirs[begin][0]:
        begin += 1
    end = 0
    while end < min(len(ours), len(theirs)) - begin and ours[-1 - end][0] == theirs[-1 - end][0]:
        end += 1
    ours, theirs = ours[begin : len(ours) - end], theirs[begin : len(theirs) - end]
    if not ours or not theirs or not _is_cheap(ours, theirs):
        return _joined(ours), _joined(theirs)
    matcher = difflib.SequenceMatcher(None, [word for word, _ in ours], [word for word, _ in theirs], autojunk=False)
    left: list[Span] = []
    right: list[Span] = []
    for what, i, j, k, n in matcher.get_opcodes():
        if what != "equal":
            left.extend(_joined(ours[i:j]))
            right.extend(_joined(theirs[k:n]))
    return tuple(left), tuple(right)


def _is_cheap(ours: list[tuple[str, Span]], theirs: list[tuple[str, Span]]) -> bool:
    if max(len(ours), len(theirs)) > MAX_WORDS:
        return False
    counts = Counter(word for word, _ in theirs)
    # Each search looks at all pairs of equal words, and there are at most as many searches as words.
    return sum(counts[word] for word, _ in ours) * min(len(ours), len(theirs)) <= MAX_WORK


def _words(text: str) -> list[tuple[str, Span]]:
    """The words, without the space before them, with their spans."""
    found = []
    for match in _WORD.finditer(text):
        word = match.group().strip()
        if word:
            found.append((word, (match.end() - len(word), match.end())))
    return found


def _joined(words: list[tuple[str, Span]]) -> tuple[Span, ...]:
    """One span over consecutive words; none for no words."""
    return ((words[0][1][0], words[-1][1][1]),) if words else ()


def _is_hidden(character: str) -> bool:
    return not character.isprintable() and character not in _ORDINARY and unicodedata.category(character) != "Zs"


def _codes(hidden: str) -> Markup:
    named = " ".join(f"U+{ord(c):04X}" for c in hidden[:_NAMED])
    more = f" and {len(hidden) - _NAMED:,} more" if len(hidden) > _NAMED else ""
    return Markup('<span class="code-point">{}</span>').format(named + more)
