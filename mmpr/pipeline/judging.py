"""From responses to verdicts: each one's final answer is extracted, then compared with the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from mmpr.answers import extract, match_many
from mmpr.answers.extract import TEMPLATES
from mmpr.extension import RuleFunction, judge_by
from mmpr.schema import Verdict

NO_RULES: Mapping[str, RuleFunction] = MappingProxyType({})


def judge(
    responses: Sequence[str],
    truth: str,
    *,
    choices: Sequence[str] = (),
    rule: str = "default",
    template: str | None = None,
    rules: Mapping[str, RuleFunction] = NO_RULES,
) -> tuple[Verdict, ...]:
    """A verdict on each response to one question; one without a clear final answer is ``unparseable``.

    Args:
        responses: whole responses, reasoning and all.
        truth: the right answer.
        choices: the texts of the options A, B, ... of a multiple-choice question.
        rule: how answers are compared: a rule of ``mmpr.match``, or a name in ``rules``.
        template: the prompt template that was asked, which tells where the answer stands; None, and a template that is
            not one of mmpr's: any known form.
        rules: rules of the user's own, by name (``mmpr.extension``).
    """
    form = template if template in TEMPLATES else None
    answers = [extract(response, form) for response in responses]
    found = [answer for answer in answers if answer is not None]
    if (own := rules.get(rule)) is not None:
        verdicts = [judge_by(rule, own, answer, truth, choices) for answer in found]
    else:
        verdicts = match_many(
            [{"pred": answer, "gold": truth, "choices": choices or None, "rule": rule} for answer in found]
        )
    judged = iter(verdicts)
    unclear = Verdict("unparseable", None, "extract", "no clear final answer")
    return tuple(unclear if answer is None else next(judged) for answer in answers)
