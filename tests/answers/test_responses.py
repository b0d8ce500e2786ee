"""Every labelled response of ``responses/``: its final answer, and whether one is sure.

The labels were written by hand before extraction was run on them. A label may be wrong; then it is changed with a
reason, never because extraction disagrees.
"""

from __future__ import annotations

from collections import Counter

import pytest

from mmpr.answers.extract import extract, find_answer
from mmpr.answers.text.characters import clean
from mmpr.answers.text.option_letters import letter, letters
from mmpr.answers.text.wrapping import peel
from tests.answers.responses import FILES, load

ROWS = {name: load(name) for name in FILES}
ALL = [row for rows in ROWS.values() for row in rows]
KINDS = sorted({row["kind"] for row in ALL})
LANGUAGES = {"en", "zh", "ja", "ko", "fr", "de", "es", "pt", "it", "ru", "ar", "hi"}


def _same(found, labelled):
    """Whether two answers are the same up to case and what ``match`` takes off: marks, lead-ins, brackets."""
    if found is None or labelled is None:
        return found is labelled
    one, two = peel(clean(found) or found), peel(clean(labelled) or labelled)
    if one.casefold() == two.casefold():
        return True
    return any(read(one) is not None and read(one) == read(two) for read in (letter, letters))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FILES)
def test_the_answer_of_each_response(name, kind):
    wrong = []
    for row in ROWS[name]:
        if row["kind"] == kind:
            found = find_answer(row["response"], row["template"])
            if found.sure != row["sure"] or not _same(found.answer if found.sure else None, row["answer"]):
                wrong.append((row, found))
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize("name", FILES)
def test_extract_gives_only_sure_answers(name):
    for row in ROWS[name]:
        found = find_answer(row["response"], row["template"])
        assert extract(row["response"], row["template"]) == (found.answer if found.sure else None)


def test_the_table_is_wide_enough():
    assert len(ALL) >= 900
    assert 3 * len(ROWS["heldback"]) >= 300 * 3
    assert {row["language"] for row in ALL} == LANGUAGES
    assert min(Counter(row["kind"] for row in ALL).values()) >= 8
    assert len({row["response"] for row in ALL}) == len(ALL)
    assert 0.05 < sum(not row["sure"] for row in ALL) / len(ALL) < 0.2


def test_each_row_has_an_id_of_its_file_and_a_reason():
    assert len({row["id"] for row in ALL}) == len(ALL)
    for name, rows in ROWS.items():
        singular = name.removesuffix("s")
        for row in rows:
            assert row["id"].startswith(f"{singular}-")
            assert row["reason"]
            assert row["sure"] or row["answer"] is None
