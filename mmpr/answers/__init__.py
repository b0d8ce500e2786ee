"""Answers: find the final one in a response, judge it against the truth.

Each part imports only parts above it::

    processes                    other processes that work for this one, bounded in time and memory
    text/                        readers of plain text: characters, numbers, words, sentences, lists, option letters
    formula/                     formulas to trees
    values/  algebra/  prover/   readers of quantities and dates; equality of trees; proofs by sympy in other processes
    judgement                    what a comparator says: right, wrong or neither
    compare_calendar  compare_quantities  compare_texts  compare   the comparators
    final_answers/  extract      the phrases, marks and lines that name a final answer; the one of a response
    choices  structured  judge   multiple choice; boxes, counts and JSON; which comparator decides
    match  killable  audit       one verdict for an answer; all responses of a question, in a process that is killed
                                 when it is late; the verdicts of a build for a person to check
"""

from mmpr.answers.extract import extract, find_answer
from mmpr.answers.match import entails, match, match_many

__all__ = ["entails", "extract", "find_answer", "match", "match_many"]
