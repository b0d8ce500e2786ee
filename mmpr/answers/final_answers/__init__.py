"""The final answer of a response: the phrases, marks and lines by which models name it."""
