"""Personal data and secrets are found by their form, masked, and not mistaken for numbers of an answer."""

from __future__ import annotations

import pytest

from mmpr.report.measure.personal_data import personal_data


@pytest.mark.parametrize(
    ("text", "form", "shown"),
    [
        ("Write to john.d@mail.org.", "e-mail address", "jo…rg"),
        ("a@b.de", "e-mail address", "…"),
        ("Call +49 30 1234 5678 now", "telephone number", "+4…78"),
        ("Call (555) 123-4567", "telephone number", "(5…67"),
        ("555-123-4567", "telephone number", "55…67"),
        ("SSN 078-05-1120.", "social security number", "07…20"),
        ("card 4111 1111 1111 1111", "card number", "41…11"),
        ("4111-1111-1111-1111", "card number", "41…11"),
        ("key AKIAIOSFODNN7EXAMPLE", "key", "AK…LE"),
        ("sk-" + "a1" * 16, "key", "sk…a1"),
        ("ghp_" + "a1B2" * 9, "key", "gh…B2"),
        ("-----BEGIN RSA PRIVATE KEY-----", "key", "--…--"),
    ],
)
def test_it_is_found_and_masked(text: str, form: str, shown: str) -> None:
    assert personal_data(text) == [(form, shown)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Final answer: 4111 1111 1111 1112",  # the check digit is wrong
        "0000 0000 0000 0000",
        "someone@example.com",
        "x @ y is a product of matrices",
        "The years 1914-1918 and 1939-1945",
        "2 + 3 - 555 = -550",
        "1234567890123456789",
        "0.4111111111111111",
        "a-555-123-4567-b",
        "sk-learn is a library",
        "the ratio is 12-34-56",
    ],
)
def test_other_texts_are_left_alone(text: str) -> None:
    assert personal_data(text) == []
