"""What queries to any database share: one statement that only reads, and a URL that never shows its password."""

import re
from collections.abc import Sequence

from holdtrue.core.errors import DataFault
from holdtrue.data.readers.columns import name_faults
from holdtrue.data.readers.faults import Faults, close_to, crop

READING = ("SELECT", "WITH", "VALUES", "TABLE")
SKIPPED = re.compile(r"\s+|--[^\n]*|/\*.*?\*/|\(", re.DOTALL)


def hidden(url: str) -> str:
    """Take the password out of a URL.

    >>> hidden("postgresql://ann:s3cret@db:5432/shop?sslpassword=x&sslmode=require")
    'postgresql://ann:***@db:5432/shop?sslpassword=***&sslmode=require'
    """
    bare = re.sub(r"^([\w.+-]+://[^:/?#@]*):.*@", r"\1:***@", url)
    return re.sub(r"([?&](?:\w*password|passwd|pwd|token|secret)=)[^&]*", r"\1***", bare, flags=re.IGNORECASE)


def only_reading(query: str, where: str) -> str:
    """Refuse what does not begin as a query; the connection is read-only besides.

    >>> only_reading("-- all of it\\nSELECT 1;", "db")
    '-- all of it\\nSELECT 1'
    """
    place = 0
    while found := SKIPPED.match(query, place):
        place = found.end()
    word = re.match(r"\w*", query[place:])
    if word is None or word.group().upper() not in READING:
        raise DataFault(
            f"The query for {where} does not begin with SELECT: {crop(query[place:].strip())}.",
            do="Rows are read and never written: give one SELECT (or WITH … SELECT).",
        )
    return query.strip().rstrip("; \t\r\n")


def check_names(names: Sequence[str], *, where: str) -> None:
    faults = Faults(where=where)
    for text in name_faults(names):
        faults.add(text)
    faults.check(do="Name every column of the query once, with AS.")


def no_table(name: str, tables: Sequence[str], *, where: str) -> DataFault:
    return DataFault(
        f"{where} has no table {name!r}{close_to(name, tables)}",
        do="Correct the query." if tables else "It holds no tables at all; is it the right database?",
    )
