"""Free text, compared word by word.

Case, articles, plurals, punctuation, accents, spelling variants and number words make no difference.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from mmpr.answers.text.numerals import MAX_NUMBER_WORDS, NUMBER_WORDS, parse_number
from mmpr.answers.text.remembered import remembered

_MIDDLE_A = re.compile(r"(?<=\w) A\.")  # the initial, which is no article
_LABEL_A = re.compile(r"\b[Aa](?=-?\d)")  # the A of A1
_WORD = re.compile(
    r"a_|(?<![\w.)-])-?\d+(?:[.,:]\d+)*|\d+(?:[.,:]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)*|[%$€£¥+&@#°/<>=]", re.UNICODE
)
_LETTERS = re.compile(r"\w+")
_INITIALS = re.compile(r"\b(?:[A-Za-z]\.){2,}|\b(?:[A-Za-z]\.)+[A-Za-z]\b")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_FORMULA = re.compile(r"[\\^{}|]|\({3}")
_PHONE = re.compile(r"\+?\(?\d[\d ().-]{5,}\d")
_TITLES = frozenset(("mister", "mrs", "ms", "miss", "doctor", "professor", "prof"))
_ARTICLES = frozenset(("a", "an", "the"))
_HAN = re.compile("[\u4e00-\u9fff]")
_HAN_LEAD = re.compile(
    "^[一两三1]?[只个条张本辆位名头匹朵棵支把件种座间架艘杯瓶碗块片颗](?=.)|^在(?=..)|^(?:这是|那是|它是|他是|她是|一)(?=[\u4e00-\u9fff]{1,})"
)
_HAN_PLACE = re.compile("(?<=[\u4e00-\u9fff]{2})[市省]$")
_HAN_ORDINAL = re.compile("第([一二三四五六七八九十]{1,3})")
_HAN_COLOUR = re.compile("^([红黄蓝绿黑白灰紫粉橙棕青金银])色?(?:的)?$")
_MARKS = frozenset(chr(code) for code in (*range(0x300, 0x315), *range(0x323, 0x329), 0x31B))
_SPECIAL_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
)

_SPELLINGS_TEXT = (
    "grey=gray; colour=color; coloured=colored; favourite=favorite; flavour=flavor; harbour=harbor; honour=honor; "
    "humour=humor; labour=labor; neighbour=neighbor; neighbourhood=neighborhood; odour=odor; rumour=rumor; "
    "vapour=vapor; behaviour=behavior; armour=armor; centre=center; theatre=theater; metre=meter; litre=liter; "
    "fibre=fiber; kilometre=kilometer; centimetre=centimeter; millimetre=millimeter; calibre=caliber; "
    "sabre=saber; spectre=specter; defence=defense; offence=offense; licence=license; practise=practice; "
    "tyre=tire; kerb=curb; plough=plow; aluminium=aluminum; jewellery=jewelry; moustache=mustache; "
    "pyjamas=pajamas; doughnut=donut; yoghurt=yogurt; catalogue=catalog; dialogue=dialog; programme=program; "
    "cheque=check; whisky=whiskey; mould=mold; sulphur=sulfur; travelling=traveling; traveller=traveler; "
    "cancelled=canceled; modelling=modeling; skilful=skillful; cosy=cozy; storey=story; aeroplane=airplane; "
    "omelette=omelet; ketchup=ketchup; catsup=ketchup; tv=television; ok=okay; barbeque=barbecue; bbq=barbecue; "
    "tshirt=t shirt; judgement=judgment; ageing=aging; axe=ax; mr=mister; dr=doctor; vs=versus; wifi=wi fi; "
    "email=e mail; analogue=analog; manoeuvre=maneuver; paediatric=pediatric; anaemia=anemia; oestrogen=estrogen; "
    "diarrhoea=diarrhea; haemoglobin=hemoglobin; fulfil=fulfill; enrol=enroll; sceptical=skeptical; "
    "draught=draft; gaol=jail; mum=mom; tonne=ton; smoulder=smolder; woollen=woolen; artefact=artifact; grey- "
    "haired=gray haired; towards=toward; racquet=racket; colours=colors; learnt=learned; burnt=burned; "
    "spelt=spelled; hrs=hour; hr=hour; dne=does not exist; ave=avenue; blvd=boulevard; mt=mount"
)
_SPELLINGS = dict(entry.split("=") for entry in _SPELLINGS_TEXT.split("; "))
_NAMES = {
    ("us",): "usa", ("united", "states"): "usa", ("united", "states", "of", "america"): "usa", ("america",): "america",
    ("united", "kingdom"): "uk", ("great", "britain"): "great britain", ("united", "arab", "emirates"): "uae",
    ("new", "york", "city"): "nyc",
    ("none", "of", "these"): "none of above", ("none", "of", "them"): "none of above",
}  # fmt: skip
_IN_NAMES = {"state": "states", "emirate": "emirates"}
_IRREGULAR_TEXT = (
    "men=man; women=woman; children=child; people=person; persons=person; mice=mouse; geese=goose; feet=foot; "
    "teeth=tooth; oxen=ox; knives=knife; wives=wife; lives=life; leaves=leaf; wolves=wolf; shelves=shelf; "
    "halves=half; loaves=loaf; calves=calf; thieves=thief; scarves=scarf; potatoes=potato; tomatoes=tomato; "
    "heroes=hero; cacti=cactus; fungi=fungus; firemen=fireman; policemen=policeman; snowmen=snowman; axes=ax; "
    "dice=die; buses=bus; echoes=echo; mangoes=mango; zeroes=zero"
)
_IRREGULAR = dict(entry.split("=") for entry in _IRREGULAR_TEXT.split("; "))
_NO_PLURAL_TEXT = (
    "is was as us this his has its yes gas bus plus news lens bias atlas canvas christmas series species glasses "
    "pants shorts scissors jeans mars venus paris texas kansas arkansas illinois dallas vegas athens brussels "
    "naples wales netherlands philippines james thomas jesus chess bass less class glass grass dress press cross "
    "boss moss pass mass loss kiss miss chaos virus campus focus status census circus cactus physics mathematics "
    "economics politics gymnastics athletics tennis iris basis axis oasis thesis crisis ellipsis analysis always "
    "perhaps does"
)
_SURNAMES_TEXT = (
    "adams williams roberts edwards richards peters andrews stevens phillips daniels michaels matthews rogers jacobs "
    "davis collins evans owens simmons johns davids charles hughes hayes reynolds jones holmes"
)
_NO_PLURAL = frozenset((*_NO_PLURAL_TEXT.split(), *_SURNAMES_TEXT.split()))
_BRITISH_ENDINGS = {"isation": "ization", "ise": "ize", "ised": "ized", "ising": "izing", "yse": "yze"}
_NO_BRITISH_ENDING_TEXT = (
    "advertise advise clockwise compromise disguise enterprise exercise exercised expertise franchise improvise "
    "likewise merchandise otherwise paradise praised precise premise promise promised raised supervise surprise "
    "surprised television tortoise treatise"
)
_NO_BRITISH_ENDING = frozenset(_NO_BRITISH_ENDING_TEXT.split())
_ORDINALS_TEXT = (
    "first=1st; second=2nd; third=3rd; fourth=4th; fifth=5th; sixth=6th; seventh=7th; eighth=8th; ninth=9th; "
    "tenth=10th; eleventh=11th; twelfth=12th; twentieth=20th"
)
_ORDINALS = dict(entry.split("=") for entry in _ORDINALS_TEXT.split("; "))
TRADITIONAL = str.maketrans(
    "紅黃藍綠黑白灰紫銀長圓馬鳥魚龍貓車門風雲東國學書畫電視機場飛員頭髮個隻條張雙樹葉雞鴨豬狗牛羊蘋葡萄橘貝蟲園後裡邊開關對錯無選項數點線體積時間課買賣錢萬億兩單雙歲熱溫亞歐義華僑灣島",
    "红黄蓝绿黑白灰紫银长圆马鸟鱼龙猫车门风云东国学书画电视机场飞员头发个只条张双树叶鸡鸭猪狗牛羊苹葡萄橘贝虫园后里边开关对错无选项数点线体积时间课买卖钱万亿两单双岁热温亚欧义华侨湾岛",
)


def same_text(gold: str, other: str) -> bool:
    """Whether two texts are the same words, or the same characters where they are formulas or phone numbers."""
    if gold == other:
        return not gold.isspace() and gold != ""
    if "?" in other and "?" not in gold:
        return False
    if _FORMULA.search(gold) or _FORMULA.search(other):
        return _bare(gold).replace(" ", "") == _bare(other).replace(" ", "") != ""
    if _PHONE.fullmatch(gold) and _PHONE.fullmatch(other):
        return re.sub(r"\D", "", gold) == re.sub(r"\D", "", other)
    left, right = _untitled(words(gold), words(other))
    if not left or not right:
        return _bare(gold) == _bare(other) != ""
    return left == right or (abs(len(left) - len(right)) <= 1 and _joined(left) == _joined(right))


def contains_words(text: str, part: str) -> bool:
    """Whether the words of ``part`` stand in a text next to each other; Chinese characters anywhere in it."""
    if not part.isascii() and _HAN.search(part):
        return "".join(words(part)) in "".join(words(text))
    if _within(words(part), words(text)):
        return True
    letters = _LETTERS.findall(part.casefold())  # as they are written: "New York City" has a short name
    return len(letters) > 1 and _within(letters, _LETTERS.findall(text.casefold()))


def _within(want: Sequence[str], have: Sequence[str]) -> bool:
    between = "\0"
    return bool(want) and between.join(("", *want, "")) in between.join(("", *have, ""))


@remembered(4096)
def words(text: str) -> tuple[str, ...]:
    """The words of a text without articles, each in one spelling (``5`` for "five", "color" for "colours")."""
    if " A." in text:
        text = _MIDDLE_A.sub(" a_", text)
    text = _LABEL_A.sub("a_", text)
    text = text.casefold() if text.isascii() else _unaccented(text.translate(TRADITIONAL).casefold())
    if not text.isascii() and _HAN.search(text):
        return _han_words(text)
    text = _INITIALS.sub(lambda found: found.group().replace(".", ""), text) if "." in text else text
    text = text.replace("&", " and ").replace("'s ", "s ")
    found = [_spelled(word) for word in _WORD.findall(text)]
    flat = [part for word in found for part in word.split(" ")]
    if not flat:
        return ()
    if len(flat) > 1:
        flat = [word for word, after in pairwise(flat) if word not in _ARTICLES or after in _ARTICLES] + flat[-1:]
    if "st" in flat[1:] and flat[-1] == "st" and not flat[-2].isdigit():  # 5th Ave St, but 1st
        flat[-1] = "street"
    elif flat[0] == "st":
        flat[0] = "saint"
    flat = [_ORDINALS.get(word, word) for word in flat]
    return tuple(_named(_numbered(flat)))


def _untitled(one: tuple[str, ...], two: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Both names, without the title of a full name to which only one of them gives one ("Dr. William Darby")."""
    for left, right in ((one, two), (two, one)):
        if len(left) > 2 and left[0] in _TITLES and right[:1] and right[0] not in _TITLES:
            return left[1:], right
    return one, two


def stem(word: str) -> str:
    """A word without its plural ending."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or word in _NO_PLURAL or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "zzes")):
        return word[:-2]
    return word[:-1]


def _spelled(word: str) -> str:
    word = word.replace("'", "")
    singular = stem(_SPELLINGS.get(word, word))
    singular = _SPELLINGS.get(singular, singular)
    if len(singular) > 6:
        for ending, other in _BRITISH_ENDINGS.items():
            if singular.endswith(ending) and singular not in _NO_BRITISH_ENDING:
                return singular[: -len(ending)] + other
    return singular


def _numbered(found: list[str]) -> list[str]:
    """The words with number words as digits; as many words as possible make one number."""
    result: list[str] = []
    at = 0
    while at < len(found):
        end = at
        while end < min(len(found), at + MAX_NUMBER_WORDS) and (
            found[end] in NUMBER_WORDS or stem(found[end]) in NUMBER_WORDS
        ):
            end += 1
        value = None
        while end > at and value is None:
            value = parse_number(" ".join(found[at:end]))
            end -= value is None
        word = found[at].replace(",", "") if _GROUPED.fullmatch(found[at]) else found[at]
        result.append(word if value is None else str(value))
        at = max(end, at + 1)
    return result


def _named(found: list[str]) -> list[str]:
    key = tuple(_IN_NAMES.get(word, word) for word in found)
    return _NAMES[key].split(" ") if key in _NAMES else found


def _joined(found: tuple[str, ...]) -> str:
    """All words without spaces, so that "ice cream" is "icecream"; neighbouring numbers stay apart."""
    result = ""
    for word in found:
        result += " " + word if result[-1:].isdigit() and word[0].isdigit() else word
    return result


def _bare(text: str) -> str:
    return " ".join(text.casefold().split())


def _unaccented(text: str) -> str:
    text = unicodedata.normalize("NFD", text.translate(_SPECIAL_LETTERS))
    return unicodedata.normalize("NFC", "".join(char for char in text if char not in _MARKS))


def _han_words(text: str) -> tuple[str, ...]:
    text = re.sub(r"[\s，。、！：；,.!:;\"'()（）\[\]【】“”]+", "", text)
    text = _HAN_LEAD.sub("", text) if len(text) > 1 else text
    text = _HAN_ORDINAL.sub(lambda found: f"第{parse_number(found[1])}", text)
    colour = _HAN_COLOUR.match(text)
    text = colour[1] + "色" if colour else text
    value = parse_number(text)
    return (str(value) if value is not None else _HAN_PLACE.sub("", text.rstrip("的")).removesuffix("形"),)
