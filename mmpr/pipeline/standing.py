"""The verdicts that pairs stand on: what people say goes before the judge, the judge before a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mmpr.schema import Adjudications, Judgement, Judgements, Status, Verdict, Word

ADJUDICATED, AUDITED = "adjudicated", "audited"
"""The comparators of verdicts that stand on the word of a model, and on that of people."""

_STATUS: dict[Word, Status] = {"correct": "correct", "incorrect": "incorrect"}
_TELLING: tuple[Status, ...] = ("correct", "incorrect", "unparseable", "unsure")


def standing_verdicts(
    verdicts: Sequence[Verdict], adjudications: Adjudications | None, judgements: Judgements | None = None
) -> tuple[Verdict, ...]:
    """The verdicts of a question's responses, as people and a model leave them.

    A model's word counts where the judge is unsure and the model is not. A person's counts whatever the judge says.
    """
    standing = list(verdicts)
    for said in adjudications.words if adjudications else ():
        status = _STATUS.get(said.word)
        if status and 0 <= said.response < len(standing) and standing[said.response].status == "unsure":
            standing[said.response] = replace(standing[said.response], status=status, comparator=ADJUDICATED)
    for place, ruled in rulings(judgements, [verdict.status for verdict in verdicts]).items():
        standing[place] = replace(verdicts[place], status=ruled, comparator=AUDITED)
    return tuple(standing)


def rulings(judgements: Judgements | None, statuses: Sequence[str]) -> dict[int, Status]:
    """What people make of verdicts (``statuses``, by position): the status that each judged response has by them.

    Responses that they leave to the judge are not among them.
    """
    said: dict[int, list[Judgement]] = {}
    for one in judgements.judgements if judgements else ():
        if 0 <= one.response < len(statuses):
            said.setdefault(one.response, []).append(one)
    ruled = {place: _ruling(of, statuses[place]) for place, of in said.items()}
    return {place: status for place, status in ruled.items() if status is not None and status != statuses[place]}


def _ruling(said: Iterable[Judgement], status: str) -> Status | None:
    """The status of one response by its judgements; None where they leave it to the judge.

    A verdict that is called right, or put in the place of a wrong one, stands. One that is called wrong, and people who
    differ, leave the response unsure. A refusal is forgotten when the judge has changed its verdict since.
    """
    named: set[str] = set()
    refused: set[str] = set()
    for one in said:
        if one.says == "right":
            named.add(one.verdict)
        elif one.says == "wrong":
            refused.add(one.verdict)
            named |= {one.instead} - {""}
    named &= {*_TELLING}
    if len(named) > 1 or named & refused:
        return "unsure"
    for status_named in _TELLING:
        if status_named in named:
            return status_named
    return "unsure" if status in refused else None
