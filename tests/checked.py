"""Every call in the tests checks the types and shapes that its signature claims."""

from collections.abc import Callable
from typing import Any, TypeVar

import polars as pl
from beartype import BeartypeConf, FrozenDict, beartype

F = TypeVar("F", bound=Callable[..., Any])

# `float` also takes an `int`, as the type checker has it; the class of polars is one that beartype cannot read.
_check = beartype(conf=BeartypeConf(is_pep484_tower=True, hint_overrides=FrozenDict({pl.DataType: Any})))


def checked(function: F) -> F:
    """Check at each call, unless a hint is the recursive `Json`: beartype looks for that name in the wrong module."""
    hints = getattr(function, "__annotations__", {}).values()
    return function if any("'Json'" in repr(hint) for hint in hints) else _check(function)
