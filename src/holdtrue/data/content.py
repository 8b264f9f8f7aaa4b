"""What rows say, as a digest: the same for the same values, however a file holds them."""

# pyarrow ships no types: what stands in a signature is unknown to the checker.
# pyright: reportUnknownParameterType=false

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from holdtrue.core.digest import digest_of
from holdtrue.data.readers.columns import Column


def canonical(array: pa.Array) -> pa.Array:
    """Keep one zero and one NaN: others compare equal, or never, and would give the same rows two digests."""
    values = array.fill_null(0.0).to_numpy(zero_copy_only=False) + 0.0  # -0.0 + 0.0 is 0.0
    values[np.isnan(values)] = np.nan
    return pa.array(values, mask=np.asarray(array.is_null()))


def content_of(table: pa.Table, columns: Sequence[Column]) -> str:
    """Name what the rows of a part say, not how a file says it."""
    return digest_of(
        {
            "rows": table.num_rows,
            "columns": [
                {"name": column.name, "type": column.type, "values": values_of(table.column(column.name), column.type)}
                for column in columns
            ],
        }
    )


def values_of(column: Any, kind: str) -> str:
    """Hash a column: which rows have a value, then the values; text as all lengths in bytes, then all bytes."""
    array = column.combine_chunks()
    array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
    hasher = hashlib.sha256()
    hasher.update(np.packbits(np.asarray(array.is_valid()), bitorder="little").tobytes())
    if kind == "String":
        for buffer in text_buffers(array):
            hasher.update(buffer)
        return hasher.hexdigest()
    if kind == "Boolean":
        hasher.update(np.packbits(np.asarray(array.fill_null(False)), bitorder="little").tobytes())
        return hasher.hexdigest()
    plain = array if kind in {"Int64", "Float64"} else array.cast(pa.int32() if kind == "Date" else pa.int64())
    values = plain.fill_null(0).to_numpy(zero_copy_only=False)
    hasher.update(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
    return hasher.hexdigest()


def text_buffers(array: pa.Array) -> tuple[Any, Any]:
    """Give the lengths and the bytes of text; under a missing value there are none."""
    filled = array.cast(pa.large_string()).fill_null("")
    _, offsets, data = filled.buffers()
    ends = np.frombuffer(offsets, dtype="<i8")[filled.offset : filled.offset + len(filled) + 1]
    held = memoryview(data)[int(ends[0]) : int(ends[-1])] if data is not None else b""
    return np.diff(ends).tobytes(), held
