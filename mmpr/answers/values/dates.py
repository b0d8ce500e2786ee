"""Dates, days, months, years and times of day."""

from __future__ import annotations

import re

from mmpr.answers.text.numerals import ONES, parse_number
from mmpr.answers.text.remembered import remembered

_MONTH_NAMES = (
    "january jan, february feb, march mar, april apr, may, june jun, july jul, august aug, "
    "september sep sept, october oct, november nov, december dec"
)
_DAY_NAMES = (
    "monday mon 周一 星期一 礼拜一, tuesday tue tues 周二 星期二 礼拜二, wednesday wed 周三 星期三 礼拜三, "
    "thursday thu thur thurs 周四 星期四 礼拜四, friday fri 周五 星期五 礼拜五, "
    "saturday sat 周六 星期六 礼拜六, sunday 周日 星期日 星期天 周天 礼拜天"
)
_MONTHS = {name: at for at, names in enumerate(_MONTH_NAMES.split(", "), start=1) for name in names.split()}
_DAYS = {name: at for at, names in enumerate(_DAY_NAMES.split(", ")) for name in names.split()}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_DAY_NAME = "|".join(sorted((name for name in _DAYS if name.isascii()), key=len, reverse=True))
_WEEKDAY_LEAD = re.compile(rf"(?:on\s+)?(?P<day>{_DAY_NAME})\.?,?\s++(?=\S)")
_DATES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?:on\s+|in\s+)?(?P<month>{_MONTH})\.?\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:(?:\s*+,)?\s++(?P<year>\d{{4}}))?",
        rf"(?:on\s+|the\s+)?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:\s++of)?[\s-]++(?P<month>{_MONTH})\.?(?:[\s,-]++(?P<year>\d{{4}}))?",
        rf"(?:in\s+)?(?P<month>{_MONTH})\.?,?\s++(?:of\s++)?(?P<year>\d{{4}})",
        r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})",
        r"(?P<year>\d{4})年(?P<month>\d{1,2})月(?:(?P<day>\d{1,2})[日号])?",
        r"(?P<month>\d{1,2})月(?P<day>\d{1,2})[日号]?",
    )
)
_MAYBE_DATE = re.compile(rf"{_MONTH}|\d[-/.]\d|[年月]")
_HAN_DIGITS = re.compile("[〇零一二三四五六七八九十]+")
_HAN_CLOCK = re.compile("(?<![〇零一二三四五六七八九十两])[〇零一二三四五六七八九十两]++(?=[点时分])")
_NUMERIC = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4}|\d{2})")
_YEAR = re.compile(r"(?:in\s+)?(?:the\s+)?(?:year\s+(?:of\s+)?)?(\d{4})\s*(?:年|ad|ce)?")
_TIME = re.compile(
    r"(?:at\s+|it is\s+|it's\s+)?(?P<hour>\d{1,2}|one|two|three|four|five|six|seven|eight|nine|ten|eleven"
    r"|twelve)(?:[:：](?P<minute>\d{2})(?:[:：](?P<second>\d{2}))?)?(?:\s*+(?P<half>[ap]\.?\s?m\.?))?"
    r"(?:\s*+(?P<clock>o'?clock))?(?:\s++(?P<part>in the (?:morning|afternoon|evening)|at night))?"
)
_HAN_TIME = re.compile(
    r"(?P<part>上午|早上|凌晨|下午|晚上|中午)?(?P<hour>\d{1,2}|[一二三四五六七八九十两]{1,3})(?:点钟?|时|[:：](?=\d\d))(?:(?P<minute>\d{1,2})分?|(?P<half>半)|(?P<quarter>[一三]刻)|整)?"
)
_PAST = re.compile(
    r"(?P<minutes>half|quarter|a quarter|\d{1,2}(?= minutes| past| after)|five|ten|twenty|twenty[- "
    r"]five)(?:\s++minutes)?\s++(?P<way>past|after|to|till|before)\s++(?P<hour>\d{1,2}|[a-z]+)"
)
_MINUTES = ONES | {"half": 30, "quarter": 15, "a quarter": 15, "twenty": 20, "twenty five": 25, "twenty-five": 25}
_HAN_HOURS_TEXT = "零 一 二 三 四 五 六 七 八 九 十 十一 十二"
_HAN_HOURS = {name: number for number, name in enumerate(_HAN_HOURS_TEXT.split())} | {"两": 2}
_HAN_HALVES = {"上午": "am", "早上": "am", "凌晨": "am", "下午": "pm", "晚上": "pm", "中午": "pm"}
_NOON = frozenset(("noon", "midday", "mid-day", "mid day", "12 noon", "正午"))
_MIDNIGHT = frozenset(("midnight", "12 midnight", "午夜"))
_NO_NUMBER = 99

Date = tuple[int | None, int | None, int | None]
"""Year, month, day; None where the text names none."""


@remembered(4096)
def parse_date(text: str) -> Date | None:
    """A calendar date with at least a month and a day or a year; ``3/5/2020`` is March 5, ``13/5/2020`` May 13."""
    text = text.lower().strip(" .")
    if not _MAYBE_DATE.search(text):
        return None
    if "年" in text or "月" in text:
        text = _HAN_DIGITS.sub(lambda found: str(parse_number(found.group())), text)
    weekday = _WEEKDAY_LEAD.match(text)
    if weekday:
        text = text[weekday.end() :]
    for pattern in _DATES:
        found = pattern.fullmatch(text)
        if found:
            parts = found.groupdict()
            month = _MONTHS.get(parts["month"]) or int(parts["month"])
            day = int(parts["day"]) if parts.get("day") else None
            year = int(parts["year"]) if parts.get("year") else None
            return (year, month, day) if 1 <= month <= 12 and (day is None or 1 <= day <= 31) else None
    found = _NUMERIC.fullmatch(text)
    if found:
        first, second = int(found[1]), int(found[2])
        year = int(found[3]) + (0 if len(found[3]) == 4 else 2000 if int(found[3]) < 50 else 1900)
        if first > 12 >= second >= 1 and first <= 31:
            first, second = second, first
        return (year, first, second) if 1 <= first <= 12 and 1 <= second <= 31 else None
    return None


@remembered(4096)
def parse_day(text: str) -> int | None:
    """A day of the week, Monday is 0."""
    return _DAYS.get(text.lower().strip(" ."))


@remembered(4096)
def parse_month(text: str) -> int | None:
    """A month that stands alone, January is 1."""
    text = text.lower().strip(" .")
    if text.endswith("月") and text[:-1].isdigit():
        return int(text[:-1])
    return _MONTHS.get(text)


def parse_year(text: str) -> int | None:
    """A year that stands alone."""
    found = _YEAR.fullmatch(text.lower().strip(" ."))
    return int(found[1]) if found else None


COUNTS_TO_24 = re.compile(r"(?<!\d)(?:1[3-9]|2[0-4]|00?):\d\d")
"""A clock that counts to 24: beside ``21:30``, ``9:30`` does not leave the half of the day open."""

Time = tuple[int, int, int, bool]
"""Hour, minute, second, and whether the half of the day is known."""


@remembered(4096)
def parse_time(text: str) -> Time | None:
    """A time of day: ``3:30 PM``, ``15:30``, ``half past three``, ``下午3点半``; None for a bare number."""
    text = text.lower().strip(" .")
    if text in _NOON:
        return (12, 0, 0, True)
    if text in _MIDNIGHT:
        return (0, 0, 0, True)
    if not text.isascii():
        text = _HAN_CLOCK.sub(lambda found: str(parse_number(found.group())), text)
    found = _TIME.fullmatch(text)
    if found and (found["minute"] or found["half"] or found["clock"]):
        hour, minute, second = _number(found["hour"], ONES), int(found["minute"] or 0), int(found["second"] or 0)
        return _time(hour, minute, second, found["half"] or found["part"] or "")
    found = _HAN_TIME.fullmatch(text)
    if found:
        quarters = {"一刻": 15, "三刻": 45}.get(found["quarter"] or "", int(found["minute"] or 0))
        minute = 30 if found["half"] else quarters
        return _time(_number(found["hour"], _HAN_HOURS), minute, 0, _HAN_HALVES.get(found["part"] or "", ""))
    found = _PAST.fullmatch(text)
    if found:
        minutes, hour = (_number(found[name], _MINUTES) for name in ("minutes", "hour"))
        if not 1 <= hour <= 12 or not 0 < minutes < 60:
            return None
        if found["way"] in ("past", "after"):
            return (hour, minutes, 0, False)
        return ((hour - 2) % 12 + 1, 60 - minutes, 0, False)
    return None


def _number(text: str, names: dict[str, int]) -> int:
    return int(text) if text.isdigit() else names.get(text, _NO_NUMBER)


def _time(hour: int, minute: int, second: int, half: str) -> Time | None:
    if hour > 24 or minute > 59 or second > 59:
        return None
    if not half:
        return (hour, minute, second, hour > 12 or hour == 0)
    afternoon = half.startswith("p") or "afternoon" in half or "evening" in half or "night" in half
    if hour > 12:
        return (hour, minute, second, True) if afternoon else None
    return (hour % 12 + (12 if afternoon else 0), minute, second, True)


def same_time(gold: Time, other: Time) -> bool:
    """Whether two times are equal; where one leaves the half of the day open, the other may be in either half."""
    if gold[1:3] != other[1:3]:
        return False
    if gold[3] and other[3]:
        return gold[0] % 24 == other[0] % 24
    return gold[0] % 12 == other[0] % 12


def agree(one: Date, two: Date) -> bool:
    """Whether two dates have the same year, month and day wherever both name one."""
    return all(None in (a, b) or a == b for a, b in zip(one, two, strict=True))
