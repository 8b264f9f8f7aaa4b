import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.stats import binom, multivariate_hypergeom, norm

from holdtrue.statistics.two_samples import e_bh, log_evidence, stability


def draws(pool: tuple[int, ...], taken: int) -> Iterator[tuple[int, ...]]:
    for one in itertools.product(*(range(count + 1) for count in pool)):
        if sum(one) == taken:
            yield one


@pytest.mark.parametrize("first_apart", [False, True])
@pytest.mark.parametrize(("pool", "taken"), [((4, 5, 3, 6), 7), ((1, 0, 9, 2, 4), 5), ((12, 1, 1), 7), ((2, 10), 6)])
def test_the_mean_over_every_draw_without_change_is_at_most_one(
    pool: tuple[int, ...], taken: int, *, first_apart: bool
) -> None:
    one = np.array(list(draws(pool, taken)))
    other = np.array(pool) - one
    chance = multivariate_hypergeom.pmf(one, m=list(pool), n=taken)
    assert chance.sum() == pytest.approx(1.0)
    for first, second in ((one, other), (other, one)):
        evidence = np.exp(log_evidence(first, second, first_apart=first_apart))
        assert 0.5 < (chance * evidence).sum() <= 1 + 1e-9


@pytest.mark.parametrize("shares", [np.ones(16) / 16, np.array([0.9, *[0.1 / 15] * 15])])
@pytest.mark.parametrize("rows", [50, 1_000, 50_000])
def test_without_change_evidence_of_twenty_is_rarer_than_one_in_twenty(rows: int, shares: "np.ndarray") -> None:
    chance = np.random.default_rng(rows)
    past, now = chance.multinomial(1_000, shares, 4_000), chance.multinomial(rows, shares, 4_000)
    found = np.exp(log_evidence(past, now, first_apart=True))
    for limit in (5, 20, 100):
        assert (found >= limit).sum() <= binom.ppf(0.999, 4_000, 1 / limit)


@pytest.mark.parametrize(("rows", "moved", "least"), [(50, 1.0, 0.6), (200, 0.5, 0.6), (1_000, 0.3, 0.7)])
def test_a_shift_is_found_in_so_many_rows_among_a_hundred_columns(rows: int, moved: float, least: float) -> None:
    edges = norm.ppf(np.arange(1, 16) / 16)
    shares = np.diff(np.array([0.0, *norm.cdf(edges - moved), 1.0]))
    chance = np.random.default_rng(2)
    past, now = chance.multinomial(1_000, np.ones(16) / 16, 500), chance.multinomial(rows, shares, 500)
    wanted = np.log(100 * 30)  # a hundred columns, one false alarm in thirty windows
    assert (log_evidence(past, now) >= wanted).mean() >= least


def test_what_cannot_differ_says_nothing() -> None:
    one, other = np.array([[0, 7, 0, 0], [0, 0, 0, 0]]), np.array([[0, 90, 0, 0], [1, 2, 3, 4]])
    assert log_evidence(one, other).tolist() == [0.0, 0.0]
    assert log_evidence(one[:, :1], other[:, :1]).tolist() == [0.0, 0.0]


def test_which_sample_comes_first_does_not_matter() -> None:
    one, other = np.array([[5, 9, 40, 2]]), np.array([[500, 400, 900, 100]])
    assert log_evidence(one, other) == pytest.approx(log_evidence(other, one))
    assert stability(one, other) == pytest.approx(stability(other, one))


@pytest.mark.parametrize(("past_rows", "rows"), [(1_000, 100), (1_000, 1_000), (200, 200)])
def test_the_index_of_stability_is_near_zero_by_chance(past_rows: int, rows: int) -> None:
    chance = np.random.default_rng(3)
    shares = chance.dirichlet(np.full(16, 5.0))
    past, now = chance.multinomial(past_rows, shares, 3_000), chance.multinomial(rows, shares, 3_000)
    p, q = (past + 0.5) / (past_rows + 8), (now + 0.5) / (rows + 8)
    by_chance = 15 * (1 / past_rows + 1 / rows)
    assert ((p - q) * np.log(p / q)).sum(axis=1).mean() == pytest.approx(by_chance, rel=0.15)
    assert stability(past, now).mean() < 0.25 * by_chance


def test_the_index_of_stability_of_many_rows_is_that_of_the_shares() -> None:
    p, q = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.25, 0.25, 0.25, 0.25])
    found = stability((p * 1e7).astype(int)[None], (q * 1e7).astype(int)[None])
    assert found[0] == pytest.approx(((p - q) * np.log(p / q)).sum(), rel=1e-4)


def test_with_dependent_columns_a_false_alarm_is_as_rare_as_promised() -> None:
    chance = np.random.default_rng(4)
    level, alarms, windows = 0.1, 0, 400
    for _ in range(windows):
        past, now = chance.multinomial(300, np.ones(8) / 8), chance.multinomial(300, np.ones(8) / 8)
        copies = np.repeat(past[None], 20, axis=0), np.repeat(now[None], 20, axis=0)
        alarms += bool(e_bh(log_evidence(*copies), level).any())
    assert alarms <= binom.ppf(0.999, windows, level)


def test_a_level_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        e_bh(np.zeros(3), 1.0)
