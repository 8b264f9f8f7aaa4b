import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.statistics.resample import resampler

LABELS = st.lists(st.integers(0, 8), min_size=1, max_size=50).map(np.array)


@given(st.integers(1, 40), st.integers(0, 1000))
def test_as_many_rows_are_drawn_as_there_are(rows: int, seed: int) -> None:
    drawn = resampler(rows).draw(np.random.default_rng(seed))
    assert len(drawn) == rows
    assert drawn.min() >= 0
    assert drawn.max() < rows


@given(LABELS, st.integers(0, 1000))
def test_a_cluster_is_drawn_whole_each_time(clusters: "np.ndarray", seed: int) -> None:
    drawn = resampler(len(clusters), clusters).draw(np.random.default_rng(seed))
    counts = np.bincount(drawn, minlength=len(clusters))
    picked = 0
    for cluster in np.unique(clusters):
        times = np.unique(counts[clusters == cluster])
        assert len(times) == 1
        picked += int(times[0])
    assert picked == len(np.unique(clusters))


@given(LABELS, st.integers(0, 1000))
def test_each_stratum_keeps_its_rows(strata: "np.ndarray", seed: int) -> None:
    drawn = resampler(len(strata), strata=strata).draw(np.random.default_rng(seed))
    assert np.array_equal(np.bincount(strata[drawn], minlength=9), np.bincount(strata, minlength=9))


@given(LABELS, st.integers(1, 60), st.integers(0, 1000))
def test_each_unit_is_left_out_once(clusters: "np.ndarray", groups: int, seed: int) -> None:
    plan = resampler(len(clusters), clusters)
    kept = plan.leave_out(groups, np.random.default_rng(seed))
    assert len(kept) == min(groups, plan.units)
    left = [np.setdiff1d(np.arange(len(clusters)), rows) for rows in kept]
    assert sorted(np.concatenate(left).tolist()) == list(range(len(clusters)))
    for rows in left:
        assert not set(clusters[rows].tolist()) & set(np.delete(clusters, rows).tolist())


def test_a_cluster_in_two_strata_is_refused() -> None:
    with pytest.raises(ValueError, match="more than one stratum"):
        resampler(3, np.array([1, 1, 2]), np.array([0, 1, 1]))
    with pytest.raises(ValueError, match="clusters holds 2 labels for 3 rows"):
        resampler(3, np.array([1, 1]))
