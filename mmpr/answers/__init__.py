"""Answers: find the final one in a response, judge it against the truth."""

from mmpr.answers.extract import extract
from mmpr.answers.match import entails, match, match_many

__all__ = ["entails", "extract", "match", "match_many"]
