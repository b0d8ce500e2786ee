"""Personal data and secrets in texts, found by their form: addresses, numbers and keys that should not be trained on.

Texts are untrusted: every pattern takes time linear in the length of the text.
"""

from __future__ import annotations

import re

_SIGNS = re.compile(
    r"@|\+\d|\(\d{3}\) |\d{3}[ -]\d{2,4}[ -]\d{4}|\d{4}[ -]\d{4}|AKIA|sk-|gh[pousr]_|hf_|xox|PRIVATE KEY|\d{13}"
)
_FORMS = {
    "e-mail address": re.compile(
        r"(?<![\w.%+-])[A-Za-z0-9._%+-]{1,64}+@[A-Za-z0-9-]{1,63}+(?:\.[A-Za-z0-9-]{1,63}+){1,4}+"
    ),
    "telephone number": re.compile(
        r"(?<![\w.+-])\+\d{1,3}+[ -]\(?\d{2,4}+\)?(?:[ -]\d{2,4}+){2,3}+(?!\d)|(?<!\w)\(\d{3}\) \d{3}-\d{4}(?!\d)"
        r"|(?<![\w.-])\d{3}-\d{3}-\d{4}(?![\w-])"
    ),
    "social security number": re.compile(r"(?<![\w.-])\d{3}-\d{2}-\d{4}(?![\w-])"),
    "card number": re.compile(r"(?<![\w.-])\d{4}(?P<between>[ -]?)\d{4}(?P=between)\d{4}(?P=between)\d{4}(?![\w-])"),
    "key": re.compile(
        r"(?<!\w)(?:AKIA[0-9A-Z]{16}|sk-[A-Za-z0-9_-]{20,100}+|gh[pousr]_[A-Za-z0-9]{36}|hf_[A-Za-z0-9]{30,40}+"
        r"|xox[abprs]-[A-Za-z0-9-]{10,100}+)|-----BEGIN (?:[A-Z]{2,10} )?PRIVATE KEY-----"
    ),
}
_EXAMPLE_HOSTS = ("example.com", "example.org", "example.net")


def personal_data(text: str) -> list[tuple[str, str]]:
    """What a text holds of personal data and secrets: (its form, the data with all but its ends masked)."""
    if not _SIGNS.search(text):
        return []
    return [
        (form, _masked(found.group()))
        for form, pattern in _FORMS.items()
        for found in pattern.finditer(text)
        if _is_meant(form, found.group())
    ]


def _is_meant(form: str, found: str) -> bool:
    if form == "card number":
        return _passes_luhn([int(char) for char in found if char.isdigit()])
    return not found.endswith(_EXAMPLE_HOSTS)


def _passes_luhn(digits: list[int]) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1)."""
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _masked(found: str) -> str:
    return f"{found[:2]}…{found[-2:]}" if len(found) > 6 else "…"
