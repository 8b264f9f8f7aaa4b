"""Numbers as JSON knows them: NaN and infinity become null, arrays lists, NumPy's numbers Python's."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from holdtrue.core.digest import Json
from holdtrue.statistics.estimate import Estimate


def plain(value: object) -> Json:
    """Make a value fit for JSON, whatever is nested in it.

    >>> plain({"low": float("-inf"), "counts": np.array([1, 2]), "names": ("a", "b")})
    {'low': None, 'counts': [1, 2], 'names': ['a', 'b']}
    """
    if isinstance(value, Estimate):
        return estimate_json(value)
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    raise TypeError(f"{type(value).__name__} is not fit for JSON: {value!r}")


def estimate_json(found: Estimate) -> dict[str, Any]:
    return {
        "value": plain(found.value),
        "low": plain(found.low),
        "high": plain(found.high),
        "rows": found.rows,
        "method": found.method,
        "confidence": found.confidence,
    }
