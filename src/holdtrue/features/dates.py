"""Parts of a date (elapsed days, weekday, month, day, hour), computed inside the graph from seconds since 1970 UTC."""

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import TensorProto

from holdtrue.features.graph import Graph

DAY_SECONDS = 86_400.0
FIRST, LAST = -62_135_596_800.0, 253_402_300_799.0  # the years 1 to 9999, what Python and SQL know as dates
CYCLES = {"weekday": 7.0, "month": 12.0, "hour": 24.0}

PARTS = ("days", "weekday", "month", "day", "hour")
"""Elapsed days since the reference (with their fraction), Monday = 0, January = 1, first of the month = 1, 0 to 23."""

CYCLIC_PARTS = (
    "days",
    "weekday sine",
    "weekday cosine",
    "month sine",
    "month cosine",
    "day",
    "hour sine",
    "hour cosine",
)
"""The same where a distance or a weight is taken: December lies beside January, Sunday beside Monday."""


def emit_parts(graph: Graph, seconds: str, reference: Sequence[float], parts: Sequence[str]) -> str:
    """Turn seconds since 1970, a float64 tensor (rows, dates), into (rows, parts x dates), part by part.

    All is done in float64, where whole numbers up to 2^53 and the floor of their quotients are exact, and where a
    missing date stays NaN. `reference` is one moment a date, from which its elapsed days are counted.
    """
    arithmetic = _Arithmetic(graph)
    seconds = arithmetic.clip(seconds, FIRST, LAST)
    made: dict[str, str] = {"days": arithmetic.divide(arithmetic.minus(seconds, np.array(reference)), DAY_SECONDS)}
    day = arithmetic.floor_divide(seconds, DAY_SECONDS)
    # 1 January 1970 was a Thursday.
    made["weekday"] = arithmetic.modulo(arithmetic.plus(day, 3.0), 7.0)
    made |= _civil(arithmetic, day)
    made["hour"] = arithmetic.floor_divide(arithmetic.minus(seconds, arithmetic.times(day, DAY_SECONDS)), 3600.0)
    for part in parts:
        if part not in made:
            made[part] = _cyclic(arithmetic, made, part)
    return graph.node("Concat", *[made[part] for part in parts], axis=1)


def _cyclic(arithmetic: "_Arithmetic", made: Mapping[str, str], part: str) -> str:
    """Look the sine or cosine up in a table.

    The runtime's own sine has other last bits for a row alone than for the same row in a batch. In a column where all
    rows have one date that noise would be all there is to scale.
    """
    base, function = part.split(" ")
    graph = arithmetic.graph
    angles = np.arange(CYCLES[base] + 1.0) * (2.0 * np.pi / CYCLES[base])
    table = graph.constant(np.sin(angles) if function == "sine" else np.cos(angles))
    gap = graph.node("IsNaN", made[base])
    place = graph.cast(graph.node("Where", gap, graph.constant(np.float64(0.0)), made[base]), TensorProto.INT64)
    return graph.node("Where", gap, made[base], graph.node("Gather", table, place, axis=0))


def _civil(arithmetic: "_Arithmetic", day: str) -> dict[str, str]:
    """Month and day of the month of a count of days since 1970.

    Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days: years are counted from March,
    so that the leap day comes last, in eras of 400 years (146,097 days).
    """
    shifted = arithmetic.plus(day, 719_468.0)
    day_of_era = arithmetic.modulo(shifted, 146_097.0)
    leaps = arithmetic.minus(day_of_era, arithmetic.floor_divide(day_of_era, 1_460.0))
    leaps = arithmetic.plus(leaps, arithmetic.floor_divide(day_of_era, 36_524.0))
    leaps = arithmetic.minus(leaps, arithmetic.floor_divide(day_of_era, 146_096.0))
    year_of_era = arithmetic.floor_divide(leaps, 365.0)
    before = arithmetic.plus(
        arithmetic.minus(arithmetic.times(year_of_era, 365.0), arithmetic.floor_divide(year_of_era, 100.0)),
        arithmetic.floor_divide(year_of_era, 4.0),
    )
    day_of_year = arithmetic.minus(day_of_era, before)
    from_march = arithmetic.floor_divide(arithmetic.plus(arithmetic.times(day_of_year, 5.0), 2.0), 153.0)
    month_start = arithmetic.floor_divide(arithmetic.plus(arithmetic.times(from_march, 153.0), 2.0), 5.0)
    return {
        # March = 0 becomes 3, January = 10 becomes 1.
        "month": arithmetic.plus(arithmetic.modulo(arithmetic.plus(from_march, 2.0), 12.0), 1.0),
        "day": arithmetic.plus(arithmetic.minus(day_of_year, month_start), 1.0),
    }


class _Arithmetic:
    """Writes float64 arithmetic as operators; a right side is a tensor's name, a number or an array."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def _named(self, value: "str | float | np.ndarray") -> str:
        return value if isinstance(value, str) else self.graph.constant(np.asarray(value, dtype=np.float64))

    def plus(self, left: str, right: "str | float | np.ndarray") -> str:
        return self.graph.node("Add", left, self._named(right))

    def minus(self, left: str, right: "str | float | np.ndarray") -> str:
        return self.graph.node("Sub", left, self._named(right))

    def times(self, left: str, right: "str | float | np.ndarray") -> str:
        return self.graph.node("Mul", left, self._named(right))

    def divide(self, left: str, right: "str | float | np.ndarray") -> str:
        return self.graph.node("Div", left, self._named(right))

    def floor_divide(self, left: str, right: float) -> str:
        return self.graph.node("Floor", self.divide(left, right))

    def modulo(self, left: str, right: float) -> str:
        return self.minus(left, self.times(self.floor_divide(left, right), right))

    def clip(self, left: str, low: float, high: float) -> str:
        return self.graph.node("Clip", left, self._named(low), self._named(high))
