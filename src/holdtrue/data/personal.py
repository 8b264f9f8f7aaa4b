"""Signs that a column holds what belongs to a person: e-mail addresses, phone numbers, names."""

import re

import polars as pl

EMAIL = r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$"
PHONE = r"^(?:\+|00)?\(?\d[\d\s().\-/]{6,18}\d$"
WRITTEN_AS_PHONE = r"[-+() /]"  # plain digits may be any number
NAMED = re.compile(
    r"(?:^|[\W_])(?:(?:first|last|family|full|sur|middle|given|maiden|customer|patient|passenger|guest|employee)?[\s_]?name"
    r"|e-?mail|phone|telephone|mobile|ssn|passport|iban|street|address)(?:$|[\W_])",
    re.IGNORECASE,
)
MOST = 0.8


def personal_sign(name: str, values: pl.Series, *, mostly_different: bool) -> str:
    """Say why a column of text seems personal, or nothing; its name decides only where most values differ.

    >>> personal_sign("contact", pl.Series(["a@b.org", "c@d.net"]), mostly_different=False)
    'the values look like e-mail addresses'
    >>> personal_sign("Name", pl.Series(["Braund, Mr. Owen", "Heikkinen, Miss. Laina"]), mostly_different=True)
    "it is called 'Name' and most values differ"
    """
    if not len(values) or values.dtype != pl.String:
        return ""
    if _share(values.str.contains(EMAIL)) >= MOST:
        return "the values look like e-mail addresses"
    if _share(values.str.contains(PHONE) & values.str.contains(WRITTEN_AS_PHONE)) >= MOST:
        return "the values look like phone numbers"
    if mostly_different and NAMED.search(name):
        return f"it is called {name!r} and most values differ"
    return ""


def _share(these: pl.Series) -> float:
    return int(these.sum()) / len(these)
