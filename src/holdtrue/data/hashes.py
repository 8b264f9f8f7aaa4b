"""What a row is called: 64 bits from its content, the same on every machine, in any order, in any version.

Polars and Python have faster hashes; both may change with a version, and a split must not.
"""

import hashlib

import numpy as np
import polars as pl
from jaxtyping import Float64, UInt64

from holdtrue.data.codes import codes_of

MISSING = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def mixed(bits: UInt64[np.ndarray, " rows"]) -> UInt64[np.ndarray, " rows"]:
    """Spread every bit over all (the finaliser of SplitMix64; Steele, Lea, Flood 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * SECOND
    return bits ^ (bits >> np.uint64(31))


def column_hashes(column: pl.Series) -> UInt64[np.ndarray, " rows"]:
    """Hash the values of one typed column; all that is missing is equal, and 0 equals -0."""
    if column.dtype == pl.String:
        codes, distinct = codes_of(column)
        words = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in distinct]
        table = np.frombuffer(b"".join(words), dtype="<u8").astype(np.uint64)
        table = np.concatenate([table, [MISSING]])
        return table[codes]
    numbers = column.cast(pl.Float64).fill_null(float("nan")).to_numpy() + 0.0
    bits = mixed(np.ascontiguousarray(numbers).view(np.uint64) + MISSING)
    return np.where(np.isnan(numbers), MISSING, bits)


def row_hashes(frame: pl.DataFrame) -> UInt64[np.ndarray, " rows"]:
    """Hash whole rows of typed columns; the order of the columns counts, their names do not."""
    total = np.zeros(frame.height, dtype=np.uint64)
    for column in frame.iter_columns():
        total = mixed(total * np.uint64(31) + column_hashes(column))
    return total


def dealt(hashes: UInt64[np.ndarray, " rows"], seed: int) -> UInt64[np.ndarray, " rows"]:
    """Give each hash its place in an order that looks drawn at random, anew for each seed."""
    salt = mixed(np.array([seed], dtype=np.uint64) + MISSING)
    return mixed(hashes ^ salt)


def shares(places: UInt64[np.ndarray, " rows"]) -> Float64[np.ndarray, " rows"]:
    """Turn places into numbers in [0, 1)."""
    return (places >> np.uint64(11)).astype(np.float64) * 2.0**-53
