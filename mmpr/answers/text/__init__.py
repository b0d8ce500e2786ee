"""Readers of plain text: characters, numbers, words, sentences, lists, yes and no, option letters."""
