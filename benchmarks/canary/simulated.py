"""Canaries as columns of numbers: thousands at once, by the arithmetic of the tests that one canary runs.

What an endpoint counts is drawn, and each look adds to the capitals as `EventShare` and `RandomGap` do; `agreement`
runs some of the same streams through the code itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import ncx2, norm

from holdtrue.pipeline.canary import PARTS
from holdtrue.pipeline.canary_counts import MARGIN, Counter, Counts
from holdtrue.pipeline.canary_counts import _growth as grown  # pyright: ignore[reportPrivateUsage]
from holdtrue.pipeline.canary_counts import _tested as tested  # pyright: ignore[reportPrivateUsage]
from holdtrue.statistics.random_gap import STAKES, growth
from holdtrue.statistics.score_shift import FIRST_ROWS, LARGE, ScoreShift
from holdtrue.statistics.two_arms import RATIOS
from holdtrue.statistics.two_samples import log_evidence

ALPHA = 0.05
LOOK = 100  # requests between two looks
BINS = 10
LABELLED = 0.1  # of the requests
SIGNALS = ("errors", "latency", "scores", "labels")
SLOW_ABOVE = 4

RATIO = 1 / (1 - (np.arange(RATIOS) + 0.5) / RATIOS)


@dataclass(frozen=True, kw_only=True)
class Arms:
    """How often each arm errs, is slow, and is wrong on labelled rows; where its scores lie."""

    errors: tuple[float, float] = (0.005, 0.005)
    slow: tuple[float, float] = (0.005, 0.005)
    losses: tuple[float, float] = (0.2, 0.2)
    scores: tuple["np.ndarray", "np.ndarray"] = field(
        default_factory=lambda: (np.full(BINS, 1 / BINS), np.full(BINS, 1 / BINS))
    )


@dataclass
class Running:
    """The tests of many canaries: one row each; times are in requests, and infinite for what did not happen."""

    count: int
    requests: int = 0
    keeps_blocks: bool = False

    def __post_init__(self) -> None:
        rows, stakes = self.count, len(STAKES)
        self.events = np.zeros((rows, RATIOS))
        self.canary_events, self.expected = np.zeros(rows), np.zeros(rows)
        self.bad = {name: np.zeros((rows, stakes)) for name in ("latency", "labels")}
        self.good = {name: np.zeros((rows, stakes)) for name in ("errors", "latency", "labels")}
        self.waiting = np.zeros((2, rows), dtype=np.int64)
        self.seen = np.zeros((2, rows, BINS), dtype=np.int64)
        self.evidence = np.zeros(rows)
        self.closings, self.stage_closings = np.zeros(rows), np.zeros(rows)
        self.blocks: list[tuple[int, np.ndarray]] = []
        self.worse = {name: np.full(rows, math.inf) for name in SIGNALS}
        self.passed = {name: np.full(rows, math.inf) for name in SIGNALS}

    def begin_stage(self) -> None:
        """What speaks for a canary must be shown in each stage anew; labels are too few for that."""
        for name in ("errors", "latency"):
            self.good[name][:] = 0.0
            self.passed[name][:] = math.inf
        self.passed["scores"][:] = math.inf
        self.seen[:] = 0
        self.waiting[:] = 0
        self.stage_closings[:] = 0

    def look(self, chance: np.random.Generator, arms: Arms, share: float) -> tuple["np.ndarray", ...]:
        """Draw a hundred requests of each canary, and let the tests see them; gives the counts."""
        self.requests += LOOK
        mine = chance.binomial(LOOK, share, self.count)
        sizes = (mine, LOOK - mine)
        errors = _drawn(chance, sizes, arms.errors[::-1])
        answered = tuple(size - error for size, error in zip(sizes, errors, strict=True))
        slow = _drawn(chance, answered, arms.slow[::-1])
        self._see_errors(share, errors)
        self._see("latency", share, answered, slow, allowed=MARGIN)
        labelled = _drawn(chance, answered, (LABELLED, LABELLED))
        self._see("labels", share, labelled, _drawn(chance, labelled, arms.losses[::-1]), allowed=0.0)
        self.waiting += np.stack(answered)
        self._close(chance, arms)
        return mine, *errors, *slow

    def _see_errors(self, share: float, errors: Sequence["np.ndarray"]) -> None:
        some = np.flatnonzero(errors[0] + errors[1])
        total = (errors[0] + errors[1])[some]
        self.events[some] += errors[0][some, None] * np.log(RATIO) - total[:, None] * np.log1p(share * (RATIO - 1))
        self.canary_events += errors[0]
        self.expected += (errors[0] + errors[1]) * share
        found = _reached(self.events, ALPHA * PARTS["errors"]) & (self.canary_events > self.expected)
        self._mark(self.worse["errors"], found)
        few, _ = growth(share, np.full(self.count, LOOK), *errors, margin=MARGIN, allowed=0.0)
        self.good["errors"] += few
        self._mark(self.passed["errors"], _reached(self.good["errors"], ALPHA))

    def _see(
        self, name: Any, share: float, rows: Sequence["np.ndarray"], events: Sequence["np.ndarray"], *, allowed: float
    ) -> None:
        good, bad = growth(share, rows[0] + rows[1], *events, margin=MARGIN, allowed=allowed)
        self.good[name] += good
        self.bad[name] += bad
        self._mark(self.passed[name], _reached(self.good[name], ALPHA))
        self._mark(self.worse[name], _reached(self.bad[name], ALPHA * PARTS[name]))

    def _close(self, chance: np.random.Generator, arms: Arms) -> None:
        """Look at the scores of those whose block is over; they are drawn only then."""
        closed = self.seen.sum(axis=2)
        enough = self.waiting[0] >= np.maximum(FIRST_ROWS, closed[0])
        place = np.flatnonzero(enough & (closed[1] + self.waiting[1] >= FIRST_ROWS) & (self.waiting[1] > 0))
        if not len(place):
            return
        drawn = np.stack([chance.multinomial(self.waiting[arm, place], arms.scores[1 - arm]) for arm in (0, 1)])
        self.evidence[place] += log_evidence(drawn[0], drawn[1])
        if self.keeps_blocks:
            self.blocks += [(int(each), drawn[:, at]) for at, each in enumerate(place)]
        self.seen[:, place] += drawn
        self.waiting[:, place] = 0
        self.closings[place] += 1
        self.stage_closings[place] += 1
        index, effective, used = _index(self.seen[0, place], self.seen[1, place])
        law = ncx2(np.maximum(used - 1, 1), LARGE * effective)
        part = ALPHA / (self.stage_closings[place] * (self.stage_closings[place] + 1))
        passes = index <= law.ppf(part)
        self.passed["scores"][place] = np.where(passes, self.requests, math.inf)  # it may not pass any more
        alpha = ALPHA * PARTS["scores"]
        likely = np.flatnonzero(self.evidence[place] >= -math.log(alpha))
        if len(likely):
            some = place[likely]
            share = alpha / (self.closings[some] * (self.closings[some] + 1))
            large = index[likely] >= ncx2.isf(share, np.maximum(used[likely] - 1, 1), LARGE * effective[likely])
            self.worse["scores"][some[large]] = np.minimum(self.worse["scores"][some[large]], self.requests)

    def _mark(self, when: "np.ndarray", found: "np.ndarray") -> None:
        when[found & np.isinf(when)] = self.requests


def _drawn(
    chance: np.random.Generator, sizes: Sequence["np.ndarray"], rates: Sequence[float]
) -> tuple["np.ndarray", "np.ndarray"]:
    one, two = (chance.binomial(size, rate) for size, rate in zip(sizes, rates, strict=True))
    return one, two


def _reached(capitals: "np.ndarray", alpha: float) -> "np.ndarray":
    """Say which mean capitals are 1 / alpha or more; the mean is never above the largest, which is cheaper to know."""
    most = capitals.max(axis=1)
    found = np.zeros(len(capitals), dtype=bool)
    some = np.flatnonzero(most >= -math.log(alpha))
    if len(some):
        mean = np.exp(capitals[some] - most[some, None]).mean(axis=1)
        found[some] = most[some] + np.log(mean) >= -math.log(alpha)
    return found


def _index(one: "np.ndarray", other: "np.ndarray") -> tuple["np.ndarray", "np.ndarray", "np.ndarray"]:
    used = (one + other) > 0
    bins = used.sum(axis=1)
    n, m = one.sum(axis=1), other.sum(axis=1)
    p, q = (
        np.where(used, counts + 0.5, 1.0) / (total + 0.5 * bins)[:, None] for counts, total in ((one, n), (other, m))
    )
    effective = n * m / (n + m)
    return np.where(used, (p - q) * np.log(p / q), 0.0).sum(axis=1) * effective, effective, bins


def canaries(
    count: int, arms: Arms | None, stages: Sequence[tuple[float, int]], *, seed: int, keeps_blocks: bool = False
) -> Running:
    """Run canaries through stages of (share, requests); without arms both are alike, and worse at some hours."""
    chance = np.random.default_rng(seed)
    running = Running(count, keeps_blocks=keeps_blocks)
    for share, requests in stages:
        running.begin_stage()
        for look in range(requests // LOOK):
            running.look(chance, arms or unrest(chance, look), share)
    return running


def unrest(chance: np.random.Generator, look: int) -> Arms:
    """Give both arms other rates at each look, five times as many at some hours: a world in which nothing stays."""
    rate = chance.uniform(0.0, 0.03) * (5 if look % 40 < 6 else 1)
    loss = 0.5 if look % 50 < 10 else 0.1
    late = min(0.2, 2 * rate)
    return Arms(errors=(rate, rate), slow=(late, late), losses=(loss, loss))


def agreement(count: int, arms: Arms, share: float, looks: int, *, seed: int) -> tuple[int, float]:
    """Run streams through the code itself as well; gives how many numbers were compared, and the largest difference."""
    chance = np.random.default_rng(seed)
    running = Running(count, keeps_blocks=True)
    real = [Counts(slow_above=SLOW_ABOVE, pid=1) for _ in range(count)]
    shifts = [ScoreShift(bins=BINS, alpha=ALPHA * PARTS["scores"]) for _ in range(count)]
    for _ in range(looks):
        mine, *events = running.look(chance, arms, share)
        for place in range(count):
            canary, stable, slow, still = (int(each[place]) for each in events)
            sides = (_counter(LOOK - int(mine[place]), stable, still), _counter(int(mine[place]), canary, slow))
            more = [grown(Counter(), each, frozenset({"graph"}), SLOW_ABOVE) for each in sides]
            real[place] = tested(real[place], "canary", more[0], more[1], share)
    for place, drawn in running.blocks:
        shifts[place].update(drawn[0], drawn[1])
    compared, worst = 0, 0.0
    for place, counts in enumerate(real):
        if counts.errors is None or counts.slower is None or counts.few_errors is None or counts.few_slow is None:
            raise AssertionError("a test was not begun")
        pairs = [
            (running.events[place], counts.errors["capitals"]),
            (running.bad["latency"][place], counts.slower[1]),
            (running.good["errors"][place], counts.few_errors[0]),
            (running.good["latency"][place], counts.few_slow[0]),
            ([running.evidence[place]], [shifts[place].state()["evidence"]]),
            ([math.isfinite(running.passed["scores"][place])], [shifts[place].found == "not worse"]),
            ([math.isfinite(running.worse["scores"][place])], [shifts[place].found == "worse"]),
        ]
        for one, two in pairs:
            gaps = np.abs(np.asarray(one, dtype=float) - np.asarray(two, dtype=float))
            compared, worst = compared + len(gaps), max(worst, float(gaps.max()))
    return compared, worst


def border(index: float) -> dict[str, "np.ndarray"]:
    """Give chances of bins that have this stability index against even ones, moved in several ways."""
    edges = norm.ppf(np.arange(1, BINS) / BINS)

    def bins(mean: float, spread: float) -> "np.ndarray":
        return np.diff(np.concatenate([[0.0], norm.cdf((edges - mean) / spread), [1.0]]))

    even, last = np.full(BINS, 1 / BINS), np.eye(BINS)[-1]
    moves = {
        "shift": lambda size: bins(size, 1.0),
        "wider": lambda size: bins(0.0, 1 + size),
        "narrower": lambda size: bins(0.0, 1 / (1 + size)),
        "one bin": lambda size: (even + size * last) / (1 + size),
    }
    found: dict[str, np.ndarray] = {}
    for name, move in moves.items():
        low, high = 0.0, 3.0
        for _ in range(60):
            middle = (low + high) / 2
            chances = move(middle)
            is_less = float(((chances - even) * np.log(chances / even)).sum()) < index
            low, high = (middle, high) if is_less else (low, middle)
        found[name] = move(low)
    return found


def limits(rows: tuple[int, int], chances: "np.ndarray", alpha: float, *, runs: int, seed: int) -> tuple[float, float]:
    """Give how often scores on the border are surely not large, and surely large, at one look."""
    chance = np.random.default_rng(seed)
    one = chance.multinomial(rows[0], chances, runs)
    other = chance.multinomial(rows[1], np.full(BINS, 1 / BINS), runs)
    index, effective, used = _index(one, other)
    law = ncx2(used - 1, LARGE * effective)
    return float((index <= law.ppf(alpha)).mean()), float((index >= law.isf(alpha)).mean())


def _counter(requests: int, errors: int, slow: int) -> Counter:
    answered = requests - errors
    timed = [0] * 14
    timed[0], timed[-1] = answered - slow, slow
    return Counter(answered=answered, timed=tuple(timed), lost={"graph": errors})
