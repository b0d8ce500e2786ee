"""``RUN/report.html``: findings of the watch, curves, and greedy answers before and after, in one file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from mmpr.pages.frame import page, picture_address
from mmpr.train.loop.greedy_answers import WatchedQuestion
from mmpr.train.loop.metrics import first_and_last_tenth
from mmpr.train.loop.watch import Answers, Finding

WIDTH, HEIGHT = 420, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 8, 22
_MOST_POINTS = 400
_MOST_QUESTIONS = 16

CURVES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Loss, and its terms unweighted", ("loss", "loss/dpo", "loss/bco", "loss/sft")),
    ("Rewards: beta times log-probability over the reference's", ("rewards/chosen", "rewards/rejected", "delta")),
    ("Reward margin", ("rewards/margins",)),
    ("Reward accuracy", ("rewards/accuracies",)),
    ("Log-probability of a response", ("logps/chosen", "logps/rejected")),
    ("Tokens of a response", ("lengths/chosen", "lengths/rejected")),
    ("Gradient norm before clipping", ("grad_norm",)),
    ("Learning rate", ("learning_rate",)),
    ("Tokens a second", ("tokens_per_second",)),
    ("Shares of computation: padding, and saved by sharing", ("padding_share", "saved_by_sharing")),
)


_BODY = """
<p class="lead">{{ about }}</p>
<h2 id="watch">What the watch says</h2>
{% if findings %}<ul>{% for f in findings %}<li><strong class="badge bad">{{ f.name }}</strong> at step {{ f.step }}:
{{ f.detail }}. <span class="note">What to do: {{ f.remedy }}.</span></li>{% endfor %}</ul>
{% else %}<p>Nothing: none of the known troubles was seen.</p>{% endif %}
<h2 id="numbers">Numbers</h2>
<div class="wide"><table><thead><tr><th>figure</th><th class="number">first tenth</th><th class="number">last tenth</th>
</tr></thead><tbody>{% for name, first, last in table %}<tr><td><code>{{ name }}</code></td>
<td class="number">{{ first }}</td><td class="number">{{ last }}</td></tr>{% endfor %}</tbody></table></div>
<h2 id="curves">Curves</h2>
<div class="curves">{% for title, names, svg in curves %}<figure><figcaption>{{ title }}{% if names|length > 1 %}:
{% for name in names %}<span class="key k{{ loop.index0 }}">{{ name }}</span> {% endfor %}{% endif %}</figcaption>
{{ svg }}</figure>
{% endfor %}</div>
<h2 id="samples">{{ asked }}, answered greedily</h2>
{% if not samples %}<p>None were asked.</p>{% endif %}
{% for s in samples %}<article class="sample">
{% for image in s.images %}<img alt="picture of the question" src="{{ image }}">
{% endfor %}<p class="ask">{{ s.question }}</p>
{% if s.truth is not none %}<p class="note">Truth: {{ s.truth }}</p>{% endif %}
<div class="two"><div><h4>before {{ s.before_mark }}</h4><pre>{{ s.before }}</pre></div>
<div><h4>after {{ s.after_mark }}</h4><pre>{{ s.after }}</pre></div></div></article>{% endfor %}
<h2 id="recipe">Recipe</h2><pre>{{ recipe }}</pre>
"""

_STYLE = """
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: 1.4rem; }
.curves figure { margin: 0; }
.curve { width: 100%; height: auto; }
.curve text { font: 10.5px var(--sans); fill: var(--muted); }
.curve .grid { stroke: var(--rule); }
.curve path { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
.curve .k0 { stroke: var(--chosen); } .curve .k1 { stroke: var(--rejected); }
.curve .k2 { stroke: var(--ok); } .curve .k3 { stroke: var(--muted); }
.key { font-weight: 600; white-space: nowrap; }
.key.k0 { color: var(--chosen); } .key.k1 { color: var(--rejected); }
.key.k2 { color: var(--ok); } .key.k3 { color: var(--muted); }
.sample { border-top: 1px solid var(--rule); padding: 1rem 0; }
.sample img { max-height: 10rem; min-height: 5rem; max-width: 100%; image-rendering: auto; }
.ask { white-space: pre-wrap; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: 1rem; }
pre { white-space: pre-wrap; background: var(--raised); padding: .6rem; margin: .3rem 0; }
pre { font: .85rem/1.45 var(--mono); }
"""


def report(
    name: str,
    about: str,
    recipe: str,
    lines: Sequence[Mapping[str, Any]],
    findings: Sequence[Finding],
    questions: Sequence[WatchedQuestion],
    answers: Sequence[Answers],
) -> str:
    """The page as HTML; every text is escaped.

    ``lines`` are those of ``metrics.jsonl``. Of ``answers``, in the order of steps, the first and the last are shown.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    curves = [
        (title, names, curve(title, [line["step"] for line in lines], [[line.get(n) for line in lines] for n in names]))
        for title, names in CURVES
        if lines and any(line.get(n) is not None for n in names for line in lines)
    ]
    body = environment.from_string(_BODY).render(
        about=about,
        findings=findings,
        table=_table(lines),
        curves=curves,
        samples=_samples(questions, answers),
        asked="Questions of the training data" if any(q.trained_on for q in questions) else "Held-out questions",
        recipe=recipe,
    )
    return page(name, Markup(body), style=_STYLE)  # the template above escapes


def curve(title: str, steps: Sequence[int], series: Sequence[Sequence[float | None]]) -> Markup:
    """One line a series over the steps, as inline SVG; values that are not finite leave a gap."""
    values = [v for line in series for v in line if v is not None and math.isfinite(v)] or [0.0]
    low, high = min(values), max(values)
    if high - low < 1e-12 * max(1.0, abs(high)):
        low, high = low - (abs(low) or 1) / 10, high + (abs(high) or 1) / 10
    first, last = steps[0], max(steps[-1], steps[0] + 1)

    def x(step: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (step - first) / (last - first)

    def y(value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (value - low) / (high - low)

    parts = []
    for tick in MaxNLocator(4).tick_values(low, high):
        if low <= tick <= high:
            at = y(float(tick))
            parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
            parts.append(f'<text x="{_LEFT - 5}" y="{at + 3.5:.1f}" text-anchor="end">{_short(float(tick))}</text>')
    for tick in MaxNLocator(5, integer=True).tick_values(first, last):
        if first <= tick <= last:
            parts.append(f'<text x="{x(tick):.1f}" y="{HEIGHT - 6}" text-anchor="middle">{tick:,.0f}</text>')
    for place, line in enumerate(series):
        parts.append(f'<path class="k{place}" d="{_path(steps, line, x, y)}"/>')
    body = Markup("".join(parts))  # numbers alone
    return Markup('<svg class="curve" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, title, body
    )


def _path(steps: Sequence[int], line: Sequence[float | None], x: Any, y: Any) -> str:
    """An SVG path of at most `_MOST_POINTS` points, each the mean over neighbouring steps."""
    width = -(-len(steps) // _MOST_POINTS)
    path, drawing = [], False
    for start in range(0, len(steps), width):
        values = [v for v in line[start : start + width] if v is not None and math.isfinite(v)]
        if not values:
            drawing = False
            continue
        middle = sum(steps[start : start + width]) / len(steps[start : start + width])
        path.append(f"{'L' if drawing else 'M'}{x(middle):.1f} {y(sum(values) / len(values)):.1f}")
        drawing = True
    return "".join(path)


def _table(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """For each figure its name and its means over the first and the last tenth of the steps."""
    tenths = first_and_last_tenth(lines)
    rows = [(name, *(_mean(part, name) for part in tenths)) for _, names in CURVES for name in names]
    return [(name, first, last) for name, first, last in rows if (first, last) != ("–", "–")]


def _mean(lines: Sequence[Mapping[str, Any]], name: str) -> str:
    values = [line[name] for line in lines if line.get(name) is not None and math.isfinite(line[name])]
    return _short(sum(values) / len(values)) if values else "–"


def _samples(questions: Sequence[WatchedQuestion], answers: Sequence[Answers]) -> list[dict[str, Any]]:
    """The first and the last answers side by side; nothing before there are two sets."""
    if len(answers) < 2:
        return []
    marks = {True: "(right)", False: "(wrong)", None: ""}
    before, after = answers[0], answers[-1]
    return [
        {
            "question": question.text,
            "images": [picture_address(image) for image in question.row.images],
            "truth": question.truth,
            "before": before.texts[i],
            "after": after.texts[i],
            "before_mark": marks[before.right[i]],
            "after_mark": marks[after.right[i]],
        }
        for i, question in enumerate(questions[:_MOST_QUESTIONS])
    ]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
