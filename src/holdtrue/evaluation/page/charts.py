"""Pictures as SVG text; colours and type come from the page's style, so they follow it into print and dark mode."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from holdtrue.evaluation.page.axes import Axis, around, percent, short

WIDTH, HEIGHT = 440, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 12, 42
ROW = 24  # the height of one line of a list of intervals

Point = Sequence[float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One curve: its name, its points, its style (a class of the page) and a band around it."""

    name: str
    points: Sequence[Point]
    style: str = "main"
    low: Sequence[Point] = ()
    high: Sequence[Point] = ()
    dots: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """One value with its limits, in a list of such."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""
    style: str = "main"


def svg(width: float, height: float, body: str, *, told: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" aria-label="{escape(told)}">'
        f"<title>{escape(told)}</title>{body}</svg>"
    )


def text(x: float, y: float, words: str, *, anchor: str = "middle", style: str = "tick") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" class="{style}">{escape(words)}</text>'


def path(points: Sequence[Point], style: str) -> str:
    return f'<polyline points="{" ".join(f"{x:g},{y:g}" for x, y in points)}" class="{style}"/>' if points else ""


def axes(x: Axis, y: Axis) -> str:
    """Draw grid, ticks and labels."""
    parts = [
        f'<line x1="{x.start}" x2="{x.end}" y1="{y.at(tick)}" y2="{y.at(tick)}" class="grid"/>'
        + text(x.start - 6, y.at(tick) + 4, y.tick_text(tick), anchor="end")
        for tick in y.ticks()
    ]
    parts += [text(x.at(tick), y.start + 16, x.tick_text(tick)) for tick in x.ticks()]
    parts.append(text((x.start + x.end) / 2, y.start + 34, x.label, style="label"))
    middle = (y.start + y.end) / 2
    parts.append(f'<g transform="rotate(-90 12 {middle:g})">{text(12, middle, y.label, style="label")}</g>')
    return "".join(parts)


def plane(
    x_limits: tuple[float, float],
    y_limits: tuple[float, float],
    x_label: str,
    y_label: str,
    *,
    percent: tuple[bool, bool] = (False, False),
    width: float = WIDTH,
) -> tuple[Axis, Axis]:
    x = Axis(low=x_limits[0], high=x_limits[1], start=LEFT, end=width - RIGHT, label=x_label, percent=percent[0])
    y = Axis(low=y_limits[0], high=y_limits[1], start=HEIGHT - BOTTOM, end=TOP, label=y_label, percent=percent[1])
    return x, y


def lines(x: Axis, y: Axis, curves: Sequence[Line], *, told: str, diagonal: bool = False, marks: str = "") -> str:
    """Draw curves with their bands; a diagonal says what chance, or perfection, would be."""
    body = [axes(x, y), marks]
    if diagonal:
        body.append(path([(x.start, y.start), (x.end, y.end)], "line faint"))
    for curve in curves:
        placed = [(x.at(a), y.at(b)) for a, b in curve.points]
        if curve.low and curve.high:
            ring = [(x.at(a), y.at(b)) for a, b in (*curve.low, *reversed(curve.high))]
            body.append(f'<polygon points="{" ".join(f"{a:g},{b:g}" for a, b in ring)}" class="band {curve.style}"/>')
        body.append(path(placed, f"line {curve.style}"))
        if curve.dots:
            body += [f'<circle cx="{a:g}" cy="{b:g}" r="3" class="dot {curve.style}"/>' for a, b in placed]
    return svg(x.end + RIGHT, HEIGHT, "".join(body), told=told)


def scatter(
    x: Axis, y: Axis, points: Sequence[Point], *, told: str, diagonal: bool = False, style: str = "main"
) -> str:
    body = [axes(x, y)]
    if diagonal:
        low, high = max(x.low, y.low), min(x.high, y.high)
        body.append(path([(x.at(low), y.at(low)), (x.at(high), y.at(high))], "line faint"))
    body += [
        f'<circle cx="{x.at(a):g}" cy="{y.at(b):g}" r="{2 if len(points) > 200 else 3.5}" class="cloud {style}"/>'
        for a, b in points
    ]
    return svg(x.end + RIGHT, HEIGHT, "".join(body), told=told)


def histogram(edges: Sequence[float], counts: Sequence[float], *, label: str, told: str) -> str:
    x, y = plane((edges[0], edges[-1]), (0, max(counts, default=1) * 1.05 or 1), label, "rows")
    body = [axes(x, y)]
    for left, right, count in zip(edges, edges[1:], counts, strict=False):
        wide = max(x.at(right) - x.at(left) - 1, 0.5)
        body.append(
            f'<rect x="{x.at(left):g}" y="{y.at(count):g}" width="{wide:g}" '
            f'height="{y.start - y.at(count):g}" class="bar"/>'
        )
    return svg(WIDTH, HEIGHT, "".join(body), told=told)


def spans(
    rows: Sequence[Span],
    *,
    told: str,
    label: str = "",
    reference: float | None = None,
    from_zero: bool = False,
    width: float = 680,
    names: float = 230,
) -> str:
    """Draw a list of values with their limits: one line each, and a reference through all."""
    numbers = [each for row in rows for each in (row.value, row.low, row.high) if each is not None]
    low, high = around(numbers + ([reference] if reference is not None else []) + ([0.0] if from_zero else []))
    height = len(rows) * ROW + 44
    x = Axis(low=low, high=high, start=names, end=width - 130, label=label)
    bottom = len(rows) * ROW + 6
    body = [
        f'<line x1="{x.at(tick)}" x2="{x.at(tick)}" y1="4" y2="{bottom}" class="grid"/>'
        + text(x.at(tick), bottom + 15, short(tick))
        for tick in x.ticks(4)
    ]
    if reference is not None:
        body.append(f'<line x1="{x.at(reference)}" x2="{x.at(reference)}" y1="2" y2="{bottom}" class="bound"/>')
    for index, row in enumerate(rows):
        middle = index * ROW + ROW / 2 + 4
        body.append(text(names - 12, middle + 4, _fit(row.name, round(names / 7.4)), anchor="end", style="name"))
        if from_zero:
            left, right = sorted((x.at(0.0), x.at(row.value)))
            body.append(
                f'<rect x="{left:g}" y="{middle - 7}" width="{right - left:g}" height="14" class="bar {row.style}"/>'
            )
        body.append(whisker(x, middle, row))
        body.append(text(width - 122, middle + 4, row.note, anchor="start", style="tick"))
    body.append(text((x.start + x.end) / 2, bottom + 33, label, style="label"))
    return svg(width, height, "".join(body), told=told)


def whisker(x: Axis, middle: float, row: Span) -> str:
    parts: list[str] = []
    if row.low is not None and row.high is not None:
        ends = f'x1="{x.at(row.low)}" x2="{x.at(row.high)}"'
        parts.append(f'<line {ends} y1="{middle}" y2="{middle}" class="whisker {row.style}"/>')
    parts.append(f'<circle cx="{x.at(row.value)}" cy="{middle}" r="4" class="dot {row.style}"/>')
    return "".join(parts)


def strip(
    value: float, low: float | None, high: float | None, bound: float, *, at_least: bool, style: str, told: str
) -> str:
    """Draw one promise: the side that keeps it is shaded, the value stands with its limits."""
    width, height = 200, 30
    numbers = [value, bound, *(each for each in (low, high) if each is not None)]
    ends = around(numbers)
    x = Axis(low=ends[0], high=ends[1], start=6, end=width - 6)
    left, right = (x.at(bound), x.end) if at_least else (x.start, x.at(bound))
    body = (
        f'<rect x="{left:g}" y="4" width="{max(right - left, 0):g}" height="{height - 8}" class="kept"/>'
        f'<line x1="{x.at(bound)}" x2="{x.at(bound)}" y1="2" y2="{height - 2}" class="bound"/>'
        + whisker(x, height / 2, Span(name="", value=value, low=low, high=high, style=style))
    )
    return svg(width, height, body, told=told)


def heat(names: Sequence[str], counts: Sequence[Sequence[float]], *, told: str) -> str:
    """Draw a confusion matrix: shares of each true class by colour, counts by number."""
    cell = min(90.0, 360 / max(len(names), 1))
    left, top = 110.0, 40.0
    body = [text(left + cell * len(names) / 2, 14, "decided", style="label")]
    for column, name in enumerate(names):
        body.append(text(left + cell * (column + 0.5), top - 8, _fit(name, 12)))
    for row, line in enumerate(counts):
        total = sum(line) or 1
        body.append(text(left - 8, top + cell * (row + 0.5) + 4, _fit(names[row], 14), anchor="end"))
        for column, count in enumerate(line):
            share = count / total
            x, y = left + cell * column, top + cell * row
            body.append(
                f'<rect x="{x:g}" y="{y:g}" width="{cell - 2:g}" height="{cell - 2:g}" class="heat" '
                f'style="fill-opacity:{0.06 + 0.84 * share:.3f}"/>'
            )
            style = "heavy" if share > 0.55 else "tick"
            body.append(text(x + cell / 2, y + cell / 2 - 2, short(count), style=style))
            body.append(text(x + cell / 2, y + cell / 2 + 14, percent(share), style=style))
    body.append(text(10, top + cell * len(names) / 2, "true", anchor="start", style="label"))
    return svg(left + cell * len(names) + 10, top + cell * len(names) + 10, "".join(body), told=told)


def _fit(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"
