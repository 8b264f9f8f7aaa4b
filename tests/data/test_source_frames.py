"""Tables in memory become the same few types as files."""

from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.core.errors import DataFault, Misuse
from holdtrue.data.source import frame_batches

UTC = timezone.utc  # noqa: UP017 (the alias reads better in a table)


def column(array: pa.Array) -> tuple[str, list[object]]:
    """Send one Arrow column through, and give its type and values."""
    found = pa.Table.from_batches(list(frame_batches(pa.table({"a": array}))))
    return str(found.schema.field("a").type), found.column("a").to_pylist()


@pytest.mark.parametrize(
    ("array", "kind", "values"),
    [
        (pa.array([1, None], pa.uint8()), "int64", [1, None]),
        (pa.array([2**63 - 1], pa.uint64()), "int64", [2**63 - 1]),
        (pa.array([np.float16(1.5)], pa.float16()), "double", [1.5]),
        (pa.array([0.1], pa.float32()), "double", [float(np.float32(0.1))]),
        (pa.array([True, None]), "bool", [True, None]),
        (pa.array(["x", None], pa.string_view()), "large_string", ["x", None]),
        (pa.array(["x", None, "x"]).dictionary_encode(), "large_string", ["x", None, "x"]),
        (pa.array([7, 8]).dictionary_encode(), "int64", [7, 8]),
        (pa.RunEndEncodedArray.from_arrays([2, 3], ["x", "y"]), "large_string", ["x", "x", "y"]),
        (pa.nulls(2), "large_string", [None, None]),
        (pa.array([date(2020, 2, 29)], pa.date64()), "date32[day]", [date(2020, 2, 29)]),
        (pa.array([1], pa.timestamp("s")), "timestamp[us]", [datetime(1970, 1, 1, 0, 0, 1)]),
        (pa.array([1999], pa.timestamp("ns")), "timestamp[us]", [datetime(1970, 1, 1, 0, 0, 0, 1)]),
        (
            pa.array([datetime(2020, 1, 1, tzinfo=UTC)], pa.timestamp("ms", "America/New_York")),
            "timestamp[us, tz=UTC]",
            [datetime(2020, 1, 1, tzinfo=UTC)],
        ),
        (pa.array([timedelta(minutes=1, microseconds=5)]), "double", [60.000005]),
        (pa.array([time(12, 30)]), "large_string", ["12:30:00.000000"]),
        (pa.array([Decimal("1.15"), None], pa.decimal128(15, 2)), "double", [1.15, None]),
        (pa.array([Decimal("1.15")], pa.decimal128(16, 2)), "large_string", ["1.15"]),
        (
            pa.array([UUID(int=5).bytes, None], pa.uuid()),
            "large_string",
            ["00000000-0000-0000-0000-000000000005", None],
        ),
        (pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0], pa.int8())), "bool", [True, False]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_every_arrow_type_becomes_one_of_the_few(array: pa.Array, kind: str, values: list[object]) -> None:
    assert column(array) == (kind, values)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=7, min_value=-9999999, max_value=9999999))
def test_a_short_decimal_becomes_the_nearest_float(value: Decimal) -> None:
    assert column(pa.array([value], pa.decimal128(15, 7)))[1] == [float(value)]


def rows_of(frame: object) -> list[dict[str, object]]:
    return [row for batch in frame_batches(frame) for row in batch.to_pylist()]


def test_polars_pandas_and_arrow_give_the_same_rows() -> None:
    rows: list[dict[str, object]] = [{"a": 1, "b": "x", "c": 0.5, "d": True}, {"a": 2, "b": None, "c": None, "d": None}]
    lazy = pl.LazyFrame(rows)
    assert rows_of(pl.DataFrame(rows)) == rows
    assert rows_of(lazy) == rows
    assert rows_of(pa.Table.from_pylist(rows)) == rows
    assert rows_of(pa.RecordBatch.from_pylist(rows)) == rows
    assert rows_of(pd.DataFrame(rows)) == rows


def test_a_lazy_frame_keeps_its_order() -> None:
    frame = pl.LazyFrame({"a": range(200_000)}).with_columns(b=pl.col("a") * 2)
    found = pl.concat([pl.DataFrame(batch) for batch in frame_batches(frame)])
    assert found["a"].to_list() == list(range(200_000))
    assert found["b"].to_list() == list(range(0, 400_000, 2))


def test_polars_types_are_known() -> None:
    frame = pl.DataFrame({"a": ["x", None]}).with_columns(
        category=pl.col("a").cast(pl.Categorical),
        choice=pl.col("a").cast(pl.Enum(["x"])),
        nothing=pl.lit(None),
        clock=pl.lit(time(1, 2)),
        price=pl.lit("1.5").cast(pl.Decimal(10, 2)),
    )
    first = rows_of(frame)[0]
    assert first == {"a": "x", "category": "x", "choice": "x", "nothing": None, "clock": first["clock"], "price": 1.5}
    assert str(first["clock"]).startswith("01:02:00")


def test_columns_that_cannot_be_kept_are_named() -> None:
    with pytest.raises(DataFault, match="column 'o' holds Object"):
        rows_of(pl.DataFrame({"o": [object()]}))
    with pytest.raises(DataFault, match="column 'l' holds"):
        rows_of(pl.DataFrame({"l": [[1]]}))
    with pytest.raises(DataFault, match="column 'm' mixes types"):
        rows_of(pd.DataFrame({"m": [1, "x"], "n": [1, 2]}))
    with pytest.raises(DataFault, match="used by columns 1, 2"):
        rows_of(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_the_index_of_pandas_is_no_column_and_its_nan_is_missing() -> None:
    frame = pd.DataFrame({"a": [1.0, np.nan], 2: ["x", None]}, index=["r", "s"])
    assert rows_of(frame) == [{"a": 1.0, "2": "x"}, {"a": None, "2": None}]


def test_a_frame_without_rows_gives_none_and_its_columns_are_checked_all_the_same() -> None:
    for frame in (pl.DataFrame({"a": []}), pl.LazyFrame({"a": []}), pd.DataFrame({"a": []}), pa.table({"a": []})):
        assert rows_of(frame) == []
    with pytest.raises(DataFault, match="column 'l' holds"):
        rows_of(pl.LazyFrame(schema={"l": pl.List(pl.Int64)}))


def test_what_is_no_table_is_misuse() -> None:
    with pytest.raises(Misuse, match="the builtins list"):
        frame_batches([1, 2])
