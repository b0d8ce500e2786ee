"""Text from outside is text in Markdown too."""

from __future__ import annotations

import pytest

from mmpr.storage.markdown import code, plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("org/model-7B", "`org/model-7B`"),
        ("a`b", "``a`b``"),
        ("`", "`` ` ``"),
        ("a``b`", "``` a``b` ```"),
        ("a\n\n# b\x1b[2J", "`a # b\\x1b[2J`"),
        ("<img src=x>", "`<img src=x>`"),
    ],
)
def test_code(text: str, expected: str) -> None:
    assert code(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("digits v1.0", "digits v1.0"),
        ("<img onerror=x>", "\\<img onerror=x\\>"),
        ("[a](javascript:b)", "\\[a\\]\\(javascript:b\\)"),
        ("a\n## b &amp; c\x1b", "a \\#\\# b \\&amp; c\\\\x1b"),
    ],
)
def test_plain(text: str, expected: str) -> None:
    assert plain(text) == expected
