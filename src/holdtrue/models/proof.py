"""Proof that a graph answers as the fitted model does; a graph that differs is refused."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
import polars as pl
from jaxtyping import Bool, Float64

from holdtrue.core.errors import Refused
from holdtrue.features.runtime import session
from holdtrue.features.session import run
from holdtrue.models.export import Reference

TOLERANCE = 1e-5
ALONE_ROWS = 64  # of each kind of rows, this many are also answered one by one
VALUES = ("value", "low", "high")
SHOWN_CELLS = 12

Answers = Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """What was compared, and how far the answers were apart.

    Attributes:
        rows: of these `boundary_rows` lie on the edges and `random_rows` were drawn; the rest are real.
        max_difference: the largest, of a probability, or of a value as a share of its size plus the values' spread.
        batch_difference: the same between a row answered alone and in its batch; 0 when they are equal bit for bit.
        decisions_differing: rows so near the threshold that rounding decides: they are within `tolerance` of it.
    """

    rows: int
    boundary_rows: int
    random_rows: int
    max_difference: float
    batch_difference: float
    decisions_differing: int
    tolerance: float


def prove(
    model: bytes, reference: Reference, frames: Mapping[str, pl.DataFrame], *, tolerance: float = TOLERANCE
) -> Proof:
    """Compare a graph with its reference on every row; raises `Refused` when they differ.

    `frames` are rows by their kind, such as `proving_rows` makes. Every output the reference gives is compared. A
    decision may differ only where the reference says, by `slack`, that it hangs on less than `tolerance`.
    """
    frames = {kind: frame for kind, frame in frames.items() if not frame.is_empty()}
    if not frames:
        raise ValueError("a proof needs at least one row.")
    ready = session(model)
    expected = {kind: reference(frame) for kind, frame in frames.items()}
    spread = _spread(expected)
    faults: list[str] = []
    apart, alone, differing = 0.0, 0.0, 0
    for kind, frame in frames.items():
        answered = run(ready, frame)
        whole = _compare(expected[kind], answered, spread, tolerance)
        faults += whole.faults(kind, frame)
        single = _compare(_first(answered, expected[kind], ALONE_ROWS), _alone(ready, frame), spread, tolerance)
        faults += single.faults(f"{kind}, one by one", frame)
        apart, alone = max(apart, whole.worst), max(alone, single.worst)
        differing += int(whole.decided_otherwise.sum())
    if faults:
        raise Refused(
            "The graph does not answer as the fitted model does:",
            faults=faults,
            do="It is not released. Choose another learner, and report this one with the row above.",
        )
    return Proof(
        rows=sum(frame.height for frame in frames.values()),
        boundary_rows=frames["boundary"].height if "boundary" in frames else 0,
        random_rows=frames["random"].height if "random" in frames else 0,
        max_difference=apart,
        batch_difference=alone,
        decisions_differing=differing,
        tolerance=tolerance,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Compared:
    """How two sets of answers differ, row by row.

    Attributes:
        absent: outputs that the graph does not have.
        apart: the difference of each numeric output; infinite where a shape is wrong or a number missing.
        decided_otherwise: rows with another decision or label.
        excused: of these, rows where that may be.
    """

    expected: Answers
    answered: Answers
    absent: tuple[str, ...]
    apart: Mapping[str, Float64[np.ndarray, " rows"]]
    decided_otherwise: Bool[np.ndarray, " rows"]
    excused: Bool[np.ndarray, " rows"]
    tolerance: float

    @property
    def worst(self) -> float:
        return max((float(rows.max()) for rows in self.apart.values()), default=0.0)

    def faults(self, kind: str, frame: pl.DataFrame) -> list[str]:
        """Say what is wrong, with the worst row of each output."""
        found = [f"it has no output {name!r}" for name in self.absent]
        for name, rows in self.apart.items():
            count, place = int((rows > self.tolerance).sum()), int(rows.argmax())
            if count:
                found.append(
                    f"{name}: {count} of {len(rows)} {kind} rows differ by more than {self.tolerance:g}, the worst by "
                    f"{rows[place]:.3g}: {_shown(self.answered[name], place)} for {_shown(self.expected[name], place)} "
                    f"at {_cells(frame, place)}"
                )
        wrong = self.decided_otherwise & ~self.excused
        if wrong.any():
            place = int(wrong.argmax())
            found.append(
                f"decision: {int(wrong.sum())} of {len(wrong)} {kind} rows are decided otherwise, the first at "
                f"{_cells(frame, place)}"
            )
        return found


def _compare(expected: Answers, answered: Answers, spread: float, tolerance: float) -> _Compared:
    rows = len(next(iter(expected.values())))
    numeric = [name for name in ("probabilities", *VALUES) if name in expected]
    named = [name for name in ("decision", "label") if name in expected]
    otherwise = np.zeros(rows, dtype=bool)
    for name in named:
        if name in answered:
            given = np.asarray(answered[name]).reshape(-1)
            otherwise |= given != expected[name].reshape(-1) if len(given) == rows else True
    slack = expected.get("slack", np.full(rows, np.inf))
    return _Compared(
        expected=expected,
        answered=answered,
        absent=tuple(name for name in (*numeric, *named) if name not in answered),
        apart={
            name: _apart(np.asarray(expected[name]), np.asarray(answered[name]), spread if name in VALUES else None)
            for name in numeric
            if name in answered
        },
        decided_otherwise=otherwise,
        excused=slack <= tolerance,
        tolerance=tolerance,
    )


def _apart(expected: "np.ndarray", answered: "np.ndarray", spread: float | None) -> Float64[np.ndarray, " rows"]:
    """Measure the difference of each row; `spread` makes it a share, without it the difference is absolute."""
    if answered.shape != expected.shape:
        return np.full(len(expected), np.inf)
    wide, given = expected.astype(np.float64), answered.astype(np.float64)
    same = (wide == given) | (np.isnan(wide) & np.isnan(given))  # equal infinities have no difference to take
    with np.errstate(invalid="ignore"):
        gap = np.abs(given - wide) / (1.0 if spread is None else spread + np.abs(wide))
    return np.where(same, 0.0, np.nan_to_num(gap, nan=np.inf)).reshape(len(expected), -1).max(axis=1)


def _spread(expected: Mapping[str, Answers]) -> float:
    """Give the spread of the values on real rows (or the first there are), below which size no error matters."""
    answers = expected.get("real", next(iter(expected.values()), {}))
    if "value" not in answers:
        return 1.0
    values = answers["value"].astype(np.float64)
    return float(values.std()) or float(np.abs(values).max()) or 1.0


def _alone(ready: ort.InferenceSession, frame: pl.DataFrame) -> Answers:
    parts = [run(ready, frame[place : place + 1]) for place in range(min(ALONE_ROWS, frame.height))]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _first(answered: Answers, expected: Answers, rows: int) -> Answers:
    """Take the head of a graph's answers, to stand as what its answers one by one must be."""
    wanted = {name: answered[name] for name in expected if name in answered}
    wanted |= {"slack": expected["slack"]} if "slack" in expected else {}
    return {name: np.asarray(values)[:rows] for name, values in wanted.items()}


def _shown(values: "np.ndarray", place: int) -> str:
    if place >= len(values):
        return f"{len(values)} rows"
    return ", ".join(f"{value:.9g}" for value in np.asarray(values[place]).reshape(-1)[:4].tolist())


def _cells(frame: pl.DataFrame, place: int) -> str:
    cells = [f"{name}={value!r}" for name, value in frame.row(place, named=True).items()]
    more = f", and {len(cells) - SHOWN_CELLS} more" if len(cells) > SHOWN_CELLS else ""
    return ", ".join(cells[:SHOWN_CELLS]) + more
