"""The different values of one raw column, with how often each stands there: all that a guess about it needs."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Int64

from holdtrue.data.parse import is_text, written


@dataclass(frozen=True, kw_only=True, slots=True)
class Values:
    """What stands in a column, each value once, in order.

    Attributes:
        values: text without the blanks around it, or the typed values; nothing that is empty or NaN.
        counts: how often each stands there.
        rows: all rows, the empty ones too.
    """

    name: str
    values: pl.Series
    counts: Int64[np.ndarray, " values"]
    rows: int

    @property
    def present(self) -> int:
        return int(self.counts.sum())

    def share(self, these: pl.Series) -> float:
        """The share of rows with a value that hold one of these (a mask over `values`)."""
        return float(self.counts[mask(these)].sum()) / max(self.present, 1)

    def only(self, these: pl.Series) -> "Values":
        """Keep some of the values; the others count as empty."""
        return Values(name=self.name, values=self.values.filter(these), counts=self.counts[mask(these)], rows=self.rows)


def mask(these: pl.Series) -> Bool[np.ndarray, " values"]:
    return these.fill_null(value=False).to_numpy()


def values_of(table: pl.DataFrame | pl.LazyFrame, name: str) -> Values:
    """Count the values of one column in one pass that reads no other column."""
    lazy = table.lazy()
    dtype = lazy.select(name).collect_schema()[name]
    column = pl.col(name)
    if is_text(dtype):
        text = written(column, dtype).str.strip_chars()
        column = pl.when(text != "").then(text)
    elif dtype.is_float():
        column = column.fill_nan(None)
    counted = lazy.select(column.alias("value")).group_by("value").len("count").collect(engine="streaming")
    present = counted.drop_nulls("value").sort("value")
    return Values(
        name=name,
        values=present.get_column("value").alias(name),
        counts=present.get_column("count").cast(pl.Int64).to_numpy(),
        rows=int(counted.get_column("count").sum()),
    )
