"""Typed columns become one float32 matrix, by ONNX operators alone: training runs the very graph that serves."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, cast

import numpy as np
import polars as pl
from jaxtyping import Float32, Float64
from onnx import TensorProto

from holdtrue.core.digest import Json
from holdtrue.core.errors import DataFault
from holdtrue.features.categories import (
    FEWEST_ROWS_CODE,
    FEWEST_ROWS_COLUMN,
    MOST_CODES,
    MOST_COLUMNS,
    Category,
    emit_codes,
    emit_columns,
    fit_category,
)
from holdtrue.features.dates import CYCLIC_PARTS, DAY_SECONDS, FIRST, LAST, PARTS, emit_parts
from holdtrue.features.graph import NUMBER, TEXT, Graph
from holdtrue.features.runtime import session
from holdtrue.features.scaling import Scaling, emit_scaled, fit_scaling
from holdtrue.features.session import run

Flavour = Literal["tree", "linear"]
KINDS = ("number", "date", "category", "text")
FLOAT32_MOST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoder:
    """How columns become features, learnt from training rows.

    "tree": numbers as they are, dates as parts, categories as codes by frequency; missing stays NaN.
    "linear": numbers filled, straightened, scaled, with a column that says they were missing; dates as parts that go
    round; categories one column each.

    Attributes:
        numbers, dates: the columns used, in the table's order.
        references: the moment from which each date counts its days.
        wide: which of the raw numbers (the numbers, then each part of each date) are used.
        scaling: of the raw numbers used; None for "tree".
    """

    flavour: Flavour
    numbers: tuple[str, ...]
    dates: tuple[str, ...]
    references: tuple[float, ...]
    wide: tuple[int, ...]
    scaling: Scaling | None
    categories: tuple[Category, ...]

    @property
    def columns(self) -> dict[str, int]:
        """The columns the graph takes, each with the type of its tensor."""
        numeric: dict[str, int] = dict.fromkeys((*self.numbers, *self.dates), NUMBER)
        return numeric | {category.column: TEXT for category in self.categories}

    @property
    def names(self) -> tuple[str, ...]:
        """What each feature is called, such as `age`, `arrival (month)` or `country = PRT`."""
        return tuple(name for name, _ in self._features())

    @property
    def origin(self) -> tuple[str, ...]:
        """The column each feature comes from."""
        return tuple(column for _, column in self._features())

    def emit(self, graph: Graph, inputs: Mapping[str, str]) -> str:
        """Write the encoding of `inputs` (the tensor of each column); gives a float32 tensor (rows, features)."""
        parts: list[str] = []
        if self.wide:
            wide = self.emit_wide(graph, inputs)
            scaled = emit_scaled(graph, wide, self.scaling) if self.scaling else [graph.cast(wide, TensorProto.FLOAT)]
            parts += scaled
        if self.categories:
            names = [inputs[category.column] for category in self.categories]
            write = emit_columns if self.scaling else emit_codes
            parts.append(write(graph, self.categories, names))
        return graph.node("Concat", *parts, axis=1)

    def to_dict(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Encoder":
        """Read what `to_dict` wrote, also after a journey through JSON."""
        made = {key: _tupled(entry) for key, entry in value.items()}
        if made["scaling"] is not None:
            made["scaling"] = Scaling(**{key: _tupled(entry) for key, entry in made["scaling"].items()})
        made["categories"] = tuple(
            Category(**{key: _tupled(entry) for key, entry in category.items()}) for category in made["categories"]
        )
        return cls(**made)

    def raw(self) -> list[tuple[str, str]]:
        """Name every raw number and its column, before any is left out."""
        parts = PARTS if self.flavour == "tree" else CYCLIC_PARTS
        numbers = [(column, column) for column in self.numbers]
        return numbers + [(f"{column} ({part})", column) for part in parts for column in self.dates]

    def emit_wide(self, graph: Graph, inputs: Mapping[str, str]) -> str:
        """Write the raw numbers that are used: a float64 tensor, finite or NaN."""
        blocks: list[str] = []
        if self.numbers:
            beside = graph.node("Concat", *[inputs[column] for column in self.numbers], axis=1)
            # Without the clip a large number would become infinite in float32.
            ends = [graph.constant(np.float64(end)) for end in (-FLOAT32_MOST, FLOAT32_MOST)]
            blocks.append(graph.node("Clip", beside, *ends))
        if self.dates:
            seconds = graph.node("Concat", *[inputs[column] for column in self.dates], axis=1)
            parts = PARTS if self.flavour == "tree" else CYCLIC_PARTS
            blocks.append(emit_parts(graph, seconds, self.references, parts))
        wide = graph.node("Concat", *blocks, axis=1)
        return wide if self.wide == tuple(range(len(self.raw()))) else graph.take(wide, self.wide)

    def _features(self) -> list[tuple[str, str]]:
        raw = self.raw()
        used = [raw[place] for place in self.wide]
        if self.scaling is None:
            return used + [(category.column, category.column) for category in self.categories]
        features = [used[place] for place in self.scaling.values]
        features += [(f"{used[place][1]} is missing", used[place][1]) for place in self.scaling.indicators]
        for category in self.categories:
            states = [f"= {value}" for value in category.values]
            states += ["is other"] * category.other + ["is missing"] * category.missing
            features += [(f"{category.column} {state}", category.column) for state in states]
        return features


def fit(frame: pl.DataFrame, kinds: Mapping[str, str], flavour: Flavour) -> Encoder:
    """Learn an encoding from training rows.

    `kinds` says what each column to use is: `number`, `date`, `category` or `text`. Text is encoded as a category
    with many values: a name that recurs is told apart, one that does not is "other". Columns that never change are
    left out; raises `DataFault` when none is left.
    """
    unknown = {column: kind for column, kind in kinds.items() if kind not in KINDS}
    if unknown:
        raise ValueError(f"kinds are {', '.join(KINDS)}, got {unknown}.")
    dates = tuple(column for column, kind in kinds.items() if kind == "date")
    made = Encoder(
        flavour=flavour,
        numbers=tuple(column for column, kind in kinds.items() if kind == "number"),
        dates=dates,
        references=tuple(_reference(frame.get_column(column)) for column in dates),
        wide=(),
        scaling=None if flavour == "tree" else fit_scaling(np.empty((frame.height, 0)), bendable=0),
        categories=_fit_categories(frame, kinds, flavour),
    )
    if made.numbers or made.dates:
        made = _fit_wide(made, frame)
    if not made.names:
        which = "The only column does not change" if len(kinds) == 1 else f"None of the {len(kinds)} columns changes"
        raise DataFault(
            f"{which} over the {frame.height} training rows.",
            do="Give at least one column whose values differ.",
        )
    return made


def transform(encoder: Encoder, frame: pl.DataFrame) -> Float32[np.ndarray, "rows features"]:
    """Encode rows by running the graph that `emit` writes."""
    graph = Graph()
    inputs = {column: graph.input(column, kind) for column, kind in encoder.columns.items()}
    graph.output("features", encoder.emit(graph, inputs), TensorProto.FLOAT, [None, len(encoder.names)])
    return run(session(graph.model().SerializeToString()), frame)["features"]


def _fit_categories(frame: pl.DataFrame, kinds: Mapping[str, str], flavour: Flavour) -> tuple[Category, ...]:
    most, fewest = (MOST_CODES, FEWEST_ROWS_CODE) if flavour == "tree" else (MOST_COLUMNS, FEWEST_ROWS_COLUMN)
    names = [column for column, kind in kinds.items() if kind in ("category", "text")]
    fitted = [fit_category(frame.get_column(name), most=most, fewest_rows=fewest) for name in names]
    return tuple(category for category in fitted if category.states > 1)


def _fit_wide(draft: Encoder, frame: pl.DataFrame) -> Encoder:
    """Look at the raw numbers, as the graph makes them; leave out what never changes and learn to scale the rest."""
    raw = draft.raw()
    draft = replace(draft, wide=tuple(range(len(raw))))
    graph = Graph()
    inputs = {column: graph.input(column, NUMBER) for column in (*draft.numbers, *draft.dates)}
    graph.output("wide", draft.emit_wide(graph, inputs), NUMBER, [None, len(raw)])
    wide = run(session(graph.model().SerializeToString()), frame)["wide"]
    columns = [column for _, column in raw]
    # That a date is missing is said once, by its first part.
    first = [columns.index(column) == place for place, column in enumerate(columns)]
    used = tuple(place for place in draft.wide if _varies(wide[:, place], missing_counts=first[place]))
    kept = {columns[place] for place in used}
    made = replace(
        draft,
        numbers=tuple(column for column in draft.numbers if column in kept),
        dates=tuple(column for column in draft.dates if column in kept),
        references=tuple(
            moment for column, moment in zip(draft.dates, draft.references, strict=True) if column in kept
        ),
    )
    names = made.raw()
    made = replace(made, wide=tuple(names.index(raw[place]) for place in used))
    if made.scaling is None:
        return made
    scaling = fit_scaling(wide[:, list(used)], bendable=sum(place < len(draft.numbers) for place in used))
    said = zip(used, scaling.missing, strict=True)
    return replace(made, scaling=replace(scaling, missing=tuple(missing and first[place] for place, missing in said)))


def _varies(column: Float64[np.ndarray, " rows"], *, missing_counts: bool) -> bool:
    known = column[~np.isnan(column)]
    if missing_counts and 0 < len(known) < len(column):
        return True
    return len(known) > 0 and bool(known.min() < known.max())


def _reference(seconds: pl.Series) -> float:
    """The first day of the training rows, from which days are counted."""
    first = cast("float | None", seconds.drop_nans().min())
    return 0.0 if first is None else float(np.floor(np.clip(first, FIRST, LAST) / DAY_SECONDS) * DAY_SECONDS)


def _tupled(value: Any) -> Any:
    return tuple(_tupled(entry) for entry in value) if isinstance(value, list | tuple) else value
