"""From a row to a Question that can be asked: checked text, clean pictures, one mark for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mmpr.config import Recipe, SourceSpec
from mmpr.errors import RowError
from mmpr.schema import IMAGE_MARK, Question, SourceRow, Turn
from mmpr.sources import Source
from mmpr.sources.cells import NUMBERED_MARK
from mmpr.sources.truths import check_truth
from mmpr.storage.images import clean_image


def to_question(row: SourceRow, id: str, spec: SourceSpec, source: Source, recipe: Recipe) -> Question:
    """The question of a row, its pictures loaded and cleaned.

    Raises:
        RowError: bad_text, empty_question, question_too_long, too_many_images, image_marks, turns,
            answer_not_an_option, or what loading and ``clean_image`` raise.
    """
    check_text(row)
    check_truth(row, spec.rule)
    if any(IMAGE_MARK in choice or NUMBERED_MARK.search(choice) for choice in row.choices):
        raise RowError("image_marks", "a choice is a picture, or holds one; pictures belong in the question")
    limit = recipe.max_question_chars
    before = sum(len(turn.text) for turn in row.context)
    longest = max(before + len(row.question), *map(len, (row.answer or "", *row.answers, *row.choices)))
    if longest > limit:
        raise RowError("question_too_long", f"{longest} characters, the limit is {limit} (max_question_chars)")
    if len(row.images) > recipe.images.max_per_question:
        most = f"the limit is {recipe.images.max_per_question} (images.max_per_question)"
        raise RowError("too_many_images", f"{len(row.images)} pictures, {most}")
    context, question = _placed(row.context, row.question.strip(), len(row.images))
    return Question(
        id=id,
        source=spec.name,
        question=question,
        answer=(row.answer or "").strip() or None,
        choices=tuple(choice.strip() for choice in row.choices),
        images=tuple(_picture(ref, source, recipe) for ref in row.images),
        kind=row.kind,
        rule=spec.rule,
        where=row.where,
        meta=row.meta,
        answers=tuple(answer.strip() for answer in row.answers),
        context=context,
    )


def check_text(row: SourceRow) -> None:
    """Refuse a row whose text neither Parquet nor a tokenizer can hold.

    Raises:
        RowError: bad_text.
    """
    for name in ("where", "question", "answer", "key", "kind", "meta"):
        check_words(name, getattr(row, name) or "")
    for name in ("answers", "choices", "images"):
        for text in getattr(row, name):
            check_words(name, text)
    for turn in row.context:
        check_words("context", turn.text)


def _placed(context: Sequence[Turn], question: str, images: int) -> tuple[tuple[Turn, ...], str]:
    """The turns and the question with exactly one mark for each picture, as ``with_marks``.

    Marks that the source did not place go before the first turn of the user.

    Raises:
        RowError: empty_question, image_marks, turns.
    """
    for turn in context:
        if turn.role != "user" and IMAGE_MARK in turn.text:
            raise RowError("turns", f"a picture stands in a turn of the {turn.role}; pictures are read in the user's")
        if not turn.text.strip():
            raise RowError("turns", f"a turn of the {turn.role} before the question is empty")
        if NUMBERED_MARK.search(turn.text):
            raise RowError("image_marks", "a numbered mark stands in a turn before the question")
    turns = [replace(turn, text=turn.text.strip()) for turn in context]
    marks = sum(turn.text.count(IMAGE_MARK) for turn in turns)
    first = next((place for place, turn in enumerate(turns) if turn.role == "user"), None)
    if first is None:
        return tuple(turns), with_marks(question, images)
    there = marks + question.count(IMAGE_MARK)
    if there not in (0, images):
        raise RowError("image_marks", f"{there} times {IMAGE_MARK} in the conversation, {images} pictures")
    if not there:
        turns[first] = replace(turns[first], text=f"{IMAGE_MARK}\n" * images + turns[first].text)
        marks = images
    return tuple(turns), with_marks(question, images - marks)


def with_marks(question: str, images: int) -> str:
    """The question with exactly one mark for each picture; marks that the source did not place go first.

    Raises:
        RowError: empty_question, image_marks.
    """
    marks = question.count(IMAGE_MARK)
    if not question.replace(IMAGE_MARK, "").strip():
        raise RowError("empty_question", "no text" if not marks else "nothing but picture marks")
    if marks == 0:
        return f"{IMAGE_MARK}\n" * images + question
    if marks != images:
        raise RowError("image_marks", f"{marks} times {IMAGE_MARK} in the question, {images} pictures")
    return question


def _picture(ref: str, source: Source, recipe: Recipe) -> bytes:
    """A picture, cleaned; errors say which one it was."""
    data = source.load(ref)
    try:
        return clean_image(data, recipe.images)
    except RowError as error:
        raise RowError(error.reason, f"{ref[:200]!a}: {error.detail}") from None


def check_words(name: str, text: str) -> None:
    """Refuse what neither Parquet nor a tokenizer can hold.

    Raises:
        RowError: bad_text.
    """
    if "\0" in text:
        raise RowError("bad_text", f"{name} holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RowError("bad_text", f"{name} holds half a surrogate pair at character {error.start}") from None
