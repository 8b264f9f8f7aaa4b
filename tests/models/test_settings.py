"""Settings are checked all at once, and each fault names the nearest that is allowed."""

import pytest

from holdtrue.core.errors import Misuse
from holdtrue.models.learner import LEARNERS, Dimension, Value
from holdtrue.models.settings import fault_of, resolve

MLP = LEARNERS.get("mlp")


def test_what_is_not_given_takes_its_default() -> None:
    made = resolve("mlp", MLP, {"units": 16})
    assert made == {"units": 16, "layers": 1, "alpha": 1e-4, "learning_rate": 3e-3}


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(Misuse) as told:
        resolve("mlp", MLP, {"unitz": 3, "units": 100_000, "layers": 9, "alpha": "much"})
    text = str(told.value)
    assert len(told.value.faults) == 4
    assert "did you mean 'units'" in text
    assert "'units' is 100000; it should lie in [4, 256]; the nearest is 256" in text
    assert "'layers' is 9; it should be one of 1, 2" in text
    assert "'alpha' is 'much'; it should be a number" in text


@pytest.mark.parametrize(
    ("dimension", "value", "said"),
    [
        (Dimension(default=1.0, low=0.0, high=2.0), 3.0, "nearest is 2"),
        (Dimension(default=1.0, low=0.0, high=2.0), float("nan"), "should lie in"),
        (Dimension(default=1.0, low=0.0, high=2.0), True, "should be a number"),
        (Dimension(default=1, low=0, high=9, integer=True), 2.6, "nearest is 3"),
        (Dimension(default=1, low=0, high=9, integer=True), 2.0, ""),
        (Dimension(default="gini", choices=("gini", "entropy")), "entropie", "did you mean 'entropy'?"),
        (Dimension(default=1, choices=(1, 2)), True, "should be one of 1, 2"),
        (Dimension(default=None, choices=(None, 3)), None, ""),
    ],
)
def test_a_fault_says_what_is_allowed(dimension: Dimension, value: Value, said: str) -> None:
    fault = fault_of(dimension, value)
    assert said in fault
    assert bool(fault) == bool(said)
