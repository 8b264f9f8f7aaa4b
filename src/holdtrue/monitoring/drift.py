"""What a release is asked about, held against what it learned from: evidence, size, and alarms that fit a budget.

Each window of time is a test of all columns at once, and so are the last week and month of windows together, because a
small change shows only in many rows. The e-values of a column over these lengths are averaged, which is an e-value
again however they depend on each other. Over columns, e-BH holds the chance of any false alarm in a window below the
window's part of the alarm budget; what is found so, and is also large enough to matter, is an alarm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType

import numpy as np
from scipy.special import logsumexp

from holdtrue.monitoring.joint import JOINT, Joint
from holdtrue.monitoring.ruler import Ruler
from holdtrue.statistics.two_samples import e_bh, log_evidence, stability

LENGTHS = (1, 7, 28)  # windows that are looked at together
MATTERS = 0.1  # of the population stability index, by convention a moderate change
MOST_CHANGED = 3

Counts = Mapping[str, "np.ndarray"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """What a window says of one column.

    Attributes:
        evidence: the e-value against "nothing changed", as a logarithm to base 10.
        size: the population stability index beyond chance, over the length of time that shows the change best.
        windows: that length, in windows.
        real: whether the evidence suffices within the alarm budget.
        changed: the bins whose share changed most: its name, the share in the reference, and the share now.
        whole: the column that this one is a part of, the rows of a slice. It is an alarm where the whole one is none.
        by: of all columns together, those that tell the window from the reference. They are an alarm where none of
            these is one by itself: there they hang together otherwise, and nothing else says so.
    """

    column: str
    evidence: float
    size: float
    windows: int
    real: bool
    alarm: bool
    changed: tuple[tuple[str, float, float], ...]
    by: tuple[str, ...] = ()
    whole: str = ""

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def drifts(
    rulers: Sequence[Ruler],
    reference: Counts,
    windows: Sequence[Counts],
    *,
    level: float,
    matters: float = MATTERS,
    joint: Joint | None = None,
    parts: Mapping[str, str] = MappingProxyType({}),
) -> list[Drift]:
    """Judge the last of some windows, oldest first; `level` is the chance of a false alarm that it may have.

    `joint` is what all columns of the last window say together: one more test beside those of the columns. `parts`
    gives the column that each column of a slice is a part of.
    The list has the columns with the most evidence first. A window without any row says nothing of any column.
    """
    if not windows or not rulers:
        return []
    logs, sizes = [], []
    lengths = [length for length in LENGTHS if length == 1 or len(windows) > 1]
    for length in lengths:
        now = {ruler.name: sum_of([window[ruler.name] for window in windows[-length:]]) for ruler in rulers}
        log, size = _held(rulers, reference, now)
        logs.append(log)
        sizes.append(size)
    together = logsumexp(np.array(logs), axis=0) - np.log(len(logs))
    best = np.argmax(np.array(logs), axis=0)
    real = e_bh(together if joint is None else np.append(together, joint.log_evidence), level)
    found: list[Drift] = []
    for place, ruler in enumerate(rulers):
        length, size = lengths[int(best[place])], float(sizes[int(best[place])][place])
        now = sum_of([window[ruler.name] for window in windows[-length:]])
        found.append(
            Drift(
                column=ruler.name,
                evidence=float(together[place] / np.log(10)),
                size=size,
                windows=min(length, len(windows)),
                real=bool(real[place]),
                alarm=bool(real[place]) and size >= matters,
                changed=_changed(ruler, reference[ruler.name], now),
            )
        )
    alarmed = {one.column for one in found if one.alarm}
    found = [_part(one, parts[one.column], alarmed) if one.column in parts else one for one in found]
    if joint is not None:
        found.append(_joint(joint, alarmed, real=bool(real[-1]), matters=matters))
    return sorted(found, key=lambda one: (-one.evidence, one.column))


def _part(drift: Drift, whole: str, alarmed: set[str]) -> Drift:
    """What has changed in all rows is not told again of some."""
    return replace(drift, whole=whole, alarm=drift.alarm and whole not in alarmed)


def _joint(joint: Joint, alarmed: set[str], *, real: bool, matters: float) -> Drift:
    return Drift(
        column=JOINT,
        evidence=joint.log_evidence / float(np.log(10)),
        size=joint.size,
        windows=1,
        real=real,
        alarm=real and joint.size >= matters and alarmed.isdisjoint(joint.by),
        changed=(),
        by=joint.by,
    )


def sum_of(counts: "Sequence[np.ndarray]") -> "np.ndarray":
    return np.sum(np.array(counts), axis=0)


def _held(rulers: Sequence[Ruler], reference: Counts, now: Counts) -> "tuple[np.ndarray, np.ndarray]":
    """Give the evidence and the size of each column's change; columns of as many bins are tested at once."""
    logs, sizes = np.zeros(len(rulers)), np.zeros(len(rulers))
    for bins in {ruler.bins for ruler in rulers}:
        places = [place for place, ruler in enumerate(rulers) if ruler.bins == bins]
        past = np.array([reference[rulers[place].name] for place in places], dtype=np.int64)
        here = np.array([now[rulers[place].name] for place in places], dtype=np.int64)
        logs[places] = log_evidence(past, here, first_apart=True)
        sizes[places] = stability(past, here)
    return logs, sizes


def _changed(ruler: Ruler, past: "np.ndarray", now: "np.ndarray") -> tuple[tuple[str, float, float], ...]:
    before, after = past / max(past.sum(), 1), now / max(now.sum(), 1)
    largest = np.argsort(-np.abs(after - before), kind="stable")[:MOST_CHANGED]
    labels = ruler.labels()
    return tuple(
        (labels[bin_], float(before[bin_]), float(after[bin_])) for bin_ in largest if before[bin_] != after[bin_]
    )
