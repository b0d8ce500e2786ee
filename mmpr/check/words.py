"""What pairs do with a model's words is derived again; the words themselves are taken as they are stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from mmpr.pipeline.adjudicating import read_word
from mmpr.schema import Adjudications, PreferenceRow, Verdicts
from mmpr.storage.integrity import Problem

_READJUDICATE = "run the build command again with --from adjudicate"


def word_problems(rows: Iterable[Adjudications], verdicts: Mapping[str, Verdicts]) -> Iterator[Problem]:
    """Words that do not follow from the stored replies, or that are about no unsure verdict; by the question's id."""
    for row in rows:
        judged = verdicts[row.id].verdicts if row.id in verdicts else ()
        for said in row.words:
            if not 0 <= said.response < len(judged) or judged[said.response].status != "unsure":
                what = f"speaks of response {said.response}, of which the judge is not unsure"
                yield Problem(row.id, what, _READJUDICATE)
            elif (read := read_word(said.replies)) != said.word:
                what = f"calls response {said.response} {said.word}, but the replies say {read}"
                yield Problem(row.id, what, _READJUDICATE)


def said_of_paired(said: Adjudications | None, row: PreferenceRow) -> Adjudications | None:
    """The words on the responses of a row of pairs/, at their positions there."""
    if said is None:
        return None
    by_sample = {word.response: word for word in said.words}
    words = (
        replace(by_sample[response.sample], response=place)
        for place, response in enumerate(row.responses)
        if response.sample in by_sample and not response.continued
    )
    return replace(said, words=tuple(words))
