"""Scales and ticks: from numbers to places in a picture."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """Maps [low, high] to pixels [start, end]; `end` may be less than `start` (an upward axis)."""

    low: float
    high: float
    start: float
    end: float
    label: str = ""
    percent: bool = False
    ticked: bool = True

    def at(self, value: float) -> float:
        """Place a value, held inside the picture.

        >>> Axis(low=0, high=10, start=100, end=0).at(2.5)
        75.0
        """
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(self.start + (self.end - self.start) * min(max(share, -0.02), 1.02), 2)

    def ticks(self, count: int = 5) -> list[float]:
        """Give round numbers inside the axis.

        >>> Axis(low=0.11, high=0.94, start=0, end=1).ticks()
        [0.2, 0.4, 0.6, 0.8]
        """
        if not self.ticked:
            return []
        step = _round_step((self.high - self.low) / max(count, 1))
        first = math.ceil(self.low / step - 1e-9)
        return [round(index * step, 12) for index in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def tick_text(self, value: float) -> str:
        return f"{value * 100:g} %" if self.percent else short(value)


def _round_step(rough: float) -> float:
    if not rough > 0:
        return 1.0
    size = 10 ** math.floor(math.log10(rough))
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * 0.999)


def around(values: list[float], *, floor: float | None = None, ceiling: float | None = None) -> tuple[float, float]:
    """Give limits that hold all values with a little air, within what is possible.

    >>> around([0.5, 1.0], ceiling=1.0)
    (0.46, 1.0)
    """
    kept = [value for value in values if math.isfinite(value)]
    if not kept:
        return 0.0, 1.0
    low, high = min(kept), max(kept)
    air = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    low, high = low - air, high + air
    return (max(low, floor) if floor is not None else low), (min(high, ceiling) if ceiling is not None else high)


def short(value: float | None) -> str:
    """Write a number in four figures.

    >>> short(0.123456), short(12345.6), short(None), short(3.0), short(0.00001234)
    ('0.1235', '12,346', '–', '3', '1.234e-05')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def percent(share: float) -> str:
    """Write a share so that a few are not none, and nearly all not all.

    >>> percent(0.3), percent(0.0041), percent(0.99996), percent(0.00003), percent(0.0)
    ('30 %', '0.4 %', '>99.9 %', '<0.1 %', '0 %')
    """
    if 0 < share < 0.001:
        return "<0.1 %"
    if 0.999 < share < 1:
        return ">99.9 %"
    return f"{share * 100:.3g} %" if 0.01 <= share <= 0.99 or share in (0, 1) else f"{share * 100:.1f} %"
