"""From responses to verdicts: each one's final answer is extracted, then compared with the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from mmpr.answers.extract import TEMPLATES
from mmpr.answers.killable import extract_answers, judge_responses
from mmpr.answers.match import NO_ANSWER, best_of
from mmpr.extension import RuleFunction, judge_by
from mmpr.schema import Question, Rollout, Verdict

NO_RULES: Mapping[str, RuleFunction] = MappingProxyType({})


def judge(
    responses: Sequence[str],
    truth: str | Sequence[str],
    *,
    choices: Sequence[str] = (),
    rule: str = "default",
    template: str | None = None,
    rules: Mapping[str, RuleFunction] = NO_RULES,
) -> tuple[Verdict, ...]:
    """A verdict on each response to one question; one without a clear final answer is ``unparseable``.

    Extraction and mmpr's own rules run in a process of their own, which is killed when a response takes too long: its
    verdict is ``timeout`` (``mmpr.answers.killable``).

    Args:
        responses: whole responses, reasoning and all.
        truth: the right answer, or several of which any is right (for the rule ``vqa`` those of the annotators).
        choices: the texts of the options A, B, ... of a multiple-choice question.
        rule: how answers are compared: a rule of ``mmpr.match``, or a name in ``rules``.
        template: the prompt template that was asked, which tells where the answer stands; None, and a template that is
            not one of mmpr's: any known form.
        rules: rules of the user's own, by name (``mmpr.extension``).
    """
    form = template if template in TEMPLATES else None
    own = rules.get(rule)
    if own is None:
        return tuple(judge_responses(responses, form, truth, choices, rule))
    return tuple(_by_own_rule(answer, rule, own, truth, choices) for answer in extract_answers(responses, form))


def judge_rollout(
    question: Question, rollout: Rollout, rule: str, rules: Mapping[str, RuleFunction]
) -> tuple[Verdict, ...]:
    """A verdict on each response to a question with an answer (``mmpr.pipeline.judging.judge``)."""
    truths = question.truths[0] if len(question.truths) == 1 else question.truths
    texts = [rollout.reasoning_opened + response.text for response in rollout.responses]
    return judge(texts, truths, choices=question.choices, rule=rule, template=rollout.template, rules=rules)


def _by_own_rule(
    answer: str | Verdict | None, name: str, rule: RuleFunction, truth: str | Sequence[str], choices: Sequence[str]
) -> Verdict:
    """The verdict of a rule of the user's own, which runs in this process: its time is the user's to bound."""
    if isinstance(answer, Verdict):
        return answer
    if answer is None:
        return NO_ANSWER
    truths = (truth,) if isinstance(truth, str) else dict.fromkeys(truth)
    return best_of([judge_by(name, rule, answer, one, choices) for one in truths])
