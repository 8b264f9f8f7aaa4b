"""Settings of a learner: checked against its space, filled with its defaults, read by type."""

from collections.abc import Mapping

from holdtrue.core.errors import Misuse, nearest
from holdtrue.models.learner import Dimension, Learner, Settings, Value


def resolve(name: str, learner: Learner, given: Settings) -> Settings:
    """Give every key of the learner's space a value; raises `Misuse` with all faults at once.

    >>> from holdtrue.models.learner import LEARNERS
    >>> resolve("ridge", LEARNERS.get("ridge"), {})
    {'alpha': 1.0}
    >>> resolve("ridge", LEARNERS.get("ridge"), {"alpah": 1.0})
    Traceback (most recent call last):
    holdtrue.core.errors.Misuse: The settings of the learner 'ridge' have 1 fault:
      'alpah' is not one of its settings; did you mean 'alpha'?
    """
    faults = [
        f"{key!r} is not one of its settings{nearest(key, list(learner.space))}"
        for key in given
        if key not in learner.space
    ]
    faults += [
        f"{key!r} is {given[key]!r}; {fault}"
        for key, dimension in learner.space.items()
        if key in given and (fault := fault_of(dimension, given[key]))
    ]
    if faults:
        count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
        raise Misuse(f"The settings of the learner {name!r} have {count}:", faults=faults)
    return {key: given.get(key, dimension.default) for key, dimension in learner.space.items()}


def fault_of(dimension: Dimension, value: Value) -> str:
    """Say what is wrong with a value and which allowed one is nearest; empty when it is allowed."""
    if dimension.choices:
        # 1 == True and 1 == 1.0: compare the type as well, or `True` would pass for `1`.
        if any(value == choice and type(value) is type(choice) for choice in dimension.choices):
            return ""
        known = [str(choice) for choice in dimension.choices]
        return f"it should be one of {', '.join(known)}{_guess(str(value), known)}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"it should be a number, such as {dimension.default}"
    low = -float("inf") if dimension.low is None else dimension.low
    high = float("inf") if dimension.high is None else dimension.high
    if not low <= value <= high:
        end = low if value < low else high
        return f"it should lie in [{low:g}, {high:g}]; the nearest is {end:g}"
    if dimension.integer and value != int(value):
        return f"it should be a whole number; the nearest is {round(value)}"
    return ""


def number(settings: Settings, name: str) -> float:
    value = settings[name]
    assert isinstance(value, int | float)
    return float(value)


def whole(settings: Settings, name: str) -> int:
    value = settings[name]
    assert isinstance(value, int | float)
    return int(value)


def defaults(space: Mapping[str, Dimension]) -> Settings:
    return {key: dimension.default for key, dimension in space.items()}


def _guess(word: str, known: list[str]) -> str:
    guess = nearest(word, known)
    return guess if "did you mean" in guess else ""
