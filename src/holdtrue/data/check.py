"""Rows against their contract: every breach at once, each with its count and its first row.

Cells are checked in one pass over the table, in pieces; what must be unique needs its own column in memory; a last
pass fetches the first wrong values.
"""

from dataclasses import replace
from datetime import datetime
from math import inf

import polars as pl

from holdtrue.core.errors import DataFault
from holdtrue.data.breach import (
    FRACTION,
    INFINITE,
    MISSING,
    TOO_LARGE,
    UNKNOWN,
    Breach,
    outside,
    shown,
    unmatched,
    unread,
)
from holdtrue.data.contract import EXACT, Contract, Field, whole
from holdtrue.data.dates import DAY_S, EPOCH, iso_of_seconds
from holdtrue.data.parse import expressions, is_text, parse, unreadable
from holdtrue.data.rules import rule_expression

ROW, STRANGE = "\0row", "\0strange "  # no file has columns of these names


def enforce(contract: Contract, table: pl.DataFrame | pl.LazyFrame, *, now: datetime | None) -> None:
    """Raise `DataFault` with every breach, or do nothing."""
    breaches = check(contract, table, now=now)
    if breaches:
        places = f"{len(breaches)} place{'s' if len(breaches) > 1 else ''}"
        raise DataFault(
            f"The table breaks its contract in {places}:",
            faults=[breach.sentence for breach in breaches],
            do="Clean the rows, or widen the contract and say why in its commit.",
        )


def check(contract: Contract, table: pl.DataFrame | pl.LazyFrame, *, now: datetime | None) -> tuple[Breach, ...]:
    """Find every breach in raw rows; raises `DataFault` only when columns are not there.

    NaN is a missing value, an infinite number is a breach. Freshness is judged at `now`, and not without it.
    """
    raw = table.lazy()
    schema = raw.collect_schema()
    typed = _typed(contract, raw, schema)
    cells = [
        (field, what, mask)
        for field in contract.fields
        for what, mask in _masks(field, schema[field.name], required=not field.nullable or field.name in contract.key)
    ]
    totals, rows = _count(typed, [mask for _, _, mask in cells])
    breaches = [
        Breach(
            where=f"column {field.name!r}", columns=(field.name,), what=what, count=count, rows=rows, first_row=first
        )
        for (field, what, _), (count, first) in zip(cells, totals, strict=True)
        if count
    ]
    breaches += _broken_rules(contract, typed, rows)
    breaches += _repeats(contract, raw, rows)
    breaches += _stale(contract, raw, rows, now)
    return tuple(_with_values(contract, raw, breaches))


def fits(contract: Contract, table: pl.DataFrame) -> pl.Series:
    """Say of each raw row whether its cells keep the contract; what several rows say together is not looked at.

    >>> age = Contract(fields=(Field(name="age", kind="number", nullable=False, low=0),))
    >>> fits(age, pl.DataFrame({"age": ["7", "-1", "old", None]})).to_list()
    [True, False, False, False]
    """
    raw = table.lazy()
    schema = table.schema
    masks = [mask for field in contract.fields for mask in _wrong(field, schema[field.name], contract)]
    masks += [~rule_expression(rule.text, contract.kinds).holds for rule in contract.rules]
    if not masks:
        return pl.Series([True]).new_from_index(0, table.height)
    wrong = pl.any_horizontal(mask.fill_null(value=False) for mask in masks)
    return _typed(contract, raw, schema).select(~wrong).collect().to_series()


def _wrong(field: Field, dtype: pl.DataType, contract: Contract) -> list[pl.Expr]:
    required = not field.nullable or field.name in contract.key
    return [mask for _, mask in _masks(field, dtype, required=required)]


def _masks(field: Field, dtype: pl.DataType, *, required: bool) -> list[tuple[str, pl.Expr]]:
    """Each way a cell can be wrong, with the expression that is true there, over the columns of `_typed`."""
    value = pl.col(field.name)
    masks: list[tuple[str, pl.Expr]] = []
    refused = field.numeric and is_text(dtype) and field.unreadable == "refuse"
    if refused:
        masks.append((unread(field), pl.col(STRANGE + field.name)))
    if required:
        masks.append((MISSING, value.is_null() & ~pl.col(STRANGE + field.name) if refused else value.is_null()))
    if field.numeric:
        masks += _number_masks(field, value, dtype)
    if field.categories is not None and field.unseen == "refuse":
        masks.append((UNKNOWN, ~value.is_in(list(field.categories))))
    if field.pattern is not None:
        masks.append((unmatched(field), ~value.str.contains(whole(field.pattern))))
    return masks


def _typed(contract: Contract, raw: pl.LazyFrame, schema: pl.Schema) -> pl.LazyFrame:
    """Typed columns, and beside each that was text, where it could not be read."""
    values = expressions(contract, schema)  # refuses a table without the columns
    strange = [
        unreadable(field, schema[field.name]).alias(STRANGE + field.name)
        for field in contract.fields
        if field.numeric and is_text(schema[field.name]) and field.unreadable == "refuse"
    ]
    return raw.select(*values, *strange)


def _number_masks(field: Field, value: pl.Expr, dtype: pl.DataType) -> list[tuple[str, pl.Expr]]:
    masks = [] if dtype.is_integer() else [(INFINITE, value.is_infinite())]
    finite = value.is_finite()
    if field.low is not None or field.high is not None:
        low, high = -inf if field.low is None else field.low, inf if field.high is None else field.high
        masks.append((outside(field), finite & ~value.is_between(low, high)))
    if field.integer:
        masks.append((FRACTION, finite & (value != value.floor())))
        masks.append((TOO_LARGE, finite & (value.abs() > EXACT)))
    return masks


def _count(typed: pl.LazyFrame, masks: list[pl.Expr]) -> tuple[list[tuple[int, int | None]], int]:
    """Count where each mask is true and find the first such row, all in one pass."""
    counts = [mask.sum().alias(f"count {number}") for number, mask in enumerate(masks)]
    firsts = [pl.when(mask).then(pl.col(ROW)).min().alias(f"first {number}") for number, mask in enumerate(masks)]
    numbered = typed.with_row_index(ROW, offset=1)
    found = numbered.select(pl.len().alias(ROW), *counts, *firsts).collect(engine="streaming").row(0, named=True)
    return [(int(found[f"count {number}"] or 0), found[f"first {number}"]) for number in range(len(masks))], found[ROW]


def _broken_rules(contract: Contract, typed: pl.LazyFrame, rows: int) -> list[Breach]:
    read = [(rule, rule_expression(rule.text, contract.kinds)) for rule in contract.rules]
    if not read:
        return []
    totals, _ = _count(typed, [~expression.holds for _, expression in read])
    return [
        Breach(
            where=f"rule {rule.name!r}",
            columns=tuple(name for name in contract.names if name in expression.columns),
            what=f"break `{rule.text}`",
            count=count,
            rows=rows,
            first_row=first,
        )
        for (rule, expression), (count, first) in zip(read, totals, strict=True)
        if count
    ]


def _repeats(contract: Contract, raw: pl.LazyFrame, rows: int) -> list[Breach]:
    """Find values that stand in an earlier row already; a missing value repeats nothing."""
    wanted: list[tuple[str, tuple[str, ...]]] = [
        (f"column {field.name!r}", (field.name,)) for field in contract.fields if field.unique
    ]
    if contract.key and (f"column {contract.key[0]!r}", contract.key) not in wanted:
        wanted.append((f"key ({', '.join(contract.key)})", contract.key))
    breaches: list[Breach] = []
    for where, names in wanted:
        values = parse(contract.only(names), raw).collect(engine="streaming")
        whole_row = values.to_series() if len(names) == 1 else values.to_struct()
        complete = values.select(pl.all_horizontal(pl.all().is_not_null())).to_series()
        repeated = ~whole_row.is_first_distinct() & complete
        if count := int(repeated.sum()):
            first = int(repeated.arg_max() or 0) + 1
            what = "repeat that of an earlier row"
            breaches.append(Breach(where=where, columns=names, what=what, count=count, rows=rows, first_row=first))
    return breaches


def _stale(contract: Contract, raw: pl.LazyFrame, rows: int, now: datetime | None) -> list[Breach]:
    fresh = contract.freshness
    if fresh is None or now is None:
        return []
    latest = parse(contract.only((fresh.column,)), raw).select(pl.all().max()).collect(engine="streaming").item()
    if latest is None:
        what = f"it has no date, and its latest should be at most {fresh.at_most_days:g} days old"
    else:
        age_days = ((now - EPOCH).total_seconds() - latest) / DAY_S
        if age_days <= fresh.at_most_days:
            return []
        what = (
            f"its latest date is {iso_of_seconds(latest)}, {age_days:.4g} days old; {fresh.at_most_days:g} are allowed"
        )
    return [Breach(where=f"freshness of {fresh.column!r}", columns=(fresh.column,), what=what, count=rows, rows=rows)]


def _with_values(contract: Contract, raw: pl.LazyFrame, breaches: list[Breach]) -> list[Breach]:
    """Fetch what stands in the first wrong rows, in one more pass over these columns."""
    firsts = sorted({breach.first_row for breach in breaches if breach.first_row is not None})
    if not firsts:
        return breaches
    names = sorted({name for breach in breaches for name in breach.columns})
    numbered = raw.select(names).with_row_index(ROW, offset=1).filter(pl.col(ROW).is_in(firsts))
    found = {row[ROW]: row for row in numbered.collect(engine="streaming").iter_rows(named=True)}
    return [
        breach
        if breach.first_row is None
        else replace(breach, first_value=_shown(contract, breach, found[breach.first_row]))
        for breach in breaches
    ]


def _shown(contract: Contract, breach: Breach, row: dict[str, object]) -> str:
    if breach.what == MISSING:
        return ""
    values = [(name, shown(row[name], personal=contract.field(name).personal)) for name in breach.columns]
    return ", ".join(text if len(values) == 1 else f"{name}={text}" for name, text in values)
