"""MathVista, testmini: 1,000 questions, of multiple choice or with a number or a list for an answer.

Parquet: ``pid, question, decoded_image, choices, unit, precision, answer, question_type, answer_type, metadata``.
VLMEvalKit's TSV has the question as MathVista's own query (it begins with ``Hint:``), ``choices`` and ``skills`` as
lists in Python's notation, and ``image``.

An answer is right when the matcher says so; besides, as in MathVista's own scoring, a number is right when it is the
truth after rounding to the question's ``precision`` (of type float) or after dropping its decimals (of type integer).

The published rule has a language model extract the answer, and compares that text: of options the one nearest by edit
distance, whatever the text says, and otherwise the number after rounding, character by character. Here a reply of one
line that names no answer is the extraction; from a longer response the final answer is taken as everywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rapidfuzz.distance import Levenshtein

from mmpr.answers.extract import extract
from mmpr.answers.text.sentences import is_refusal
from mmpr.answers.values.quantities import Quantity, parse_quantity
from mmpr.config import Columns
from mmpr.errors import RowError
from mmpr.evaluate.benchmarks.layout import Layout, make_row
from mmpr.evaluate.benchmarks.options import option_columns, with_options
from mmpr.evaluate.benchmarks.scores import Published, Score, mean, means_by, row_meta
from mmpr.evaluate.results import Answered, Metric
from mmpr.schema import Question, SourceRow, Verdict
from mmpr.sources import cells

_NOTHING = ("", "none", "nan", "null")
_PLACES = {1: "one decimal place", 2: "two decimal places", 3: "three decimal places"}
# Possessive (*+), so that no text makes it slow.
_ITEM = re.compile(
    r"\s*+(?:'((?:[^'\\]|\\.)*+)'|\"((?:[^\"\\]|\\.)*+)\"|([^\s,'\"\[\]][^,'\"\[\]]*+))\s*+(?:,|\Z)", re.DOTALL
)
_LONGEST_NUMBER = 200  # characters
_LARGEST = 10**15  # of a number whose float shows every digit
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_NAMES_ANSWER = re.compile(r"answer|boxed|\bfinal\b|\boption\b|\bchoice\b", re.IGNORECASE)
_LETTER_IN_BRACKETS = re.compile(r"\(([A-Za-z])\)")
_LIST = re.compile(r"[\[(]?\s*-?\d+(?:\.\d+)?(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+)-?\d+(?:\.\d+)?)*\s*[\])]?")


def _row(record: Mapping[str, Any], where: str) -> SourceRow:
    columns = Columns(images=None, id="pid" if record.get("pid") is not None else "index")
    row = make_row(record, columns, where)
    kind, unit = _plain(record, "question_type"), _plain(record, "unit")
    if kind not in ("multi_choice", "free_form"):
        raise RowError("missing_field", f"'question_type' is {kind[:40]!r}, multi_choice or free_form is expected")
    options = _choices(record) if kind == "multi_choice" else ()
    known = {
        "question_type": kind,
        "answer_type": _plain(record, "answer_type"),
        "precision": _precision(record),
        "unit": unit,
        "category": _plain(record, "category"),
        "task": _plain(record, "task"),
        "skills": _listed(_field(record, "skills")),
    }
    return replace(
        row,
        question=_asked(row.question, options, known),
        choices=options,
        answer=_truth(row.answer, options, unit),
        kind=_plain(record, "task"),
        meta=json.dumps(known),
    )


def _asked(question: str, options: tuple[str, ...], known: Mapping[str, Any]) -> str:
    """The question with its unit, its options, or the required form of its answer, as in MathVista's own query."""
    if question.lstrip().startswith("Hint:"):
        return question
    asked = f"{question} (Unit: {known['unit']})" if known["unit"] else question
    if options:
        return with_options(asked, options)
    if known["answer_type"] == "integer":
        return f"{asked}\nThe answer is an integer."
    if known["answer_type"] == "list":
        return f"{asked}\nThe answer is a list, such as [1, 2, 3]."
    places = _PLACES.get(known["precision"])
    return f"{asked}\nGive the answer with {places}." if known["answer_type"] == "float" and places else asked


def _truth(answer: str | None, options: tuple[str, ...], unit: str) -> str | None:
    """The true answer: the letter of its option, or a number with its unit where the matcher knows the unit."""
    if answer is None:
        return None
    if options.count(answer) == 1:
        return chr(ord("A") + options.index(answer))
    with_unit = f"{answer} {unit}"
    amount = _amount(with_unit) if unit and not options else None
    return with_unit if amount is not None and amount.unit is not None else answer


def right(verdict: Verdict, truth: str, answer_type: str, precision: int | None) -> bool:
    """Whether an answer is right, by the matcher or by MathVista's own rounding."""
    if verdict.status == "correct":
        return True
    if verdict.answer is None or verdict.status not in ("incorrect", "unsure"):
        return False
    if answer_type == "list":
        return bool(_LIST.fullmatch(verdict.answer)) and _numbers(verdict.answer) == _numbers(truth)
    have, want = _amount(verdict.answer), _amount(truth)
    if have is None or want is None or have.number is None or want.number is None:
        return False
    if have.unit not in (None, want.unit) and want.unit is not None:
        return False
    try:
        if answer_type == "integer":
            return int(float(have.number)) == want.number
        return (
            answer_type == "float"
            and precision is not None
            and round(float(have.number), precision) == float(want.number)
        )
    except OverflowError:
        return False


def _right(question: Question, verdict: Verdict) -> bool:
    known = json.loads(question.meta)
    if known["question_type"] == "multi_choice":
        return verdict.status == "correct"
    return right(verdict, question.answer or "", known["answer_type"], known["precision"])


def official(question: Question, response: str) -> Published:
    """Whether a response is right by the published rule."""
    known, truth = json.loads(question.meta), question.answer or ""
    extraction, is_whole = _extraction(response)
    if known["question_type"] == "multi_choice":
        at = ord(truth) - ord("A") if len(truth) == 1 else -1
        want = question.choices[at] if 0 <= at < len(question.choices) else truth
        chosen, how = chosen_option(extraction, question.choices)
        return Published(chosen == want, how)
    if not is_whole and known["answer_type"] != "list":
        extraction = _bare_number(extraction)
    normalized, how = rounded(extraction, known["answer_type"], known["precision"])
    return Published(normalized is not None and normalized == _without_unit(truth, known["unit"]), how)


def _extraction(response: str) -> tuple[str, bool]:
    """What stands for the language model's extraction, empty when there is no answer; and if it is all of the reply."""
    reply = response.strip()
    is_line = "\n" not in reply
    found = None if is_line and not _NAMES_ANSWER.search(reply) else extract(reply)
    return (found, False) if found else (reply if is_line else "", is_line)


def chosen_option(extraction: str, options: Sequence[str]) -> tuple[str, str]:
    """The option that the published rule takes an extraction for, and why: by its letter, else the nearest one."""
    said = extraction.strip()
    bracketed = _LETTER_IN_BRACKETS.search(said)
    name = bracketed[1].upper() if bracketed else said
    at = ord(name) - ord("A") if len(name) == 1 else -1
    if 0 <= at < len(options):
        return options[at], "letter"
    distances = [Levenshtein.distance(name, option) for option in options]
    nearest = distances.index(min(distances))
    if not distances[nearest]:
        return options[nearest], "the text of an option"
    why = "no answer, " if not said else "refusal, " if is_refusal(said) else ""
    return options[nearest], f"{why}nearest option"


def rounded(extraction: str, answer_type: str, precision: int | None) -> tuple[str | None, str]:
    """The text that the published rule compares with the truth, and how it was made; None when it is no number."""
    if answer_type not in ("integer", "float"):
        return extraction, "compared as text"
    try:
        number = float(extraction)
        if answer_type == "integer":
            return str(int(number)), "without its decimals"
        if precision is None:
            return None, "no precision is known"
        return str(round(number, precision)), f"rounded to {precision} decimal places"
    except (ValueError, OverflowError):
        return None, "no number alone" if extraction else "no answer"


def _bare_number(text: str) -> str:
    """A number without its unit, as a language model is asked to extract it; any other text as it is."""
    amount = _amount(text)
    number = None if amount is None else amount.number
    if number is None or abs(number) >= _LARGEST:
        return text
    return str(number.numerator if number.denominator == 1 else float(number))


def _without_unit(truth: str, unit: str) -> str:
    return truth.removesuffix(f" {unit}") if unit else truth


def _metrics(answered: Sequence[Answered], score: Score) -> list[Metric]:
    def of(name: str) -> list[Metric]:
        return means_by(
            answered, lambda one: [f"{name}: {row_meta(one)[name]}"] if row_meta(one)[name] else [], score=score
        )

    skills = means_by(answered, lambda one: [f"skill: {skill}" for skill in row_meta(one)["skills"]], score=score)
    return [
        mean(answered, score=score),
        *of("task"),
        *skills,
        *of("question_type"),
        *of("answer_type"),
        *of("category"),
    ]


def _field(record: Mapping[str, Any], name: str) -> Any:
    """A column, or a field of ``metadata``."""
    value = cells.column(record, name)
    return cells.column(record, f"metadata.{name}") if value is None else value


def _plain(record: Mapping[str, Any], name: str) -> str:
    value = _field(record, name)
    text = "" if value is None else str(value).strip()
    return "" if text.lower() in _NOTHING else text


def _precision(record: Mapping[str, Any]) -> int | None:
    text = _plain(record, "precision")
    if not text:
        return None
    if not re.fullmatch(r"\d{1,2}(?:\.0+)?", text):
        raise RowError("wrong_type", f"'precision' is {text[:40]!r}, a number of decimal places is expected")
    return int(float(text))


def _choices(record: Mapping[str, Any]) -> tuple[str, ...]:
    found = _listed(record.get("choices")) or option_columns(record, None)
    if not found:
        raise RowError("missing_field", "multi_choice without 'choices'")
    return tuple(found)


def _listed(value: Any) -> list[str]:
    """The texts of a list, or of a list in Python's notation (``['a', "b's"]``), as VLMEvalKit's TSV has it."""
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    text = str(value).strip()
    if text.lower() in _NOTHING:
        return []
    if not (text.startswith("[") and text.endswith("]")):
        return [text]
    inner, place, items = text[1:-1].strip(), 0, []
    while place < len(inner):
        found = _ITEM.match(inner, place)
        if found is None:
            raise RowError("wrong_type", f"{text[:80]!a} is no list of texts")
        quoted = next((part for part in found.groups()[:2] if part is not None), None)
        items.append(found[3].strip() if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        place = found.end()
    return items


def _amount(text: str) -> Quantity | None:
    return parse_quantity(text) if len(text) <= _LONGEST_NUMBER else None


def _numbers(text: str) -> list[float]:
    return [float(number) for number in _NUMBER.findall(text)]


MATHVISTA = Layout(
    name="mathvista",
    patterns=("testmini*.parquet", "mathvista*.tsv"),
    pictures={".parquet": "decoded_image", ".tsv": "image"},
    rule="default",
    row=_row,
    metrics=_metrics,
    right=_right,
    official=official,
    download="hf download AI4Math/MathVista --include 'data/testmini*' --repo-type dataset --local-dir FOLDER",
)
