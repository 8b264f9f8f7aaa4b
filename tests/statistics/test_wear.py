import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.statistics.wear import alpha_for_use


@given(st.floats(0.001, 0.2), st.integers(1, 2000))
def test_all_uses_together_spend_at_most_alpha(alpha: float, uses: int) -> None:
    spent = math.fsum(alpha_for_use(use, alpha) for use in range(1, uses + 1))
    assert spent < alpha
    # The tail of Σ 1/k² beyond n lies between 1 / (n + 1) and 1 / n.
    assert alpha - spent == pytest.approx(alpha * 6 / math.pi**2 / (uses + 0.5), rel=0.05)


def test_the_first_use_is_the_dearest() -> None:
    levels = [alpha_for_use(use, 0.05) for use in range(1, 20)]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] == pytest.approx(0.0304, abs=0.0001)


def test_impossible_uses_and_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="count from 1"):
        alpha_for_use(0, 0.05)
    with pytest.raises(ValueError, match="between 0 and 1"):
        alpha_for_use(1, 5)
