"""What a trial is worth: the task's metric on the validation rows, or on each fold in turn."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64
from threadpoolctl import threadpool_limits

from holdtrue.core.digest import digest_of
from holdtrue.models.learner import LEARNERS, Settings
from holdtrue.training.examples import Examples, Matrices, Terms
from holdtrue.training.fit import Candidate, fit_on
from holdtrue.training.out_of_fold import Fold

Score = Callable[[Float64[np.ndarray, " rows"], Float64[np.ndarray, "rows outputs"]], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """Training rows and the rows held out from them, one pair a fold, with the metric.

    Its encodings are kept between trials, and how many trees a learner stopped at on the first pair.
    """

    parts: tuple[Matrices, ...]
    score: Score
    stopped_at: dict[str, int] = field(default_factory=dict[str, int])

    def __call__(self, learner: str, settings: Settings) -> Iterator[float]:
        """Fit and score one fold after the other; the rest are not fitted when the caller stops asking."""
        for place, part in enumerate(self.parts):
            candidate = fit_on(part, learner, settings)
            if place == 0:
                self._remember(candidate, settings)
            held = part.held_rows(LEARNERS.get(learner))
            assert held is not None
            with threadpool_limits(limits=1, user_api="blas"):
                answers = candidate.fitted.predict(held.x)
            yield float(self.score(held.y, answers))

    def trees(self, learner: str, settings: Settings) -> int | None:
        """Say how many trees early stopping kept, None where a learner knows no such thing; fits when it must."""
        key = digest_of([learner, dict(settings)])
        if key not in self.stopped_at:
            self._remember(fit_on(self.parts[0], learner, settings), settings)
        return self.stopped_at.get(key)

    def _remember(self, candidate: Candidate, settings: Settings) -> None:
        iterations = getattr(candidate.fitted, "iterations", None)
        if isinstance(iterations, int):
            self.stopped_at[digest_of([candidate.learner, dict(settings)])] = iterations


def on_validation(train: Examples, validation: Examples, terms: Terms, score: Score) -> Objective:
    """Score on rows set aside; learners that stop early watch the same rows."""
    return Objective(parts=(Matrices(train=train, held=validation, terms=terms),), score=score)


def on_folds(examples: Examples, folds: Sequence[Fold], terms: Terms, score: Score) -> Objective:
    """Score on each fold's held rows, with everything learnt from the other rows of that fold."""
    parts = tuple(Matrices(train=examples.take(train), held=examples.take(held), terms=terms) for train, held in folds)
    return Objective(parts=parts, score=score)
