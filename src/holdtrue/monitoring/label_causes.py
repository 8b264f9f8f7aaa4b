"""What labels that disagree with the answers have in common: a source, a part of the rows, or all of them.

A release says with each answer how likely it is to be wrong, and held-out rows say how far that is to be believed. So
the errors among some labels are held against those that were expected of the same rows. Where there are more,
what they have in common is the cause: a source of labels or a segment of rows, when all the others err as expected.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64

from holdtrue.evaluation.predictions import Predictions
from holdtrue.monitoring.ruler import Columns, ruler_of_numbers, ruler_of_texts
from holdtrue.statistics.two_samples import log_evidence

LEAST_LABELS = 30
LEAST_EXCESS = 0.1  # of the labels, in a source or a segment; half of that in all
SURE = 5.0  # standard errors; about a thousand sources, segments and lengths of time are looked at
CLEAN = 3.5  # standard errors that the labels outside may have
CLEAN_SHARE = 0.25  # of the excess inside
ALL = "all rows"
INVERTED = 0.75  # of the labels, the share that says the opposite
LENGTHS = (250, 500, 1_000, 2_000, 4_000)  # of the labels, the newest ones
PARTS = 4  # of a column of numbers
LEAST_ODD, LEAST_ODD_SHARE = 10, 0.05  # of the labels of a source, that say nothing that can be true
LATE = 0.5  # of the labels that came for as many rows before
HOURS = 24  # of a day
DAYS = (1, 2, 4, 7)
LEVEL = 0.0025

Kind = Literal["labels late", "labels wrong", "labels inverted", "meaning changed"]
ADVICE: dict[Kind, str] = {
    "labels late": "Find out why labels no longer come; until then nothing proves that the promises hold.",
    "labels wrong": "Look at some labels of this source by hand; leave it out until it is mended.",
    "labels inverted": "Look at what the labels mean since then: they say the opposite of what they did.",
    "meaning changed": "The same rows have other outcomes now: train again with them: holdtrue loop train",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """Rows with their labels, in the order in which the labels came.

    Attributes:
        columns: of the rows, by name.
        wrong: 1 where the likeliest class is not the label, or how far the value is from it.
        expected: what the release says `wrong` is on average, row by row; `variance` is that of `wrong`.
        sources: who says so.
        slack: the relative error of `expected` as a whole, from the held-out rows.
        is_share: whether `wrong` counts errors.
    """

    columns: Columns
    wrong: Float64[np.ndarray, " rows"]
    expected: Float64[np.ndarray, " rows"]
    variance: Float64[np.ndarray, " rows"]
    sources: Sequence[str]
    slack: float
    is_share: bool

    @property
    def rows(self) -> int:
        return len(self.wrong)


@dataclass(frozen=True, kw_only=True, slots=True)
class Complaint:
    """What is wrong with labels, or with what rows mean; `strength` is in standard errors."""

    kind: Kind
    where: str
    evidence: str
    strength: float

    @property
    def do(self) -> str:
        return ADVICE[self.kind]


def heard(predictions: Predictions, past: Predictions | None, columns: Columns, sources: Sequence[str]) -> Heard:
    """Hold labelled rows against their answers; `past` are the rows that judged the release."""
    wrong, expected, variance = _errors(predictions, past)
    slack, scale = 0.0, 1.0
    if past is not None and past.rows and past.probabilities is not None:
        errors, awaited, spread = _errors(past, past)
        # One more of each, so that a release without an error promises none.
        scale = float((errors.sum() + 1) / (awaited.sum() + 1))
        slack = math.sqrt(float(spread.sum()) + 1) / max(float(errors.sum()), 1.0)
    return Heard(
        columns=columns,
        wrong=wrong,
        expected=expected * scale,
        variance=variance,
        sources=sources,
        slack=slack,
        is_share=predictions.probabilities is not None,
    )


def _errors(
    predictions: Predictions, past: Predictions | None
) -> "tuple[Float64[np.ndarray, ' rows'], Float64[np.ndarray, ' rows'], Float64[np.ndarray, ' rows']]":
    if predictions.probabilities is not None:
        expected = 1 - predictions.probabilities.max(axis=1)
        wrong = (predictions.probabilities.argmax(axis=1) != predictions.truth).astype(np.float64)
        return wrong, expected, np.maximum(expected * (1 - expected), 1e-4)
    assert predictions.values is not None
    wrong = np.abs(predictions.values - predictions.truth)
    # A value says nothing of its own error: the errors of the held-out rows stand for it.
    known = wrong if past is None or past.values is None else np.abs(past.values - past.truth)
    unit = np.ones(len(wrong))
    mean, variance = (float(known.mean()), float(known.var())) if len(known) else (0.0, 1.0)
    return wrong, unit * mean, unit * max(variance, 1e-12)


def complaint(all_: Heard) -> Complaint | None:
    """Say what the errors of late have in common; None where there are no more than were expected."""
    found = [one for length in LENGTHS if (one := _complaint(_newest(all_, length))) is not None]
    # What is about some of the labels, or about what they all say, explains more than that there is something.
    return max(found, key=lambda one: (one.where != ALL, one.strength), default=None)


def _newest(all_: Heard, count: int) -> Heard:
    start = max(all_.rows - count, 0)
    return Heard(
        columns={name: values[start:] for name, values in all_.columns.items()},
        wrong=all_.wrong[start:],
        expected=all_.expected[start:],
        variance=all_.variance[start:],
        sources=all_.sources[start:],
        slack=all_.slack,
        is_share=all_.is_share,
    )


def _complaint(found: Heard) -> Complaint | None:
    if found.rows < LEAST_LABELS:
        return None
    everybody = np.ones(found.rows, dtype=bool)
    errors = found.expected.clip(0, 0.49)
    opposite = float((found.wrong - errors).sum() / (1 - 2 * errors).sum()) if found.is_share else 0.0
    if opposite >= INVERTED and _excess(found, everybody)[0] >= SURE:
        told = (
            f"by the answers {min(opposite, 1):.0%} of the last {found.rows:,} labels say the opposite of what is true"
        )
        return Complaint(kind="labels inverted", where="labels", evidence=told, strength=_excess(found, everybody)[0])
    apart = [one for name, mask in _sources(found) if (one := _apart(found, mask, "labels wrong", name))]
    apart += [one for name, mask in _segments(found) if (one := _apart(found, mask, "meaning changed", name))]
    if apart:
        return max(apart, key=lambda one: one.strength)
    strength, excess = _excess(found, everybody)
    if strength < SURE or excess < LEAST_EXCESS / 2 * _unit(found):
        return None
    told = f"{_told(found, everybody)} among the last {found.rows:,} labels, of all sources and kinds of rows"
    return Complaint(kind="meaning changed", where=ALL, evidence=told, strength=strength)


def _unit(found: Heard) -> float:
    return 1.0 if found.is_share else float(found.expected.mean())


def _excess(found: Heard, mask: "Bool[np.ndarray, ' rows']") -> tuple[float, float]:
    """Give by how many standard errors there is more that is wrong than expected, and by how much in each row."""
    more = float((found.wrong - found.expected)[mask].sum())
    error = math.sqrt(float(found.variance[mask].sum()) + (found.slack * float(found.expected[mask].sum())) ** 2)
    return more / max(error, 1e-12), more / max(int(mask.sum()), 1)


def _apart(found: Heard, mask: "Bool[np.ndarray, ' rows']", kind: Kind, where: str) -> Complaint | None:
    """Blame some labels when they disagree, and the others do not."""
    inside, excess = _excess(found, mask)
    outside, rest = _excess(found, ~mask)
    if inside < SURE or excess < LEAST_EXCESS * _unit(found):
        return None
    if outside > CLEAN or rest > CLEAN_SHARE * excess:
        return None
    told = f"{_told(found, mask)} among {int(mask.sum()):,} labels of {where}; elsewhere {_told(found, ~mask)}"
    return Complaint(kind=kind, where=where, evidence=told, strength=inside)


def _told(found: Heard, mask: "Bool[np.ndarray, ' rows']") -> str:
    wrong, expected = (float(each[mask].mean()) if mask.any() else 0.0 for each in (found.wrong, found.expected))
    if found.is_share:
        return f"{wrong:.1%} disagree with the answer, {expected:.1%} were expected to"
    return f"the answer is off by {wrong:.4g}, {expected:.4g} was expected"


def _sources(found: Heard) -> "Iterator[tuple[str, Bool[np.ndarray, ' rows']]]":
    names = sorted(set(found.sources))
    if len(names) > 1:
        held = np.array(found.sources, dtype=object)
        yield from ((name, held == name) for name in names)


def _segments(found: Heard) -> "Iterator[tuple[str, Bool[np.ndarray, ' rows']]]":
    """Give the parts of each column that have some labels."""
    for name, values in found.columns.items():
        for told, mask in _parts(name, values):
            if LEAST_LABELS <= int(mask.sum()) < found.rows:
                yield told, mask


def _parts(name: str, values: object) -> "Iterator[tuple[str, Bool[np.ndarray, ' rows']]]":
    if isinstance(values, np.ndarray):
        edges = ruler_of_numbers(name, values).edges[PARTS - 1 :: PARTS]
        yield f"{name} is missing", np.isnan(values)
        for low, high in zip((-math.inf, *edges), (*edges, math.inf), strict=True):
            yield _between(name, low, high), (values >= low) & (values < high)
        return
    texts = [str(text) for text in values]  # pyright: ignore[reportGeneralTypeIssues, reportUnknownArgumentType, reportUnknownVariableType]
    held = np.array(texts, dtype=object)
    yield f"{name} is missing", held == ""
    for text in ruler_of_texts(name, texts).texts:
        yield f"{name} is {text}", held == text


def _between(name: str, low: float, high: float) -> str:
    if math.isinf(low):
        return f"{name} is below {high:.6g}"
    return f"{name} is {low:.6g} and more" if math.isinf(high) else f"{name} is {low:.6g} to {high:.6g}"


def odd(sense: Mapping[str, int], nonsense: Mapping[str, int]) -> list[Complaint]:
    """Name the sources whose labels are none of the classes, or no number, the one with most of them first.

    >>> [one.where for one in odd({"desk": 90}, {"desk": 2, "robot": 40})]
    ['robot']
    """
    found: list[Complaint] = []
    for source, count in sorted(nonsense.items(), key=lambda item: -item[1]):
        total = count + sense.get(source, 0)
        if count >= LEAST_ODD and count >= LEAST_ODD_SHARE * total:
            told = f"{count:,} of {total:,} labels of {source or 'no source'} are none of the classes, or no number"
            found.append(Complaint(kind="labels wrong", where=source, evidence=told, strength=math.inf))
    return found


def late(asked: Mapping[int, int], came: Mapping[int, int]) -> Complaint | None:
    """Find out whether labels come no more as they did: those of the last days held against the rows asked in them.

    Args:
        asked: rows by the hour since 1970 in which they were asked; labels are looked at between the first and the
            last of these.
        came: labels by the hour in which they came.
    """
    if not asked:
        return None
    first, last = min(asked), max(asked)
    strongest: Complaint | None = None
    for days in DAYS:
        since = last + 1 - days * HOURS
        rows, labels = _within(asked, since, last + 1), _within(came, since, last + 1)
        had, had_labels = _within(asked, first, since), _within(came, first, since)
        if min(rows, had, had_labels) < LEAST_LABELS or labels / rows >= LATE * had_labels / had:
            continue
        strength = float(log_evidence(np.array([[had_labels, had]]), np.array([[labels, rows]]))[0])
        if strength < math.log(len(DAYS) / LEVEL) or (strongest is not None and strength <= strongest.strength):
            continue
        told = f"in the last {days} days {labels:,} labels came for {rows:,} rows; before, for {had_labels / had:.0%}"
        strongest = Complaint(kind="labels late", where="labels", evidence=told, strength=strength)
    return strongest


def _within(counts: Mapping[int, int], first: int, end: int) -> int:
    return sum(count for hour, count in counts.items() if first <= hour < end)
