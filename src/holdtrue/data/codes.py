"""Numbers for the different values of a column, in the order of the values."""

import numpy as np
import polars as pl
from jaxtyping import Int64


def codes_of(column: pl.Series) -> tuple[Int64[np.ndarray, " rows"], pl.Series]:
    """Give each row the number of its value (-1 where it is missing), and the values themselves.

    >>> codes_of(pl.Series(["b", None, "a", "b"]))[0].tolist()
    [1, -1, 0, 1]
    """
    distinct = column.drop_nulls().unique().sort()
    if not len(distinct):
        return np.full(len(column), -1, dtype=np.int64), distinct
    # A ranking of text sorts every row; a look-up does not.
    numbers = pl.Series(np.arange(len(distinct)))
    codes = column.replace_strict(distinct, numbers, default=-1, return_dtype=pl.Int64)
    return codes.fill_null(-1).to_numpy(), distinct
