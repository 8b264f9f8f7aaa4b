"""What disturbed rows do to a model: noise, missing values, shifted categories; each a function of a typed frame."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from holdtrue.core.errors import Misuse, nearest
from holdtrue.evaluation.comparisons import compare
from holdtrue.evaluation.metric import metric_named
from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.estimate import Estimate

UNSEEN = "(never seen)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """How a number varied in training, between which ends, and whether it was always whole."""

    deviation: float
    low: float
    high: float
    whole: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """What the training rows were like: the spread of each number, and how often each category came."""

    numbers: Mapping[str, Spread]
    categories: Mapping[str, Mapping[str, int]]


def reference_of(training: pl.DataFrame) -> Reference:
    """Measure the feature columns of the training rows."""
    numbers: dict[str, Spread] = {}
    categories: dict[str, dict[str, int]] = {}
    for series in training.iter_columns():
        if series.dtype == pl.String:
            counts = series.drop_nulls().value_counts(sort=True)
            categories[series.name] = dict(
                zip(counts.to_series(0).to_list(), counts.to_series(1).to_list(), strict=True)
            )
        else:
            known = series.cast(pl.Float64).fill_nan(None).drop_nulls().to_numpy()
            if len(known):
                numbers[series.name] = Spread(
                    deviation=float(known.std()),
                    low=float(known.min()),
                    high=float(known.max()),
                    whole=bool((known == np.round(known)).all()),
                )
    return Reference(numbers=numbers, categories=categories)


def noise(frame: pl.DataFrame, reference: Reference, strength: float, generator: np.random.Generator) -> pl.DataFrame:
    """Add a normal error of `strength` training standard deviations to every number.

    What comes out could have come in: whole numbers stay whole, and values that lay within the range seen in training
    stay within it. A count of 0.02 or of -1 is not a noisy value but an impossible one.
    """
    made: list[pl.Series] = []
    for name, spread in reference.numbers.items():
        if name not in frame.columns:
            continue
        values = frame.get_column(name).cast(pl.Float64).fill_null(float("nan")).to_numpy()
        noisy = values + generator.normal(0.0, strength * spread.deviation, frame.height)
        noisy = np.round(noisy) if spread.whole else noisy
        kept = np.clip(noisy, np.minimum(values, spread.low), np.maximum(values, spread.high))
        made.append(pl.Series(name, kept).fill_nan(None))
    return frame.with_columns(made)


def missing(frame: pl.DataFrame, reference: Reference, strength: float, generator: np.random.Generator) -> pl.DataFrame:
    """Forget each cell with the chance `strength`."""
    known = [name for name in frame.columns if name in reference.numbers or name in reference.categories]
    return frame.with_columns(
        pl.when(pl.Series(generator.random(frame.height) < strength)).then(None).otherwise(pl.col(name)).alias(name)
        for name in known
    )


def shift(frame: pl.DataFrame, reference: Reference, strength: float, generator: np.random.Generator) -> pl.DataFrame:
    """Replace each category with the chance `strength`: half of them by a rare known one, half by one never seen."""
    changed: list[pl.Series] = []
    for name, counts in reference.categories.items():
        if name not in frame.columns:
            continue
        drawn = np.full(frame.height, UNSEEN, dtype=object)
        if counts:
            rarity = 1.0 / np.array(list(counts.values()), dtype=np.float64)
            rare = generator.choice(len(counts), frame.height, p=rarity / rarity.sum())
            known = generator.random(frame.height) < 0.5
            drawn[known] = np.array(list(counts), dtype=object)[rare[known]]
        moved = pl.Series(generator.random(frame.height) < strength)
        new = pl.Series(name, drawn.tolist(), dtype=pl.String)
        changed.append(pl.select(pl.when(moved).then(new).otherwise(frame.get_column(name)).alias(name)).to_series())
    return frame.with_columns(changed)


@dataclass(frozen=True, kw_only=True, slots=True)
class Perturbation:
    """A disturbance and how strong it is unless said otherwise."""

    apply: Callable[[pl.DataFrame, Reference, float, np.random.Generator], pl.DataFrame]
    strength: float
    says: str


PERTURBATIONS: dict[str, Perturbation] = {
    "noise": Perturbation(apply=noise, strength=0.1, says="numbers with an error of 0.1 standard deviations"),
    "missing": Perturbation(apply=missing, strength=0.1, says="one cell in ten missing"),
    "shift": Perturbation(apply=shift, strength=0.1, says="one category in ten rare or never seen"),
}


def perturb(
    name: str, frame: pl.DataFrame, reference: Reference, seed: int, *, strength: float | None = None
) -> pl.DataFrame:
    """Disturb the feature columns of typed rows; the same seed disturbs them alike.

    >>> rows = pl.DataFrame({"size": [1.0, 2.0, 3.0]})
    >>> perturb("missing", rows, reference_of(rows), seed=0, strength=1.0)["size"].to_list()
    [None, None, None]
    """
    if name not in PERTURBATIONS:
        raise Misuse(f"There is no disturbance named {name!r}{nearest(name, list(PERTURBATIONS))}")
    kind = PERTURBATIONS[name]
    generator = np.random.default_rng([seed, list(PERTURBATIONS).index(name)])
    return kind.apply(frame, reference, kind.strength if strength is None else strength, generator)


def drop(metric: str, clean: Predictions, disturbed: Predictions, confidence: float, seed: int) -> Estimate:
    """Estimate how much worse the model is on the disturbed rows; the same rows are compared, so it is paired."""
    return compare(metric_named(metric), clean, disturbed, confidence, seed)
