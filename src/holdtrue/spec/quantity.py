"""Quantities as people write them: `2%`, `10 MB`, `7d`."""

import re

BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
DAYS = {"h": 1 / 24, "d": 1.0, "w": 7.0}
MONTH_DAYS = 365.25 / 12
PERIODS = {"day": 1.0, "week": 7.0, "month": MONTH_DAYS, "year": 365.25}


def share(value: object) -> object:
    """Read a share of one: 0.02 and `2%` are the same.

    >>> share("2%"), share(0.02)
    (0.02, 0.02)
    """
    if isinstance(value, str) and (found := re.fullmatch(r"\s*(-?\d+(?:\.\d+)?)\s*%\s*", value)):
        return float(found[1]) / 100
    return value


def size_bytes(value: object) -> object:
    """Read a size: `10 MB` is 10 000 000 bytes, `10 MiB` is 10 485 760.

    >>> size_bytes("1.5 kB"), size_bytes(12)
    (1500, 12)
    """
    if isinstance(value, str) and (found := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", value)):
        factor = BYTES.get(found[2].lower())
        return round(float(found[1]) * factor) if factor else value
    return value


def days(value: object) -> object:
    """Read an age in days: `7d`, `12h`, `2w` or a number.

    >>> days("2w"), days("12h"), days(3)
    (14.0, 0.5, 3)
    """
    if isinstance(value, str) and (found := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([hdw])\s*", value)):
        return float(found[1]) * DAYS[found[2]]
    return value


def per_day(value: object) -> object:
    """Read how often something may happen, as a number a day: `1/day`, `2/week`, `1/month`, `0.5/year` or a number.

    >>> per_day("2/week") == 2 / 7, per_day(0.1)
    (True, 0.1)
    """
    if isinstance(value, str) and (found := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*/\s*(day|week|month|year)\s*", value)):
        return float(found[1]) / PERIODS[found[2]]
    return value
