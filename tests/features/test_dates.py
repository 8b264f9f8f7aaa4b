"""Parts of a date agree with Python's calendar, for every day it knows."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jaxtyping import Float64
from onnx import TensorProto

from holdtrue.features.dates import CYCLIC_PARTS, PARTS, emit_parts
from holdtrue.features.graph import NUMBER, Graph
from holdtrue.features.runtime import session

EPOCH = datetime(1970, 1, 1)


def parts_of(
    seconds: list[float], parts: tuple[str, ...] = PARTS, reference: float = 0.0
) -> Float64[np.ndarray, "_ _"]:
    graph = Graph()
    made = emit_parts(graph, graph.input("moment", NUMBER), [reference], parts)
    graph.output("parts", made, TensorProto.DOUBLE, [None, len(parts)])
    ready = session(graph.model().SerializeToString())
    return np.asarray(ready.run(["parts"], {"moment": np.array(seconds, dtype=np.float64).reshape(-1, 1)})[0])


def seconds_of(moment: datetime) -> float:
    return (moment - EPOCH) / timedelta(seconds=1)


@settings(deadline=None)
@given(st.lists(st.datetimes(), min_size=1, max_size=50))
@example(
    [datetime(year, month, day) for year in (1, 1600, 1900, 2000, 2024, 9999) for month, day in ((1, 1), (12, 31))]
)
@example([datetime(2024, 2, 29, 23, 59, 59), datetime(1900, 2, 28), datetime(1900, 3, 1), datetime(1969, 12, 31, 23)])
def test_parts_are_those_of_the_calendar(moments: list[datetime]) -> None:
    whole = [moment.replace(microsecond=0) for moment in moments]
    expected = [(moment.weekday(), moment.month, moment.day, moment.hour) for moment in whole]
    assert parts_of([seconds_of(moment) for moment in whole])[:, 1:].tolist() == [
        list(map(float, row)) for row in expected
    ]


def test_every_day_of_four_centuries_is_right() -> None:
    days = np.arange(-146_097 // 2, 146_097 // 2)
    made = parts_of((days * 86_400.0).tolist())
    moments = days.astype("datetime64[D]")
    months = moments.astype("datetime64[M]")
    assert (made[:, 2] == months.astype(int) % 12 + 1).all()
    assert (made[:, 3] == (moments - months.astype("datetime64[D]")).astype(int) + 1).all()
    assert (made[:, 1] == (days + 3) % 7).all()


def test_days_are_counted_from_the_reference_with_their_fraction() -> None:
    assert parts_of([86_400.0 * 10.25], reference=86_400.0 * 4)[0, 0] == 6.25


def test_a_missing_date_has_missing_parts() -> None:
    assert np.isnan(parts_of([float("nan")])).all()
    assert np.isnan(parts_of([float("nan")], CYCLIC_PARTS)).all()


@pytest.mark.parametrize("far", [1e13, float("inf"), -1e13, -float("inf")])
def test_dates_beyond_the_calendar_count_as_its_ends(far: float) -> None:
    end = datetime(9999, 12, 31, 23, 59, 59) if far > 0 else datetime(1, 1, 1)
    assert parts_of([far]).tolist() == parts_of([seconds_of(end)]).tolist()


def test_cycles_close() -> None:
    moments = [seconds_of(datetime(2023, month, 1)) for month in range(1, 13)]
    made = parts_of(moments, ("month sine", "month cosine"))
    steps = np.linalg.norm(made - np.roll(made, 1, axis=0), axis=1)
    np.testing.assert_allclose(steps, 2 * np.sin(np.pi / 12), rtol=1e-12)
