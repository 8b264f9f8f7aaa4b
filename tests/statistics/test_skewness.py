import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.statistics.skewness import skewed_limits

SKEW = st.floats(-2, 2)


def bent(position: float, skewness: float, interaction: float) -> float:
    """The axis of Hall 1992, straight from its definition."""
    bend = (2 * skewness + interaction) / 6
    return position + bend * position**2 + bend**2 * position**3 / 3 + (skewness + interaction) / 6


@given(SKEW, SKEW, st.floats(0.5, 3))
def test_the_limits_are_where_the_bent_axis_reaches_the_quantile(
    skewness: float, interaction: float, quantile: float
) -> None:
    low, high = skewed_limits(0.0, 1.0, quantile, skewness=skewness, interaction=interaction, caution=0.0)
    assert bent(-low, skewness, interaction) == pytest.approx(quantile, abs=1e-6)
    assert bent(-high, skewness, interaction) == pytest.approx(-quantile, abs=1e-6)


@given(SKEW, SKEW, st.floats(0.5, 3))
def test_a_mirrored_tail_mirrors_the_limits(skewness: float, interaction: float, quantile: float) -> None:
    low, high = skewed_limits(0.0, 1.0, quantile, skewness=skewness, interaction=interaction)
    mirrored = skewed_limits(0.0, 1.0, quantile, skewness=-skewness, interaction=-interaction)
    assert mirrored == pytest.approx((-high, -low), abs=1e-9)


@given(SKEW, st.floats(0.5, 3), st.floats(0, 3))
def test_caution_only_widens(skewness: float, quantile: float, caution: float) -> None:
    low, high = skewed_limits(0.0, 1.0, quantile, skewness=skewness, caution=0.0)
    careful = skewed_limits(0.0, 1.0, quantile, skewness=skewness, caution=caution)
    assert careful[0] <= low
    assert careful[1] >= high
    assert all(map(math.isfinite, careful))
