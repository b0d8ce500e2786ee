"""From a row to a Question that can be asked: checked text, clean pictures, one mark for each of them."""

from __future__ import annotations

from mmpr.config import Recipe, SourceSpec
from mmpr.errors import RowError
from mmpr.schema import IMAGE_MARK, Question, SourceRow
from mmpr.sources import Source
from mmpr.sources.cells import NUMBERED_MARK
from mmpr.sources.truths import check_truth
from mmpr.storage.images import clean_image


def to_question(row: SourceRow, id: str, spec: SourceSpec, source: Source, recipe: Recipe) -> Question:
    """The question of a row, its pictures loaded and cleaned.

    Raises:
        RowError: bad_text, empty_question, question_too_long, too_many_images, image_marks, answer_not_an_option, or
            what loading and ``clean_image`` raise.
    """
    check_text(row)
    check_truth(row, spec.rule)
    if any(IMAGE_MARK in choice or NUMBERED_MARK.search(choice) for choice in row.choices):
        raise RowError("image_marks", "a choice is a picture, or holds one; pictures belong in the question")
    limit = recipe.max_question_chars
    longest = max(map(len, (row.question, row.answer or "", *row.answers, *row.choices)))
    if longest > limit:
        raise RowError("question_too_long", f"{longest} characters, the limit is {limit} (max_question_chars)")
    if len(row.images) > recipe.images.max_per_question:
        most = f"the limit is {recipe.images.max_per_question} (images.max_per_question)"
        raise RowError("too_many_images", f"{len(row.images)} pictures, {most}")
    question = with_marks(row.question.strip(), len(row.images))
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
