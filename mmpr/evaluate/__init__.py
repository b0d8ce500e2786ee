"""Measure models on held-out questions, with the build's engine, templates and matcher: ``python -m mmpr.evaluate``.

questions.py    the questions that --data names: held-out ones of a build, a table, a benchmark
recipes.py      a recipe for each model and style
store.py        the evaluation's folder;  run.py  asks what is missing there
score.py        responses and verdicts ─▶ results.py;  intervals.py  the statistics
terminal.py     the results as tables;  page.py  as a page
benchmarks/     public benchmarks: their files, and their own metrics
"""
