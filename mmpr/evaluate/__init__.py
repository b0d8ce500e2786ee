"""Measure models on questions that were kept back: the build's engine, templates and matcher, and what follows of it.

nouns.py        what is measured, and what a benchmark's loader gives
benchmarks/     public benchmarks: their files, and their own metrics
"""
