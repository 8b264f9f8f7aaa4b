"""The picture of a simulation: both curves of quality, what the loop did under them, and when; one page, no script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from math import isfinite
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from holdtrue.evaluation.page.axes import Axis, around
from holdtrue.evaluation.page.charts import axes, path, svg, text
from holdtrue.pipeline.simulation.deeds import Deed, Sort
from holdtrue.pipeline.simulation.quality import Period

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 980, 104, 18, 34, 344
LANE, LANES_TOP = 24, 374
LANES: tuple[tuple[Sort, str, str], ...] = (
    ("alarm", "alarms", "open"),
    ("retrain", "retrains", "faint"),
    ("promotion", "promotions", "good"),
    ("rollback", "rollbacks", "bad"),
    ("given up", "given up", "open"),
)
DATES = 8
MOST_TOLD = 200
STYLE = """
svg { overflow: visible; }
.frozen.line { stroke: var(--faint); } .frozen.dot { fill: var(--faint); }
.moved { stroke: var(--good); stroke-width: 1.2; stroke-dasharray: 2 4; }
.struck { fill: var(--bad); fill-opacity: .07; }
svg .told { fill: var(--ink); font-size: 12px; } svg .warn { fill: var(--bad); }
td.when { white-space: nowrap; } td.what { min-width: 17ch; }
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{{ title }}</title>
<style>{{ style }}</style>
</head>
<body>
<header><div><h1>{{ title }}</h1><p class="soft">{{ below }}</p></div></header>
<div class="facts">
{% for value, name in facts %}<div><b>{{ value }}</b><span>{{ name }}</span></div>
{% endfor %}
</div>
{% for told in warnings %}<p class="warning">{{ told }}</p>
{% endfor %}
<h2>Quality over time</h2>
<figure>{{ chart }}<figcaption>{{ caption }}</figcaption></figure>
<h2>What the loop did</h2>
{% if deeds %}
<div class="scroll"><table><thead><tr><th>when</th><th>what</th><th>why</th></tr></thead><tbody>
{% for when, what, why in deeds %}
<tr><td class="when">{{ when }}</td><td class="what">{{ what }}</td><td class="soft">{{ why }}</td></tr>
{% endfor %}
</tbody></table></div>
{% if hidden %}<p class="soft">{{ hidden }} more stand in the ledger; --keep keeps it.</p>{% endif %}
{% else %}<p>Nothing.</p>{% endif %}
</body>
</html>
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What is drawn.

    Attributes:
        end_us: the last moment of all.
        bound: what is promised of the metric, where something is.
        struck: when each fault begins and ends, and what it is.
    """

    metric: str
    periods: Sequence[Period]
    deeds: Sequence[Deed]
    end_us: int
    bound: float | None = None
    struck: Sequence[tuple[int, int, str]] = ()


def page(
    scene: Scene,
    *,
    title: str,
    below: str,
    facts: Sequence[tuple[str, str]],
    caption: str,
    warnings: Sequence[str] = (),
) -> str:
    """Write the page; what comes from data is escaped."""
    css = (files("holdtrue.evaluation.page") / "report.css").read_text(encoding="utf-8")
    told = [(_moment(deed.at_us), deed.what, deed.why) for deed in scene.deeds]
    known: Mapping[str, Any] = {
        "title": title,
        "below": below,
        "facts": facts,
        "warnings": warnings,
        "caption": caption,
        "deeds": told[:MOST_TOLD],
        "hidden": len(told) - MOST_TOLD if len(told) > MOST_TOLD else 0,
        "chart": Markup(chart(scene)),  # noqa: S704 - escaped in charts
        "style": Markup(css + STYLE),  # noqa: S704 - our own file
    }
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(PAGE).render(**known)


def chart(scene: Scene) -> str:
    """Draw both curves, and under them a lane for each sort of deed."""
    made = scene.periods
    if not made:
        return ""
    values = [value for each in made for value in (each.frozen, each.loop)]
    low, high = around(values + ([scene.bound] if scene.bound is not None else []))
    x = Axis(low=made[0].start_us, high=max(made[-1].end_us, scene.end_us), start=LEFT, end=WIDTH - RIGHT, ticked=False)
    y = Axis(low=low, high=high, start=BOTTOM, end=TOP, label=scene.metric)
    lanes = [
        lane
        for lane in LANES
        if lane[0] not in ("rollback", "given up") or any(deed.sort == lane[0] for deed in scene.deeds)
    ]
    body = [*_struck(scene, x, y), axes(replace(x, label=""), y), *_dates(made, x)]
    canaries = _canaries(scene)
    rows = len(lanes) + bool(canaries)
    body += _moved(scene, x, rows)
    if scene.bound is not None:
        body.append(path([(x.start, y.at(scene.bound)), (x.end, y.at(scene.bound))], "bound"))
        body.append(text(x.start + 6, y.at(scene.bound) - 5, "promised", anchor="start"))
    for side, style in (("frozen", "frozen"), ("loop", "main")):
        points = [((each.start_us + each.end_us) / 2, getattr(each, side)) for each in made]
        placed = [(x.at(at_us), y.at(value)) for at_us, value in points if isfinite(value)]
        body.append(path(placed, f"line {style}"))
        body += [f'<circle cx="{a:g}" cy="{b:g}" r="3" class="dot {style}"/>' for a, b in placed]
    for place, (sort, name, style) in enumerate(lanes):
        body += _lane(scene.deeds, sort, name, style, x, LANES_TOP + place * LANE)
    if canaries:
        body += _shared(canaries, x, LANES_TOP + len(lanes) * LANE)
    body += _legend(x, TOP - 16)
    return svg(
        WIDTH,
        LANES_TOP + rows * LANE + 6,
        "".join(body),
        told=f"{scene.metric} over time, with the loop and without it",
    )


def _dates(made: Sequence[Period], x: Axis) -> list[str]:
    every = max(1, -(-len(made) // DATES))
    return [text(x.at(each.start_us), BOTTOM + 16, _day(each.start_us)) for each in made[::every]]


def _moved(scene: Scene, x: Axis, lanes: int) -> list[str]:
    """Draw a line where the champion changed."""
    parts = ((TOP, BOTTOM), (LANES_TOP, LANES_TOP + lanes * LANE))  # the dates between them stay free
    return [
        f'<line x1="{x.at(deed.at_us):g}" x2="{x.at(deed.at_us):g}" y1="{top}" y2="{bottom}" class="moved"/>'
        for deed in scene.deeds
        if deed.sort == "promotion"
        for top, bottom in parts
    ]


def _struck(scene: Scene, x: Axis, y: Axis) -> list[str]:
    """Shade the time of each fault, and name it."""
    body: list[str] = []
    for place, (at_us, end_us, name) in enumerate(scene.struck):
        left = x.at(at_us)
        size = f'width="{max(x.at(end_us) - left, 2):g}" height="{y.start - y.end}"'
        body.append(f'<rect x="{left:g}" y="{y.end}" {size} class="struck"/>')
        anchor, at = ("end", left - 5) if left > (x.start + x.end) / 2 else ("start", left + 5)
        body.append(text(at, y.end + 13 + 14 * place, name, anchor=anchor, style="warn"))
    return body


def _lane(deeds: Sequence[Deed], sort: Sort, name: str, style: str, x: Axis, top: float) -> list[str]:
    """Draw one line of deeds; each tells what it is to who points at it."""
    middle = top + LANE / 2
    found = [deed for deed in deeds if deed.sort == sort]
    body = [
        text(x.start - 10, middle + 4, f"{name} {len(found)}", anchor="end", style="name"),
        f'<line x1="{x.start}" x2="{x.end}" y1="{middle}" y2="{middle}" class="grid"/>',
    ]
    for deed in found:
        told = escape(f"{_moment(deed.at_us)}: {deed.what}")
        spot = f'cx="{x.at(deed.at_us):g}" cy="{middle:g}" r="5" class="dot {style}"'
        body.append(f"<circle {spot}><title>{told}</title></circle>")
    return body


def _canaries(scene: Scene) -> list[tuple[int, int]]:
    """Say from when until when a challenger answered some of the requests."""
    found: list[tuple[int, int]] = []
    since_us: int | None = None
    for deed in scene.deeds:
        if deed.what.startswith("canary at ") and since_us is None:
            since_us = deed.at_us
        elif since_us is not None and deed.sort in ("promotion", "rollback", "given up"):
            found.append((since_us, deed.at_us))
            since_us = None
    return found if since_us is None else [*found, (since_us, scene.end_us)]


def _shared(canaries: Sequence[tuple[int, int]], x: Axis, top: float) -> list[str]:
    """Draw the time of each canary as a bar."""
    body = [text(x.start - 10, top + LANE / 2 + 4, f"canaries {len(canaries)}", anchor="end", style="name")]
    for since_us, until_us in canaries:
        left, wide = x.at(since_us), max(x.at(until_us) - x.at(since_us), 3)
        body.append(f'<rect x="{left:g}" y="{top + 6:g}" width="{wide:g}" height="{LANE - 12}" class="bar"/>')
    return body


def _legend(x: Axis, top: float) -> list[str]:
    """Name both curves, above everything."""
    body: list[str] = []
    for left, name, style in ((x.start, "with the loop", "main"), (x.start + 130, "the first release alone", "frozen")):
        body.append(path([(left, top - 4), (left + 22, top - 4)], f"line {style}"))
        body.append(text(left + 28, top, name, anchor="start", style="told"))
    return body


def _day(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d}"


def _moment(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M}"
