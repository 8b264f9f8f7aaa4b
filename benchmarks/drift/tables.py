"""Tables of a hundred columns that hang together: numbers of several shapes, counts, texts, some with gaps."""

from collections.abc import Mapping, Sequence

import numpy as np

NUMBERS, COUNTS, TEXTS = 60, 20, 20
COLUMNS = NUMBERS + COUNTS + TEXTS

Table = dict[str, "np.ndarray | list[str]"]


def table(chance: np.random.Generator, rows: int, moved: Mapping[str, float] | None = None) -> Table:
    """Draw rows; `moved` shifts columns of numbers by so many standard deviations."""
    shared = chance.normal(size=(rows, 5))
    made: Table = {}
    for place in range(NUMBERS):
        values = 0.7 * shared[:, place % 5] + chance.normal(size=rows) * 0.714
        values += (moved or {}).get(f"number {place}", 0.0)
        if place % 3 == 1:
            values = np.exp(values)
        if place % 6 == 5:
            values[chance.random(rows) < 0.1] = np.nan
        made[f"number {place}"] = values
    for place in range(COUNTS):
        made[f"count {place}"] = chance.poisson(np.exp(0.5 * shared[:, place % 5]) * (place + 1) / 4).astype(np.float64)
    for place in range(TEXTS):
        kinds = 3 + 4 * place
        shares = 1 / np.arange(1, kinds + 1)
        codes = chance.choice(kinds, rows, p=shares / shares.sum())
        made[f"text {place}"] = np.array([f"kind {code}" for code in range(kinds)])[codes].tolist()
    return made


def sizes(chance: np.random.Generator, days: int) -> Sequence[int]:
    """Give how many rows each day has: from 50 to 50,000, each order of magnitude as often."""
    return np.exp(chance.uniform(np.log(50), np.log(50_000), days)).astype(int).tolist()
