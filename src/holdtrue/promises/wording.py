"""The sentences that say why a promise is proven, refuted or unproven."""

import math
from decimal import Decimal

from holdtrue.statistics.estimate import Estimate


def number(value: float, decimals: int | None = None) -> str:
    """Write a number as a person would: thousands apart, no needless digits.

    >>> number(11939), number(0.4), number(0.41237, 3), number(math.inf)
    ('11,939', '0.4', '0.412', 'no limit')
    """
    if math.isnan(value):
        return "undefined"
    if math.isinf(value):
        return "no limit"
    if decimals is None:
        decimals = _own_decimals(value)
    text = f"{value:,.{decimals}f}"
    return text.removeprefix("-") if not any(digit in text for digit in "123456789") else text


def decimals_for(estimate: Estimate, bound: float) -> int:
    """Give the decimals that show the interval to two digits and never make a limit look equal to a bound it misses."""
    numbers = [number for number in (estimate.value, estimate.low, estimate.high) if math.isfinite(number)]
    width = max(numbers) - min(numbers) if numbers else 0.0
    decimals = max(1 - math.floor(math.log10(width)), 0) if width > 0 else _own_decimals(estimate.value)
    while decimals < 12 and any(one != bound and round(one, decimals) == round(bound, decimals) for one in numbers):
        decimals += 1
    return decimals


def measured(scope: str, estimate: Estimate, bound: float) -> str:
    """Write a value with its interval and rows.

    >>> loss = Estimate(value=0.41204, low=0.39811, high=0.42709, rows=11939, method="", confidence=0.9)
    >>> measured("log_loss", loss, 0.40)
    'log_loss 0.412 (0.398 to 0.427 on 11,939 rows)'
    """
    decimals = decimals_for(estimate, bound)
    value = number(estimate.value, decimals)
    if estimate.low == estimate.high == estimate.value:
        return f"{scope} {value}"
    rows = f"{number(estimate.rows)} row{'' if estimate.rows == 1 else 's'}"
    if math.isinf(estimate.low) and math.isinf(estimate.high):
        return f"{scope} {value} (no limits from {rows})"
    low = number(estimate.low, decimals) if math.isfinite(estimate.low) else "no lower limit"
    high = number(estimate.high, decimals) if math.isfinite(estimate.high) else "no upper limit"
    return f"{scope} {value} ({low} to {high} on {rows})"


def rough(rows: int) -> str:
    """Round a count of rows to two digits, upwards.

    >>> rough(29641), rough(57), rough(2_340_000)
    ('30,000', '57', '2.4 million')
    """
    step = 10 ** max(len(str(rows)) - 2, 0)
    rounded = -(-rows // step) * step
    return f"{rounded / 10**6:g} million" if rounded >= 10**6 else number(rounded)


def _own_decimals(value: float) -> int:
    """Count the decimals of the shortest way to write the number, at most 6 digits in all."""
    return len(format(Decimal(f"{value:.6g}"), "f").partition(".")[2].rstrip("0"))
