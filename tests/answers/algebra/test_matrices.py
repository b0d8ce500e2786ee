"""Sums, products and powers of matrices."""

from __future__ import annotations

import pytest

from mmpr.answers.algebra.matrices import contains_matrix, rows_of
from mmpr.answers.algebra.sampling import real
from mmpr.answers.formula.parser import parse_formula as p

A = "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}"
V = "\\begin{pmatrix}1\\\\2\\end{pmatrix}"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (A, [[1, 2], [3, 4]]),
        (f"{A}+{A}", [[2, 4], [6, 8]]),
        (f"2{V}", [[2], [4]]),
        (f"{A}{V}", [[5], [11]]),
        (f"{A}^2", [[7, 10], [15, 22]]),
        (f"{V}{A}", None),
        (f"{A}+{V}", None),
    ],
)
def test_rows_of(text, rows):
    found = rows_of(p(text))
    assert (None if found is None else [[real(cell) for cell in row] for row in found]) == rows


def test_contains_matrix():
    assert contains_matrix(p(f"2{A}"))
    assert not contains_matrix(p("2x"))
