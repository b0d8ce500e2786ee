"""Characters: one spelling for those that look alike; texts that hide something are refused."""

from __future__ import annotations

import re
import unicodedata

from mmpr.answers.text.remembered import remembered

_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\u0334-\u0338\u20d0-\u20ff\U000e0000-\U000e007f]"
)
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff\u00ad\ufe0e\ufe0f\u180e"
_HIDDEN_INSIDE = re.compile(f"[0-9A-Za-z.,][{_INVISIBLE}]+[0-9A-Za-z.,]")
_SOFT_HYPHEN = re.compile("(?<=[^\\W\\d_])\u00ad(?=[^\\W\\d_])")
"""Where a word may be broken at the end of a line: the only invisible character that a word may have."""
_DELETE_INVISIBLE = dict.fromkeys(map(ord, _INVISIBLE))

_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_SUBSCRIPT = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_SUBSCRIPTS = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5"}
_VULGAR |= {"⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8", "⅐": "1/7", "⅑": "1/9", "⅒": "1/10"}
_CIRCLED = re.compile("(?<=[\u2460-\u2473])(?=[\u2460-\u2473])")
_VULGARS = re.compile(f"(?:(\\d)\\s*+|(?<![\\s\\d])\\s++)?([{''.join(_VULGAR)}])")
_SAME = {
    **dict.fromkeys("−–—‐‑‒―﹣", "-"),
    **dict.fromkeys("‘’‛`´", "'"),
    **dict.fromkeys("“”„‟«»「」『』《》", '"'),
    **dict.fromkeys("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
    **dict.fromkeys("·⋅∙•・", "·"),
    **dict.fromkeys("∗＊⁎", "*"),
    **dict.fromkeys("º˚", "°"),
    **dict.fromkeys("⁄∕", "/"),
    **dict.fromkeys("≦⩽", "≤"),
    **dict.fromkeys("≧⩾", "≥"),
    **dict.fromkeys("≃", "≈"),
    **{double: rf"\mathbb{{{plain}}}" for double, plain in zip("ℝℤℕℚℂ", "RZNQC", strict=True)},
    "∶": ":",
    "∣": "|",
    "℃": "°C",
    "℉": "°F",
    "µ": "μ",
}
_TRANSLATE = str.maketrans(_SAME)
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if code != 0xFF0C} | {0x3000: 0x20}


@remembered(4096)
def clean(text: str) -> str | None:
    """The text in one spelling of characters, white space collapsed; None when it hides something.

    Full-width forms, dashes, quotes, exponents (``²`` is ``^2``) and fractions such as ``½`` become plain ones.
    Control characters, surrogates, direction overrides and invisible characters inside a word or number hide
    something: what a person sees would not be what is compared.
    """
    if _CONTROL.search(text):
        return None
    if not text.isascii():
        text = _SOFT_HYPHEN.sub("", text)
        if _HIDDEN_INSIDE.search(text):
            return None
        text = text.translate(_DELETE_INVISIBLE).translate(_TRANSLATE)
        text = _SUPERSCRIPTS.sub(lambda found: "^" + _group(found.group().translate(_SUPERSCRIPT)), text)
        text = _SUBSCRIPTS.sub(lambda found: "_" + _group(found.group().translate(_SUBSCRIPT)), text)
        text = _VULGARS.sub(lambda found: f"{found[1]} {_VULGAR[found[2]]}" if found[1] else _VULGAR[found[2]], text)
        text = _CIRCLED.sub("、", text)  # the statements ① and ③, not 13
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.split())


def plain(text: str) -> str:
    """A text with plain letters and punctuation for full-width ones, character by character."""
    return text if text.isascii() else text.translate(_FULL_WIDTH)


def lower(text: str) -> str:
    """A text in lower case, character by character."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def unspaced(char: str) -> bool:
    """Whether a character is of a script whose words are not set apart: kana, Han, or hangul with its particles."""
    return "\u3040" <= char <= "\ud7af"


def _group(digits: str) -> str:
    return digits if len(digits) == 1 else f"{{{digits}}}"
