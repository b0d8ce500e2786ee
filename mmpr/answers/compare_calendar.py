"""The comparator of dates, times of day, days and months."""

from __future__ import annotations

import re

from mmpr.answers.judgement import Judgement
from mmpr.answers.text.remembered import remembered
from mmpr.answers.text.sentences import statement_of
from mmpr.answers.values import dates
from mmpr.answers.values.ratios import parse_ratio, same_proportions

_ON = re.compile(r"^(?:on|in) ", re.IGNORECASE)


@remembered(4096)
def is_calendar(truth: str) -> bool:
    """Whether a truth is a date, a time, a day or a month."""
    return not (
        dates.parse_date(truth) is None
        and dates.parse_time(truth) is None
        and dates.parse_day(truth) is None
        and dates.parse_month(truth) is None
    )


def compare_calendar(answer: str, truth: str) -> Judgement | None:
    """Judge an answer to a truth that is a date, a time, a day or a month; None where it may be no such thing."""
    if not is_calendar(truth):
        return None
    date = dates.parse_date(truth)
    if date is not None:
        said = statement_of(answer)
        year = dates.parse_year(said)
        other = dates.parse_date(answer) or dates.parse_date(said) or ((year, None, None) if year else None)
        if other is None:
            return Judgement(None, "date", "no date in it")
        if other == date:
            return Judgement(True, "date", "the same date")
        return Judgement(None if dates.agree(date, other) else False, "date", f"{other} against {date}")
    time = dates.parse_time(truth)
    if time is not None:
        have = dates.parse_time(answer) or dates.parse_time(statement_of(answer))
        if have is None and parse_ratio(truth):
            return None  # 5:12 may be a ratio
        if have is not None:
            counted = time[3] != have[3] and dates.COUNTS_TO_24.search(truth if time[3] else answer)
            right = not counted and dates.same_time(time, have)
            doubtful = not right and _maybe_same_ratio(answer, truth)
            return Judgement(None if doubtful else right, "time", f"{have} against {time}")
        return Judgement(None, "time", "no time in it")
    for parse in (dates.parse_day, dates.parse_month):
        named = parse(truth)
        if named is not None:
            found = {parse(answer), parse(_ON.sub("", statement_of(answer)))} - {None}
            if found:
                return Judgement(named in found, "date", "compared by name")
            other = dates.parse_date(answer)
            return Judgement(None, "date", "more than a name") if other and parse is dates.parse_month else None
    return None


def _maybe_same_ratio(answer: str, truth: str) -> bool:
    """Whether two texts that are times may be ratios, and then the same; no ratio has a zero, as 5:00 has."""
    one, two = parse_ratio(answer), parse_ratio(truth)
    return one is not None and two is not None and "0" not in (*one, *two) and same_proportions(one, two)
