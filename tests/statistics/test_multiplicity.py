import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from holdtrue.statistics.multiplicity import benjamini_hochberg, holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@pytest.mark.parametrize("tests", [1, 2, 7, 40])
def test_adjusted_p_values_are_those_of_statsmodels(tests: int) -> None:
    p_values = np.random.default_rng(tests).random(tests).round(2) ** 3
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)
    assert benjamini_hochberg(p_values) == pytest.approx(multipletests(p_values, method="fdr_bh")[1], abs=1e-12)


@given(P_VALUES)
def test_adjusting_keeps_the_order_and_only_raises(p_values: list[float]) -> None:
    for adjusted in (holm(p_values), benjamini_hochberg(p_values)):
        assert (adjusted >= np.array(p_values) - 1e-15).all()
        assert (np.diff(adjusted[np.argsort(p_values, kind="stable")]) >= 0).all()


def test_no_tests_are_adjusted_to_none() -> None:
    assert len(holm([])) == len(benjamini_hochberg([])) == 0


def test_p_values_outside_0_and_1_are_refused() -> None:
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]"):
        holm([0.5, 1.5])
