"""What pairs do with the words of a model and of people is derived again; the words are taken as they are stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from mmpr.pipeline.adjudicating import read_word
from mmpr.pipeline.standing import standing_verdicts
from mmpr.schema import Adjudication, Adjudications, Judgement, Judgements, PreferenceRow, Verdict, Verdicts
from mmpr.storage.integrity import Problem

One = TypeVar("One", Adjudication, Judgement)

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


@dataclass(frozen=True, slots=True)
class Said:
    """What a model and people say of a question's verdicts; None where they say nothing."""

    adjudications: Adjudications | None
    judgements: Judgements | None

    def of_paired(self, row: PreferenceRow, judged: Sequence[Verdict]) -> tuple[Verdict, ...]:
        """The verdicts that stand of the responses of a row of pairs/, which the judge has ``judged`` again."""
        places = {response.sample: at for at, response in enumerate(row.responses) if not response.continued}
        words, people = self.adjudications, self.judgements
        if words is not None:
            words = replace(words, words=tuple(_moved(words.words, places)))
        if people is not None:
            people = replace(people, judgements=tuple(_moved(people.judgements, places)))
        return standing_verdicts(judged, words, people)


def _moved(said: Iterable[One], places: Mapping[int, int]) -> Iterator[One]:
    """What is said of responses in pairs, at their positions there."""
    return (replace(one, response=places[one.response]) for one in said if one.response in places)
