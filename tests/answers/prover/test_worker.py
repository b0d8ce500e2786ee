"""What the prover's worker shows, without its process."""

from __future__ import annotations

import pytest

from mmpr.answers.formula.parser import parse_formula as p
from mmpr.answers.prover.worker import UnknownError, build, prove


@pytest.mark.parametrize(
    ("one", "two", "equal"),
    [
        ("4\\cos\\frac{\\pi}{5}", "1+\\sqrt{5}", True),
        ("|x|", "x", True),  # symbols are positive
        ("\\sqrt{x+1}\\sqrt{x-1}", "\\sqrt{x^2-1}", True),
        ("4\\cos\\frac{\\pi}{5}", "1+\\sqrt{3}", False),
    ],
)
def test_prove(one, two, equal):
    assert prove(p(one), p(two)) is equal


@pytest.mark.parametrize("text", ["x^{5000}", "999!", "\\{1\\}"])
def test_what_is_refused(text):
    with pytest.raises(UnknownError):
        build(p(text))
