"""Units of measure by name, with their dimensions and their factors to base units; products and powers of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from mmpr.answers.text.remembered import remembered

Dimensions = tuple[tuple[str, int], ...]
"""Exponents of base dimensions, sorted: speed is (("length", 1), ("time", -1))."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A value in this unit times ``factor`` plus ``zero`` is the value in base units of ``dimensions``."""

    dimensions: Dimensions
    factor: Fraction = Fraction(1)
    zero: Fraction = Fraction(0)


_DEFINITIONS = """
length   1            m meter meters metre metres 米 公尺
length   1000         km kilometer kilometers kilometre kilometres kms 千米 公里
length   1/10         dm decimeter decimeters decimetre decimetres 分米
length   1/100        cm centimeter centimeters centimetre centimetres cms 厘米 公分
length   1/1000       mm millimeter millimeters millimetre millimetres 毫米
length   1/1000000    μm um micrometer micrometers micrometre micrometres micron microns 微米
length   1/1000000000 nm nanometer nanometers nanometre nanometres 纳米
length   254/10000    in inch inches 英寸
length   3048/10000   ft foot feet 英尺
length   9144/10000   yd yard yards 码
length   1609344/1000 mi mile miles 英里
length   1852         nmi nautical-mile nautical-miles 海里
length   9460730472580800 light-year light-years ly 光年
mass     1            kg kilogram kilograms kilo kilos kgs 千克 公斤
mass     1/1000       g gram grams gm gms 克
mass     1/1000000    mg milligram milligrams 毫克
mass     1000         t tonne tonnes metric-ton metric-tons 吨
mass     1/2          斤
mass     45359237/100000000 lb lbs pound pounds 磅
mass     45359237/1600000000 oz ounce ounces 盎司
time     1            s sec secs second seconds 秒 秒钟
time     60           min mins minute minutes 分钟
time     3600         h hr hrs hour hours 小时 个小时
time     86400        d day days 天 日
time     604800       wk wks week weeks 周 星期 个星期
time     1/1000       ms millisecond milliseconds 毫秒
time     1/1000000    μs microsecond microseconds 微秒
month    1            month months mo 个月 月
month    12           yr yrs year years 年
month    120          decade decades
month    1200         century centuries 世纪
angle    1            ° deg degs degree degrees 度 度角 °角
angle    1/60         arcminute arcminutes
radian   1            rad rads radian radians 弧度
percent  1            % percent pct per-cent percentage 百分比
percent-point 1       percentage-point percentage-points pp 百分点 个百分点
degrees-c 1           °C degC degree-C degrees-C degree-Celsius degrees-Celsius Celsius 摄氏度
degrees-c 1           degree-centigrade degrees-centigrade
volume   1            L l liter liters litre litres 升
volume   1/1000       mL ml milliliter milliliters millilitre millilitres cc 毫升
volume   1/100        cL cl centiliter centiliters
volume   1/10         dL dl deciliter deciliters
volume   1000         kL kl kiloliter kiloliters
volume   473176473/125000000 gal gallon gallons 加仑
volume   473176473/500000000 qt quart quarts
volume   473176473/1000000000 pt pint pints
volume   473176473/2000000000 cup cups
volume   473176473/16000000000 floz fluid-ounce fluid-ounces
area     10000        ha hectare hectares 公顷
area     40468564224/10000000 acre acres 英亩
area     2000/3       亩
force    1            N newton newtons 牛 牛顿
force    1000         kN kilonewton kilonewtons 千牛
energy   1            J joule joules 焦 焦耳
energy   1000         kJ kilojoule kilojoules 千焦
energy   1000000      MJ megajoule megajoules
energy   4184/1000    cal calorie calories 卡 卡路里
energy   4184         kcal kilocalorie kilocalories 千卡 大卡
energy   3600000      kWh kilowatt-hour kilowatt-hours 千瓦时
energy   3600         Wh watt-hour watt-hours
power    1            W watt watts 瓦 瓦特
power    1000         kW kilowatt kilowatts 千瓦
power    1000000      MW megawatt megawatts
power    1000000000   GW gigawatt gigawatts
power    746          hp horsepower
pressure 1            Pa pascal pascals 帕
pressure 1000         kPa kilopascal kilopascals 千帕
pressure 1000000      MPa megapascal megapascals
pressure 101325       atm atmosphere atmospheres
pressure 100000       bar bars
frequency 1           Hz hertz 赫兹
frequency 1000        kHz kilohertz
frequency 1000000     MHz megahertz
frequency 1000000000  GHz gigahertz
voltage  1            V volt volts 伏 伏特
voltage  1000         kV kilovolt kilovolts
voltage  1/1000       mV millivolt millivolts
current  1            A amp amps ampere amperes 安 安培
current  1/1000       mA milliamp milliamps milliampere milliamperes
resistance 1          Ω ohm ohms 欧 欧姆
resistance 1000       kΩ kilohm kilohms kiloohm kiloohms
charge   1            C coulomb coulombs
amount   1            mol mole moles 摩尔
kelvin   1            K kelvin kelvins 开
data     1            byte bytes 字节
data     1000         kB KB kilobyte kilobytes
data     1000000      MB megabyte megabytes
data     1000000000   GB gigabyte gigabytes
data     1000000000000 TB terabyte terabytes
bits     1            bit bits
bits     1000000      Mbps
sound    1            dB decibel decibels 分贝
dollar   1            $ USD US$ dollar dollars buck bucks US-dollar US-dollars 美元 美金
dollar   1/100        ¢ cent cents 美分
euro     1            € EUR euro euros 欧元
sterling 1            £ GBP pound-sterling pounds-sterling 英镑
sterling 1/100        pence 便士
yuan     1            CNY RMB yuan 元 人民币 块 块钱 元人民币
yuan     1/10         角 毛
yen      1            JPY yen 日元
yen-sign 1            ¥
rupee    1            ₹ INR Rs rupee rupees 卢比
won      1            ₩ KRW won 韩元
ruble    1            ₽ RUB ruble rubles 卢布
franc    1            CHF franc francs
square   1            square-unit square-units sq-unit sq-units 平方单位
cube     1            cubic-unit cubic-units 立方单位
unit     1            unit units 单位
"""

_COMPOUNDS_TEXT = (
    "mph=mi/h kph=km/h kmph=km/h kmh=km/h mps=m/s rpm=revolution/min psi=lb/in^2 sqm=m^2 sqft=ft^2 平方米=m^2 "
    "平方厘米=cm^2 平方分米=dm^2 平方千米=km^2 平方公里=km^2 平方毫米=mm^2 立方米=m^3 立方厘米=cm^3 立方分米=dm^3 "
    "千米每小时=km/h 千米/时=km/h 公里/小时=km/h 米每秒=m/s 米/秒=m/s 千米/小时=km/h"
)
_COMPOUNDS = dict(entry.split("=") for entry in _COMPOUNDS_TEXT.split())
_VOLUME_IN_LENGTH = Fraction(1, 1000)  # a litre in cubic metres

_DERIVED: dict[str, Dimensions] = {
    "area": (("length", 2),),
    "frequency": (("time", -1),),
    "force": (("length", 1), ("mass", 1), ("time", -2)),
    "energy": (("length", 2), ("mass", 1), ("time", -2)),
    "power": (("length", 2), ("mass", 1), ("time", -3)),
    "pressure": (("length", -1), ("mass", 1), ("time", -2)),
}

_NAMES: dict[str, Unit] = {}
for _row in _DEFINITIONS.strip().splitlines():
    _dimension, _factor, *_spellings = _row.split()
    _base: Dimensions = ((_dimension, 1),)
    _scale = Fraction(_factor)
    if _dimension == "volume":
        _base, _scale = (("length", 3),), _scale * _VOLUME_IN_LENGTH
    elif _dimension in _DERIVED:
        _base = _DERIVED[_dimension]
    for _spelling in _spellings:
        _NAMES[_spelling] = Unit(_base, _scale)
_KELVIN_ZERO = Fraction(27315, 100)
_CELSIUS = Unit((("kelvin", 1),), Fraction(1), _KELVIN_ZERO)
_FAHRENHEIT = Unit((("kelvin", 1),), Fraction(5, 9), Fraction(45967, 180))
_NAMES |= {name: _CELSIUS for name, unit in _NAMES.items() if unit.dimensions == (("degrees-c", 1),)}
_FAHRENHEIT_TEXT = "°F degF degree-F degrees-F degree-Fahrenheit degrees-Fahrenheit Fahrenheit 华氏度"
_NAMES |= dict.fromkeys(_FAHRENHEIT_TEXT.split(), _FAHRENHEIT)
_LOWER = {name.lower(): unit for name, unit in _NAMES.items() if len(name) > 3}
_LOWER |= {name: _NAMES[name] for name in ("km", "kg", "cm", "lbs", "hrs", "min", "ft")}
_SPACED = {name.replace("-", " ").lower(): name for name in _NAMES if "-" in name}

PERCENT = _NAMES["%"]
PERCENT_POINT = _NAMES["pp"]
DEGREE = _NAMES["°"]
RADIAN = _NAMES["rad"]
CURRENCY_SIGNS: dict[str, str] = {"US$": "$", "Rs.": "Rs"} | {sign: sign for sign in (*"$€£¥₹₩₽", "Rs")}
_CURRENCIES = tuple(_NAMES[name] for name in CURRENCY_SIGNS.values())
_YENS = ({"yuan", "yen-sign"}, {"yen", "yen-sign"})
_POUND = _NAMES["pound"]
_STERLING = _NAMES["£"]

_PREFIX_POWER = re.compile(r"(square|sq\.?|cubic|cu\.?)[ -]([A-Za-z]+)\.?", re.IGNORECASE)
_SUFFIX_POWER = re.compile(r"(?<![A-Za-zμΩ])([A-Za-zμΩ]++) (squared|cubed)")
_SEPARATOR = re.compile(r"[\s*·()]*+(/?)[\s*·()]*+")
_FACTOR = re.compile(r"([^\s\^/*·.\d()]+)\.?(?:\s?\^\s?\{?\s?(-?[1-6])\s?\}?|(-?[1-6])(?![\d.]))?")


@remembered(4096)
def parse_unit(text: str) -> Unit | None:
    """The unit that a whole text names (``cm``, ``square meters``, ``km/h``, ``m s^-1``, ``平方米``); else None."""
    text = text.replace(r"\Omega", "Ω").replace(r"\mu", "μ").replace("U.S.", "US").strip().rstrip(".").strip()
    if not text or len(text) > 60:
        return None
    return _single(text) or _product(text)


def leading_unit(text: str) -> str | None:
    """The unit with which a text begins, as it is written there (``cm^2`` of ``cm^2. So …``); None without one."""
    text = text.lstrip()
    text = re.sub(r"^\\(?:text|mbox|mathrm|textrm|textbf|textnormal)\s*+\{\s*+([^{}]*)\}", r"\1", text)
    text = text.replace(r"\%", "%")
    text = re.sub(r"^\^?\s*+\{?\\(?:circ|degree)\}?", "°", text)
    words = re.match(r"[^\s,.;:!?)，。；\\${}]+(?:\^\{?-?\d\}?)?(?: [A-Za-z]+){0,2}", text)
    if not words:
        return None
    parts = words.group().split(" ")
    for count in range(len(parts), 0, -1):
        name = " ".join(parts[:count])
        if parse_unit(name) and (len(name) > 1 or name in "%°m$€£"):
            return name
    return None


def compatible(left: Unit, right: Unit) -> bool:
    """Whether values in the two units can be compared at all."""
    if left.dimensions == right.dimensions:
        return True
    names = {left.dimensions[0][0], right.dimensions[0][0]} if left.dimensions and right.dimensions else set()
    return (
        names in _YENS
        or {left, right} == {_POUND, _STERLING}
        or (names == {"angle", "kelvin"} and _one(left) and _one(right))
    )


def same_name(left: Unit, right: Unit) -> bool:
    """Whether one name stands for both units: 50 pounds may be £50, and 25° may be 25 °C."""
    return DEGREE in (left, right) or {left, right} == {_POUND, _STERLING}


def is_rate(rate: Unit, money: Unit) -> bool:
    """Whether ``money`` is a currency and ``rate`` the same currency per something."""
    names = [name for name, _ in money.dimensions]
    rest = tuple(part for part in rate.dimensions if part not in money.dimensions)
    return (
        names in ([unit.dimensions[0][0]] for unit in _CURRENCIES)
        and len(rest) == len(rate.dimensions) - 1 > 0
        and all(power < 0 for _, power in rest)
    )


def _one(unit: Unit) -> bool:
    return len(unit.dimensions) == 1 and unit.dimensions[0][1] == 1


def _single(text: str) -> Unit | None:
    unit = _NAMES.get(text) or _LOWER.get(text.lower())
    if unit:
        return unit
    spaced = _SPACED.get(text.lower())
    if spaced:
        return _NAMES[spaced]
    compound = _COMPOUNDS.get(text.lower())
    return _product(compound) if compound else None


_EACH = re.compile(r"\b(?:per|each)\b")
_POWER_OF = re.compile(r"\b(square|cubic) (\S+)")


def _product(text: str) -> Unit | None:
    text = _EACH.sub("/", text)
    text = text.replace("每", "/").replace("平方", "square ").replace("立方", "cubic ") if not text.isascii() else text
    text = _PREFIX_POWER.sub(lambda found: f"{found[2]}^{2 if found[1][0].lower() == 's' else 3}", text)
    text = _SUFFIX_POWER.sub(lambda found: f"{found[1]}^{2 if found[2][0] == 's' else 3}", text)
    text = _POWER_OF.sub(lambda found: f"{found[2]}^{2 if found[1] == 'square' else 3}", text)
    dimensions: dict[str, int] = {}
    factor = Fraction(1)
    sign = 1
    at = 0
    while at < len(text):
        separator = _SEPARATOR.match(text, at)
        if separator and separator.end() > at:
            at = separator.end()
            if separator[1]:
                sign = -1
            continue
        found = _FACTOR.match(text, at)
        unit = _single(found[1]) if found else None
        if found is None or unit is None or unit.zero or unit == PERCENT:
            return None
        if found[3] and not found[1].isascii():  # 24元5角 has no fifth power
            return None
        power = sign * int(found[2] or found[3] or 1)
        factor *= unit.factor**power
        for name, exponent in unit.dimensions:
            dimensions[name] = dimensions.get(name, 0) + exponent * power
        at = found.end()
    if not dimensions:
        return None
    return Unit(tuple(sorted((name, power) for name, power in dimensions.items() if power)), factor)
