"""What Optuna is told of a trial is what it would know had it just run it."""

import optuna
import pytest

from holdtrue.models.learner import LEARNERS
from holdtrue.training.journal import State, Trial
from holdtrue.training.space import Space

SPACE = Space({name: LEARNERS.get(name) for name in ("ridge", "mlp")})


@pytest.mark.parametrize("state", ["complete", "pruned", "failed"])
def test_a_remembered_trial_is_the_trial_that_was_asked_for(state: State) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=SPACE.sampler("random", 1, 0))
    asked = study.ask()
    name, settings = SPACE.suggested(asked)
    steps = (0.5, 0.25)
    for place, step in enumerate(steps):
        asked.report(step, place)
    score = 0.25 if state == "complete" else None
    trial = Trial(number=0, learner=name, settings=settings, state=state, score=score, steps=steps)
    ran = study.tell(asked, score, state=SPACE.state(trial))
    told = SPACE.remembered(trial)
    for field in ("params", "distributions", "state", "intermediate_values", "values"):
        assert getattr(told, field) == getattr(ran, field), field


def test_the_sampler_of_a_trial_knows_nothing_but_seed_and_number() -> None:
    def drawn(seed: int, number: int) -> object:
        return SPACE.suggested(optuna.create_study(sampler=SPACE.sampler("tpe", seed, number)).ask())

    assert drawn(1, 2) == drawn(1, 2)
    assert len({str(drawn(seed, number)) for seed in (1, 2) for number in (0, 1, 2)}) == 6
