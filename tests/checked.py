"""Every call in the tests checks the types and shapes that its signature claims."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import jaxtyping
import polars as pl
from beartype import BeartypeConf, FrozenDict, beartype

F = TypeVar("F", bound=Callable[..., Any])

# `float` also takes an `int`, as the type checker has it; the class of polars is one that beartype cannot read.
_check = beartype(
    conf=BeartypeConf(is_pep484_tower=True, hint_overrides=FrozenDict({pl.DataType: Any}), violation_type=TypeError)
)
_jaxtyped = jaxtyping.jaxtyped


def checked(function: F) -> F:
    """Check at each call, unless a hint is the recursive `Json`: beartype looks for that name in the wrong module."""
    hints = getattr(function, "__annotations__", {}).values()
    return function if any("'Json'" in repr(hint) for hint in hints) else _check(function)


def light(**options: Any) -> Callable[[Any], Any]:
    """Decorate with `checked` alone what no hint says in quotes, as shapes are: it makes a call ten times cheaper.

    A function within a function is left alone, as it would be decorated anew at each call of the outer one.
    """

    def decorate(made: Any) -> Any:
        if not inspect.isfunction(made):
            return _jaxtyped(made, **options)
        if "<locals>" in made.__qualname__:
            return made
        is_plain = not any("'" in repr(hint) for hint in made.__annotations__.values())
        return checked(made) if is_plain else _jaxtyped(made, **options)

    return decorate


jaxtyping.jaxtyped = light  # the import hook decorates by this name
