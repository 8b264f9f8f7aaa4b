"""Rows on which a graph is most likely to go wrong: on the edges of trees, of types and of the calendar."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

import numpy as np
import onnx
import polars as pl
from jaxtyping import Float64
from onnx import numpy_helper

from holdtrue.features.dates import DAY_SECONDS
from holdtrue.features.encoder import Encoder

MOST_REAL, MOST_RANDOM = 20_000, 2_000
MOST_EDGES = 40  # of one column
MOST_CATEGORIES = 60
TEXT_KINDS = ("category", "text")

# Zero counts as missing in some libraries, 1e-35 is LightGBM's zero; 2^24 + 1 is the first whole number that float32
# cannot hold, and the last four are too large for it.
NUMBERS = (0.0, -0.0, 1e-35, -1e-35, 5e-324, 1e-40, 16_777_217.0, -1e30, 3.5e38, -1e300, float("inf"), -float("inf"))
DATES = tuple(
    datetime(*parts, tzinfo=UTC).timestamp()
    for parts in (
        *((1969, 12, 31, 23, 59, 59), (1970, 1, 1), (1970, 1, 1, 0, 0, 1), (2000, 2, 29), (1900, 2, 28, 23, 59, 59)),
        *((1900, 3, 1), (2023, 12, 31, 23, 59, 59), (2024, 1, 1), (2024, 2, 29, 12), (2024, 3, 1), (2024, 12, 31)),
        *((2025, 2, 28), (2100, 2, 28), (2100, 3, 1), (1, 1, 1), (9999, 12, 31, 23, 59, 59)),
    )
)
FAR_DATES = (-1e13, 1e13, float("inf"), -0.5)
NAMES = ("", "a name never seen", " ", "\u00e9\u4e2d\U0001f600", "x" * 300)


def proving_rows(
    train: pl.DataFrame,
    real: pl.DataFrame,
    kinds: Mapping[str, str],
    edges: Mapping[str, Sequence[float]],
    seed: int,
) -> dict[str, pl.DataFrame]:
    """Choose the rows of a proof: real ones, rows on the edges, and rows drawn column by column.

    `real` are rows not learnt from, thinned by seed when there are more than 20,000. `edges` are values of numeric
    columns where the model changes its mind, such as `edges_of` finds.
    """
    train, real = train.select(list(kinds)), real.select(list(kinds))
    return {
        "real": real if real.height <= MOST_REAL else real.sample(MOST_REAL, seed=seed),
        "boundary": boundary_rows(train, kinds, edges, seed),
        "random": random_rows(train, MOST_RANDOM, seed),
    }


def boundary_rows(
    train: pl.DataFrame, kinds: Mapping[str, str], edges: Mapping[str, Sequence[float]], seed: int
) -> pl.DataFrame:
    """Make real rows with one cell put on an edge, and rows where every cell is on one."""
    values = {
        column: _edge_values(train.get_column(column), kind, edges.get(column, ()), seed)
        for column, kind in kinds.items()
    }
    parts: list[pl.DataFrame] = []
    for number, (column, wanted) in enumerate(values.items()):
        base = train.sample(len(wanted), seed=seed + number, with_replacement=True)
        parts.append(base.with_columns(wanted.alias(column)))
    every = max((len(wanted) for wanted in values.values()), default=0)
    cycled = [wanted.gather(np.arange(every) % len(wanted)).alias(column) for column, wanted in values.items()]
    missing = pl.DataFrame({column: [None] for column in kinds}, schema=train.schema)
    return pl.concat([*parts, pl.DataFrame(cycled), missing])


def random_rows(train: pl.DataFrame, rows: int, seed: int) -> pl.DataFrame:
    """Draw each column by itself from the training rows: combinations that no real row has."""
    chance = np.random.default_rng(seed)
    return pl.DataFrame(
        [train.get_column(column).gather(chance.integers(0, train.height, rows)) for column in train.columns]
    )


def edges_of(model: bytes, encoder: Encoder) -> dict[str, list[float]]:
    """Read from a graph's trees where each numeric column is split, in the column's own unit."""
    found: dict[str, list[float]] = {}
    references = dict(zip(encoder.dates, encoder.references, strict=True))
    for node in onnx.load_from_string(model).graph.node:
        if node.op_type != "TreeEnsembleRegressor" or encoder.scaling is not None:
            continue
        given = {attribute.name: attribute for attribute in node.attribute}
        thresholds = numpy_helper.to_array(given["nodes_values_as_tensor"].t)
        inner = np.array(given["nodes_modes"].strings) != b"LEAF"
        features = np.array(given["nodes_featureids"].ints)
        for place, (name, column) in enumerate(zip(encoder.names, encoder.origin, strict=True)):
            cuts = np.unique(thresholds[inner & (features == place)])
            if name == column and column in encoder.numbers:
                found[column] = cuts.tolist()
            elif name == f"{column} (days)":
                found[column] = (cuts * DAY_SECONDS + references[column]).tolist()
    return found


def _edge_values(column: pl.Series, kind: str, edges: Sequence[float], seed: int) -> pl.Series:
    if kind in TEXT_KINDS:
        known = column.drop_nulls().unique().sort().to_list()
        known = (
            known if len(known) <= MOST_CATEGORIES else column.drop_nulls().sample(MOST_CATEGORIES, seed=seed).to_list()
        )
        changed = [name for value in known[:2] for name in (value.upper(), f"{value} ")]
        return pl.Series(column.name, [*known, *changed, *NAMES, None], dtype=pl.String)
    seen = column.drop_nulls().drop_nans()
    ends = [] if seen.is_empty() else [cast("float", seen.min()), cast("float", seen.max())]
    fixed = DATES + FAR_DATES if kind == "date" else NUMBERS
    chosen = np.random.default_rng(seed).permutation(np.array(edges, dtype=np.float64))[:MOST_EDGES]
    around = _around(np.array([*ends, *chosen], dtype=np.float64))
    return pl.Series(column.name, [*around.tolist(), *fixed, None], dtype=pl.Float64)


def _around(values: Float64[np.ndarray, " values"]) -> Float64[np.ndarray, " more"]:
    """Give each value, its neighbours in float64, and the float32 at it, below it and above it."""
    with np.errstate(over="ignore"):
        near = values.astype(np.float32)
        steps = [values, np.nextafter(values, -np.inf), np.nextafter(values, np.inf), near]
        steps += [np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf))]
    return np.concatenate([step.astype(np.float64) for step in steps])
