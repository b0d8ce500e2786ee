"""Sentences: what a sentence says as an answer, and the words by which it hedges or takes its answer back."""

from __future__ import annotations

import re

from mmpr.answers.text.remembered import remembered
from mmpr.answers.text.words import same_text
from mmpr.answers.text.wrapping import peel

_ALTERNATIVE = re.compile(
    r"\b(?:either|or|maybe|perhaps|possibly|probably|presumably|might|may be|(?-i:may) [a-z]+"
    r"|(?<!that )(?<!which )could be"
    r"|could also|(?<!that )(?<!which )can be|not sure|unsure|uncertain|unclear|guess|guessing"
    r"|alternatively|versus|vs|seems?|appears?|likely|unlikely|depends|depending|hard to (?:say|tell)"
    r"|difficult to|if|unless|assuming|hypothetically)\b"
    r"|或|可能|也许|大概|估计|不确定|不清楚|似乎|好像|取决于|如果|除非|[?？]",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"\b(?:not|never|neither|nor|cannot|none of|no longer|without|except|excluding|other than|rather than"
    r"|instead of|anything but|unlike|incorrect|wrong|false|isnt|arent"
    r"|doesnt|opposite|wait|actually|sorry|oops|correction|mistake)\b|n't\b|不|没|沒|非|无法|無法|错误|除了|而是",
    re.IGNORECASE,
)
_BOUND = re.compile(
    r"\b(?:less|fewer|more|greater|larger|smaller|higher|lower|bigger|longer|shorter|older|younger) than\b"
    r"|\bat (?:least|most)\b|\bup to\b|\bno (?:more|less|fewer)\b"
    r"|\b(?:under|over|above|below|between|exceeds?|exceeding|(?:a )?(?:minimum|maximum) of|upwards|beyond"
    r"|before|after|within|nearly|almost|around|about|roughly|some|or so|ish|closer? to|until|since)\b"
    r"|至少|至多|最多|最少|超过|不到|少于|多于|大于|小于|以上|以下|以内|左右|接近|将近|多个|几|[近逾超](?=[\d一二三四五六七八九十百])|不足",
    re.IGNORECASE,
)
_HEDGES = {"hedge": _ALTERNATIVE, "negation": _NEGATION, "bound": _BOUND}
_REFUSAL = re.compile(
    r"(?:can(?:not|'t| not)|could ?n[o']t|unable to|impossible to|not possible to) (?:be )?(?:determined?"
    r"|answer(?:ed)?|see|tell|know|say|identif(?:y|ied)|find|found|read|solved?|calculated?|computed?)"
    r"|(?:not |in)(?:enough|sufficient|adequate) (?:information|data|info|context)|\b(?:i do(?:n't| not) know"
    r"|unknown|unanswerable|no (?:clear |final )?answer|undetermined|indeterminate"
    r"|not (?:given|provided|specified|mentioned|stated|shown|visible|available|applicable|clear|determined"
    r"|determinable)|n/a|(?-i:na|NA))\b"
    r"|无法(?:确定|判断|回答|得知|看出|计算)|不能(?:确定|判断)|不知道|信息不足|条件不足",
    re.IGNORECASE,
)
_TOKEN = re.compile("[a-z]+")
_HEDGE_WORDS_TEXT = (
    "either or maybe perhaps possibly probably presumably might may could can not unsure uncertain unclear guess "
    "guessing alternatively versus vs seem seems appear appears likely unlikely depends depending hard difficult if "
    "unless assuming hypothetically never neither nor cannot none no without except excluding other rather instead "
    "anything unlike incorrect wrong false isnt arent doesnt opposite wait actually sorry oops correction mistake less "
    "fewer more greater larger smaller higher lower bigger longer shorter older younger at up under over above below "
    "between exceed exceeds exceeding minimum maximum upwards beyond before after within nearly almost around about "
    "roughly some ish close closer until since"
)
_HEDGE_WORDS = frozenset(_HEDGE_WORDS_TEXT.split())
"""With one of them begins every English hedge, negation and bound, so that most texts need not be searched for them."""
_REFUSAL_WORDS_TEXT = (
    "can cannot could couldn unable impossible not enough insufficient inadequate know unknown unanswerable no "
    "undetermined indeterminate n na"
)
_REFUSAL_WORDS = frozenset(_REFUSAL_WORDS_TEXT.split())
"""One of them is in every English refusal."""
_SAYING_WORDS_TEXT = (
    "is are was were equal equals say says read reads show shows state states display displays depict depicts total "
    "totals become becomes give gives yield yields makes results has had have contain contains will would there it "
    "that he she they be see recorded"
)
_SAYING_WORDS = frozenset(_SAYING_WORDS_TEXT.split())
"""One of them is in every English sentence that says something."""
_COPULA = re.compile(
    r"\b(?:is|are|was|were|equals?|says?|reads?|shows?|states?|displays?|depicts?|totals?|becomes?|gives?"
    r"|yields?|makes|results in|has|have|contains?|(?:will|would)(?: be)?"
    r"|there(?:'s| is| are)|it's|that's|he's|she's|they're|be)\b|(?:是|为|為|等于|有|写着)",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"\b(?:but|while|whereas|although|though|however|when|where|if|unless|because|since|until|yet|which|who|except|not|never|once|after|before)\b|但|而|如果|当|虽然|不"
    r"|\band\b.{0,200}\b(?:is|are|was|were)\b.{0,200}\b(?:is|are|was|were)\b",
    re.IGNORECASE,
)
_LONGEST_SENTENCE = 200  # characters of one that is read for what it says
_LABELLED = re.compile(r"([A-Za-z][A-Za-z' ]{2,40})\s*+[:=]\s++(\S.*)")
_REASON = re.compile(
    r"(?:(?<!\s)\s++)?\((?:because|since)\b.{0,600}\)"
    r"|(?:(?<!\s)\s++(?:[,;]\s++)?|[,;]\s++)(?:because|since|as we)\b.*|(?:(?<!\s)\s++)?(?:[,;，]\s*+)?因为.*"
    r"|,\s++(?:and )?not (?:an? |the |option )?\(?[A-Za-z0-9.]+\)?(?: [A-Za-z]+)?$",
    re.IGNORECASE,
)
_REASON_WORD = re.compile("because|since|as we|not|因为", re.IGNORECASE)
"""One of them stands in every reason."""
_CONCLUDES = re.compile(r"(?:therefore|thus|hence|so)\b|因此|所以", re.IGNORECASE)
_SCENE = re.compile(
    r"(?:(?<!\s)\s++(?:,\s++)?|,\s++)(?:shown |seen |visible |depicted |displayed |pictured )?"
    r"(?:in|on|of|from) (?:the|this|that) "
    r"(?:given |above |provided )?"
    r"(?:picture|image|photo|photograph|chart|graph|figure|diagram|table|text|scene|plot|screen|map|page|document|illustration|drawing)$"
    r"|(?<!\s)\s++(?:shown|here|in total|altogether|in all|overall|total)$",
    re.IGNORECASE,
)
_ACTION = re.compile(
    r"(?:(?:\w+ed|held|led|shown|given|made|written|drawn) by"
    r"|wearing|holding|playing|eating|riding|carrying|drinking|using|watching|called|named|labell?ed"
    r"|written|colou?red|made of)\s++",
    re.IGNORECASE,
)
_PLACED = re.compile(r"(?<=\w) (?:in|on|at|near|by) (?:(?:the|a|an|his|her|its|their) )?[A-Za-z]+(?: [A-Za-z]+)?$")
_SUPERLATIVE = re.compile(
    r"(?:the )?(\S++(?: \S++){0,4}?) (?:has|had|have|shows?|is|was|recorded) the "
    r"(?:(?:high|low|large|small|great|bigg?|long|short|tall|heav[iy]|light|strong|weak|fast|slow)(?:e?r|e?st)\b"
    r"|(?:most|least|fewest|fewer|maximum|minimum)\b)"
    r"(?: [A-Za-z]+){0,6}",
    re.IGNORECASE,
)
_PREPOSITION = re.compile(r"(in|on|at|during|inside|from)\s+(?=\S)", re.IGNORECASE)
_COLOUR = re.compile(r"(?:the )?colou?r (\w+)|(\w+(?: and \w+)?)(?: in)? colou?r", re.IGNORECASE)
_DIRECTION = re.compile(
    r"(?:(?:to|on|at|toward|towards|from)\s+)?(?:(?:the|his|her|its)\s+)?"
    r"(left|right|top|bottom|front|back|north|south|east|west)(?:[- ](?:hand )?side)?"
    r"|[在向往朝]?(?<![左右上下前后])([左右上下前后东南西北])[边侧面方]?",
    re.IGNORECASE,
)
_MATH_OPENING = re.compile(r"\$\$|(?<!\\)\$|\\[(\[]")
_MATH_CLOSINGS = {"$$": "$$", "$": "$", r"\(": r"\)", r"\[": r"\]"}
_FILLER = re.compile(r"i hope|let me know|please|thank|<\||note:|hope this", re.IGNORECASE)
_SENTENCES = re.compile(
    r"(?<=\w) (?=(?:Therefore|Thus|Hence|So),)|(?<=[.!?。！？])\s++(?=[A-Z$\\\"'(0-9*])|(?<=[。！？])(?=.)"
)
_ANSWERS = re.compile(
    r"(.{1,80}?)\s++(?:is|are|was|would be)\s++(?:the\s++)?(?:(?:final|correct|right|best)\s++)?(?:answer|option"
    r"|choice|one|correct|right)",
    re.IGNORECASE,
)


_SEEN = re.compile(
    r"(?:I|we|you)(?: can)? see (.{1,60})|(.{1,60}?) (?:is|are) (?:shown|visible|depicted|pictured|displayed|seen)"
    r"(?: (?:in|on) .{1,30})?",
    re.IGNORECASE,
)


@remembered(4096)
def is_refusal(text: str) -> bool:
    """Whether a text says that there is no answer."""
    if text.isascii() and _REFUSAL_WORDS.isdisjoint(_tokens(text)):
        return False
    return _REFUSAL.search(text) is not None


def hedge(text: str, gold: str = "", bounds: bool = True) -> str | None:
    """The kind and the word by which a text hedges, negates or, with ``bounds``, bounds its answer; None without one.

    A kind of word that the truth has, too, is passed over.
    """
    for name in ("hedge", "negation", "bound") if bounds else ("hedge", "negation"):
        word = _hedging(name, text)
        if word is not None and _hedging(name, gold) is None:
            return f"{name} {word!r}"
    return None


@remembered(4096)
def _hedging(name: str, text: str) -> str | None:
    """The first word of a kind of hedge in a text."""
    if text.isascii() and "?" not in text and "n't" not in text and _HEDGE_WORDS.isdisjoint(_tokens(text)):
        return None
    found = _HEDGES[name].search(text)
    return found.group() if found else None


@remembered(256)  # sets of words, which are large
def _tokens(text: str) -> frozenset[str]:
    """The runs of letters in a text, in lower case."""
    return frozenset(_TOKEN.findall(text.lower()))


def is_negated_or_bounded(text: str) -> bool:
    """Whether a text negates something, or gives a bound or a guess: "not 5", "at least 5", "about 5"."""
    return _hedging("negation", text) is not None or _hedging("bound", text) is not None


def sentences(text: str) -> list[str]:
    """The sentences of a text."""
    return [part for part in _SENTENCES.split(text) if part.strip()]


@remembered(4096)
def predicate(text: str) -> str | None:
    """What a plain sentence around an answer says: "a giraffe" of "It is a giraffe in the picture."; None for any
    other text."""
    if text.isascii() and (
        " " not in text or (_SAYING_WORDS.isdisjoint(_tokens(text)) and not (":" in text or "=" in text))
    ):
        return None
    answered = _ANSWERS.fullmatch(text)
    if answered:
        return answered[1]
    labelled = _LABELLED.fullmatch(text)
    seen = _SEEN.fullmatch(text)
    if seen and hedge(text) is None:
        return _SCENE.sub("", next(filter(None, seen.groups())))
    if hedge(text, bounds=False) is not None:
        return None
    if labelled and not _CLAUSE.search(labelled[1]):
        return labelled[2]
    if len(text) > _LONGEST_SENTENCE:
        return None
    found = list(_COPULA.finditer(text))
    if not found or _CLAUSE.search(text):
        return None
    # "It says YIELD" has one verb: capitals are a sign's
    verbs = [one for one in found if one.group() not in ("有", "为") and not one.group().isupper()] or found
    if len(verbs) != 1:
        return None
    said = text[verbs[0].end() :].strip().lstrip(":：").strip()
    return _SCENE.sub("", said) or None


def statement_of(text: str) -> str:
    """What a carrier sentence says; any other text itself."""
    return predicate(text) or text


def without_place(text: str) -> str:
    """A text without the place at its end: "surfing" of "surfing in the ocean"."""
    return _PLACED.sub("", text)


def superlative(text: str) -> str | None:
    """The one that is said to be the most: "Asia" of "Asia has the highest value."."""
    if text.isascii() and _SAYING_WORDS.isdisjoint(_tokens(text)):
        return None
    found = _SUPERLATIVE.fullmatch(text)
    return found[1] if found and hedge(text, bounds=False) is None else None


def same_phrase(gold: str, other: str) -> bool:
    """Whether two texts differ only by words that an answer may leave out.

    Those are an action ("wearing"), a preposition of place or time that only one of them has, the word "color", and
    what stands around a direction ("on the left side").
    """
    one, two = _bare_phrases(gold), _bare_phrases(other)
    if same_text(one[0], two[0]) and (one[1] == two[1] or not (one[1] and two[1])):
        return True
    left, right = _DIRECTION.fullmatch(gold), _DIRECTION.fullmatch(other)
    return left is not None and right is not None and _lowered(left) == _lowered(right)


def _lowered(found: re.Match[str]) -> str:
    return str(next(filter(None, found.groups()))).lower()


def bare_phrase(text: str) -> str:
    """A phrase without its action ("playing"), the word "color" and its preposition."""
    return _bare_phrases(text)[0]


@remembered(4096)
def _bare_phrases(text: str) -> tuple[str, str]:
    """A phrase without its action, the word "color" and its preposition; and that preposition."""
    action = _ACTION.match(text)
    text = text[action.end() :] if action else text
    colour = _COLOUR.fullmatch(text)
    text = _lowered(colour) if colour else text
    found = _PREPOSITION.match(text)
    return (text[found.end() :], found[1].lower()) if found else (text, "")


def without_reason(text: str) -> str:
    """A text without the "because …" or ", not B" that follows its answer."""
    if not _REASON_WORD.search(text):
        return text
    reason = _REASON.search(text)
    first, *more = sentences(text)
    if more and reason and reason.start() < len(text) - len(more[-1]):
        concludes = _CONCLUDES.match(more[-1]) is not None and _hedging("negation", more[-1]) is None
        if concludes or len(first) < reason.start():
            return text  # it is in the middle of an argument, and the answer is behind it
    return _REASON.sub("", text) or text


def without_scene(text: str) -> str:
    """A text without "in the picture" and its like at the end."""
    return _SCENE.sub("", text)


def conclusion(text: str) -> str:
    """The last sentence of a text that is more than a filler."""
    parts = [part for part in sentences(text) if not _FILLER.match(part)]
    return peel(parts[-1]) if parts else text


def math_spans(text: str) -> list[str]:
    """The formulas between math delimiters in the last sentence of a text that has words around them."""
    sentence = sentences(text)[-1] if text.strip() else ""
    found: list[str] = []
    missing: set[str] = set()  # marks that close nothing from here on, so that no text is searched for them again
    at = 0
    while opening := _MATH_OPENING.search(sentence, at):
        at = opening.start() + 1
        closing = _MATH_CLOSINGS[opening.group()]
        end = -1 if closing in missing else sentence.find(closing, opening.end() + 1)
        if end < 0:
            missing.add(closing)
        else:
            found.append(sentence[opening.end() : end])
            at = end + len(closing)
    return found
