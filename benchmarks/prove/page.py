"""What people look at: tables in Markdown, and the plot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.prove.claims import Hallucination
from benchmarks.prove.results import Average, Difference, Mean, Measured, row
from mmpr.storage.shards import whole_or_absent

_INCHES = (13.0, 4.2)
_COLOUR, _PALE, _BASE = "#1f5fa8", "#9dbbdc", "#777777"


def tables(averages: Sequence[Average], differences: Sequence[Difference], headline: Sequence[tuple[str, str]]) -> str:
    """All tables as Markdown: every arm, what was compared with what, and the kinds of questions of ``headline``."""
    base = averages[0]
    lines = [
        "| arm | accuracy, % | direct, % | unparseable, % | tokens | reward margin |",
        "|---|---|---|---|---|---|",
    ]
    for one in averages:
        margin = f"{one.margin.value:.2f} ({one.margin.low:.2f} to {one.margin.high:.2f})" if one.margin else ""
        lines.append(
            f"| {one.title} | {_share(one.accuracy)} | {_share(one.accuracy_direct)} | {_share(one.unparseable)} "
            f"| {one.mean_tokens.value:.1f} ({one.mean_tokens.low:.1f} to {one.mean_tokens.high:.1f}) | {margin} |"
        )
    titles = {one.arm: one.title for one in averages}
    lines += ["", "| difference, points | with reasoning | direct |", "|---|---|---|"]
    by_pair: dict[tuple[str, str], dict[str, Mean]] = {}
    for two in differences:
        if two.group == "all":
            by_pair.setdefault((two.arm, two.against), {})[two.style] = two.difference
    for (arm, against), found in by_pair.items():
        name = f"{titles[arm]} − {titles[against]}"
        lines.append(f"| {name} | {_points(found['reason'])} | {_points(found['direct'])} |")
    for arm, against in headline:
        lines += [
            "",
            f"| {titles[arm]} and {titles[against].lower() if against == base.arm else titles[against]}, by kind "
            "| questions | before, % | after, % | difference, points |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {two.group} | {two.questions} | {100 * two.before:.1f} | {100 * two.after:.1f} "
            f"| {_points(two.difference)} |"
            for two in differences
            if (two.arm, two.against, two.style) == (arm, against, "reason")
        ]
    return "\n".join(lines) + "\n"


def claims_table(found: Sequence[Hallucination]) -> str:
    """The dropout pairs' second halves: what is false in them."""
    lines = ["| dropout pairs of | share, % | chosen | rejected | difference, points |", "|---|---|---|---|---|"]
    for one in found:
        name = f"{one.source}: {one.pairs:,} pairs, {one.claims[0]:,} and {one.claims[1]:,} claims"
        for what, (chosen, rejected, difference) in (
            ("claims that are false", one.false_claims),
            ("responses with a false claim", one.responses),
        ):
            lines.append(f"| {name} | {what} | {_share(chosen)} | {_share(rejected)} | {_points(difference)} |")
    return "\n".join(lines) + "\n"


def plot(measured: Sequence[Measured], averages: Sequence[Average], path: Path) -> None:
    """Five panels, a line an arm: the mean with its interval, and each seed as a pale dot."""
    from matplotlib.figure import Figure

    panels: tuple[tuple[str, str, float, Callable[[Average], Mean | None]], ...] = (
        ("accuracy with reasoning, %", "accuracy", 100.0, lambda one: one.accuracy),
        ("accuracy, direct, %", "accuracy_direct", 100.0, lambda one: one.accuracy_direct),
        ("unparseable, %", "unparseable", 100.0, lambda one: one.unparseable),
        ("mean length, tokens", "mean_tokens", 1.0, lambda one: one.mean_tokens),
        ("reward margin", "reward_margin", 1.0, lambda one: one.margin),
    )
    rows = [row(one) for one in measured]
    figure = Figure(figsize=_INCHES, layout="constrained")
    all_axes = figure.subplots(1, len(panels), sharey=True, width_ratios=(3, 3, 2, 2, 2))
    for axes, (title, column, scale, get) in zip(all_axes, panels, strict=True):
        for place, one in enumerate(averages):
            mean, colour = get(one), _COLOUR if one.seeds else _BASE
            if mean is None:
                continue
            seeds = [scale * line[column] for line in rows if line["arm"] == one.arm and line["seed"] is not None]
            axes.plot(seeds, [place + 0.22] * len(seeds), "o", color=_PALE, markersize=3.5)
            axes.plot([scale * mean.low, scale * mean.high], [place, place], color=colour, linewidth=2)
            axes.plot(scale * mean.value, place, "o", color=colour, markersize=6)
            if not one.seeds:
                axes.axvline(scale * mean.value, color=_BASE, linewidth=0.8, linestyle=":")
        low, high = axes.get_xlim()
        if high - low < 1 and scale > 1:
            axes.set_xlim(low - 0.5, high + 0.5)  # shares that are all the same
        axes.set_title(title, fontsize=10)
        axes.set_yticks(range(len(averages)), [one.title for one in averages])
        axes.tick_params(length=0)
        axes.grid(axis="x", color="#e5e5e5")
        axes.set_axisbelow(True)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
    all_axes[0].invert_yaxis()
    with whole_or_absent(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})


def _share(mean: Mean) -> str:
    return f"{100 * mean.value:.1f} ({100 * mean.low:.1f} to {100 * mean.high:.1f})"


def _points(mean: Mean) -> str:
    return f"{100 * mean.value:+.1f} ({100 * mean.low:+.1f} to {100 * mean.high:+.1f})".replace("-", "−")
