"""Tables that are already in memory: Polars, pandas and pyarrow."""

# pyarrow ships no types: what stands in a signature is unknown to the checker.
# pyright: reportUnknownParameterType=false

import sys
from collections.abc import Iterator
from typing import Any

import polars as pl
import pyarrow as pa

from holdtrue.core.errors import Misuse
from holdtrue.data.readers.columns import columns_of, conform, name_faults
from holdtrue.data.readers.faults import Faults

BATCH_ROWS = 65_536


def frame_batches(frame: object) -> Iterator[pa.RecordBatch]:
    """Give the rows of a Polars DataFrame or LazyFrame, a pandas DataFrame or a pyarrow Table, in their order.

    A lazy frame is computed chunk by chunk. The index of a pandas frame is not a column; NaN is missing there.

    >>> [batch.num_rows for batch in frame_batches(pl.DataFrame({"a": [1, 2]}))]
    [2]
    """
    where = f"the {type(frame).__module__.split('.')[0]} {type(frame).__name__}"
    schema, raw = arrow_batches(frame, where)
    return conform(raw, columns_of(schema, where=where), where=where)


def arrow_batches(frame: Any, where: str) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    if isinstance(frame, pl.LazyFrame):
        chunks = frame.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)
        return polars_schema(frame.limit(0).collect(), where), (batch for part in chunks for batch in slices(part))
    if isinstance(frame, pl.DataFrame):
        return polars_schema(frame.limit(0), where), slices(frame)
    pandas = sys.modules.get("pandas")  # a pandas frame cannot exist before pandas was imported
    if pandas is not None and isinstance(frame, pandas.DataFrame):
        return arrow_batches(from_pandas(frame, where), where)
    if isinstance(frame, pa.RecordBatch):
        return frame.schema, iter([frame])
    if isinstance(frame, pa.Table):
        return frame.schema, iter(frame.to_batches(max_chunksize=BATCH_ROWS))
    raise Misuse(f"Rows cannot be read from {where}; give a Polars, pandas or pyarrow table.")


def polars_schema(frame: pl.DataFrame, where: str) -> pa.Schema:
    """Give the Arrow schema of a frame; types that Arrow does not know are refused by column."""
    faults = Faults(where=where)
    for name, kind in frame.schema.items():
        if isinstance(kind, (pl.Object, pl.Int128, pl.UInt128)):
            faults.add(f"column {name!r} holds {kind}, which cannot be kept")
    faults.check(do="Cast such columns to text or numbers.")
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest()).schema


def slices(frame: pl.DataFrame) -> Iterator[pa.RecordBatch]:
    for part in frame.iter_slices(BATCH_ROWS):
        yield from part.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks().to_batches()


def from_pandas(frame: Any, where: str) -> pa.Table:
    """Convert the columns one by one, so that all that cannot be are named."""
    names = [str(name) for name in frame.columns]
    faults = Faults(where=where)
    for text in name_faults(names):
        faults.add(text)
    faults.check(do="Give every column one name.")
    arrays: list[pa.Array] = []
    for place, name in enumerate(names):
        try:
            arrays.append(pa.Array.from_pandas(frame.iloc[:, place]))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            faults.add(f"column {name!r} mixes types: {str(error).splitlines()[0]}")
    faults.check(do="Turn such columns into one type, for instance with `.astype(str)`.")
    return pa.table(arrays, names=names)
