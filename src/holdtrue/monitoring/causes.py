"""What happened to the columns that a release is asked: a likely cause for each that changed, from values alone.

A column has changed where counts in fixed bins say so (see `drift`). Then what usually befalls data is tried on it: a
unit, a default value, another column's values, another spelling. A cause is named when undoing it gives the column back
as it was: what remains is smaller than the least change that matters. Else the population changed, as far as
values can tell. Dates go on by themselves, so of a column of dates only the hours of the day are looked at.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from holdtrue.monitoring.drift import MATTERS, Drift, drifts
from holdtrue.monitoring.ruler import Columns, Ruler, Texts, gauge_of
from holdtrue.statistics.two_samples import log_evidence, stability

LEVEL = 0.0025  # the chance that a column without any change is given a cause; so are hours, and rows that repeat
LEAST_ROWS = 100
MOST_LEFT = 0.1  # of the size of a change: what undoing its cause may leave
EVIDENCE_LEFT = 0.02  # of the evidence for a change: what undoing a unit may leave
FROZEN, FROZEN_BEFORE = 0.3, 0.1  # shares of one value
REPEATED, REPEATED_BEFORE = 0.05, 0.01  # shares of rows that another row equals
GONE = 0.1  # of its share before, for a category that is gone
LEAST_SHARE = 0.02  # of a category that is new, or gone
HOURS, HOUR_S = 24, 3_600

# What turns the unit of now into that of before: name, factor, offset. Lengths, masses, times, money, temperatures.
UNITS: tuple[tuple[str, float, float], ...] = (
    *((f"{10**power:,} times as large", 10.0**-power, 0.0) for power in (1, 2, 3, 6)),
    *((f"{10**power:,} times as small", 10.0**power, 0.0) for power in (1, 2, 3, 6)),
    ("feet instead of metres", 0.3048, 0.0),
    ("metres instead of feet", 1 / 0.3048, 0.0),
    ("inches instead of centimetres", 2.54, 0.0),
    ("centimetres instead of inches", 1 / 2.54, 0.0),
    ("miles instead of kilometres", 1.609344, 0.0),
    ("kilometres instead of miles", 1 / 1.609344, 0.0),
    ("pounds instead of kilograms", 0.45359237, 0.0),
    ("kilograms instead of pounds", 1 / 0.45359237, 0.0),
    ("gallons instead of litres", 3.785411784, 0.0),
    ("litres instead of gallons", 1 / 3.785411784, 0.0),
    ("60 times as large, such as seconds instead of minutes", 1 / 60, 0.0),
    ("60 times as small, such as hours instead of minutes", 60.0, 0.0),
    ("24 times as large, such as hours instead of days", 1 / 24, 0.0),
    ("24 times as small, such as days instead of hours", 24.0, 0.0),
    ("3,600 times as large, such as seconds instead of hours", 1 / 3600, 0.0),
    ("3,600 times as small, such as hours instead of seconds", 3600.0, 0.0),
    ("degrees Fahrenheit instead of Celsius", 1 / 1.8, -32 / 1.8),
    ("degrees Celsius instead of Fahrenheit", 1.8, 32.0),
    ("kelvin instead of degrees Celsius", 1.0, -273.15),
    ("degrees Celsius instead of kelvin", 1.0, 273.15),
    ("the sign the other way round", -1.0, 0.0),
)

Kind = Literal[
    "unit changed",
    "columns swapped",
    "values missing",
    "new category",
    "category renamed",
    "value frozen",
    "time shifted",
    "rows repeated",
    "population changed",
]
ADVICE: Mapping[Kind, str] = {
    "unit changed": "Ask who sends it; convert it at the source, or let the contract refuse such values.",
    "columns swapped": "Look at how the request is put together: the two stand in each other's place.",
    "values missing": "Find out why the source gives it no more; `nullable: false` in the contract refuses such rows.",
    "new category": "Is it real? Then train with rows of it. Else mend the source; `unseen: refuse` turns it away.",
    "category renamed": "Give it its old name at the source, or train again with the new one.",
    "value frozen": "Look at the pipeline that fills it: it repeats a value, or gives a default one.",
    "time shifted": "Look at the time zone of the source; the contract takes times without a zone as UTC.",
    "rows repeated": "Find out who sends rows again: a retry without an end, or a job that runs twice.",
    "population changed": "No fault of the data shows. If the promises hold by labels, train again at leisure.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What befell a column, or rows.

    Attributes:
        where: the column, or columns; `traffic` for rows.
        evidence: what it rests on, in words.
        strength: the e-value against "nothing changed", as a logarithm to base 10.
    """

    kind: Kind
    where: str
    evidence: str
    strength: float

    @property
    def do(self) -> str:
        return ADVICE[self.kind]

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "do": self.do}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sight:
    """One column before and now, counted by the same bins."""

    ruler: Ruler
    past: "np.ndarray | Sequence[str]"
    now: "np.ndarray | Sequence[str]"
    reference: "np.ndarray"
    drift: Drift

    def left(self, values: "np.ndarray | Sequence[str]") -> float:
        """Give the size of the change that remains when the column of now were these values."""
        counts = np.bincount(self.ruler.places(values), minlength=self.ruler.bins)
        return float(stability(self.reference[None], counts[None])[0])

    def apart(self, values: "np.ndarray | Sequence[str]") -> float:
        """Give the evidence, as a natural logarithm, that these values are not those of before."""
        counts = np.bincount(self.ruler.places(values), minlength=self.ruler.bins)
        return float(log_evidence(self.reference[None], counts[None], first_apart=True)[0])

    def undone(self, values: "np.ndarray | Sequence[str]") -> bool:
        return self.left(values) < max(MATTERS, MOST_LEFT * self.drift.size)

    def change(self, kind: Kind, evidence: str) -> Change:
        return Change(kind=kind, where=self.ruler.name, evidence=evidence, strength=self.drift.evidence)


def changes(past: Columns, now: Columns, *, dates: Sequence[str] = ()) -> list[Change]:
    """Say what happened to the columns of `now`, those with a cause that can be undone first.

    Args:
        past: rows that the release learned from; texts that are missing are empty, numbers NaN.
        now: rows of late, in the order in which they came.
        dates: the columns of numbers that are seconds since 1970.
    """
    rows = _rows(now)
    if rows < LEAST_ROWS or _rows(past) < LEAST_ROWS:
        return []
    found: list[Change] = []
    again = repeats(past, now)
    if again is not None:
        found.append(again)
        now = _once(now)  # the same row again is no new witness
    names = [name for name in now if name in past and name not in dates]
    sights = list(_changed({name: past[name] for name in names}, {name: now[name] for name in names}))
    pairs = list(_swapped(sights))
    in_pairs = {name for pair in pairs for name in pair.where.split(", ")}
    found += pairs
    found += [cause_of(sight) for sight in sights if sight.ruler.name not in in_pairs]
    found += [one for name in dates if name in past and name in now if (one := shifted(name, past[name], now[name]))]
    return sorted(found, key=lambda one: (one.kind == "population changed", -one.strength))


def cause_of(sight: _Sight) -> Change:
    """Name what befell one column that has changed."""
    tries = (_missing, _frozen, _renamed, _new) if sight.ruler.texts else (_missing, _frozen, _unit)
    return next((one for attempt in tries if (one := attempt(sight)) is not None), _population(sight))


def _rows(columns: Columns) -> int:
    return min((len(values) for values in columns.values()), default=0)


def _changed(past: Columns, now: Columns) -> Iterator[_Sight]:
    """Give the columns whose counts differ beyond chance, and by enough to matter."""
    if not past:
        return
    gauge, reference = gauge_of(past)
    rulers = {ruler.name: ruler for ruler in gauge.rulers}
    for drift in drifts(gauge.rulers, reference, [gauge.count(now)], level=LEVEL):
        if drift.alarm:
            name = drift.column
            yield _Sight(ruler=rulers[name], past=past[name], now=now[name], reference=reference[name], drift=drift)  # pyright: ignore[reportArgumentType]


def _missing(sight: _Sight) -> Change | None:
    before, after = _missing_share(sight.past), _missing_share(sight.now)
    if after - before < LEAST_SHARE * 2:
        return None
    counts = np.bincount(sight.ruler.places(sight.now), minlength=sight.ruler.bins)
    known = stability(sight.reference[None, 1:], counts[None, 1:])[0] if after < 1 else 0.0
    if known >= max(MATTERS, MOST_LEFT * sight.drift.size):
        return None
    return sight.change("values missing", f"{before:.1%} were missing before, {after:.1%} are now")


def _missing_share(values: "np.ndarray | Sequence[str]") -> float:
    if isinstance(values, np.ndarray):
        return float(np.isnan(values).mean())
    return sum(not text for text in values) / max(len(values), 1)


def _frozen(sight: _Sight) -> Change | None:
    """Find one value that stands for all, or for far more rows than it did."""
    known = _known(sight.now)
    if not len(known):
        return None
    value, count = Counter(known).most_common(1)[0]
    share, past = count / len(known), _known(sight.past)
    before = sum(1 for each in past if each == value) / max(len(past), 1)
    is_text = bool(sight.ruler.texts)
    # Of texts one that all rows have; of numbers one that many have, and before hardly any.
    found = share > 0.98 > before + 0.2 if is_text else share >= FROZEN and before <= FROZEN_BEFORE
    if not found or (is_text and before == 0):
        return None
    shown = value if is_text else f"{value:.6g}"
    return sight.change(
        "value frozen", f"{share:.1%} of the rows have the one value {shown}; {before:.1%} had it before"
    )


def _known(values: "np.ndarray | Sequence[str]") -> list[object]:
    if isinstance(values, np.ndarray):
        return values[~np.isnan(values)].tolist()
    return [text for text in values if text]


def _unit(sight: _Sight) -> Change | None:
    """Undo each change of a unit, and see which one gives the column back as it was."""
    now, past = np.asarray(sight.now, dtype=np.float64), np.asarray(sight.past, dtype=np.float64)
    apart = {name: sight.apart(now * factor + offset) for name, factor, offset in UNITS}
    name = min(apart, key=lambda one: apart[one])
    # Nearly twice as much is no pound; but a thousandfold is a unit, though the world moved on meanwhile.
    if apart[name] > max(math.log(1 / LEVEL), EVIDENCE_LEFT * sight.drift.evidence * math.log(10)):
        return None
    before, after = float(np.nanmedian(past)), float(np.nanmedian(now))
    ratio = f", {after / before:.3g} times as much" if before and math.isfinite(after / before) else ""
    return sight.change("unit changed", f"{name}: half of the values lie below {after:.4g}, before {before:.4g}{ratio}")


def _shares(values: "np.ndarray | Sequence[str]") -> dict[str, float]:
    counts = Counter(str(text) for text in values if text)
    return {text: count / max(len(values), 1) for text, count in counts.items()}


def _renamed(sight: _Sight) -> Change | None:
    """Pair categories that are gone with new ones that are as frequent, or spelled alike."""
    before, after = _shares(sight.past), _shares(sight.now)
    gone = {text: share for text, share in before.items() if share > LEAST_SHARE and after.get(text, 0) < GONE * share}
    new = {text: share for text, share in after.items() if share > LEAST_SHARE / 2 and text not in before}
    names: dict[str, str] = {}
    for text, share in sorted(gone.items(), key=lambda item: -item[1]):
        error = 4 * math.sqrt(share * (1 - share) * (1 / max(len(sight.past), 1) + 1 / max(len(sight.now), 1)))
        near = [name for name in new if name not in names and (abs(new[name] - share) <= error or _alike(name, text))]
        if near:
            names[min(near, key=lambda name: (not _alike(name, text), abs(new[name] - share)))] = text
    if not names or not sight.undone([names.get(text, text) for text in map(str, sight.now)]):
        return None
    told = "; ".join(
        f"{was!r} ({gone[was]:.1%} before) is gone, and {now!r} ({new[now]:.1%}) is new" for now, was in names.items()
    )
    return sight.change("category renamed", told)


def _alike(one: str, other: str) -> bool:
    return "".join(filter(str.isalnum, one.casefold())) == "".join(filter(str.isalnum, other.casefold()))


def _new(sight: _Sight) -> Change | None:
    before, after = _shares(sight.past), _shares(sight.now)
    new = sorted(((share, text) for text, share in after.items() if text not in before), reverse=True)
    total = sum(share for share, _ in new)
    if total < LEAST_SHARE:
        return None
    old = [text for text in map(str, sight.now) if text in before or not text]
    if old and not sight.undone(old):
        return None
    named = ", ".join(f"{text!r} ({share:.1%})" for share, text in new[:3])
    return sight.change("new category", f"{total:.1%} of the rows have a value that was never seen: {named}")


def _population(sight: _Sight) -> Change:
    told = "; ".join(f"{name}: {before:.1%} before, {after:.1%} now" for name, before, after in sight.drift.changed)
    return sight.change("population changed", told)


def _swapped(sights: Sequence[_Sight]) -> Iterator[Change]:
    """Find two columns that each look as the other did."""
    taken: set[str] = set()
    for one, other in combinations(sights, 2):
        names = {one.ruler.name, other.ruler.name}
        if taken & names or bool(one.ruler.texts) != bool(other.ruler.texts):
            continue
        if one.undone(other.now) and other.undone(one.now):
            taken |= names
            where = ", ".join(sorted(names))
            told = f"the values of {one.ruler.name} look as those of {other.ruler.name} did, and the other way round"
            strength = max(one.drift.evidence, other.drift.evidence)
            yield Change(kind="columns swapped", where=where, evidence=told, strength=strength)


def shifted(name: str, past: "np.ndarray | Texts", now: "np.ndarray | Texts") -> Change | None:
    """Find hours of the day that are those of before, so many hours later or earlier."""
    before, after = _hours(past), _hours(now)
    found = _hours_apart(before, after)
    if found < math.log(HOURS / LEVEL):
        return None
    by = [_hours_apart(before, np.roll(after, -turn)) for turn in range(HOURS)]
    turn = int(np.argmin(by))
    if turn == 0 or by[turn] > max(0.1 * found, math.log(1 / LEVEL)):
        return None
    hours = turn if turn <= HOURS // 2 else turn - HOURS
    told = f"the hours of the day are those of before, {abs(hours)} {'later' if hours > 0 else 'earlier'}"
    return Change(kind="time shifted", where=name, evidence=told, strength=found / math.log(10))


def _hours(values: "np.ndarray | Texts") -> "np.ndarray":
    seconds = np.asarray(values, dtype=np.float64)
    known = seconds[np.isfinite(seconds)]
    return np.bincount((known // HOUR_S % HOURS).astype(np.int64), minlength=HOURS)


def _hours_apart(before: "np.ndarray", after: "np.ndarray") -> float:
    return float(log_evidence(before[None], after[None])[0])


def repeats(past: Columns, now: Columns) -> Change | None:
    """Find rows that came more than once, where equal rows were rare before."""
    before, after = _repeated(past), _repeated(now)
    if after[0] < REPEATED or before[0] > REPEATED_BEFORE:
        return None
    counts = [np.array([[round(share * rows), round((1 - share) * rows)]]) for share, rows in (before, after)]
    strength = float(log_evidence(*counts)[0])
    if strength < math.log(1 / LEVEL):
        return None
    told = f"{after[0]:.1%} of the rows are equal to one that came before them; {before[0]:.1%} were"
    return Change(kind="rows repeated", where="traffic", evidence=told, strength=strength / math.log(10))


def _repeated(columns: Columns) -> tuple[float, int]:
    rows = _rows(columns)
    return 1 - len(set(_keys(columns))) / max(rows, 1), rows


def _keys(columns: Columns) -> list[tuple[object, ...]]:
    """Give each row as one value; NaN is made equal to itself."""
    laid = [
        np.nan_to_num(values, nan=-1e300).tolist() if isinstance(values, np.ndarray) else list(values)
        for values in columns.values()
    ]
    return list(zip(*laid, strict=True))


def _once(columns: Columns) -> Columns:
    """Keep the first of equal rows."""
    seen: dict[tuple[object, ...], int] = {}
    for place, key in enumerate(_keys(columns)):
        seen.setdefault(key, place)
    kept = list(seen.values())
    return {
        name: values[kept] if isinstance(values, np.ndarray) else [values[place] for place in kept]
        for name, values in columns.items()
    }
