"""One page of a long list: where the next begins is told by the last row, so a page costs the same wherever it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Select, tuple_

from holdtrue.core.errors import Misuse

T = TypeVar("T")
MOST = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[T]):
    """Some rows, and the mark to ask for the next ones with; None when these were the last."""

    rows: tuple[T, ...]
    after: str | None


def newest_first(
    connection: Connection,
    query: Select[Any],
    *,
    time: Column[Any],
    name: Column[Any],
    after: str | None,
    limit: int,
) -> tuple[Sequence[Any], str | None]:
    """Run a query for one page of rows, ordered by time and then by a name that is never twice there."""
    if not 1 <= limit <= MOST:
        raise Misuse(f"A page has from 1 to {MOST} rows, not {limit}.")
    if after is not None:
        query = query.where(_before(after, time, name))
    found = connection.execute(query.order_by(time.desc(), name.desc()).limit(limit + 1)).all()
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    return found[:limit], f"{getattr(last, time.name)}/{getattr(last, name.name)}"


def _before(after: str, time: Column[Any], name: Column[Any]) -> ColumnElement[bool]:
    count, slash, rest = after.partition("/")
    if not slash or not count.removeprefix("-").isdigit():
        raise Misuse(f"{after!r} is not the mark of a page.", do="Use the mark that the page before ended with.")
    return tuple_(time, name) < tuple_(int(count), rest)
