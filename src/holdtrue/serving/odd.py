"""Cells that are not plainly right are read by the code that reads files: all that serving needs polars for."""

from collections.abc import Sequence
from typing import Any

from holdtrue.data.breach import UNKNOWN, unmatched, unread
from holdtrue.data.contract import Field, whole
from holdtrue.serving.reader import Cell, Wrong

LONGEST_DIGITS = 4_000  # Python refuses to write out longer numbers


def read_odd(field: Field, values: Sequence[Any]) -> list[Cell]:
    """Give the typed value of each raw cell (None: missing), or say what is wrong with it.

    Numbers outside their range are given back as they are: their column is checked as a whole.

    >>> read_odd(Field(name="price", kind="number"), [" 1,234.5 ", "n/a", [1]])
    [1234.5, Wrong(what='are no number'), Wrong(what='are no number')]
    >>> read_odd(Field(name="seen", kind="category"), [3.0, True])
    ['3', 'true']
    """
    found: list[Cell] = [None] * len(values)
    rows_of: dict[type, list[int]] = {}
    plain = [_plain(field, value) for value in values]
    for row, value in enumerate(plain):
        rows_of.setdefault(type(value), []).append(row)
    for kind, rows in rows_of.items():
        if kind is Wrong or kind is type(None):
            read: Sequence[Cell] = [plain[row] for row in rows]
        else:
            read = _read(field, kind, [plain[row] for row in rows])
        for row, each in zip(rows, read, strict=True):
            found[row] = each
    return found


def _plain(field: Field, value: Any) -> str | bool | float | Wrong | None:
    """Give a cell as something that a column of a file could hold."""
    kind = type(value)
    if kind is int and not -(2**63) <= value < 2**63:
        # No column of whole numbers holds it: a number loses its last digits, a name may not.
        if field.numeric:
            return _rounded(value)
        return str(value) if abs(value) < 10**LONGEST_DIGITS else Wrong("are too long")
    if value is None or kind is str or kind is float or kind is int or (kind is bool and field.kind != "date"):
        return value
    return Wrong(unread(field) if field.numeric else "are no text")


def _rounded(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _read(field: Field, kind: type, values: Sequence[Any]) -> list[Cell]:
    import polars as pl

    from holdtrue.data.parse import typed, unreadable

    types = {str: pl.String(), bool: pl.Boolean(), float: pl.Float64(), int: pl.Int64()}
    dtype = types[kind]
    raw = pl.DataFrame([pl.Series(field.name, values, dtype=dtype)])
    both = raw.select(typed(field, dtype).alias("typed"), strange=unreadable(field, dtype))
    read, strange = both.get_column("typed"), both.get_column("strange").to_list()
    matched = [True] * len(values)
    if field.pattern is not None:
        matched = read.str.contains(whole(field.pattern)).fill_null(value=True).to_list()
    refused = frozenset(field.categories or ()) if field.unseen == "refuse" else None
    made: list[Cell] = []
    for value, unknown, fits in zip(read.to_list(), strange, matched, strict=True):
        if unknown and field.unreadable == "refuse":
            made.append(Wrong(unread(field)))
        elif value is not None and refused is not None and value not in refused:
            made.append(Wrong(UNKNOWN))
        else:
            made.append(value if fits else Wrong(unmatched(field)))
    return made
