"""Sums and products of matrices whose entries are formulas."""

from __future__ import annotations

from collections.abc import Callable

from mmpr.answers.formula.tree import Tree

Rows = list[list[Tree]]


def contains_matrix(tree: Tree) -> bool:
    """Whether a formula is a matrix, or a sum, product or power with one in it."""
    return tree[0] == "matrix" or (tree[0] in ("add", "mul", "pow") and any(map(contains_matrix, tree[1:])))


def rows_of(tree: Tree) -> Rows | Tree | None:
    """The rows that sums, products and powers of matrices come to; a scalar as it is; None where undefined."""
    if tree[0] == "matrix":
        return [list(row[1:]) for row in tree[1:]]
    if not contains_matrix(tree):
        return tree
    if tree[0] == "pow":
        base = rows_of(tree[1])
        if tree[2][0] != "num" or tree[2][2] != 1 or not 1 <= tree[2][1] <= 4:
            return None
        parts: list[Rows | Tree | None] = [base] * tree[2][1]
        return _fold(parts, _matrix_product)
    combine = _matrix_sum if tree[0] == "add" else _matrix_product
    return _fold([rows_of(part) for part in tree[1:]], combine)


def _fold(
    parts: list[Rows | Tree | None],
    combine: Callable[[Rows | Tree, Rows | Tree], Rows | Tree | None],
) -> Rows | Tree | None:
    result = parts[0]
    for part in parts[1:]:
        if result is None or part is None:
            return None
        result = combine(result, part)
    return result


def _matrix_sum(left: Rows | Tree, right: Rows | Tree) -> Rows | Tree | None:
    if isinstance(left, list) and isinstance(right, list) and [len(r) for r in left] == [len(r) for r in right]:
        return [[("add", a, b) for a, b in zip(one, two, strict=True)] for one, two in zip(left, right, strict=True)]
    return None


def _matrix_product(left: Rows | Tree, right: Rows | Tree) -> Rows | Tree | None:
    if isinstance(left, list) and isinstance(right, list):
        if len(left[0]) != len(right) or len(left) * len(right) * len(right[0]) > 1_000:
            return None
        columns = list(zip(*right, strict=True))
        return [
            [("add", *(("mul", a, b) for a, b in zip(row, column, strict=True)), ("num", 0, 1)) for column in columns]
            for row in left
        ]
    if isinstance(left, list):
        return [[("mul", cell, right) for cell in row] for row in left]
    if isinstance(right, list):
        return [[("mul", left, cell) for cell in row] for row in right]
    return ("mul", left, right)
