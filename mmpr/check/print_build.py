"""Print a build: schema, counts, random pairs. Text of models and datasets is made safe for the terminal."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from textwrap import indent
from typing import Any

from rich import box
from rich.table import Table

from mmpr.audit.judgements import AUDIT
from mmpr.audit.precision import WIDTH
from mmpr.cli.command import printable
from mmpr.errors import OutputError
from mmpr.inputs.build import read_plan
from mmpr.pipeline.audited import are_kept, read_audit
from mmpr.pipeline.progress import print_tables, reasons_table, summary_table, words_told
from mmpr.schema import Pair, PreferenceRow, shown_question
from mmpr.storage.manifest import read_manifest
from mmpr.storage.shards import MANIFEST
from mmpr.storage.tables import arrow_schema, read_counts, read_rows

_LONGEST = 1500


def print_build(out: Path, pairs: int, seed: int, width: float = WIDTH) -> None:
    """Print a build with ``pairs`` random pairs.

    Raises:
        OutputError: there is no finished build.
    """
    manifest = read_manifest(out)
    try:
        print(printable(_head(out, manifest)))
        print_tables(_schema_table(manifest), summary_table(manifest), reasons_table(manifest))
        print(words_told(manifest))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise OutputError(f"{out / MANIFEST}: is damaged ({error!r}); restore it from a copy") from None
    print_audit(out, width)
    for where, row, pair in random_pairs(out, manifest, pairs, seed):
        print(printable(_pair_text(where, row, pair)))


def print_audit(out: Path, width: float = WIDTH) -> None:
    """Print what people say of the verdicts, if ``audit.jsonl`` is there: precision by side, source and comparator.

    Raises:
        OutputError: the file holds something that is no judgement on this build.
    """
    units = read_plan(out).of("train")
    found = read_audit(out, units)
    if found is None:
        return
    table = Table(title=f"{AUDIT}: how often the judge is right", title_justify="left", box=box.SIMPLE)
    for name in ("side", "source", "comparator", "right", "wrong", "disputed", "precision", "95 % interval"):
        table.add_column(name, justify="left" if name in ("side", "source", "comparator") else "right")
    table.add_column(f"more for {100 * width:g} points", justify="right")
    for line in (*found.groups, *found.sides):
        if line == found.sides[0]:
            table.add_section()
        low, high = line.interval or (0.0, 1.0)
        share = "-" if line.share is None else f"{line.share:.1%}"
        names = (
            line.side,
            printable(line.source or "all"),
            printable(line.comparator or ("" if line.source else "all")),
        )
        counts = (f"{count:,}" for count in (line.right, line.wrong, line.disputed))
        table.add_row(*names, *counts, share, f"{low:.1%} to {high:.1%}", f"{line.missing(width):,}")
    print_tables(table)
    print(f"judgements {found.judgements:,} by {found.people} {'person' if found.people == 1 else 'people'}")
    if found.stale:
        print(f"           {found.stale:,} of them on verdicts that have changed since, which count for nothing here")
    if found.people == 2:
        kappa = "not defined" if found.kappa is None else f"{found.kappa:.2f}"
        print(f"           both on {found.both:,} responses, agreeing on {found.agree:,}; Cohen's kappa {kappa}")
    if not are_kept(out, units):
        print("           some are not known to the pairs: run the build command again with --from pair")
    print()


def random_pairs(
    out: Path, manifest: dict[str, Any], count: int, seed: int
) -> Iterator[tuple[str, PreferenceRow, Pair]]:
    """``count`` different pairs with the names of their shards, the same for the same seed; reads only these shards."""
    shards = sorted(name for name in manifest["files"] if name.startswith("pairs/"))
    ends: list[int] = []
    for name in shards:
        counts = read_counts(out / name)
        here = sum(by for what, by in counts.items() if what.split("/", 1)[-1].startswith("pairs/"))
        ends.append((ends[-1] if ends else 0) + here)
    total = ends[-1] if ends else 0
    chosen = sorted(random.Random(seed).sample(range(total), min(count, total)))
    for name, end, start in zip(shards, ends, [0, *ends], strict=False):
        here_at = {place - start for place in chosen if start <= place < end}
        if not here_at:
            continue
        place = 0
        for row in read_rows(out / name, PreferenceRow):
            for pair in row.pairs:
                if place in here_at:
                    yield name, row, pair
                place += 1


def _head(out: Path, manifest: dict[str, Any]) -> str:
    size = sum(about["bytes"] for about in manifest["files"].values())
    model = f"{manifest['recipe']['model']['path']} (revision {manifest['model_revision']})"
    lines = [
        f"build      {out}: recipe {manifest['recipe']['name']}, seed {manifest['recipe']['seed']}",
        f"made by    mmpr {manifest['mmpr']}, model {model}",
        f"files      {len(manifest['files']):,}, {size / 1e6:,.1f} MB",
    ]
    return "\n".join(lines) + "\n"


def _schema_table(manifest: dict[str, Any]) -> Table:
    rows = sum(about["rows"] for name, about in manifest["files"].items() if name.startswith("pairs/"))
    table = Table(title=f"pairs/: {rows:,} rows, one a question", title_justify="left", box=box.SIMPLE)
    table.add_column("column")
    table.add_column("type", overflow="fold")
    schema = arrow_schema(PreferenceRow)
    for field in fields(PreferenceRow):
        table.add_row(field.name, str(schema.field(field.name).type).replace("item: ", "").replace("element: ", ""))
    return table


def _pair_text(where: str, row: PreferenceRow, pair: Pair) -> str:
    chosen, rejected = row.responses[pair.chosen], row.responses[pair.rejected]
    pictures = ", ".join(f"{len(image):,} bytes" for image in row.images) or "none"
    truth = "open-ended" if row.answer is None else f"answer {' or '.join(map(repr, row.answers or (row.answer,)))}"
    rate = "" if row.pass_rate is None else f", pass rate {row.pass_rate:.2f}"
    return "\n".join(
        [
            f"pair       {row.id} ({row.source}, {pair.method}) in {where}",
            f"pictures   {pictures}",
            f"question   {truth}{rate}",
            _block(shown_question(row.question, [asdict(turn) for turn in row.context])),
            f"chosen     {chosen.tokens} tokens",
            _block(chosen.text),
            f"rejected   {rejected.tokens} tokens, {pair.reason}",
            _block(rejected.text),
            "",
        ]
    )


def _block(text: str) -> str:
    cut = len(text) - _LONGEST
    return indent(text if cut <= 0 else f"{text[:_LONGEST]} … ({cut:,} more characters)", "    ", lambda _: True)
