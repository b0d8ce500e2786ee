"""Hostile input, by the hundred thousand, for everything that reads files or text from outside.

    python -m benchmarks.fuzz --inputs 120000 --json docs/fuzzing.json
    python -m benchmarks.fuzz --target pictures parquet --seed 7
    python -m benchmarks.fuzz --replay builds/fuzz/pictures-0-4711.bin

Inputs are fixed ones (real files as they are, cut at each hundredth, and files made to hurt), then mutations of real
ones. An input is a function of target, seed and number alone. Each target runs in a process of its own with little
memory and a limit of time for each input; a process that dies or hangs is replaced, and the input is kept.

    pictures.py, files.py    real files in every format, and files made to hurt
    mutate.py                one mutated input from a seed
    targets.py               what is fed to what, and what must hold afterwards
    worker.py                the bounded process;  __main__.py the command, which watches it
"""
