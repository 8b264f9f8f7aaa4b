"""The learners' settings as Optuna sees them: a choice of learner, and under each learner its own settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from holdtrue.models.learner import Dimension, Learner, Settings, Value
from holdtrue.training.journal import Trial

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, TrialState

RANDOM_TRIALS = 10  # before the estimator of good and bad settings has anything to go by


@dataclass(frozen=True, slots=True)
class Space:
    """The learners that have settings to vary."""

    learners: Mapping[str, Learner]

    def sampler(self, kind: str, seed: int, number: int) -> "BaseSampler":
        """Make the sampler of one trial: its chance depends on the seed and the trial's number alone."""
        from optuna.samplers import RandomSampler, TPESampler

        own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        if kind == "random":
            return RandomSampler(seed=own)
        # One setting at a time: the spaces of two learners have none in common to draw together.
        return TPESampler(seed=own, n_startup_trials=RANDOM_TRIALS, multivariate=False)

    def suggested(self, asked: "optuna.Trial") -> tuple[str, Settings]:
        name: str = asked.suggest_categorical("learner", list(self.learners))
        settings: dict[str, Value] = {}
        for key, dimension in self.learners[name].space.items():
            settings[key] = _suggested(asked, f"{name}.{key}", dimension)
        return name, settings

    def remembered(self, trial: Trial) -> "FrozenTrial":
        """Write a finished trial as Optuna keeps it, so that a sampler learns from it as if it had just ended."""
        from optuna.distributions import CategoricalDistribution
        from optuna.trial import create_trial

        params: dict[str, Any] = {}
        ranges: dict[str, BaseDistribution] = {}
        if trial.learner in self.learners:
            params, ranges = {"learner": trial.learner}, {"learner": CategoricalDistribution(list(self.learners))}
            for key, dimension in self.learners[trial.learner].space.items():
                params[f"{trial.learner}.{key}"] = trial.settings[key]
                ranges[f"{trial.learner}.{key}"] = _distribution(dimension)
        return create_trial(
            state=self.state(trial),
            value=trial.steps[-1] if trial.state != "failed" else None,
            params=params,
            distributions=ranges,
            intermediate_values=dict(enumerate(trial.steps)),
        )

    @staticmethod
    def state(trial: Trial) -> "TrialState":
        from optuna.trial import TrialState

        states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        return states[trial.state]


def _suggested(asked: "optuna.Trial", name: str, dimension: Dimension) -> Value:
    if dimension.choices:
        return asked.suggest_categorical(name, list(dimension.choices))
    assert dimension.low is not None
    assert dimension.high is not None
    if dimension.integer:
        return asked.suggest_int(name, int(dimension.low), int(dimension.high), log=dimension.log)
    return asked.suggest_float(name, dimension.low, dimension.high, log=dimension.log)


def _distribution(dimension: Dimension) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.choices:
        return CategoricalDistribution(list(dimension.choices))
    assert dimension.low is not None
    assert dimension.high is not None
    if dimension.integer:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)
