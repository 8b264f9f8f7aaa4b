"""The rows kept beside a model: a sample of the past to compare the future with, and golden rows to replay."""

import io
from collections.abc import Callable, Collection, Mapping

import numpy as np
import polars as pl

from holdtrue.core.errors import Misuse

REFERENCE_ROWS = 2_000
SAMPLED_ROWS = 48  # of the golden rows, besides the made ones; together never fewer than 32
INPUT = "input."
OUTPUT = "output."


def parquet(frame: pl.DataFrame) -> bytes:
    """Write a table so that the same rows always give the same bytes."""
    stream = io.BytesIO()
    frame.write_parquet(stream, compression="zstd", compression_level=3, statistics=True, row_group_size=1 << 16)
    return stream.getvalue()


def reference_rows(frame: pl.DataFrame, *, personal: Collection[str], seed: int) -> pl.DataFrame:
    """Sample typed training rows, in their order, for later questions about drift; personal columns are left out."""
    kept = frame.select(name for name in frame.columns if name not in set(personal))
    if kept.height <= REFERENCE_ROWS:
        return kept
    index = np.random.default_rng(seed).choice(kept.height, REFERENCE_ROWS, replace=False)
    return kept[np.sort(index)]


def golden_rows(
    frame: pl.DataFrame,
    *,
    personal: Collection[str],
    seed: int,
    predict: Callable[[pl.DataFrame], Mapping[str, np.ndarray]],
) -> pl.DataFrame:
    """Put typed rows and the graph's exact answers side by side, in columns `input.NAME` and `output.NAME.INDEX`.

    The rows are a sample of `frame`, then the least and the greatest value of every column, everything missing, and
    each column missing in turn (up to twelve). A personal column holds made-up values, none of which is in `frame`.
    """
    if frame.height == 0 or frame.width == 0:
        raise Misuse("Golden rows need at least one typed row and one column.")
    chance = np.random.default_rng(seed)
    index = np.sort(chance.choice(frame.height, SAMPLED_ROWS, replace=frame.height < SAMPLED_ROWS))
    columns = [
        _synthetic(series, SAMPLED_ROWS + 2, chance) if name in set(personal) else _sampled(series, index)
        for name, series in zip(frame.columns, frame.get_columns(), strict=True)
    ]
    made = pl.DataFrame([series.rename(name) for name, series in zip(frame.columns, columns, strict=True)])
    missing = [made.clear(n=1)]
    for name in frame.columns[:12]:
        missing.append(made.head(1).with_columns(pl.lit(None, dtype=made.schema[name]).alias(name)))
    rows = pl.concat([made, *missing])
    answers = {
        f"{OUTPUT}{name}.{place}": values[:, place]
        for name, array in predict(rows).items()
        for values in [np.asarray(array).reshape(rows.height, -1)]
        for place in range(values.shape[1])
    }
    outputs = [
        pl.Series(name, values.tolist(), dtype=pl.String) if values.dtype.kind in "OU" else pl.Series(name, values)
        for name, values in answers.items()
    ]
    return pl.DataFrame([*(series.rename(INPUT + series.name) for series in rows.get_columns()), *outputs])


def _sampled(series: pl.Series, index: "np.ndarray") -> pl.Series:
    """Take the sampled values, then the least and the greatest one."""
    ends = [series.min(), series.max()]
    return pl.concat([series.gather(index), pl.Series(series.name, ends, dtype=series.dtype)])


def _synthetic(series: pl.Series, rows: int, chance: np.random.Generator) -> pl.Series:
    """Make values that were never in the column: a person's golden row is nobody's."""
    real = set(series.drop_nulls().unique().to_list())
    drawn = chance.integers(0, 1_000_000, size=rows).tolist()
    made: list[str | float] = []
    for number in drawn:
        text = series.dtype == pl.String
        # Odd eighths: exact in binary, and never a whole number as real ones mostly are.
        value: str | float = f"made-up {number}" if text else (2 * number + 1) / 8
        while value in real:
            value = f"{value}'" if isinstance(value, str) else value + 0.25
        made.append(value)
    return pl.Series(series.name, made, dtype=pl.String if series.dtype == pl.String else pl.Float64)


def inputs_of(golden: pl.DataFrame) -> pl.DataFrame:
    """Give back the typed rows of a golden table."""
    return golden.select(
        pl.col(name).alias(name.removeprefix(INPUT)) for name in golden.columns if name.startswith(INPUT)
    )


def outputs_of(golden: pl.DataFrame, name: str, places: int) -> "np.ndarray":
    """Give back the stored answers of one output as (rows, places); raises when a column is not there."""
    columns = [golden.get_column(f"{OUTPUT}{name}.{place}") for place in range(places)]
    return np.stack(
        [
            np.array(column.to_list(), dtype=object) if column.dtype == pl.String else column.to_numpy()
            for column in columns
        ],
        axis=1,
    )
