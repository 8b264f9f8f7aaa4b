"""Simulations of every bound in `holdtrue.statistics`, each at a truth known by formula."""

import math
from collections.abc import Callable

import numpy as np
from scipy.special import ndtri
from scipy.stats import beta as beta_distribution
from scipy.stats import binom
from world import Ask, Case

from holdtrue.statistics.auc import delong, delong_paired
from holdtrue.statistics.binomial import clopper_pearson, newcombe, paired_shares, wilson
from holdtrue.statistics.bootstrap import bootstrap
from holdtrue.statistics.mean import mean_estimate
from holdtrue.statistics.paired import mean_difference
from holdtrue.statistics.quantile import quantile_bound

ROWS = 400


def bound_cases() -> list[Case]:
    return [*_shares(), *_areas(), *_means(), *_differences(), *_others()]


def _shares() -> list[Case]:
    def share(chance: float, rows: int, exact: bool = True):
        def simulate(generator: np.random.Generator) -> Ask:
            hits = int(generator.binomial(rows, chance))
            return lambda confidence: (clopper_pearson if exact else wilson)(hits, rows, confidence)

        return simulate

    def gap(one: float, rows_one: int, two: float, rows_two: int):
        def simulate(generator: np.random.Generator) -> Ask:
            hits = int(generator.binomial(rows_one, one)), int(generator.binomial(rows_two, two))
            return lambda confidence: newcombe(hits[0], rows_one, hits[1], rows_two, confidence)

        return simulate

    def pairs(only_one: float, only_two: float):
        def simulate(generator: np.random.Generator) -> Ask:
            one, two, _ = generator.multinomial(ROWS, [only_one, only_two, 1 - only_one - only_two]).tolist()
            return lambda confidence: paired_shares(one, two, ROWS, confidence)

        return simulate

    return [
        Case(kind="quality", name="share 0.90, 400 rows", direction="at_least", truth=0.9, simulate=share(0.9, ROWS)),
        Case(kind="quality", name="share 0.02, 400 rows", direction="at_most", truth=0.02, simulate=share(0.02, ROWS)),
        Case(
            kind="picture",
            name="share 0.90, 400 rows, Wilson",
            direction="at_least",
            truth=0.9,
            simulate=share(0.9, ROWS, exact=False),
            proves=False,
        ),
        Case(
            kind="fair",
            name="shares 0.75 and 0.65, 150 and 250 rows",
            direction="at_most",
            truth=0.1,
            simulate=gap(0.75, 150, 0.65, 250),
        ),
        Case(
            kind="fair",
            name="shares 0.99 and 0.94, 100 and 400 rows",
            direction="at_most",
            truth=0.05,
            simulate=gap(0.99, 100, 0.94, 400),
        ),
        Case(
            kind="beats",
            name="hits of two models, 400 rows, 6 % and 6 % differ",
            direction="at_least",
            truth=0.0,
            simulate=pairs(0.06, 0.06),
        ),
        Case(
            kind="beats",
            name="hits of two models, 400 rows, 4 % and 1 % differ",
            direction="at_least",
            truth=0.03,
            simulate=pairs(0.04, 0.01),
        ),
    ]


def _areas() -> list[Case]:
    def area(truth: float, positives: int, negatives: int, heavy: bool = False):
        labels = np.arange(positives + negatives) < positives
        # Normal scores: Φ(shift / √2) is the area. Exponential ones with ratio r of the scales: r / (1 + r).
        shift, ratio = float(ndtri(truth)) * math.sqrt(2), truth / (1 - truth)

        def simulate(generator: np.random.Generator) -> Ask:
            score = generator.exponential(np.where(labels, ratio, 1.0)) if heavy else generator.normal(shift * labels)
            return lambda confidence: delong(labels, score, confidence)

        return simulate

    def two(one: float, other: float, positives: int, negatives: int, alike: float):
        labels = np.arange(positives + negatives) < positives
        shifts = float(ndtri(one)) * math.sqrt(2), float(ndtri(other)) * math.sqrt(2)

        def simulate(generator: np.random.Generator) -> Ask:
            first = generator.normal(size=len(labels))
            second = alike * first + math.sqrt(1 - alike**2) * generator.normal(size=len(labels))
            scores = first + shifts[0] * labels, second + shifts[1] * labels
            return lambda confidence: delong_paired(labels, scores[0], scores[1], confidence)

        return simulate

    single = [(0.70, 60, 340, False), (0.85, 60, 340, False), (0.95, 60, 340, False), (0.99, 100, 300, False)]
    single += [(0.90, 20, 380, False), (0.95, 100, 300, True)]
    cases = [
        Case(
            kind="quality",
            name=f"ROC AUC {truth:g}, {positives} + {negatives} rows" + (", long tails" if heavy else ""),
            direction="at_least",
            truth=truth,
            simulate=area(truth, positives, negatives, heavy),
        )
        for truth, positives, negatives, heavy in single
    ]
    pairs = [(0.85, 0.85, 60, 340), (0.85, 0.80, 100, 300), (0.95, 0.95, 100, 300), (0.97, 0.95, 100, 300)]
    return cases + [
        Case(
            kind="beats",
            name=f"ROC AUC {one:g} against {other:g}, {positives} + {negatives} rows",
            direction="at_least",
            truth=one - other,
            simulate=two(one, other, positives, negatives, 0.8),
        )
        for one, other, positives, negatives in pairs
    ]


def _means() -> list[Case]:
    def mean(
        draw_scores: Callable[[np.random.Generator, int], "np.ndarray"],
        rows: int = ROWS,
        bounds: tuple[float, float] = (-math.inf, math.inf),
    ):
        def simulate(generator: np.random.Generator) -> Ask:
            scores = draw_scores(generator, rows)
            return lambda confidence: mean_estimate(scores, confidence, 0, bounds=bounds)

        return simulate

    def clusters(count: int):
        def simulate(generator: np.random.Generator) -> Ask:
            sizes = generator.integers(1, 9, count)
            of_row = np.repeat(np.arange(count), sizes)
            scores = generator.exponential(size=count)[of_row] * generator.exponential(size=len(of_row))
            return lambda confidence: mean_estimate(scores, confidence, 0, of_row)

        return simulate

    lognormal = math.exp(0.5)
    rare = 0.02
    return [
        Case(
            kind="quality",
            name=f"mean of exponential scores, {rows} rows",
            direction="at_most",
            truth=1.0,
            simulate=mean(lambda generator, rows: generator.exponential(size=rows), rows),
        )
        for rows in (50, ROWS)
    ] + [
        Case(
            kind="quality",
            name="mean of squared normal errors, 400 rows",
            direction="at_most",
            truth=1.0,
            simulate=mean(lambda generator, rows: generator.normal(size=rows) ** 2),
        ),
        Case(
            kind="quality",
            name="mean of lognormal scores (σ = 1), 400 rows",
            direction="at_most",
            truth=lognormal,
            simulate=mean(lambda generator, rows: generator.lognormal(size=rows)),
        ),
        Case(
            kind="quality",
            name="mean of exponential scores, 80 clusters of 1 to 8 rows",
            direction="at_most",
            truth=1.0,
            simulate=clusters(80),
        ),
        Case(
            kind="robust",
            name="mean drop where 2 % of 400 rows change, by -1 to 1",
            direction="at_most",
            truth=0.0,
            simulate=mean(
                lambda generator, rows: (generator.random(rows) < rare) * generator.uniform(-1, 1, rows),
                bounds=(-1.0, 1.0),
            ),
        ),
        Case(
            kind="robust",
            name="mean drop where 1 % of 400 rows lose up to 1",
            direction="at_most",
            truth=0.005,
            simulate=mean(
                lambda generator, rows: (generator.random(rows) < rare / 2) * generator.uniform(0, 1, rows),
                bounds=(-1.0, 1.0),
            ),
        ),
    ]


def _differences() -> list[Case]:
    def losses(margin: float):
        def simulate(generator: np.random.Generator) -> Ask:
            # Two models equally wrong about each row's log odds; a long right tail, and errors that are alike.
            odds = generator.normal(0, 1.5, ROWS)
            sign = np.where(generator.random(ROWS) < 1 / (1 + np.exp(-odds)), -1.0, 1.0)
            common = generator.normal(0, 0.5, ROWS)
            one, two = (odds + common + generator.normal(0, 0.5, ROWS) for _ in range(2))
            base, model = np.logaddexp(0, sign * one), np.logaddexp(0, sign * two)
            return lambda confidence: mean_difference(base - margin, model, confidence, 0)

        return simulate

    return [
        Case(
            kind="beats",
            name="log loss of two equal models, 400 rows",
            direction="at_least",
            truth=-margin,
            simulate=losses(margin),
        )
        for margin in (0.0,)
    ]


def _others() -> list[Case]:
    def waits(q: float, rows: int):
        def simulate(generator: np.random.Generator) -> Ask:
            values = generator.lognormal(size=rows)
            return lambda confidence: quantile_bound(values, q, confidence)

        return simulate

    def f1(cells: list[float]):
        def simulate(generator: np.random.Generator) -> Ask:
            cell = generator.choice(4, ROWS, p=cells)
            seed = int(generator.integers(2**32))

            def statistic(index: "np.ndarray") -> float:
                hit, false, missed, _ = np.bincount(cell[index], minlength=4).tolist()
                return 2 * hit / (2 * hit + false + missed) if hit + false + missed else math.nan

            return lambda confidence: bootstrap(statistic, ROWS, confidence, seed, draws=500)

        return simulate

    def by_cluster(generator: np.random.Generator) -> Ask:
        of_row = np.repeat(np.arange(60), 5)
        scores = generator.normal(size=60)[of_row] + generator.normal(size=300)
        seed = int(generator.integers(2**32))
        return lambda confidence: bootstrap(
            lambda index: float(scores[index].std()), 300, confidence, seed, draws=500, clusters=of_row
        )

    usual, high = [0.12, 0.03, 0.05, 0.80], [0.14, 0.005, 0.01, 0.845]
    cases = [
        Case(
            kind="fast",
            name=f"{q:g}-quantile of lognormal waits, {rows} requests",
            direction="at_most",
            truth=math.exp(float(ndtri(q))),
            simulate=waits(q, rows),
        )
        for q, rows in ((0.99, 1000), (0.95, 400))
    ]
    cases += [
        Case(
            kind="quality",
            name=f"F1 {2 * cells[0] / (2 * cells[0] + cells[1] + cells[2]):.2f}, 400 rows, bootstrap",
            direction="at_least",
            truth=2 * cells[0] / (2 * cells[0] + cells[1] + cells[2]),
            simulate=f1(cells),
            dear=True,
        )
        for cells in (usual, high)
    ]
    cases.append(
        Case(
            kind="quality",
            name="standard deviation, 60 clusters of 5 rows, bootstrap",
            direction="at_most",
            truth=math.sqrt(2),
            simulate=by_cluster,
            dear=True,
        )
    )
    return cases


def wear(runs: int, seed: int, *, candidates: int = 20, alpha: float = 0.05) -> dict[str, float]:
    """Judge many candidates, each exactly on its bound, on the same rows; how often is any of them proven?

    Candidates hit 90 % of the rows; half of their misses are common to all.
    """
    from holdtrue.statistics.wear import alpha_for_use

    generator = np.random.default_rng(seed)
    hits = np.arange(ROWS + 1)
    any_paid = any_free = 0
    lower = {level: _lower_limits(hits, level) for level in {alpha, *(alpha_for_use(k + 1, alpha) for k in range(20))}}
    for _ in range(runs):
        common = generator.binomial(ROWS, 0.05)
        found = ROWS - common - generator.binomial(ROWS - common, 0.05 / 0.95, candidates)
        any_free += bool((lower[alpha][found] >= 0.9).any())
        any_paid += any(lower[alpha_for_use(k + 1, alpha)][count] >= 0.9 for k, count in enumerate(found.tolist()))
    return {"candidates": candidates, "paid": any_paid / runs, "unpaid": any_free / runs}


def _lower_limits(hits: "np.ndarray", tail: float) -> "np.ndarray":
    limits = np.asarray(beta_distribution.ppf(tail, np.maximum(hits, 1), ROWS - hits + 1))
    # A reference of its own, by the definition of the limit: P(X ≥ hits | limit) = tail.
    assert np.allclose(np.asarray(binom.sf(hits[1:] - 1, ROWS, limits[1:])), tail)
    return np.where(hits > 0, limits, 0.0)
