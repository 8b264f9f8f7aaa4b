"""Names become numbers inside the graph: one code a category for trees, one column a category for the rest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from onnx import TensorProto

from holdtrue.features.graph import Graph

MOST_CODES, FEWEST_ROWS_CODE = 1000, 2
MOST_COLUMNS, FEWEST_ROWS_COLUMN = 50, 5
ML = "ai.onnx.ml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Category:
    """What was learnt of a column of names.

    Attributes:
        values: the categories that are told apart, the most frequent first (ties by name).
        other: whether training rows had further, rarer ones.
        missing: whether training rows had none.
    """

    column: str
    values: tuple[str, ...]
    other: bool
    missing: bool

    @property
    def states(self) -> int:
        return len(self.values) + self.other + self.missing


def fit_category(series: pl.Series, *, most: int, fewest_rows: int) -> Category:
    """Count the names of a column; null and the empty string are missing.

    >>> fit_category(pl.Series("port", ["b", "a", "b", "a", "c", None]), most=1000, fewest_rows=2)
    Category(column='port', values=('a', 'b'), other=True, missing=True)
    """
    counts = series.replace("", None).value_counts(name="rows").drop_nulls()
    # Sorted here, not in the engine: Python orders strings by code point on every machine.
    seen = sorted(zip(counts.get_column(series.name).to_list(), counts.get_column("rows").to_list(), strict=True))
    seen.sort(key=lambda pair: -pair[1])
    values = tuple(name for name, rows in seen[:most] if rows >= fewest_rows)
    known = sum(rows for _, rows in seen)
    return Category(column=series.name, values=values, other=len(values) < len(seen), missing=known < len(series))


def emit_codes(graph: Graph, categories: Sequence[Category], inputs: Sequence[str]) -> str:
    """Write one float32 column a category: its rank by frequency, the next number for all others, NaN for missing."""
    codes = [
        graph.node(
            "LabelEncoder",
            name,
            domain=ML,
            keys_strings=["", *category.values],
            values_floats=[float("nan"), *(float(code) for code in range(len(category.values)))],
            default_float=float(len(category.values)),
        )
        for category, name in zip(categories, inputs, strict=True)
    ]
    return graph.node("Concat", *codes, axis=1)


def emit_columns(graph: Graph, categories: Sequence[Category], inputs: Sequence[str]) -> str:
    """Write one float32 column of zeros and ones for each state that training rows had.

    A name never seen counts as other. A state that training rows never had is all zeros.
    """
    codes: list[str] = []
    owner: list[int] = []
    first = 0
    for place, (category, name) in enumerate(zip(categories, inputs, strict=True)):
        known = len(category.values)
        other = first + known if category.other else -1
        missing = first + known + category.other if category.missing else -1
        codes.append(
            graph.node(
                "LabelEncoder",
                name,
                domain=ML,
                keys_strings=["", *category.values],
                values_int64s=[missing, *range(first, first + known)],
                default_int64=other,
            )
        )
        owner += [place] * category.states
        first += category.states
    spread = graph.take(graph.node("Concat", *codes, axis=1), owner)
    here = graph.node("Equal", spread, graph.constant(np.arange(first, dtype=np.int64)))
    return graph.cast(here, TensorProto.FLOAT)
