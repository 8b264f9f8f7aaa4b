"""One fit: learner, settings and examples in; a candidate that answers typed rows out."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float64
from threadpoolctl import threadpool_limits

from holdtrue.features.encoder import Encoder, transform
from holdtrue.models.learner import LEARNERS, Fitted, Settings, Value
from holdtrue.models.settings import resolve
from holdtrue.training.examples import Examples, Matrices, Terms


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A fitted model with the encoding it was fitted on.

    Attributes:
        rows: how many rows it was fitted on, after thinning.
        notes: what a reader of the record should know, such as a solver that stopped early.
    """

    learner: str
    settings: Settings
    encoder: Encoder
    fitted: Fitted
    rows: int
    notes: tuple[str, ...] = ()

    def predict(self, frame: pl.DataFrame) -> Float64[np.ndarray, "rows outputs"]:
        """Give probabilities (one column a class) or values (one column); the same bits whatever the cores."""
        with threadpool_limits(limits=1, user_api="blas"):
            return self.fitted.predict(transform(self.encoder, frame))


def encode_and_fit(
    name: str, given: Mapping[str, Value], train: Examples, terms: Terms, validation: Examples | None = None
) -> Candidate:
    """Fit one learner. Settings that are not given take their defaults; `validation` lets boosters stop early."""
    return fit_on(Matrices(train=train, terms=terms, held=validation), name, given)


def fit_on(matrices: Matrices, name: str, given: Mapping[str, Value]) -> Candidate:
    """Fit one learner on matrices that may already be encoded."""
    learner = LEARNERS.get(name)
    settings = resolve(name, learner, given)
    rows = matrices.rows(learner)
    # Trees may share out their work: their learners see to it that the bits stay the same. Matrix products may not.
    with threadpool_limits(limits=1, user_api="blas"):
        fitted = learner.fit(rows, settings, matrices.terms.seed, matrices.held_rows(learner))
    notes: tuple[str, ...] = getattr(fitted, "notes", ())
    if len(rows.y) < len(matrices.train.y):
        notes = (*notes, f"It was fitted on {len(rows.y)} of {len(matrices.train.y)} rows, chosen by the seed.")
    return Candidate(
        learner=name,
        settings=settings,
        encoder=matrices.encoder(learner.flavour),
        fitted=fitted,
        rows=len(rows.y),
        notes=notes,
    )
