"""The table of languages: every word in it names, chooses, calls right, conditions or refuses."""

from __future__ import annotations

import re

import pytest

from mmpr.answers.extract import find_answer
from mmpr.answers.final_answers.languages import LANGUAGES

BY_CODE = {language.code: language for language in LANGUAGES}
SPACED = [language for language in LANGUAGES if language.code not in ("zh", "ja", "ko")]


def _words(kind):
    return [
        (language.code, word)
        for language in LANGUAGES
        for word in getattr(language, kind).split("|")
        if word and "*" not in word
    ]


@pytest.mark.parametrize(("code", "word"), _words("answer"))
def test_a_name_of_an_answer_with_a_colon_is_a_label(code, word):
    assert find_answer(f"3 + 4\n{word}: 7 cm").answer == "7 cm"
    assert find_answer(f"It is the first.\n\n**{word.capitalize()}:** B\n\nIt is the largest one.").answer == "B"


@pytest.mark.parametrize(("code", "word"), [one for one in _words("label") if one[1] not in ("solution", "conclusion")])
def test_a_label_at_the_beginning_of_a_line_names_an_answer(code, word):
    assert find_answer(f"3 + 4\n{word}: 7 cm").answer == "7 cm"


@pytest.mark.parametrize(("code", "word"), _words("choose"))
def test_an_option_is_chosen(code, word):
    lead = {"en": "So I would ", "zh": "所以"}.get(code, "")
    assert find_answer(f"It is the first picture that fits.\n{lead}{word} B.").answer == "B"


SENTENCES = [
    ("en", "{word} is B.", "answer"),
    ("zh", "所以{word}是B。", "answer"),
    ("ja", "{word}はBです。", "answer"),
    ("ko", "{word}은 B입니다.", "answer"),
    ("fr", "La {word} est B.", "answer"),
    ("de", "Die {word} lautet B.", "answer"),
    ("es", "La {word} es B.", "answer"),
    ("pt", "A {word} é B.", "answer"),
    ("it", "La {word} è B.", "answer"),
    ("ru", "{word} — B.", "answer"),
    ("ar", "{word} هي B.", "answer"),
    ("hi", "{word} B है।", "answer"),
]


@pytest.mark.parametrize(("code", "sentence", "kind"), SENTENCES)
def test_a_sentence_names_the_answer_and_its_refusal_does_not(code, sentence, kind):
    for word in getattr(BY_CODE[code], kind).split("|"):
        if word not in ("故填", "应填", "应填写"):
            assert find_answer("1 + 2\n" + sentence.format(word=word)).answer == "B", word


CONDITIONS = [
    ("en", "{} it is even, the answer is B.", ("if", "when")),
    ("zh", "{}它是偶数，答案是B。", ("如果", "若", "假如", "要是")),
    ("fr", "{} c'est pair, la réponse est B.", ("si", "lorsque", "quand")),
    ("de", "{} die Zahl gerade ist, ist die Antwort B.", ("wenn", "falls", "sofern")),
    ("es", "{} es par, la respuesta es B.", ("si", "cuando")),
    ("pt", "{} for par, a resposta é B.", ("se", "caso")),
    ("it", "{} è pari, la risposta è B.", ("se", "qualora")),
    ("ru", "{} число чётное, ответ — B.", ("если", "когда")),
]


@pytest.mark.parametrize(("code", "sentence", "words"), CONDITIONS)
def test_an_answer_on_a_condition_is_not_sure(code, sentence, words):
    for word in words:
        found = find_answer("We look at the number.\n" + sentence.format(word.capitalize()))
        assert not found.sure, word
        assert re.search(rf"(?:^|\|){word}", BY_CODE[code].condition)


def test_there_are_twelve_languages_with_names_of_an_answer():
    assert len(BY_CODE) == len(LANGUAGES) == 12
    assert all(language.answer for language in LANGUAGES)
    for language in LANGUAGES:
        for kind in ("be", "adverb", "tail", "refused", "condition", "assumed", "so", "because", "no_answer"):
            re.compile(getattr(language, kind))
