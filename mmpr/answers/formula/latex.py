"""The many ways to write the same in LaTeX, brought to the one that the parser reads."""

from __future__ import annotations

import re

from mmpr.answers.formula.tree import FormulaError
from mmpr.answers.text.numerals import REPEATING, parse_number

_ESCAPED_TWICE = re.compile(r"\\\\(?=[A-Za-z{}])")
_LOGIC = re.compile(r"\\(?:lor|vee|land|wedge)(?![A-Za-z])")
_COMPARED = re.compile(r"[<>=≤≥]|\\(?:le|ge|lt|gt|ne)")
_THOUSANDS = re.compile(r"(\d)\s*+(?:\{\s*+,\s*+\}|,\s*+\\!|\\!,|\\,)\s*+(?=\d{3}(?!\d))")
_SIGNS = str.maketrans({"∛": "\\cbrt ", "⊥": "\\perp ", "∥": "\\parallel "})
_FRACTION = re.compile(r"\\(?:d|t|c)frac(?![A-Za-z])")
_SIZES = re.compile(r"\\(?:left|right|middle|[bB]igg?[lrm]?)(?![A-Za-z])\s*+\.?")
_STYLES = re.compile(r"\\(?:displaystyle|textstyle|limits|nolimits|hfill|rm|bf|it)(?![A-Za-z])")
_SPACES = re.compile(r"(?<!\\)\\[,;:!> ]|\\q?quad|\\(?:enspace|thinspace)(?![A-Za-z])|(?<!\\)~")
_DEGREE = re.compile(
    r"\^\s*+(?:\{\s*+\\(?:circ|degree)\s*+\}|\\(?:circ|degree)(?![A-Za-z])|°)|\\(?:degree|textdegree)(?![A-Za-z])"
)
_SPELLINGS = {
    "\\lvert": "|", "\\rvert": "|", "\\vert": "|", "\\mid": ":",
    "\\lbrace": "\\{", "\\rbrace": "\\}", "\\lbrack": "[", "\\rbrack": "]",
}  # fmt: skip
_SYSTEM = re.compile(
    r"(?:\\begin\{cases\}|\\\{\s*+\\begin\{(?:array|aligned|matrix)\}(?:\{[clr|]*\})?)"
    r"(?P<rows>(?:(?!\\(?:begin|end)\{).){0,600}+)\\end\{(?:cases|array|aligned|matrix)\}",
    re.DOTALL,
)
_CONNECTOR = re.compile(
    r"(?:\\(?:text|mbox|textrm|mathrm)\s*+\{\s*+,?+\s*+(and|or)\s*+\}|(?<![A-Za-z\\{])(and|or)(?![A-Za-z}])"
    r"|\\(lor|vee|land|wedge)(?![A-Za-z]))"
)


def one_spelling(text: str) -> str:
    """A formula without typography (sizes, spaces, styles), "and" as ``;`` and "or" as ``;;``.

    Raises FormulaError for a statement of logic and for a template's ``{{…}}``.
    """
    if "\\\\" in text and "begin" not in text:
        text = _ESCAPED_TWICE.sub(r"\\", text)
    if _LOGIC.search(text) and not _COMPARED.search(text):
        raise FormulaError("a statement of logic")
    if "{{" in text and "\\" not in text:
        raise FormulaError("a template, no formula")
    if "over" in text or "dot" in text or "bar" in text:
        text = REPEATING.sub(_exact, text)
    text = _THOUSANDS.sub(r"\1", text).translate(_SIGNS)
    if "\\" in text:
        text = _FRACTION.sub(r"\\frac", text)
        text = _STYLES.sub("", _SIZES.sub("", text))
    if "\\" in text or "~" in text or "°" in text:
        text = _DEGREE.sub("°", _SPACES.sub(" ", text))
        for spelling, other in _SPELLINGS.items():
            text = text.replace(spelling, other)
    if "begin" in text:
        text = _SYSTEM.sub(_system, text)
    return _CONNECTOR.sub(_connector, text).strip()


def _exact(found: re.Match[str]) -> str:
    """A repeating decimal as a fraction."""
    value = parse_number(found.group())
    return found.group() if value is None else f"{found[1]}({abs(value.numerator)}/{value.denominator})"


def _system(found: re.Match[str]) -> str:
    """The equations of a brace, side by side."""
    rows = [row.replace("&", " ").strip(" ,;") for row in found["rows"].split("\\\\") if row.strip()]
    return " ; ".join(rows) if all(_COMPARED.search(row) and "," not in row for row in rows) else found.group()


def _connector(found: re.Match[str]) -> str:
    is_and = "and" in (found[1], found[2]) or found[3] in ("land", "wedge")
    return " ; " if is_and else " ;; "
