"""What is wrapped around an answer: markdown, quotes, math delimiters, boxes, lead-ins, final punctuation."""

from __future__ import annotations

import re

from mmpr.answers.text.remembered import remembered

_TEXT_COMMAND = re.compile(
    r"\\(?:text|textbf|textit|textrm|textsf|texttt|textnormal|mathrm|mathbf|mathit|mathsf|mbox|operatorname|emph|underline|bf|rm)\s*+\{([^{}]*)\}"
)
_ENVELOPES = (
    ("**", "**"), ("__", "__"), ("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("`", "`"),
    ('"', '"'), ("'", "'"), ("*", "*"), ("_", "_"), ("“", "”"), ("<answer>", "</answer>"),
)  # fmt: skip
_OPENINGS = frozenset(("", *(opening[0] for opening, _ in _ENVELOPES)))
_BARE = re.compile(r"[A-Za-z0-9]{1,40}|-?\d{1,20}\.\d{1,20}|-\d{1,20}")
"""A word or a number, with nothing around it."""
_QUIET = re.compile(r"[A-Za-z0-9(+-](?:[A-Za-z0-9,'/()+=<>:%-]| (?! ))*[A-WZa-wz0-9%]")
"""Words and signs with nothing around them, except perhaps a lead."""
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*+\{(.*)\}", re.DOTALL)
_IN_BRACES = re.compile(r"\{(?!\{)[^,|]*\}")
_LEAD = re.compile(
    r"(?:(?:so|thus|hence|therefore|then|ok|okay|well|sure|certainly|in conclusion|in summary|overall|因此|所以|故"
    r"|综上)(?:[,:，：]\s*+|\s++)"
    r"|(?:(?:the|my|your|our)\s++)?(?:(?:final|correct|right|best)\s++)?(?:answer|result|solution"
    r"|ans\.?|option|choice)(?:\s*+(?:is|are|would be|should be|must be|[:=：]|-(?=\s))|(?<=ans\.)(?=\s))"
    r"(?:is|are|would be|should be|must be|[:=：]|-(?=\s))*+\s*+:?+\s*+"
    r"|(?:一共|总共|合计|共)(?:有|是|为)?(?=\S)"
    r"|[故则即]?(?:最终|正确|本题)?答案(?:是|为|應為|应为|应该是)?\s*+[:：]?+\s*+"
    r"|(?:i (?:think|believe|would say|'d say|conclude)|we (?:get|have|find|obtain)|it (?:must|should) "
    r"be)\s*+(?:that\s++)?(?:it is |it's |the answer is )?"
    r"|(?:exactly|precisely|only|just|(?:there (?:is|are) )?(?:a )?total of)\s++(?=\S)"
    r"|(?:the )?(?:[a-z]+ )?number\s++(?=\d)"
    r"|#{1,6}\s++(?=\S)"
    r"|\\(?:therefore|because|Rightarrow|implies)(?![A-Za-z])\s*+"
    r"|(?:=|[:：])\s*+)",
    re.IGNORECASE,
)
_LEAD_BEGINS = frozenset("abcefhijmnoprstwyABCEFHIJMNOPRSTWY#\\=:：因所故综一总合共则即最正本答")
"""How a lead begins; so most answers need not be searched for one."""
_ASIDE = re.compile(r",? \(?approx(?:\.|imately)?\)?$| \(rounded(?: to [a-z0-9 ]+)?\)$", re.IGNORECASE)
_ASIDE_ENDS = tuple(").xXyY")
_TRAILING = frozenset(".,;:。，；：！✓✔✅☑")
_EXCLAIMED = re.compile(r"[A-Za-z]{2}!")
_ESCAPED_TWICE = re.compile(r"\\\\(?=[A-Za-z{}()\[\]])")
_THOUSANDS = re.compile(r"(\d)\s*+(?:\{\s*+,\s*+\}|,\s*+\\!|\\!,)\s*+(?=\d{3}(?!\d))")
_DEGREE = re.compile(r"\^\s*+(?:\{\s*+\\(?:circ|degree)\s*+\}|\\(?:circ|degree)(?![A-Za-z]))|\\degree(?![A-Za-z])")
_SIZES = re.compile(r"\\!|\\(?:left|right)(?![A-Za-z])\.?")
_SPACES = re.compile(r"(?<!\\)\\[,;: ]|\\q?quad|(?<!\\)~")
_PLAIN = {r"\%": "%", r"\$": "$", r"\&": "&", r"\#": "#", r"\_": "_", r"\lt": "<", r"\gt": ">"}
_MOST_WRAPPINGS = 32  # one around the other; what is wrapped deeper is no answer
_BOLD = re.compile(r"(?<!\w)\*\*([^*]+)\*\*(?!\w)")
_DOLLAR_PAIR = re.compile(r"(?<!\\)\$([^$]*?)(?<!\\)\$(?!\d)")


def unwrap(text: str, opening: str, closing: str) -> str:
    """The text between two marks at its ends, stripped; the text itself when they are not there or occur within."""
    if len(text) <= len(opening) + len(closing) or not (text.startswith(opening) and text.endswith(closing)):
        return text
    inner = text[len(opening) : len(text) - len(closing)]
    return text if opening in inner or closing in inner else inner.strip()


@remembered(4096)
def peel(text: str) -> str:
    """An answer without markdown, math delimiters, quotes, boxes, text commands, lead-ins and final punctuation."""
    if _BARE.fullmatch(text) or (_QUIET.fullmatch(text) and not (text[0] in _LEAD_BEGINS and _LEAD.match(text))):
        return text
    latex = "\\" in text
    if "\\\\" in text and "begin" not in text:
        text = _ESCAPED_TWICE.sub(r"\\", text)
    if "**" in text:
        text = _BOLD.sub(r"\1", text)
    for _ in range(_MOST_WRAPPINGS):
        before = text
        text = text.strip()
        for opening, closing in _ENVELOPES if text[:1] in _OPENINGS else ():
            if text.startswith(opening):
                text = unwrap(text, opening, closing) or text
        if "\\" in text:
            boxed = _BOXED.fullmatch(text)
            if boxed and _balanced(boxed[1]):
                text = boxed[1]
            text = _TEXT_COMMAND.sub(r" \1 ", text).strip()
        if text[:1] == "{" and _IN_BRACES.fullmatch(text) and _balanced(text[1:-1]):
            text = text[1:-1]
        lead = _LEAD.match(text) if text[:1] in _LEAD_BEGINS else None
        if lead and lead.end() < len(text):
            text = text[lead.end() :]
        if not text.endswith("...") and not text.endswith("\\,"):
            text = _without_trail(text)
            if text[-1:] in _ASIDE_ENDS:
                text = _ASIDE.sub("", text)
        if text.endswith(("**", "$$")) and text.count(text[-2:]) % 2:
            text = text[:-2]
        elif text.startswith("**") and text.count("**") % 2:
            text = text[2:]
        if text == before:
            break
    if latex or "$" in text or "{" in text:
        text = _plain_latex(text)
    return " ".join(text.split())


def _without_trail(text: str) -> str:
    """A text without the final punctuation, ticks and LaTeX line breaks at its end, and the spaces before them."""
    end = len(text)
    while end:
        if text[end - 1] in _TRAILING or (end > 2 and _EXCLAIMED.match(text, end - 3, end)):
            end -= 1
        elif text.endswith("\\\\", 0, end):
            end -= 2
        else:
            break
        while end and text[end - 1].isspace():
            end -= 1
    return text[:end]


def _plain_latex(text: str) -> str:
    """A text whose LaTeX for thousands, percent, degrees, spaces and dollars is replaced by plain characters."""
    if text.count("$") - text.count("\\$") >= 2:
        text = _DOLLAR_PAIR.sub(r" \1 ", text)
    text = _DEGREE.sub("°", _THOUSANDS.sub(r"\1,", text))
    text = _SPACES.sub(" ", _SIZES.sub("", text))
    for latex, plain in _PLAIN.items():
        text = text.replace(latex, plain)
    return text.strip()


def _balanced(text: str) -> bool:
    depth = 0
    for char in text:
        depth += (char == "{") - (char == "}")
        if depth < 0:
            return False
    return depth == 0
